"""Pytest suite for agents, shipped ones and your own.

Subclass it, and give one line of parametrisation for each agent::

    @pytest.mark.parametrize(("agent", "spec"), [(MyAgent(hidden=(8, 8)), BOX)])
    class TestMyAgent(AgentContract):
        pass
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import ops

from vinci_offline.agents.agent import Agent, Networks, Update
from vinci_offline.agents.update import updates_of_kind
from vinci_offline.batches.batch import Batch
from vinci_offline.batches.names import (
    ACTION_MASK,
    FIRST_ROW,
    LAST_ROW,
    NEXT_ACTION_MASK,
    IfRecorded,
    column_name,
)
from vinci_offline.batches.rows import Rows
from vinci_offline.functional import random
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec, Space
from vinci_offline.testing.gradients import gradient
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.types import Array, Metrics, Tensor

BATCH = 8

_STEPS = 8

BOX = EnvironmentSpec(
    observation_space=BoxSpace((3,), "float64", np.full(3, -np.inf), np.full(3, np.inf)),
    action_space=BoxSpace((2,), "float32", np.array([-2.0, 0.0], "f4"), np.array([2.0, 0.5], "f4")),
)
"""Continuous actions. One dimension has asymmetric bounds."""

DISCRETE = EnvironmentSpec(
    observation_space=BoxSpace((4,), "float32", np.full(4, -1.0, "f4"), np.full(4, 1.0, "f4")),
    action_space=DiscreteSpace(3, start=1),
)
"""Discrete actions that start at one."""


@dataclass(frozen=True)
class Bench:
    """An agent with its online and target networks."""

    agent: Agent
    build: NetworkBuilder
    nets: Networks
    updates: tuple[Update, ...]


def builder(spec: EnvironmentSpec) -> NetworkBuilder:
    """Make a network builder with fixed moments of observations."""
    shape = getattr(spec.observation_space, "shape", ())
    return NetworkBuilder(spec, (np.full(shape, 0.1, "f4"), np.full(shape, 1.5, "f4")))


def bench(agent: Agent, spec: EnvironmentSpec, seed: int = 0) -> Bench:
    """Make an agent's networks as training does. The targets get 0.9 of the online weights, so that they differ."""
    learner = Learner(agent, build := builder(spec), seed)
    updates = tuple(bound.update for bound in learner.updates)
    for update in updates:
        for target in update.targets:
            net = learner.nets[target.name]
            net.set_weights([0.9 * w for w in learner.nets[target.network].get_weights()])
    return Bench(agent, build, learner.nets, updates)


_BENCHES: dict[tuple[int, int], tuple[Agent, EnvironmentSpec, Bench]] = {}
_KEPT = 64


def _shared_bench(agent: Agent, spec: EnvironmentSpec) -> Bench:
    """Return the networks that tests of one agent share, since making them takes longer than most tests do."""
    key = id(agent), id(spec)
    if key not in _BENCHES:  # holding both, so that no other object gets their id
        if len(_BENCHES) == _KEPT:
            _BENCHES.clear()
        _BENCHES[key] = agent, spec, bench(agent, spec)
    return _BENCHES[key][2]


class Trainer:
    """An agent in the compiled loop that `train` uses, with batches of four rows of `columns`.

    Args:
        agent: algorithm.
        spec: environment.
        seed: seed of weights and draws.
        like: value that trainers of equal agents and spaces share, to compile once.
    """

    def __init__(self, agent: Agent, spec: EnvironmentSpec, seed: int = 0, like: Hashable = None) -> None:
        self.learner = Learner(agent, builder(spec), seed)
        self._engine = make_engine(
            self.learner, columns(agent, spec), batch_size=4, seed=seed, jit="off", like=like
        )
        self._initial = self.learner.state()
        self.updates = tuple(bound.update for bound in self.learner.updates)
        self.step = 0

    def restart(self) -> None:
        """Return to the untrained state. Keep the compiled functions."""
        self.learner.restore(self._initial)
        self.step = 0

    def run(self, *chunks: int, role: str | None = None) -> dict[str, Array]:
        """Run each number of steps in one call. Return the state after the last."""
        updates: tuple[BoundUpdate, ...] = self.learner.select(role)
        for count in chunks:
            self._engine.run(updates, self.step, count)
            self.step += count
        return self.learner.state()


