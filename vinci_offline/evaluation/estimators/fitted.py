"""Models of a policy's values, fitted to the data by the agent fqe."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from keras import ops

from vinci_offline import functional
from vinci_offline.agents.fqe import FQE, RANDOM
from vinci_offline.batches.masks import records_masks
from vinci_offline.batches.names import ColumnWish
from vinci_offline.batches.opening import choose_memory
from vinci_offline.batches.reader import by_key
from vinci_offline.data.columns import Column
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.data.layout import ACTIONS, NEXT_OBSERVATIONS, OBSERVATIONS, space_slots
from vinci_offline.errors import DatasetError, SpecError, UsageError, VinciError
from vinci_offline.evaluation.estimators.doubly_robust import RowValues
from vinci_offline.evaluation.evidence.evidence import Evidence
from vinci_offline.evaluation.evidence.policy_actions import masks_at
from vinci_offline.evaluation.evidence.ratios import rows_of
from vinci_offline.hooks.progress import Progress
from vinci_offline.networks.nets import Networks
from vinci_offline.progress import line
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec.units import Units
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.initial_value import InitialValue, States, policy_values
from vinci_offline.training.task import Task
from vinci_offline.types import Array, FloatArray, Tensor

if TYPE_CHECKING:
    from vinci_offline.batches.batch import Batch

CRITICS = 5
"""Critics of the method fqe, each fitted to its own resample of the episodes."""
FOLDS = 2
_BATCH = 100
_SLICE = 4096
_RESAMPLE = "infos/resample"


@dataclass(frozen=True)
class ResampledFQE(FQE):
    """FQE whose critics learn from resamples of the episodes: their spread tells how far the data pin down the value.

    Hao et al. (2021), https://arxiv.org/abs/2102.03607, bootstrap FQE by episode. A column of the data says how often
    each critic's resample has each row.
    """

    name: ClassVar[str] = "fqe_resampled"
    columns: ClassVar[tuple[ColumnWish, ...]] = (*FQE.columns, _RESAMPLE)

    def row_weight(self, batch: Batch, critic: int) -> Tensor | None:
        """Return how often the critic's resample has each row."""
        return ops.cast(batch[_RESAMPLE][:, critic], "float32")


@dataclass(frozen=True)
class FittedValues:
    """A fitted model: the values of a policy at rows of a dataset.

    Attributes:
        agent: the agent that fitted it.
        nets: its networks.
        units: the units of observations and actions in the networks.
        seed: key of draws of continuous actions.
    """

    agent: FQE
    nets: Networks
    units: Units
    seed: int

    def of_policy(self, dataset: Dataset, rows: Array, *, following: bool = False) -> functional.PolicyValues:
        """Return the values of the policy's actions at the rows' observations, or at the ones that follow them."""
        masks = masks_at(dataset, rows, following=following) if records_masks(dataset) else None
        seen = States(self._seen(dataset, rows, following), masks)
        found = policy_values(self.agent, self.nets, seen, self.seed)
        assert found is not None
        return found

    def at_rows(self, dataset: Dataset, rows: Array) -> RowValues:
        """Return the mean values of a model at rows: of the logged actions and of the policy."""
        policy = _by_critic(self.of_policy(dataset, rows)).mean(axis=0)
        logged = [
            self._logged(dataset, rows[start : start + _SLICE]) for start in range(0, len(rows), _SLICE)
        ]
        return RowValues(np.concatenate(logged), policy)

    def _logged(self, dataset: Dataset, rows: Array) -> FloatArray:
        seen = self._seen(dataset, rows, False)
        observation: Any = (
            {key: ops.convert_to_tensor(part) for key, part in seen.items()}
            if isinstance(seen, Mapping)
            else ops.convert_to_tensor(seen)
        )
        action = ops.convert_to_tensor(self.units.scaled(dataset.columns.gather(ACTIONS, rows)))
        values = functional.action_values(self.nets.critic, observation, action)
        mean: FloatArray = np.asarray(ops.convert_to_numpy(values), np.float64).mean(axis=0)
        return mean

    def _seen(self, dataset: Dataset, rows: Array, following: bool) -> Array | dict[str, Array]:
        root = NEXT_OBSERVATIONS if following else OBSERVATIONS
        parts = {}
        for path in space_slots(OBSERVATIONS, dataset.spec.observation_space):
            name = path.removeprefix(OBSERVATIONS)
            values = dataset.columns.gather(root + name, rows)
            parts[path] = self.units.observed(name.removeprefix("/"), values)
        return by_key(parts)


