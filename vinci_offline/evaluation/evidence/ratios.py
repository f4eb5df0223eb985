"""From a dataset and a policy to episodes with importance ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START, TERMINATED
from vinci_offline.data.episodes import whole
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.evaluation.evidence.policy_actions import beside_mask, check_masks
from vinci_offline.policies.policy import HistoryPolicy, Observations, Policy
from vinci_offline.spec import DictSpace, DiscreteSpace
from vinci_offline.types import Array, Columns, FloatArray

_MASS_SLACK = 1e-6
_BLOCK_BYTES = 2**24


@dataclass(frozen=True)
class Counted:
    """The episodes that an estimate counts.

    Attributes:
        starts: ``[E]`` first rows in the dataset.
        lengths: ``[E]`` numbers of rows.
        fragments: how many fragments of episodes are left out.
        cut: how many episodes are left out that were cut off before the longest one's end.
        unseen: the mean factor by which a reward right after an episode's recorded end would be discounted; 0 if all
            terminated.
        terminated: ``[E]`` True for episodes that ended in a terminal row; the others were cut.
    """

    starts: Array
    lengths: Array
    fragments: int
    cut: int
    unseen: float
    terminated: Array


def counted_episodes(dataset: Dataset, gamma: float) -> Counted:
    """Choose the episodes whose returns are known: whole ones that terminated, or lasted as long as the longest.

    Rewards after the end of an episode that was cut are missing, not zero. If all episodes have one time limit, the
    returns are those up to the limit.

    Raises:
        DatasetError: there is none.
    """
    table = dataset.episode_columns
    complete = whole(table)
    lengths, terminated = table[LENGTH].astype(np.int64), table[TERMINATED].astype(np.bool_)
    if not complete.any():
        raise DatasetError(
            f"{dataset.path or 'the dataset'} has no whole episode, so no return is known: record whole episodes"
        )
    kept = complete & (terminated | (lengths == lengths[complete].max()))
    unseen = np.power(gamma, lengths, dtype=np.float64) * ~terminated
    return Counted(
        table[START][kept].astype(np.int64),
        lengths[kept],
        int((~complete).sum()),
        int((complete & ~kept).sum()),
        float(unseen[kept].mean()),
        terminated[kept],
    )


def rows_of(counted: Counted) -> Array:
    """Return ``[N]`` the dataset's rows of the counted episodes."""
    first = np.cumsum(counted.lengths) - counted.lengths
    return np.asarray(np.arange(counted.lengths.sum()) + np.repeat(counted.starts - first, counted.lengths))


def with_ratios(
    dataset: Dataset,
    policy: Policy,
    counted: Counted,
    gamma: float,
    fitted: Callable[[], FloatArray] | None = None,
) -> LoggedEpisodes:
    """Return the counted episodes with the ratio of each step.

    The policy's densities are rounded as the stored ones are, so that the policy that was logged has ratios of 1.

    Args:
        dataset: the data.
        policy: the policy to judge.
        counted: the episodes.
        gamma: the discount a step.
        fitted: returns ``[N]`` the log density of each logged action under a fitted behaviour model, in place of what
            the data tell. It is called after the policy told its own.

    Raises:
        DatasetError: the data do not tell the probability of an action, or tell one that is none.
        SpecError: the policy's density is not known.
    """
    rows = rows_of(counted)
    if fitted is not None:
        logs = log_probs(dataset, policy) - fitted()
    else:
        stored = _stored(dataset)
        behaviour, target = _checked(dataset, stored), log_probs(dataset, policy)
        dtype = dataset.columns.dtype(stored)
        rounded = _log(np.exp(target).astype(dtype)) if stored == layout.PROPENSITY else target.astype(dtype)
        logs = rounded.astype(np.float64) - behaviour
    rewards = dataset.columns[layout.REWARDS][rows].astype(np.float64)
    return LoggedEpisodes(rewards, logs[rows], counted.lengths, gamma)