def columns(agent: Agent | None, spec: EnvironmentSpec, seed: int = 0, **replaced: Array) -> dict[str, Array]:
    """Make an agent's columns with eight random transitions in two episodes of four.

    Args:
        agent: algorithm; None makes the columns of transitions alone.
        spec: environment.
        seed: seed of the values.
        replaced: columns that replace random ones, by name.
    """
    rng = np.random.default_rng(seed)
    count = spec.action_space.n if isinstance(spec.action_space, DiscreteSpace) else 0

    def actions() -> Array:
        if count:
            return rng.integers(count, size=BATCH).astype(np.int32)
        return rng.uniform(-1, 1, (BATCH, getattr(spec.action_space, "dim", 1))).astype(np.float32)

    made: dict[str, Array] = {
        "action": actions(),
        "reward": rng.normal(size=BATCH).astype(np.float32),
        "discount": np.where(np.arange(BATCH) % 4 == 3, 0.0, 0.99).astype(np.float32),
        **_observations("observation", spec.observation_space, rng),
        **_observations("next_observation", spec.observation_space, rng),
        "next_action": actions(),
        "has_next_action": np.ones(BATCH, np.float32),
        "return_to_go": rng.normal(size=BATCH).astype(np.float32),
        **_masks(agent, count),
        FIRST_ROW: np.repeat([0, 4], 4).astype(np.int32),
        LAST_ROW: np.repeat([3, 7], 4).astype(np.int32),
    }
    wished = {column_name(wish) for wish in (agent.columns if agent else ())}
    made |= {name: rng.normal(size=BATCH).astype(np.float32) for name in wished if name.startswith("infos/")}
    return {**made, **replaced}


def transitions(spec: EnvironmentSpec, *, agent: Agent | None = None, **replaced: Array) -> Batch:
    """Make a batch of random transitions.

    Args:
        spec: environment.
        agent: makes the batch by `Agent.batch`; None makes a batch of transitions.
        replaced: columns that replace random ones, by name.
    """
    made = columns(agent, spec, 0, **replaced)
    rows = Rows(
        {name: ops.convert_to_tensor(column) for name, column in made.items()},
        ops.arange(BATCH, dtype="int32"),
    )
    return agent.batch(rows, random.key(0, ops.convert_to_tensor(1), 0)) if agent else rows.at(rows.index)


def _masks(agent: Agent | None, count: int) -> dict[str, Array]:
    """Make masks that allow every choice. Masks that the agent takes only if they are recorded are left out."""
    if not count:
        return {}
    optional = {
        column_name(wish) for wish in (agent.columns if agent else ()) if isinstance(wish, IfRecorded)
    }
    wanted = {ACTION_MASK, NEXT_ACTION_MASK} - optional
    return {name: np.ones((BATCH, count), np.bool_) for name in sorted(wanted)}


def _observations(name: str, space: Space, rng: np.random.Generator) -> dict[str, Array]:
    """Make columns of random observations."""
    if isinstance(space, DictSpace):
        return {
            path: values
            for key, part in space.spaces.items()
            for path, values in _observations(f"{name}/{key}", part, rng).items()
        }
    if isinstance(space, DiscreteSpace):
        return {name: (space.start + rng.integers(space.n, size=BATCH)).astype(np.int32)}
    assert isinstance(space, BoxSpace)
    if space.dtype == "uint8":
        return {name: rng.integers(256, size=(BATCH, *space.shape)).astype(np.uint8)}
    return {name: rng.normal(size=(BATCH, *space.shape)).astype(np.float32)}


