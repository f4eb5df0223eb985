"""Initial learner of a run: shipped networks, the user's networks, or those of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.update import TARGET_PREFIX
from vinci_offline.batches.augmentation import ImageShift
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.layout import ACTIONS, REWARDS
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.loading import load_module
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.quality.precision import observation_offsets
from vinci_offline.quality.statistics import observation_moments
from vinci_offline.quality.survey import Survey
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import DictSpace, EnvironmentSpec, describe_space
from vinci_offline.spec.action_scaling import BoxScaling
from vinci_offline.spec.units import RewardScaling, Units
from vinci_offline.text import nearest
from vinci_offline.training.arguments import check_networks_file
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.learner import Learner
from vinci_offline.training.phases import Phase
from vinci_offline.training.precision import precision
from vinci_offline.training.rewards import reward_scaling
from vinci_offline.types import Array, Normalization


def make_learner(
    agent: Agent,
    spec: EnvironmentSpec,
    normalization: Normalization,
    networks: str | Path | Mapping[str, Any] | None,
    config: TrainingConfig,
    units: Units | None = None,
    *,
    masked: bool = False,
) -> Learner:
    """Make the agent's learner on the dataset's spaces.

    Args:
        agent: the algorithm.
        spec: the dataset's environment.
        normalization: mean and deviation of observations, used inside the networks.
        networks: the user's networks, as in `train`.
        config: the options of the run.
        units: the units of the training rows; None takes those that the spaces alone give.
        masked: policies take the mask of allowed actions beside the observation.

    Raises:
        VinciError: a network of the user fails, or none has the name of one of the agent's networks.
    """
    functions = networks if isinstance(networks, Mapping) else _network_functions(networks)
    build = NetworkBuilder(spec, normalization, functions, units, masked=masked)
    shift = ImageShift.of(spec.observation_space, config.random_shift) if config.random_shift else None
    with precision(config.precision):
        learner = Learner(agent, build, config.seed, config.optimization(), shift)
    _check_user_networks(learner, functions, build.unused)
    return learner


def _check_user_networks(learner: Learner, functions: Mapping[str, Any], unused: Sequence[str]) -> None:
    """Refuse functions that would be ignored silently: none has the name of a network, or one is misspelt.

    Other functions may be helpers, or networks of another agent in the same file.
    """
    if not unused:
        return
    free = [name for name in learner.nets if not name.startswith(TARGET_PREFIX) and name not in functions]
    close = [(name, match) for name in unused if (match := nearest(name, free, 0.75)) is not None]
    told = ", ".join(f"{name!r} (did you mean {meant!r}?)" for name, meant in close)
    if not told and len(unused) == len(functions):
        told = ", ".join(map(repr, unused))
    if told:
        raise UsageError(
            f"--networks: agent {learner.agent.name!r} has no network {told}: name a function after one of its "
            f"networks, {', '.join(n for n in learner.nets if not n.startswith(TARGET_PREFIX))}; "
            "begin the names of helpers with _"
        )


def _network_functions(path: str | Path | None) -> Mapping[str, Any]:
    """Return the public functions of a user's file; the builder uses those with a network's name."""
    if path is None:
        return {}
    check_networks_file(path)
    module = load_module(str(path))
    found = {
        name: value
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    }
    if not found:
        raise UsageError(
            f"--networks {path} defines no function: write one with the name of a network, such as actor(env)"
        )
    return found


def initialise(learner: Learner, origin: RunDirectory | None) -> dict[str, int]:
    """Copy the networks of an earlier run into the learner.

    Returns:
        The number of steps that each role was trained for in that run; zeros without an earlier run.

    Raises:
        VinciError: there is no checkpoint, or its networks do not fit this learner.
    """
    if origin is None:
        return dict.fromkeys(learner.agent.roles, 0)
    checkpoint = latest_checkpoint(origin.checkpoints) if origin.exists() else None
    if checkpoint is None:
        raise UsageError(f"--init {origin.path}: no checkpoint is there; give the directory of a trained run")
    taken: list[tuple[keras.Variable, Array]] = []
    for name in learner.nets:
        owned = {f"networks/{name}/{i}": variable for i, variable in learner.nets.owned(name)}
        if not owned.keys() & checkpoint.state.keys():
            continue
        for key, variable in owned.items():
            value = checkpoint.state.get(key)
            if value is None or value.shape != tuple(variable.shape) or value.dtype.name != variable.dtype:
                raise SpecError(
                    f"--init {origin.path}: its network {name!r} has other layers than this run's; "
                    "use the same agent settings and --networks"
                )
            taken.append((variable, value))
    if not taken:
        raise UsageError(
            f"--init {origin.path}: it has none of this agent's networks ({', '.join(learner.nets)})"
        )
    for variable, value in taken:
        variable.assign(value)
    learner.start_averages()
    return {**dict.fromkeys(learner.agent.roles, 0), **checkpoint.trained}


def check_phases(learner: Learner, phases: Sequence[Phase], trained: Mapping[str, int]) -> None:
    """Refuse a role that the agent lacks, and a phase of one role whose losses use untrained networks of another.

    Raises:
        UsageError: the plan does not fit the learner.
    """
    roles = {bound.update.role for bound in learner.updates}
    done = {role for role, steps in trained.items() if steps}
    for phase in phases:
        learner.select(phase.role)
        needed = learner.agent.needs.get(phase.role, ()) if phase.role else ()
        for role in needed:
            if role in roles - done:
                raise UsageError(
                    f"training only the {phase.role} of {learner.agent.name!r} needs a trained {role}: train one with "
                    f"--only {role} and pass its run with --init RUN_DIR, or plan --phases {role}:N,{phase.role}:M"
                )
        done |= roles if phase.role is None else {phase.role}


def choose_units(
    agent: Agent, dataset: Dataset, origin: RunDirectory | None, known: Survey, reward: str | None = None
) -> Units:
    """Return the units of a run; networks of an earlier run keep those of that run.

    Args:
        agent: the algorithm.
        dataset: the training rows.
        origin: the earlier run, or None.
        known: the survey of the rows.
        reward: the change of rewards; if it is that of the earlier run, its numbers are kept too.

    Raises:
        UsageError: the rewards cannot be changed so.
    """
    if origin is not None:
        earlier = origin.units(dataset.spec)
        if reward == origin.reward():
            return earlier
        return replace(earlier, rewards=_reward_units(reward, dataset, known))
    plain = replace(Units.of(dataset.spec), rewards=_reward_units(reward, dataset, known))
    actions = plain.actions
    if actions is not None:
        found = known.moments[ACTIONS]
        actions = BoxScaling.of_data(actions.space, found.mean, found.std, found.low, found.high)
    # Without normalisation networks take observations as they are.
    offsets = observation_offsets(dataset, known) if agent.normalize_observations else {}
    return replace(plain, actions=actions, offsets=offsets)


def _reward_units(reward: str | None, dataset: Dataset, known: Survey) -> RewardScaling | None:
    if reward is None:
        return None
    moments = known.moments[REWARDS]
    return reward_scaling(reward, dataset, float(moments.low), float(moments.high))


def choose_normalization(
    agent: Agent, dataset: Dataset, origin: RunDirectory | None, known: Survey, units: Units
) -> Normalization:
    """Return the moments to normalise with; networks of an earlier run keep those of that run.

    Raises:
        SpecError: the observations of the earlier run have another shape.
    """
    if origin is None:
        return observation_moments(dataset, known, units.offsets) if agent.normalize_observations else None
    stored = origin.normalization()
    space = dataset.spec.observation_space
    parts = space.spaces if isinstance(space, DictSpace) else {"": space}
    by_key = stored if isinstance(stored, Mapping) else {} if stored is None else {"": stored}
    for key, (mean, _) in by_key.items():
        if mean.shape != getattr(parts.get(key), "shape", None):
            raise SpecError(
                f"--init {origin.path}: its observations {key} have shape {mean.shape}, those of the dataset are "
                f"{describe_space(space)}: start from a run on this environment"
            )
    return stored