def without_ratios(dataset: Dataset, counted: Counted, gamma: float) -> LoggedEpisodes:
    """Return the counted episodes as the policy that was logged sees them: every ratio is 1."""
    rewards = dataset.columns[layout.REWARDS][rows_of(counted)].astype(np.float64)
    return LoggedEpisodes(rewards, np.zeros(len(rewards)), counted.lengths, gamma)


def _stored(dataset: Dataset) -> str:
    """Return the column that tells how probable the logged actions were under the policy that took them."""
    for path in (layout.ACTION_LOG_PROBS, layout.PROPENSITY):
        if path in dataset.columns:
            return path
    raise DatasetError(
        f"no propensities: {dataset.path or 'the dataset'} does not say how probable its actions were; collect "
        f"records that in {layout.ACTION_LOG_PROBS}, the probabilities of a log may come in as {layout.PROPENSITY}; "
        "--behaviour fit learns them from the actions, and the method fqe does without them"
    )


def _checked(dataset: Dataset, path: str) -> FloatArray:
    """Return ``[N]`` the log density of each logged action under the policy that took it."""
    where, raw = dataset.path or "the dataset", dataset.columns[path]
    if raw.shape != (len(dataset),):
        raise DatasetError(f"{where}: {path} has shape {raw.shape}: give one number a row")
    logs = _log(raw) if path == layout.PROPENSITY else raw.astype(np.float64)
    bad = ~np.isfinite(logs)
    if path == layout.PROPENSITY or isinstance(dataset.spec.action_space, DiscreteSpace):
        bad |= logs > _MASS_SLACK
    if bad.any():
        row = int(np.argmax(bad))
        raise DatasetError(
            f"{where}: row {row} of {path} is {raw[row]:g}, no probability of an action that was taken "
            f"({int(bad.sum()):,} such rows): leave out their episodes with select"
        )
    return logs


def _log(values: Array) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: FloatArray = np.log(values.astype(np.float64))
    return logs


def log_probs(dataset: Dataset, policy: Policy) -> FloatArray:
    """Return ``[N]`` the log density of each logged action under a policy.

    Raises:
        DatasetError: the policy takes masks of actions, and the data have none.
        SpecError: the policy does not tell densities.
    """
    if isinstance(policy, HistoryPolicy):
        raise SpecError("a policy with a history has no density of an action given the observation alone")
    parts = []
    for observations, actions in seen_by(policy, dataset):
        found = policy.log_probs_of(observations, actions)
        if found is None:
            raise SpecError(
                "no density: the policy's actions are continuous and it does not say how probable they are; a "
                "stochastic policy does (--stochastic, for agents that have one)"
            )
        parts.append(found)
    return np.concatenate(parts)


def seen_by(policy: Policy, dataset: Dataset) -> Iterator[tuple[Observations, Array]]:
    """Yield blocks of rows: what the policy sees, with the recorded mask beside the observation if it takes one.

    Yields:
        Observations and logged actions.

    Raises:
        DatasetError: the policy takes masks of actions, and the data have none.
    """
    paths = [path for path in dataset.columns if path.split("/")[0] == layout.OBSERVATIONS]
    if policy.takes_masks:
        check_masks(dataset)
        paths.append(layout.ACTION_MASKS)
    for _, block in dataset.columns.together([*paths, layout.ACTIONS], _BLOCK_BYTES):
        seen = _observations(dataset, block)
        if policy.takes_masks:
            seen = beside_mask(seen, block[layout.ACTION_MASKS] != 0)
        yield seen, block[layout.ACTIONS]


def _observations(dataset: Dataset, block: Columns) -> Observations:
    if not isinstance(dataset.spec.observation_space, DictSpace):
        return block[layout.OBSERVATIONS]
    prefix = f"{layout.OBSERVATIONS}/"
    return {path.removeprefix(prefix): values for path, values in block.items() if path.startswith(prefix)}
