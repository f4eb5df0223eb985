"""What every agent must do, as a pytest suite that a user's own agent can run too.

Subclass it, with one line of parametrisation an agent::

    @pytest.mark.parametrize(("agent", "spec"), [(MyAgent(hidden=(8, 8)), BOX)])
    class TestMyAgent(AgentContract):
        pass
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from vinci_offline.agents.agent import Agent, Networks, Update
from vinci_offline.batches.batch import Batch
from vinci_offline.batches.names import FIRST_ROW, LAST_ROW
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
"""Continuous actions, one dimension with asymmetric bounds."""

DISCRETE = EnvironmentSpec(
    observation_space=BoxSpace((4,), "float32", np.full(4, -1.0, "f4"), np.full(4, 1.0, "f4")),
    action_space=DiscreteSpace(3, start=1),
)
"""Discrete actions that do not start from zero."""


@dataclass(frozen=True)
class Bench:
    """An agent with its networks, targets included, ready for its losses."""

    agent: Agent
    build: NetworkBuilder
    nets: Networks
    updates: tuple[Update, ...]


def builder(spec: EnvironmentSpec) -> NetworkBuilder:
    """Make a builder of networks that normalise by made-up moments."""
    shape = getattr(spec.observation_space, "shape", ())
    return NetworkBuilder(spec, (np.full(shape, 0.1, "f4"), np.full(shape, 1.5, "f4")))


def bench(agent: Agent, spec: EnvironmentSpec, seed: int = 0) -> Bench:
    """Make an agent's networks as training does; equal seeds make equal weights. Targets lag behind."""
    learner = Learner(agent, build := builder(spec), seed)
    for update in agent.updates():
        for target in update.targets:
            net = learner.nets[target.name]
            net.set_weights([0.9 * w for w in learner.nets[target.network].get_weights()])
    return Bench(agent, build, learner.nets, tuple(bound.update for bound in learner.updates))


class Trainer:
    """An agent in the compiled loop, as `train` has it, with batches of four of `rows`.

    Args:
        agent: the algorithm.
        spec: the environment.
        seed: of weights and draws.
    """

    def __init__(self, agent: Agent, spec: EnvironmentSpec, seed: int = 0) -> None:
        self.learner = Learner(agent, builder(spec), seed)
        self._engine = make_engine(self.learner, columns(agent, spec), batch_size=4, seed=seed, jit="off")
        self._initial = self.learner.state()
        self.step = 0

    def restart(self) -> None:
        """Go back to the untrained state; what is compiled stays."""
        self.learner.restore(self._initial)
        self.step = 0

    def run(self, *chunks: int, role: str | None = None) -> dict[str, Array]:
        """Take steps, each number of them in a call of its own, and return the state afterwards."""
        updates: tuple[BoundUpdate, ...] = self.learner.select(role)
        for count in chunks:
            self._engine.run(updates, self.step, count)
            self.step += count
        return self.learner.state()


def columns(agent: Agent | None, spec: EnvironmentSpec, seed: int = 0, **replaced: Array) -> dict[str, Array]:
    """Make the columns that an agent asks for, of eight random transitions in two runs of four.

    Args:
        agent: the algorithm; None asks for the transition alone.
        spec: the environment.
        seed: of the values.
        replaced: columns to use in place of the random ones, by name.
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
        "action_mask": np.ones((BATCH, count), np.bool_),
        "next_action_mask": np.ones((BATCH, count), np.bool_),
        FIRST_ROW: np.repeat([0, 4], 4).astype(np.int32),
        LAST_ROW: np.repeat([3, 7], 4).astype(np.int32),
    }
    wished = {name if isinstance(name, str) else "return_to_go" for name in (agent.columns if agent else ())}
    made |= {name: rng.normal(size=BATCH).astype(np.float32) for name in wished if name.startswith("infos/")}
    return {**made, **replaced}


def transitions(spec: EnvironmentSpec, *, agent: Agent | None = None, **replaced: Array) -> Batch:
    """Make a batch of random transitions, as the agent makes it of its rows.

    Args:
        spec: the environment.
        agent: whose batch; None takes the transitions alone.
        replaced: columns to use in place of the random ones, by name.
    """
    made = columns(agent, spec, 0, **replaced)
    rows = Rows(
        {name: ops.convert_to_tensor(column) for name, column in made.items()},
        ops.arange(BATCH, dtype="int32"),
    )
    return agent.batch(rows, random.key(0, ops.convert_to_tensor(1), 0)) if agent else rows.at(rows.index)


def _observations(name: str, space: Space, rng: np.random.Generator) -> dict[str, Array]:
    """Make random observations as the columns of a pool."""
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
    """Return an update's loss and metrics as numbers, with the key of a global step."""
    loss, metrics = _loss(bench, update, batch, step)
    _require(
        tuple(loss.shape) == (), f"the loss of {update.name!r} must be a scalar, not {tuple(loss.shape)}"
    )
    return float(ops.convert_to_numpy(loss)), {k: ops.convert_to_numpy(v) for k, v in metrics.items()}


