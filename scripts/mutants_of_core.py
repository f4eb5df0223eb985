"""The mutants of `mutants.py`: what they change, and the tests that must fail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A fault: a text of the sound code, and what stands in its place.

    Attributes:
        name: what the fault does.
        file: the file below ``vinci_offline/``.
        before: the sound text; it occurs once in the file.
        after: the faulty text.
        tests: files or tests below ``tests/``, each of which must fail.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def change(self, text: str) -> str:
        """Return the faulty text of the file.

        Raises:
            ValueError: the sound text does not occur once.
        """
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: {self.before!r} occurs {text.count(self.before)} times in {self.file}"
            )
        return text.replace(self.before, self.after)


READER, RETURNS = "batches/reader.py", "batches/returns.py"
TARGETS, LOSSES = "functional/targets.py", "functional/losses.py"
ENGINE = "training/engines/engine.py"
HAND_MADE = "batches/test_hand_made_batches.py::"
BY_HAND = "agents/test_agent_losses.py::"
FUNCTIONS = "functional/test_functional_losses.py::"
ACTIONS = "functional/test_functional_actions.py::"
TRAINED = "training/test_engine.py::"
HELD_OUT = "training/test_held_out.py::"

MUTANTS = (
    # From rows to transitions.
    Mutant(
        "n-step-crosses-timeouts",
        READER,
        "return continuing(columns, ended(columns, self._last_rows, start))",
        "return continuing(columns, columns[TERMINALS])",
        (f"{HAND_MADE}test_columns_in_memory", f"{HAND_MADE}test_streamed_pools"),
    ),
    Mutant(
        "n-step-takes-first-next-observation",
        READER,
        "taken = following[:count] if self._n_step == 1 else following[last]",
        "taken = following[:count]",
        (f"{HAND_MADE}test_columns_in_memory", f"{HAND_MADE}test_streamed_pools"),
    ),
    Mutant(
        "table-cuts-ignored",
        "data/continuity.py",
        "    result[rows_within(last_rows, start, start + len(result))] = True\n",
        "",
        (f"{HAND_MADE}test_columns_in_memory", f"{HAND_MADE}test_streamed_pools"),
    ),
    Mutant(
        "timeout-is-terminal",
        READER,
        "            columns[TERMINALS],\n            continues,",
        "            columns[TERMINALS] | columns[TIMEOUTS],\n            continues,",
        (f"{HAND_MADE}test_columns_in_memory", f"{HAND_MADE}test_streamed_pools"),
    ),
    Mutant(
        "next-observation-is-observation",
        READER,
        "self._seen(path, columns[path][:count])",
        "self._seen(path, columns[f'next_{path}'][:count])",
        (f"{HAND_MADE}test_columns_in_memory", f"{HAND_MADE}test_streamed_pools"),
    ),
    Mutant(
        "part-ends-cut-n-step",
        READER,
        "rows = slice(start, min(stop + self._ahead, len(self)))",
        "rows = slice(start, stop)",
        ("batches/test_stream.py::test_parts_equal_one_read",),
    ),
    Mutant(
        "actions-not-scaled",
        READER,
        "action = self._units.scaled(columns[ACTIONS])",
        "action = columns[ACTIONS].astype(np.float32)",
        (f"{HAND_MADE}test_columns_in_memory", f"{HAND_MADE}test_streamed_pools"),
    ),
    Mutant(
        "next-action-is-action",
        READER,
        "after = np.minimum(last + 1, len(action) - 1)",
        "after = last",
        ("batches/test_reader.py::test_next_action_is_that_of_the_following_row",),
    ),
    Mutant(
        "terminal-has-no-next-action",
        READER,
        "HAS_NEXT_ACTION: (followed != 0).astype(np.float32),",
        "HAS_NEXT_ACTION: (followed > 0).astype(np.float32),",
        ("batches/test_reader.py::test_next_action_is_that_of_the_following_row",),
    ),
    Mutant(
        "rewards-not-discounted",
        RETURNS,
        "total[rows] += factor[rows] * rewards[last[rows]]",
        "total[rows] += rewards[last[rows]]",
        ("batches/test_returns.py::test_matches_a_plain_loop",),
    ),
    Mutant(
        "bootstrap-discounted-once",
        RETURNS,
        "        factor[rows] *= gamma\n",
        "",
        ("batches/test_returns.py::test_matches_a_plain_loop",),
    ),
    Mutant(
        "bootstrap-past-terminal",
        RETURNS,
        "(factor * ~terminals[last])",
        "factor",
        ("batches/test_returns.py::test_one_step_is_the_row_itself",),
    ),
    Mutant(
        "terminal-of-first-row",
        RETURNS,
        "(factor * ~terminals[last])",
        "(factor * ~terminals)",
        ("batches/test_returns.py::test_n_step_sums_stop_at_a_termination",),
    ),
    Mutant(
        "return-to-go-crosses-runs",
        RETURNS,
        "        factor[_within(last, rows)] = 0.0\n",
        "",
        ("batches/test_reader.py::test_return_to_go_sums_to_the_end_of_the_run",),
    ),
    Mutant(
        "last-row-never-drawn",
        "batches/rows.py",
        "int((pool[REWARD] if drawn is None else drawn).shape[0]))",
        "int((pool[REWARD] if drawn is None else drawn).shape[0]) - 1)",
        ("batches/test_rows.py::test_draws_are_of_drawable_rows_only",),
    ),
    Mutant(
        "window-leaves-run",
        "batches/rows.py",
        "return self.at(ops.minimum(steps, last)).replace(valid=valid)",
        "return self.at(steps).replace(valid=valid)",
        ("batches/test_rows.py::test_windows_stay_in_the_run",),
    ),
    Mutant(
        "goal-leaves-run",
        "batches/rows.py",
        "return self.index + ops.minimum(distance, self.last - self.index)",
        "return self.index + distance",
        ("batches/test_rows.py::test_future_is_geometric_and_cut_at_the_end_of_the_run",),
    ),
    Mutant(
        "one-pool-for-ever",
        "batches/stream.py",
        "own = self._shuffle.pieces(generation)\n        return own",
        "own = self._shuffle.pieces(0)\n        return own",
        ("batches/test_stream.py::test_draws_over_an_epoch_are_binomial",),
    ),
    # The mathematics.
    Mutant(
        "target-carries-gradient",
        TARGETS,
        "return ops.stop_gradient(reward + discount * next_value)",
        "return reward + discount * next_value",
        (f"{FUNCTIONS}test_no_gradient_flows_through_targets_and_weights",),
    ),
    Mutant(
        "target-ignores-discount",
        TARGETS,
        "return ops.stop_gradient(reward + discount * next_value)",
        "return ops.stop_gradient(reward + next_value)",
        (f"{FUNCTIONS}test_td_target_multiplies_next_value_by_discount",),
    ),
    Mutant(
        "double-q-takes-greatest",
        TARGETS,
        "return ops.min(values, axis=0)",
        "return ops.max(values, axis=0)",
        (
            f"{FUNCTIONS}test_clipped_double_q_is_minimum_over_members",
            f"{BY_HAND}TestTD3BC::test_critic_loss",
        ),
    ),
    Mutant(
        "target-noise-not-clipped",
        TARGETS,
        "ops.clip(noise * draw, -noise_clip, noise_clip)",
        "noise * draw",
        (f"{ACTIONS}test_target_policy_smoothing_clips_noise_then_action",),
    ),
    Mutant(
        "double-q-selects-by-target",
        TARGETS,
        "return batched_index(evaluating, ops.argmax(selecting, axis=-1))",
        "return batched_index(evaluating, ops.argmax(evaluating, axis=-1))",
        (f"{ACTIONS}test_double_q_learning_selects_online_and_evaluates_target",),
    ),
    Mutant(
        "expectile-turned-round",
        LOSSES,
        "ops.where(error < 0, 1.0 - expectile, expectile)",
        "ops.where(error > 0, 1.0 - expectile, expectile)",
        (f"{FUNCTIONS}test_expectile_loss_is_asymmetric", f"{BY_HAND}TestIQL::test_value_loss"),
    ),
    Mutant(
        "advantage-weight-not-clipped",
        LOSSES,
        "ops.minimum(ops.exp(temperature * advantage), clip)",
        "ops.exp(temperature * advantage)",
        (
            f"{FUNCTIONS}test_advantage_weight_is_clipped",
            f"{BY_HAND}TestIQL::test_advantage_weights_are_clipped",
        ),
    ),
    Mutant(
        "advantage-weight-carries-gradient",
        LOSSES,
        "return ops.stop_gradient(ops.minimum(ops.exp(temperature * advantage), clip))",
        "return ops.minimum(ops.exp(temperature * advantage), clip)",
        (f"{FUNCTIONS}test_no_gradient_flows_through_targets_and_weights",),
    ),
    Mutant(
        "huber-keeps-growing",
        LOSSES,
        "0.5 * ops.square(inner) + delta * (size - inner)",
        "0.5 * ops.square(size)",
        (f"{FUNCTIONS}test_huber_loss_is_quadratic_then_linear",),
    ),
    Mutant(
        "ensemble-averaged",
        LOSSES,
        "return ops.sum(ops.mean(errors, axis=-1))",
        "return ops.mean(errors)",
        (f"{FUNCTIONS}test_ensemble_loss_sums_members_and_averages_rows",),
    ),
    Mutant(
        "density-without-deviation",
        "functional/distributions.py",
        "ops.square(normal) + 2.0 * log_std + math.log(2.0 * math.pi)",
        "ops.square(normal) + math.log(2.0 * math.pi)",
        (
            "functional/test_functional_distributions.py::test_gaussian_log_prob",
            f"{BY_HAND}TestBC::test_gaussian_likelihood",
        ),
    ),
    Mutant(
        "inverted-gradient-turned-round",
        "functional/gradients.py",
        "rises = upstream < 0",
        "rises = upstream > 0",
        ("functional/test_functional_gradients.py::test_invert_gradients_by_hand",),
    ),
    Mutant(
        "normal-draws-from-one-number",
        "functional/random.py",
        "uniform(fold(key, 2), shape))",
        "uniform(fold(key, 1), shape))",
        ("functional/test_random.py::test_normal_is_box_muller_of_two_uniform_draws",),
    ),
    # The algorithms.
    Mutant(
        "iql-advantage-of-online-critic",
        "agents/in_sample.py",
        "functional.action_values(nets.target_critic, batch.observation, batch.action)",
        "functional.action_values(nets.critic, batch.observation, batch.action)",
        (f"{BY_HAND}TestIQL::test_value_loss",),
    ),
    Mutant(
        "iql-decides-by-weighted-loss",
        "agents/in_sample.py",
        ", validation_loss=self.actor_validation_loss",
        "",
        (f"{HELD_OUT}test_held_out_loss_of_weighted_regression_has_no_weights",),
    ),
    Mutant(
        "td3bc-target-of-online-actor",
        "agents/td3.py",
        "action = nets.target_actor(batch.next_observation)",
        "action = nets.actor(batch.next_observation)",
        (f"{BY_HAND}TestTD3BC::test_critic_loss",),
    ),
    Mutant(
        "td3bc-weight-carries-gradient",
        "agents/td3bc.py",
        "ops.stop_gradient(ops.maximum(ops.mean(ops.abs(value)), 1e-6))",
        "ops.maximum(ops.mean(ops.abs(value)), 1e-6)",
        (f"{BY_HAND}TestTD3BC::test_actor_loss_and_gradient",),
    ),
    Mutant(
        "dqn-selects-by-target",
        "agents/dqn.py",
        "selecting = nets.critic(batch.next_observation)[0] if self.double else evaluating",
        "selecting = evaluating",
        (f"{BY_HAND}TestDQN::test_critic_loss_of_double_q_learning",),
    ),
    # Training.
    Mutant(
        "tau-turned-round",
        ENGINE,
        "target.assign(target + rate * (online - target))",
        "target.assign(online + rate * (target - online))",
        (f"{TRAINED}test_polyak_moves_target_toward_online_network",),
    ),
    Mutant(
        "targets-start-elsewhere",
        "training/learner.py",
        "        copy.set_weights(net.get_weights())\n",
        "",
        (f"{TRAINED}test_targets_start_as_copies",),
    ),
    Mutant(
        "reset-keeps-moments",
        ENGINE,
        "slot.assign(ops.where(flat, ops.zeros_like(slot.value), slot.value))",
        "pass",
        (f"{TRAINED}test_flat_gradient_resets_actor_and_target",),
    ),
    Mutant(
        "delay-counts-from-zero",
        ENGINE,
        "return ops.equal(self.step % period, 0)",
        "return ops.equal((self.step - 1) % period, 0)",
        (f"{TRAINED}test_delayed_update_counts_global_steps",),
    ),
    Mutant(
        "same-rows-at-every-step",
        ENGINE,
        "return draw(columns, random.key(self._seed, step, _ROWS_STREAM), self._batch_size)",
        "return draw(columns, random.key(self._seed, ops.ones_like(step), _ROWS_STREAM), self._batch_size)",
        (f"{TRAINED}test_draws_differ_between_steps",),
    ),
    Mutant(
        "same-noise-at-every-step",
        ENGINE,
        "key = random.key(self._seed, step, bound.stream)\n        loss, metrics, gradients",
        "key = random.key(self._seed, ops.ones_like(step), bound.stream)\n        loss, metrics, gradients",
        (f"{TRAINED}test_loss_draws_anew_at_every_step",),
    ),
    Mutant(
        "role-trains-all",
        "training/learner.py",
        "if role in (None, bound.update.role))",
        "if role in (None, *self.agent.roles))",
        (f"{TRAINED}test_unselected_role_stays_bitwise_unchanged",),
    ),
    Mutant(
        "regularizers-ignored",
        ENGINE,
        "if variable.regularizer is not None:",
        "if False:",
        ("training/test_user_network_training.py::test_weight_regularizers_join_the_loss_and_its_gradient",),
    ),
    Mutant(
        "average-turned-round",
        "training/learner.py",
        "average_rate=1.0 - (self.optimization.policy_ema or 0.0),",
        "average_rate=self.optimization.policy_ema or 0.0,",
        ("training/test_optimization.py::test_averaged_policy_follows_actor_updates",),
    ),
    Mutant(
        "held-out-rows-are-trained-on",
        "training/held_out.py",
        "return Split(dataset.select_episodes(kept), ",
        "return Split(dataset, ",
        (f"{HELD_OUT}test_split_takes_each_episode_once",),
    ),
    Mutant(
        "critic-decides-for-actor",
        "training/held_out.py",
        'deciding = {"actor"} if "actor" in roles else roles',
        "deciding = roles",
        (f"{HELD_OUT}test_held_out_losses_equal_losses_and_change_nothing",),
    ),
    Mutant(
        "held-out-step-is-batch",
        ENGINE,
        "losses.append(call(self._learner.nets, batch, key, step)[0])",
        "losses.append(call(self._learner.nets, batch, key, draw)[0])",
        (f"{HELD_OUT}test_held_out_losses_see_the_global_step",),
    ),
    Mutant(
        "best-is-scored-on-what-chose-it",
        "training/run.py",
        "            selection=True,\n",
        "",
        (f"{HELD_OUT}test_evaluations_in_training_have_starting_states_of_their_own",),
    ),
    Mutant(
        "normalised-by-sample-deviation",
        "quality/moments.py",
        "np.sqrt(self._squares / self._count)",
        "np.sqrt(self._squares / max(1, self._count - 1))",
        ("quality/test_statistics.py::test_moments_are_merged_exactly_over_blocks",),
    ),
)
