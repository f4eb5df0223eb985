"""A model of the policy that recorded the data, for data that do not tell how probable their actions were."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.errors import DatasetError
from vinci_offline.evaluation.evidence.ratios import log_probs, seen_by
from vinci_offline.policies.densities import clipped_gaussian_log_prob, log_softmax
from vinci_offline.policies.keras_policy import KerasPolicy
from vinci_offline.policies.named import load_policy
from vinci_offline.progress import line
from vinci_offline.spec import BoxSpace, DiscreteSpace
from vinci_offline.types import Array, FloatArray

FOLDS = 3
STEPS = 5_000
"""Gradient steps of a fold's fit, at most. It stops when the loss on its own held-out episodes stops falling."""
_LOG_EVERY, _PATIENCE, _VALIDATION = 100, 5, 0.1
_GAUSSIAN = {"gaussian": True, "state_dependent_std": True}
_BINS = 10
_TRACE = 1e-12


@dataclass(frozen=True)
class FittedBehaviour:
    """A behaviour model, fitted crosswise: each episode is judged by a fit that has not seen it.

    Attributes:
        log_probs: ``[N]`` the log density of each row's action.
        folds: how many parts the episodes were split into; each is judged by a fit on the others.
        log_likelihood: the mean of ``log_probs``.
        without_observations: the same of a model that does not look at observations.
        calibration_error: by how much probabilities differ from frequencies, on average.
    """

    log_probs: FloatArray
    folds: int
    log_likelihood: float
    without_observations: float
    calibration_error: float

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the model."""
        return {"fitted": "bc", **{name: value for name, value in vars(self).items() if name != "log_probs"}}

    @property
    def summary(self) -> str:
        """One sentence for a reader."""
        return (
            f"the behaviour policy was fitted by bc on {self.folds} folds of episodes: log likelihood of actions that "
            f"a fit has not seen {self.log_likelihood:.3g} ({self.without_observations:.3g} without observations), "
            f"probabilities off by {self.calibration_error:.1%}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of estimates that rest on the model."""
        told = ["intervals do not count the error of the fitted behaviour policy"]
        if self.log_likelihood <= self.without_observations:
            told.append(
                "the fitted behaviour policy tells actions no better than their frequencies alone: either it did not "
                "look at observations, or the fit failed"
            )
        return tuple(told)


def fit_behaviour(
    dataset: Dataset,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    steps: int = STEPS,
    folds: int = FOLDS,
    progress: bool = True,
) -> FittedBehaviour:
    """Fit the behaviour policy by behaviour cloning: a Gaussian, or a categorical distribution over choices.

    A model fitted to the very actions that it judges finds them too probable. So the episodes are split into folds, and
    each is judged by a fit on the others.

    Args:
        dataset: N rows.
        settings: settings of ``bc``.
        seed: seed of the folds and of the fits.
        steps: gradient steps of a fit, at most.
        folds: how many folds; fewer if there are fewer episodes.
        progress: show progress.

    Raises:
        DatasetError: the dataset has one episode.
        VinciError: the data do not suit behaviour cloning.
    """

    def fit(training: Dataset, place: int, folder: Path) -> KerasPolicy:
        if progress:
            line(f"fitting the behaviour policy ({place + 1} of {len(parts)})")
        return _cloned(training, folder, settings or {}, seed, steps, progress)

    parts = split(dataset, folds, seed)
    logs, plain = np.empty(len(dataset)), np.empty(len(dataset))
    checked: list[FloatArray] = []
    for place, part in enumerate(parts):
        others = np.sort(np.concatenate([each for other, each in enumerate(parts) if other != place]))
        training, held_out, rows = (
            dataset.select_episodes(others),
            dataset.select_episodes(part),
            _rows(dataset, part),
        )
        with tempfile.TemporaryDirectory() as folder:
            policy = fit(training, place, Path(folder) / "run")
        logs[rows] = log_probs(held_out, policy)
        plain[rows] = _without_observations(training, held_out)
        checked.append(_levels(policy, held_out, seed))
    error = calibration_error(
        np.concatenate(checked), discrete=isinstance(dataset.spec.action_space, DiscreteSpace)
    )
    return FittedBehaviour(logs, len(parts), float(logs.mean()), float(plain.mean()), error)


def split(dataset: Dataset, folds: int, seed: int) -> list[Array]:
    """Return the episodes of each fold, drawn at random.

    Raises:
        DatasetError: there is one episode.
    """
    count = len(dataset.episode_columns[START])
    if count < 2:
        raise DatasetError(
            "a behaviour policy needs two episodes or more, so that none is judged by its own fit"
        )
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(part) for part in np.array_split(order, min(folds, count))]