def evaluate_loss(bench: Bench, update: Update, batch: Batch, step: int = 1) -> tuple[float, Metrics]:
    """Return the loss and the metrics of an update at a global step, as numbers."""
    loss, metrics = _loss(bench, update, batch, step)
    _require(
        tuple(loss.shape) == (), f"the loss of {update.name!r} must be a scalar, not {tuple(loss.shape)}"
    )
    return float(ops.convert_to_numpy(loss)), {k: ops.convert_to_numpy(v) for k, v in metrics.items()}


def gradients(bench: Bench, update: Update, batch: Batch, network: str) -> list[Array | None]:
    """Return the gradient of an update's loss for each variable that a network owns; None if no gradient flows."""
    return gradient(lambda: _loss(bench, update, batch, 1)[0], bench.nets.trainable(network))


def _loss(bench: Bench, update: Update, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
    now = ops.convert_to_tensor(step, dtype="int32")
    key = random.key(0, now, bench.updates.index(update))
    return update.call(bench.nets, batch, key, now)


class AgentContract:
    """Test suite of one agent; parametrise ``agent`` and ``spec`` on the subclass."""

    def test_updates_are_disjoint_and_name_networks(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Train each network by one update at most; name only networks that exist."""
        build = builder(spec)
        online = agent.networks(build)
        updates = updates_of_kind(agent.updates(), discrete=build.discrete)
        trained = [name for update in updates for name in update.networks]
        _require(
            len(set(trained)) == len(trained), f"more than one update trains the same network: {trained}"
        )
        for update in updates:
            for name in update.networks:
                _require(name in online, f"there is no network {name!r}")
            for target in update.targets:
                _require(
                    target.network in update.networks,
                    f"the target of {target.network!r} belongs to an update that does not train it",
                )
                _require(
                    target.every % update.every == 0,
                    "a target's period must be a multiple of the update's",
                )
                _require(target.every >= 1, "a period must be at least 1")
            _require(update.role in agent.roles, f"{update.role!r} is not a role")
            _require(update.every >= 1, "a period must be at least 1")

    def test_losses_are_finite_scalars(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Return finite scalars: the loss, the validation loss, and metrics named ``group/name``."""
        made = _shared_bench(agent, spec)
        for update in made.updates:
            loss, metrics = evaluate_loss(made, update, transitions(spec, agent=agent))
            _require(math.isfinite(float(loss)), f"the loss of {update.name!r} is {loss}")
            if update.validation_loss is not None:
                judge = replace(update, loss=update.validation_loss)
                loss, _ = evaluate_loss(
                    replace(made, updates=(judge,)), judge, transitions(spec, agent=agent)
                )
                _require(math.isfinite(loss), f"the validation loss of {update.name!r} is {loss}")
            for name, value in metrics.items():
                _require(name.count("/") == 1, f"metric {name!r} must be named group/name")
                number = keras.ops.convert_to_numpy(value)
                _require(number.shape == () and bool(np.isfinite(number)), f"metric {name!r} is {value}")

    def test_metric_names_are_unique(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Report each metric from one update only: of two equal names one would hide the other."""
        made = _shared_bench(agent, spec)
        names = [
            name
            for update in made.updates
            for name in evaluate_loss(made, update, transitions(spec, agent=agent))[1]
        ]
        _require(len(set(names)) == len(names), f"two updates report a metric of the same name: {names}")

    def test_losses_are_deterministic(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Return the same losses bit for bit for the same seed, batch and step."""
        runs = []
        for _ in range(2):
            made = bench(agent, spec, seed=3)
            runs.append(
                [evaluate_loss(made, update, transitions(spec, agent=agent))[0] for update in made.updates]
            )
        _require(runs[0] == runs[1], f"equal seeds give different losses: {runs[0]} and {runs[1]}")

    def test_gradient_reaches_trained_variables(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Return a finite gradient for each trainable variable of the trained networks."""
        made = _shared_bench(agent, spec)
        for update in made.updates:
            for name in update.networks:
                trained = made.nets.trainable(name)
                _require(bool(trained), f"{name!r} has no trainable variables")
                found = gradients(made, update, transitions(spec, agent=agent), name)
                for variable, value in zip(trained, found, strict=True):
                    path = variable.path
                    _require(value is not None, f"the loss of {name!r} has no gradient for {path}")
                    assert value is not None
                    _require(bool(np.isfinite(value).all()), f"the gradient of {path} is not finite")

    def test_gradient_does_not_reach_targets(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Return no gradient for target networks."""
        made = _shared_bench(agent, spec)
        for update in made.updates:
            for name in made.nets:
                if name.startswith("target_"):
                    made.nets[name].trainable = True
                    try:
                        reached = gradients(made, update, transitions(spec, agent=agent), name)
                    finally:
                        made.nets[name].trainable = False
                    zero = all(g is None or not np.any(g) for g in reached)
                    _require(zero, f"the loss of {update.name!r} has a gradient to {name!r}")

    def test_terminal_rows_ignore_the_next_observation(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Bootstrap if and only if the discount is not zero."""
        made = _shared_bench(agent, spec)
        other = {
            name: column
            for name, column in columns(agent, spec, seed=1).items()
            if name.startswith("next_observation")
        }
        same: dict[str, Array] = {}
        depends = []
        for update in made.updates:
            for discount in (np.zeros(BATCH, "f4"), np.full(BATCH, 0.99, "f4")):
                here, there = (
                    evaluate_loss(
                        made, update, transitions(spec, agent=agent, discount=discount, **replaced)
                    )[0]
                    for replaced in (same, other)
                )
                if discount.any():
                    depends.append(here != there and update.role == "critic")
                else:
                    _require(here == there, f"{update.name!r} bootstraps past a terminal state")
        critics = any(update.role == "critic" for update in made.updates)
        _require(any(depends) == critics, "no critic bootstraps: truncation is treated as termination")

    def test_training_is_deterministic(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Train to the same bytes in one call, in several calls, from a stored state and in a second learner."""
        like = object()
        trainer = Trainer(agent, spec, seed=5, like=like)
        before, whole = trainer.learner.state(), trainer.run(_STEPS)
        trainer.restart()
        stored = trainer.run(1, 2)
        _require_equal(whole, trainer.run(_STEPS - 3), "the grouping of steps into calls changes the result")
        trainer.learner.restore(stored)
        trainer.step = 3
        _require_equal(whole, trainer.run(_STEPS - 3), "resuming from a stored state changes the result")
        _require_moved_by(trainer.updates, before, whole, "training")
        again = Trainer(agent, spec, seed=5, like=like)
        _require_equal(whole, again.run(_STEPS), "equal seeds give different networks")
        other = Learner(agent, builder(spec), 6).state()
        for update in trainer.updates:
            for name in update.networks:
                part = f"networks/{name}/"
                weights = [v for v in trainer.learner.nets.trainable(name) if len(v.shape)]
                _require(
                    not weights or bool(_changed(before, other, part)),
                    f"{name!r} does not depend on the seed",
                )
                _require(bool(_changed(before, whole, part)), f"{name!r} does not learn in {_STEPS} steps")

    def test_phase_of_one_role_freezes_the_rest(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Compute each loss without moving a network: a phase then moves what its updates train, and nothing else."""
        made = bench(agent, spec)
        for update in made.updates:
            before = _weights(made.nets)
            evaluate_loss(made, update, transitions(spec, agent=agent))
            moved = {name.split("/")[0] for name in _changed(before, _weights(made.nets))}
            _require(not moved, f"a phase of {update.role} alone moves {', '.join(sorted(moved))}")

    def test_settings_round_trip(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Restore the agent from JSON (``config.json``) and from strings (``--set``)."""
        written = json.loads(json.dumps(agent.to_json()))
        _require(type(agent).from_settings(written) == agent, f"{written} does not restore the agent")
        strings = {key: str(value) for key, value in agent.to_json().items()}
        _require(type(agent).from_settings(strings) == agent, f"{strings} does not restore the agent")

    def test_policy_file_acts_inside_the_space(
        self, agent: Agent, spec: EnvironmentSpec, tmp_path: Path
    ) -> None:
        """Load the policy in Keras's safe mode. Return actions inside the action space."""
        made = _shared_bench(agent, spec)
        policy = agent.policy(made.nets, made.build)
        policy.save(tmp_path / "policy.keras")
        loaded = keras.saving.load_model(tmp_path / "policy.keras", safe_mode=True)
        observed = transitions(spec).observation
        # Large observations drive actions to their bounds.
        observations = observed if isinstance(observed, dict) else ops.convert_to_numpy(observed) * 1000
        actions = ops.convert_to_numpy(loaded(observations))
        np.testing.assert_array_equal(actions, ops.convert_to_numpy(policy(observations)))
        space = spec.action_space
        if isinstance(space, DiscreteSpace):
            _require(actions.shape == (BATCH,) and actions.dtype.kind == "i", f"choices are {actions}")
            inside = (actions >= space.start) & (actions < space.start + space.n)
        else:
            assert isinstance(space, BoxSpace)
            _require(actions.shape == (BATCH, *space.shape), f"actions have shape {actions.shape}")
            inside = (actions >= space.low) & (actions <= space.high)
        _require(bool(inside.all()), f"the policy leaves the action space: {actions}")

    def test_stochastic_policy_file_loads(self, agent: Agent, spec: EnvironmentSpec, tmp_path: Path) -> None:
        """Load the stochastic policy, if any. Return the documented outputs."""
        made = _shared_bench(agent, spec)
        policy = agent.stochastic_policy(made.nets, made.build)
        if policy is None:
            return
        policy.save(tmp_path / "stochastic.keras")
        loaded = keras.saving.load_model(tmp_path / "stochastic.keras", safe_mode=True)
        outputs = loaded(transitions(spec).observation)
        discrete = isinstance(spec.action_space, DiscreteSpace)
        _require(
            set(outputs) == ({"logits"} if discrete else {"mean", "log_std"}), f"outputs are {set(outputs)}"
        )


def _changed(left: Mapping[str, Array], right: Mapping[str, Array], prefix: str = "") -> list[str]:
    """Return the names of arrays that differ in their bytes."""
    _require(set(left) == set(right), "the names of variables in the state have changed")
    return [n for n in left if n.startswith(prefix) and left[n].tobytes() != right[n].tobytes()]


def _weights(nets: Networks) -> dict[str, Array]:
    """Return copies of all variables."""
    return {
        f"{name}/{index}": np.array(ops.convert_to_numpy(variable))
        for name in nets
        for index, variable in enumerate(nets.variables(name))
    }


def _require_moved_by(
    updates: Iterable[Update], before: Mapping[str, Array], after: Mapping[str, Array], what: str
) -> None:
    """Raise AssertionError if others moved than the networks, targets and optimizers of some updates."""
    trained = {
        name
        for update in updates
        for name in (update.name, *update.networks, *(target.name for target in update.targets))
    }
    moved = {name.split("/")[1] for name in _changed(before, after)}
    _require(moved <= trained, f"{what} moves {', '.join(sorted(moved - trained))}")


def _require_equal(left: Mapping[str, Array], right: Mapping[str, Array], message: str) -> None:
    names = _changed(left, right)
    _require(not names, f"{message}: {', '.join(names)} differ")


def _require(condition: bool, message: str) -> None:
    """Raise AssertionError with the message if the condition is false; ``python -O`` keeps it."""
    if not condition:
        raise AssertionError(message)