def gradients(bench: Bench, update: Update, batch: Batch, network: str) -> list[Array | None]:
    """Return the gradient of an update's loss to each variable that a network owns; None where none flows."""
    return gradient(lambda: _loss(bench, update, batch, 1)[0], bench.nets.trainable(network))


def _loss(bench: Bench, update: Update, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
    now = ops.convert_to_tensor(step, dtype="int32")
    key = random.key(0, now, bench.updates.index(update))
    return update.call(bench.nets, batch, key, now)


class AgentContract:
    """The suite; parametrise ``agent`` and ``spec`` on the class."""

    def test_updates_are_disjoint_and_name_networks(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """No two updates train the same network, and each trains networks that exist."""
        trained = [name for update in agent.updates() for name in update.networks]
        _require(
            len(set(trained)) == len(trained), f"more than one update trains the same network: {trained}"
        )
        online = bench(agent, spec).nets
        for update in agent.updates():
            for name in update.networks:
                _require(name in online, f"there is no network {name!r}")
            for target in update.targets:
                _require(
                    target.network in update.networks,
                    f"the target of {target.network!r} follows another update",
                )
                _require(target.every % update.every == 0, "a target can only follow where its network moves")
                _require(target.every >= 1, "periods count from one")
            _require(update.role in agent.roles, f"{update.role!r} is not a role")
            _require(update.every >= 1, "periods count from one")

    def test_losses_are_finite_scalars(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Each loss is a finite scalar, each metric a finite scalar named ``group/name``."""
        made = bench(agent, spec)
        for update in made.updates:
            loss, metrics = evaluate_loss(made, update, transitions(spec, agent=agent))
            _require(math.isfinite(float(loss)), f"the loss of {update.name!r} is {loss}")
            for name, value in metrics.items():
                _require(name.count("/") == 1, f"metric {name!r} must be named group/name")
                number = keras.ops.convert_to_numpy(value)
                _require(number.shape == () and bool(np.isfinite(number)), f"metric {name!r} is {value}")

    def test_metrics_have_their_own_names(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """No two updates report a metric of the same name: one would hide the other."""
        made = bench(agent, spec)
        names = [
            name
            for update in made.updates
            for name in evaluate_loss(made, update, transitions(spec, agent=agent))[1]
        ]
        _require(len(set(names)) == len(names), f"a metric has two owners: {names}")

    def test_losses_repeat(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """The same seed, batch and step give the same losses, bit for bit."""
        runs = []
        for _ in range(2):
            made = bench(agent, spec, seed=3)
            runs.append(
                [evaluate_loss(made, update, transitions(spec, agent=agent))[0] for update in made.updates]
            )
        _require(runs[0] == runs[1], f"equal seeds give {runs[0]} and {runs[1]}")

    def test_gradient_reaches_what_is_trained(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Every trainable variable of the trained networks gets a gradient, and it is finite."""
        made = bench(agent, spec)
        for update in made.updates:
            for name in update.networks:
                trained = made.nets.trainable(name)
                _require(bool(trained), f"{name!r} has no variables")
                found = gradients(made, update, transitions(spec, agent=agent), name)
                for variable, value in zip(trained, found, strict=True):
                    path = variable.path
                    _require(value is not None, f"the loss of {name!r} does not reach {path}")
                    assert value is not None
                    _require(bool(np.isfinite(value).all()), f"the gradient of {path} is not finite")

    def test_gradient_leaves_targets_alone(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """No gradient flows through a bootstrapped target: a loss reaches no target network."""
        made = bench(agent, spec)
        for update in made.updates:
            for name in made.nets:
                if name.startswith("target_"):
                    made.nets[name].trainable = True
                    reached = gradients(made, update, transitions(spec, agent=agent), name)
                    zero = all(g is None or not np.any(g) for g in reached)
                    _require(zero, f"the loss of {update.name!r} has a gradient to {name!r}")

    def test_terminal_rows_ignore_the_next_observation(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Where the discount is zero nothing is bootstrapped; where it is not, a critic bootstraps."""
        made = bench(agent, spec)
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

    def test_training_repeats(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Steps in one call, in many, from a stored state and in another learner end in the same bytes."""
        trainer = Trainer(agent, spec, seed=5)
        before, whole = trainer.learner.state(), trainer.run(_STEPS)
        trainer.restart()
        stored = trainer.run(1, 2)
        _require_equal(whole, trainer.run(_STEPS - 3), "chunks change the result")
        trainer.learner.restore(stored)
        trainer.step = 3
        _require_equal(whole, trainer.run(_STEPS - 3), "going on from a stored state changes the result")
        _require_equal(whole, Trainer(agent, spec, seed=5).run(_STEPS), "equal seeds end in other bytes")
        other = Trainer(agent, spec, seed=6).learner.state()
        for update in agent.updates():
            for name in update.networks:
                part = f"networks/{name}/"
                weights = [v for v in trainer.learner.nets.trainable(name) if v.shape]
                _require(
                    not weights or bool(_changed(before, other, part)),
                    f"{name!r} does not depend on the seed",
                )
                _require(bool(_changed(before, whole, part)), f"{name!r} does not learn in {_STEPS} steps")

    def test_a_phase_of_one_role_freezes_the_rest(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """What a phase does not select stays bitwise: networks, their targets, their optimizers."""
        trainer = Trainer(agent, spec)
        for role in sorted({update.role for update in agent.updates()}):
            trainer.restart()
            before, after = trainer.learner.state(), trainer.run(_STEPS, role=role)
            chosen = [update for update in agent.updates() if update.role == role]
            trained = {name for update in chosen for name in (update.name, *update.networks)}
            trained |= {target.name for update in chosen for target in update.targets}
            moved = {name.split("/")[1] for name in _changed(before, after)}
            _require(moved <= trained, f"a phase of {role} alone moves {', '.join(sorted(moved - trained))}")

    def test_settings_come_back_from_json(self, agent: Agent, spec: EnvironmentSpec) -> None:
        """Hyperparameters survive JSON, as ``config.json`` has them, and strings, as ``--set`` has them."""
        written = json.loads(json.dumps(agent.to_json()))
        _require(type(agent).from_settings(written) == agent, f"{written} does not make the agent again")
        strings = {key: str(value) for key, value in agent.to_json().items()}
        _require(type(agent).from_settings(strings) == agent, f"{strings} does not make the agent again")

    def test_policy_is_a_file_that_acts_inside_the_space(
        self, agent: Agent, spec: EnvironmentSpec, tmp_path: Path
    ) -> None:
        """The policy loads in Keras's safe mode and its actions lie in the environment's space."""
        made = bench(agent, spec)
        policy = agent.policy(made.nets, made.build)
        policy.save(tmp_path / "policy.keras")
        loaded = keras.saving.load_model(tmp_path / "policy.keras", safe_mode=True)
        observed = transitions(spec).observation
        # Far outside, so that only bounds keep actions inside.
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

    def test_stochastic_policy_is_a_file(self, agent: Agent, spec: EnvironmentSpec, tmp_path: Path) -> None:
        """Where the policy has a distribution, its model loads and returns the documented outputs."""
        made = bench(agent, spec)
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
    """The names of arrays that are not the same bytes."""
    _require(set(left) == set(right), "the state has other variables than before")
    return [n for n in left if n.startswith(prefix) and left[n].tobytes() != right[n].tobytes()]


def _require_equal(left: Mapping[str, Array], right: Mapping[str, Array], message: str) -> None:
    names = _changed(left, right)
    _require(not names, f"{message}: {', '.join(names)} differ")


def _require(condition: bool, message: str) -> None:
    """An assertion that python -O keeps, with what to mend."""
    if not condition:
        raise AssertionError(message)