def _rows(dataset: Dataset, episodes: Array) -> Array:
    table = dataset.episode_columns
    parts = [
        np.arange(s, s + n) for s, n in zip(table[START][episodes], table[LENGTH][episodes], strict=True)
    ]
    return np.concatenate(parts)


def _cloned(
    training: Dataset, folder: Path, settings: Mapping[str, Any], seed: int, steps: int, progress: bool
) -> KerasPolicy:
    """Return the behaviour policy of some episodes, at the step with the best loss on a tenth of them."""
    from vinci_offline.training.trainer import train

    discrete = isinstance(training.spec.action_space, DiscreteSpace)
    several = len(training.episode_columns[START]) > 1
    train(
        training,
        "bc",
        output=folder,
        settings={**({} if discrete else _GAUSSIAN), **settings},
        steps=steps,
        seed=seed,
        log_every=min(steps, _LOG_EVERY),
        validation=_VALIDATION if several else None,
        patience=_PATIENCE if several else None,
        progress=progress,
    )
    best = folder / "best"
    policy = load_policy(best if best.is_dir() else folder, training.spec, stochastic=True)
    assert isinstance(policy, KerasPolicy)
    return policy


def _without_observations(training: Dataset, held_out: Dataset) -> FloatArray:
    """Return the log density of held-out actions under the distribution of all actions of the others."""
    space = training.spec.action_space
    known, asked = training.columns[layout.ACTIONS], held_out.columns[layout.ACTIONS]
    if isinstance(space, DiscreteSpace):
        counts = np.bincount((known - space.start).astype(np.int64), minlength=space.n) + 1.0
        logs: FloatArray = np.log(counts / counts.sum())[(asked - space.start).astype(np.int64)]
        return logs
    assert isinstance(space, BoxSpace)
    mean, std = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64) + _TRACE
    return clipped_gaussian_log_prob(asked, mean[None], std[None], space.low, space.high)


def _levels(policy: KerasPolicy, held_out: Dataset, seed: int) -> FloatArray:
    """Return what `calibration_error` compares, of held-out actions: levels, or confidences and hits."""
    space, rng = held_out.spec.action_space, np.random.default_rng(seed)
    parts = []
    for observations, actions in seen_by(policy, held_out):
        found = policy.parameters_of(observations)
        if isinstance(space, DiscreteSpace):
            logs = log_softmax(found["logits"])
            hit = logs.argmax(axis=1) + space.start == actions
            parts.append(np.stack([np.exp(logs.max(axis=1)), hit], axis=1))
        else:
            assert isinstance(space, BoxSpace)
            shape = actions.shape
            mean, std = found["mean"].reshape(shape), np.exp(found["log_std"]).reshape(shape)
            parts.append(clipped_levels(actions, mean, std, space, rng.random(shape)).reshape(-1))
    return np.concatenate(parts)


def clipped_levels(
    actions: Array, mean: FloatArray, std: FloatArray, space: BoxSpace, uniform: FloatArray
) -> FloatArray:
    """Return the share of a clipped Gaussian below each action: uniform between 0 and 1 if the model is right.

    An action on a bound stands for all draws beyond it: its level is drawn among theirs.
    """
    from scipy.stats import norm

    actions = np.asarray(actions, np.float64)
    levels = norm.cdf((actions - mean) / std)
    below, above = np.where(actions <= space.low, 0.0, levels), np.where(actions >= space.high, 1.0, levels)
    drawn: FloatArray = below + uniform * (above - below)
    return drawn


def calibration_error(levels: FloatArray, *, discrete: bool) -> float:
    """Return by how much probabilities differ from frequencies, on average.

    Args:
        levels: of choices ``[N, 2]``, the probability of the most probable choice, and 1 if it was taken. The
            differences are those in ten bins of the probability (Guo et al., 2017, expected calibration error).
            Of continuous actions ``[N]`` levels: the differences are those between nine central intervals' probability
            (10% to 90%) and the share of levels inside.
        discrete: which of the two.
    """
    if discrete:
        confidence, hit = levels.T
        bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
        off = np.bincount(bins, confidence - hit, _BINS)
        return float(np.abs(off).sum() / len(levels))
    shares = np.arange(1, _BINS) / _BINS
    inside = (np.abs(2 * levels[:, None] - 1) <= shares).mean(axis=0)
    return float(np.abs(inside - shares).mean())