@dataclass(frozen=True)
class FirstValues:
    """A model's values of the counted episodes.

    Attributes:
        first: ``[K, E]`` the value at each episode's first observation, by each critic.
        after: ``[K, E]`` the value where the recording ends, discounted to the first step; 0 after a terminal row.
        resampled: True if each critic has its own resample of the episodes.
        distribution: the return's distribution, if quantiles were learned.
    """

    first: FloatArray
    after: FloatArray
    resampled: bool
    distribution: InitialValue | None = None


def first_values(evidence: Evidence) -> FirstValues:
    """Return the values of a model that is fitted to all rows. It is fitted once.

    Raises:
        DatasetError: training fails, or would be too short.
        SpecError: no model of this policy's values can be fitted.
    """
    return evidence.once("first values", lambda: _first_values(evidence))


def cross_fitted(evidence: Evidence) -> RowValues:
    """Return values at the rows of the counted episodes, each by a model that has not seen the episode.

    The episodes are split into two folds at random. It is fitted once.

    Raises:
        DatasetError: training fails, or there is one episode.
        SpecError: no model of this policy's values can be fitted.
    """
    return evidence.once("cross-fitted values", lambda: _cross_fitted(evidence))


def _first_values(evidence: Evidence) -> FirstValues:
    dataset, counted = evidence.dataset, evidence.counted
    agent = _agent(evidence, CRITICS)
    trained = {"critic": evidence.fitting.steps}
    if (why := agent.too_short(trained, evidence.gamma, int(counted.lengths.max()))) is not None:
        raise DatasetError(why)
    resampled = agent.critics > 1
    learned: FQE = agent
    source = dataset
    if resampled:
        learned = ResampledFQE(**{name: getattr(agent, name) for name in agent.to_json()})
        source = _with_resamples(dataset, agent.critics, evidence.seed)
    model = _fit(source, learned, evidence, "all episodes")
    found = model.of_policy(dataset, counted.starts)
    ends = counted.starts + counted.lengths - 1
    cut = ~counted.terminated
    first = _by_critic(found)
    after = np.zeros_like(first)
    if cut.any():
        later = _by_critic(model.of_policy(dataset, ends[cut], following=True))
        after[:, cut] = later * np.power(evidence.gamma, counted.lengths[cut], dtype=np.float64)
    return FirstValues(first, after, resampled, InitialValue.of(found) if found.quantiles else None)


def _by_critic(found: functional.PolicyValues) -> FloatArray:
    """Return ``[K, B]`` the expectation of each critic; ``[1, B]`` the mean of quantiles."""
    values = (np.asarray(found.values, np.float64) * np.asarray(found.weight, np.float64)).sum(axis=-1)
    mean: FloatArray = values.mean(axis=0, keepdims=True) if found.quantiles else values
    return mean


