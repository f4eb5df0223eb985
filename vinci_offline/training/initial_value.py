"""Value of a policy: the mean over the first observations of whole episodes, of an agent that evaluates one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from vinci_offline.agents.agent import Agent
from vinci_offline.batches.masks import records_masks
from vinci_offline.batches.reader import by_key
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import START
from vinci_offline.data.episodes import whole
from vinci_offline.data.indexing import spaced_rows
from vinci_offline.data.layout import ACTION_MASKS, OBSERVATIONS, space_slots
from vinci_offline.functional import PolicyValues, random
from vinci_offline.networks.nets import Networks
from vinci_offline.spec.units import Units
from vinci_offline.types import Array, FloatArray

_MOST_STATES, _SLICE = 4_096, 512
_STREAM = 1 << 20
"""Stream of the random draws; those of the engines are below."""


@dataclass(frozen=True)
class States:
    """What a policy sees at S states.

    Attributes:
        observations: ``[S, ...]`` as networks see them; by key for a Dict space.
        allowed: ``[S, n]`` the masks of choices, where the data have them beside the observations.
    """

    observations: Array | Mapping[str, Array]
    allowed: Array | None = None


@dataclass(frozen=True)
class InitialValue:
    """Value of a policy over S first states.

    Attributes:
        mean: the value: its mean over the states, and over the members of an ensemble.
        standard_error: standard error of that mean over the states alone; NaN for one state. It says nothing about
            errors of the fit.
        states: S.
        members: ``[E]``, the value by each critic.
        returns: ``[R]`` ascending atoms of the return's distribution; None unless quantiles were learned.
        probability: ``[R]`` their probabilities.
    """

    mean: float
    standard_error: float
    states: int
    members: FloatArray
    returns: FloatArray | None = None
    probability: FloatArray | None = None

    @classmethod
    def of(cls, found: PolicyValues) -> InitialValue:
        """Return the value over B states, of NumPy arrays."""
        values, weight = np.asarray(found.values, np.float64), np.asarray(found.weight, np.float64)
        by_state = (values * weight).sum(axis=-1)  # [E, B]
        states = by_state.shape[1]
        error = by_state.mean(axis=0).std(ddof=1) / np.sqrt(states) if states > 1 else np.nan
        mean = float(by_state.mean())
        if not found.quantiles:
            return cls(mean, float(error), states, by_state.mean(axis=1))
        order = np.argsort(values, axis=None, kind="stable")
        share = np.broadcast_to(weight / (len(values) * states), values.shape)
        return cls(
            mean, float(error), states, np.array([mean]), values.reshape(-1)[order], share.reshape(-1)[order]
        )

    def quantile(self, probability: float) -> float:
        """Return the least return that the policy stays at or below with at least this probability."""
        assert self.returns is not None
        assert self.probability is not None
        place = np.searchsorted(np.cumsum(self.probability), probability * (1 - 1e-9))
        return float(self.returns[min(int(place), len(self.returns) - 1)])

    def tail_mean(self, probability: float) -> float:
        """Return the mean of the worst returns of this total probability: the conditional value at risk."""
        assert self.returns is not None
        assert self.probability is not None
        above = np.clip(np.cumsum(self.probability) - probability, 0, None)
        kept = np.clip(self.probability - above, 0, None)
        return float((kept * self.returns).sum() / kept.sum())

    def metrics(self) -> dict[str, float]:
        """Return the numbers that a run reports."""
        told = {"value/initial": self.mean, "value/states": float(self.states)}
        if self.states > 1:
            told["value/standard_error"] = self.standard_error
        if len(self.members) > 1:
            told["value/critics_std"] = float(self.members.std(ddof=1))
        if self.returns is not None:
            told |= {f"value/quantile_{p}": self.quantile(p / 100) for p in (10, 50, 90)}
            told["value/cvar_10"] = self.tail_mean(0.1)
        return told


def first_states(dataset: Dataset, units: Units | None = None) -> States | None:
    """Return the first observations of whole episodes as networks see them, with the masks of choices there.

    Pieces of episodes are left out: their first rows are not where the environment starts. Of more than 4,096 episodes
    it takes as many at equal distances.

    Args:
        dataset: the data.
        units: the units of observations in the networks; None takes those of the spaces alone.

    Returns:
        None where no episode is whole.
    """
    table = dataset.episode_columns
    starts = table[START][whole(table)]
    if not len(starts):
        return None
    rows = starts[spaced_rows(len(starts), _MOST_STATES)]
    seen = (units or Units.of(dataset.spec)).observed
    observations = by_key(
        {
            path: seen(path.removeprefix(OBSERVATIONS).removeprefix("/"), dataset.columns.gather(path, rows))
            for path in space_slots(OBSERVATIONS, dataset.spec.observation_space)
        }
    )
    allowed = dataset.columns.gather(ACTION_MASKS, rows) != 0 if records_masks(dataset) else None
    return States(observations, allowed)


def initial_value(
    agent: Agent, nets: Networks, states: States, seed: int = 0, *, factor: float = 1.0
) -> InitialValue | None:
    """Return the value of the agent's policy over first states; None for an agent that evaluates none.

    Args:
        agent: the algorithm.
        nets: its networks.
        states: S states, of `first_states`.
        seed: key of the draws. They are the same at every call.
        factor: factor of the rewards that the networks learned from; the value is that of the recorded ones.
    """
    found = policy_values(agent, nets, states, seed, factor=factor)
    return None if found is None else InitialValue.of(found)


def policy_values(
    agent: Agent, nets: Networks, states: States, seed: int = 0, *, factor: float = 1.0
) -> PolicyValues | None:
    """Return the values of the policy's actions at each of some states, as NumPy arrays.

    The arguments are those of `initial_value`, and so is None.
    """
    observations = states.observations
    parts = observations if isinstance(observations, Mapping) else {"": observations}
    count = len(next(iter(parts.values())))
    found = []
    for place, start in enumerate(range(0, count, _SLICE)):
        rows = slice(start, start + _SLICE)
        piece = {key: ops.convert_to_tensor(part[rows]) for key, part in parts.items()}
        key = random.key(seed, ops.convert_to_tensor(place, dtype="int32"), _STREAM)
        masks = () if states.allowed is None else (ops.convert_to_tensor(states.allowed[rows]),)
        made = agent.values(nets, piece if isinstance(observations, Mapping) else piece[""], key, *masks)
        if made is None:
            return None
        found.append(made)
    arrays: list[list[Any]] = [
        [ops.convert_to_numpy(part) for part in (each.values, each.weight)] for each in found
    ]
    values = np.concatenate([each[0] for each in arrays], axis=1) / factor
    weight = np.concatenate([each[1] for each in arrays])
    return PolicyValues(values, weight, found[0].quantiles)
