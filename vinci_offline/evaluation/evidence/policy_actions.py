"""Actions of a policy at stored observations, and their probabilities: what an expectation under it needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.policies.policy import ACTION_MASK, OBSERVATION, HistoryPolicy, Observations, Policy
from vinci_offline.spec import DictSpace, DiscreteSpace
from vinci_offline.types import Array, FloatArray

_BLOCK = 4096


@dataclass(frozen=True)
class PolicyActions:
    """K actions of a policy at each of B observations.

    Attributes:
        actions: ``[B, K, ...]`` environment actions.
        weights: ``[B, K]`` how much each counts; they sum to 1 for an observation.
    """

    actions: Array
    weights: FloatArray

    def part(self, rows: slice) -> PolicyActions:
        """Return those of some observations."""
        return PolicyActions(self.actions[rows], self.weights[rows])


def policy_actions(
    dataset: Dataset,
    policy: Policy,
    rows: Array,
    *,
    following: bool = False,
    samples: int = 10,
    seed: int = 0,
) -> PolicyActions:
    """Return a policy's actions at the rows' observations, or at the ones that follow them.

    All choices with their probabilities where it tells them. One action of a deterministic policy. Else draws.

    Args:
        dataset: the data.
        policy: the policy.
        rows: ``[B]``.
        following: take the next observations.
        samples: number of draws for an observation.
        seed: seed of the draws.

    Raises:
        DatasetError: the policy takes masks of actions, and the data have none.
        SpecError: the policy depends on a history.
    """
    if isinstance(policy, HistoryPolicy):
        raise SpecError("a policy with a history has no actions given the observation alone")
    if policy.takes_masks:
        check_masks(dataset)
    rng, found = np.random.default_rng([seed, int(following)]), []
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        observations = observations_at(dataset, part, following=following)
        if policy.takes_masks:
            observations = beside_mask(observations, masks_at(dataset, part, following=following))
        count = len(part)
        found.append(
            _choices(dataset, policy, observations, count)
            or _draws(policy, observations, count, 1 if policy.deterministic else samples, rng)
        )
    return PolicyActions(
        np.concatenate([each.actions for each in found]), np.concatenate([each.weights for each in found])
    )


def observations_at(dataset: Dataset, rows: Array, *, following: bool = False) -> Observations:
    """Return raw observations as a policy takes them."""
    root = layout.NEXT_OBSERVATIONS if following else layout.OBSERVATIONS
    space = dataset.spec.observation_space
    if not isinstance(space, DictSpace):
        return dataset.columns.gather(root, rows)
    names = [
        path.removeprefix(layout.OBSERVATIONS) for path in layout.space_slots(layout.OBSERVATIONS, space)
    ]
    return {name.removeprefix("/"): dataset.columns.gather(root + name, rows) for name in names}


def check_masks(dataset: Dataset) -> None:
    """Refuse data without masks, for a policy that takes them.

    Raises:
        DatasetError: the data have none.
    """
    if layout.ACTION_MASKS not in dataset.columns:
        raise DatasetError(
            f"no masks: the policy takes the mask of allowed actions, and {dataset.path or 'the dataset'} has no "
            f"{layout.ACTION_MASKS}; collect records it with --record-infos action_mask"
        )


def masks_at(dataset: Dataset, rows: Array, *, following: bool = False) -> Array:
    """Return ``[B, n]`` bool: the actions that are allowed at the rows' observations, or at the ones that follow them.

    Every action is allowed after an episode's last row, unless ``infos/next_action_mask`` tells the mask there.
    """
    columns, table = dataset.columns, dataset.episode_columns
    if not following:
        return np.asarray(columns.gather(layout.ACTION_MASKS, rows) != 0)
    if layout.NEXT_ACTION_MASKS in columns:
        terminal = columns.gather(layout.TERMINALS, rows).astype(np.bool_)
        return np.asarray((columns.gather(layout.NEXT_ACTION_MASKS, rows) != 0) | terminal[:, None])
    ends = np.isin(rows, table[START] + table[LENGTH] - 1)
    masks = columns.gather(layout.ACTION_MASKS, np.where(ends, rows, rows + 1)) != 0
    return np.asarray(masks | ends[:, None])


def beside_mask(observations: Observations, mask: Array) -> dict[str, Array]:
    """Return what a policy with masks sees: the mask of allowed actions beside the observation."""
    beside = observations if isinstance(observations, dict) else {OBSERVATION: observations}
    return {**beside, ACTION_MASK: mask.astype(np.float32)}


def _choices(
    dataset: Dataset, policy: Policy, observations: Observations, count: int
) -> PolicyActions | None:
    """Return all choices with their probabilities; None for other actions, or where they are not known."""
    space = dataset.spec.action_space
    if not isinstance(space, DiscreteSpace):
        return None
    numbers = np.arange(space.n) + space.start
    logs = [policy.log_probs_of(observations, np.full(count, number)) for number in numbers]
    known = [each for each in logs if each is not None]
    if len(known) < len(logs):
        return None
    return PolicyActions(np.tile(numbers, (count, 1)), np.exp(np.stack(known, axis=1)))


def _draws(
    policy: Policy, observations: Observations, count: int, samples: int, rng: np.random.Generator
) -> PolicyActions:
    drawn = [policy.act(observations, [rng] * count).actions for _ in range(samples)]
    return PolicyActions(np.stack(drawn, axis=1), np.full((count, samples), 1 / samples))