def _cross_fitted(evidence: Evidence) -> RowValues:
    dataset, counted = evidence.dataset, evidence.counted
    if (count := len(counted.lengths)) < FOLDS:
        raise DatasetError("one episode: a model must not be used for the episode that it was fitted to")
    agent = _agent(evidence, 1)
    numbers = np.flatnonzero(np.isin(dataset.episode_columns[START], counted.starts))
    fold = np.random.default_rng([evidence.seed, count]).permutation(count) % FOLDS
    rows, of_rows = rows_of(counted), np.repeat(fold, counted.lengths)
    logged, policy = np.zeros(len(rows)), np.zeros(len(rows))
    for each in range(FOLDS):
        kept = np.ones(len(dataset.episode_columns[START]), np.bool_)
        kept[numbers[fold == each]] = False
        model = _fit(dataset.select_episodes(kept), agent, evidence, f"fold {each + 1} of {FOLDS}")
        found = model.at_rows(dataset, rows[of_rows == each])
        logged[of_rows == each], policy[of_rows == each] = found.logged, found.policy
    return RowValues(logged, policy)


def _agent(evidence: Evidence, critics: int) -> FQE:
    """Return the agent that fits the values of the judged policy.

    Raises:
        SpecError: it cannot take the policy.
    """
    settings = dict(evidence.fitting.settings.get("fqe", {}))
    if {"evaluation_policy", "policy", "policy_hash", "stochastic"} & settings.keys():
        raise UsageError(
            "fqe.evaluation_policy, fqe.policy_hash and fqe.stochastic follow from the judged policy"
        )
    if "quantiles" not in settings:
        settings.setdefault("critics", critics)
    reference = evidence.reference
    if not (reference == RANDOM or (isinstance(reference, str | Path) and _is_stored(Path(reference)))):
        raise SpecError(
            "no model of values: fqe evaluates a run directory, a .keras file or random; save the policy as one of "
            "these, or ask the method dice"
        )
    return FQE.from_settings(
        {**settings, "evaluation_policy": str(reference), "stochastic": evidence.stochastic}
    )


def _is_stored(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".keras"


def _fit(dataset: Dataset, agent: FQE, evidence: Evidence, what: str) -> FittedValues:
    """Train the agent in a temporary run directory, and return its networks.

    Args:
        dataset: the rows to learn from.
        agent: the agent.
        evidence: the discount, the seed and the options.
        what: the rows in words.

    Raises:
        DatasetError: training fails.
    """
    fitting = evidence.fitting
    config = TrainingConfig(
        steps=fitting.steps,
        batch_size=_BATCH,
        gamma=evidence.gamma,
        seed=evidence.seed,
        log_every=max(1, fitting.steps // 5),
        checkpoint_every=fitting.steps,
    )
    if fitting.progress:
        line(f"fitting values to {what}")
    memory = choose_memory([dataset], agent.columns, memory=config.memory, budget=config.budget())
    config = replace(config, memory=memory)
    try:
        task = Task.of([dataset], agent, config, networks=None, init=None, env=None)
        with closing(task.source), tempfile.TemporaryDirectory() as folder:
            directory = RunDirectory(Path(folder))
            run, info = task.prepare(
                directory,
                config,
                claim=lambda: task.claim(directory, config, resume=False, overwrite=False),
                hooks=(Progress(),) if fitting.progress else (),
                resume=False,
            )
            result = run.execute(info)
    except UsageError:
        raise
    except VinciError as error:
        raise DatasetError(f"no model of values could be fitted: {error}") from error
    if result.interrupted:
        raise KeyboardInterrupt
    return FittedValues(agent, info.nets, task.units, evidence.seed)


def _with_resamples(dataset: Dataset, critics: int, seed: int) -> Dataset:
    """Return the dataset with a column that says how often each critic's resample of the episodes has each row."""
    lengths = dataset.episode_columns[LENGTH].astype(np.int64)
    count, rng = len(lengths), np.random.default_rng([seed, critics])
    drawn = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(critics)]
    times = np.repeat(np.stack(drawn, axis=1).astype(np.uint8), lengths, axis=0)
    column = Column(times.shape, times.dtype, times.__getitem__)
    columns = dataset.columns.replaced(_RESAMPLE, column)
    table = dataset.episode_columns
    return Dataset(columns, dataset.spec, table=lambda: dict(table), parents=(dataset,))
