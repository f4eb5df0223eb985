"""Values of runs by fitted Q evaluation: the episodes that judge them, and fits that are kept in their directories."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import whole
from vinci_offline.errors import UsageError
from vinci_offline.evaluation.members import Member
from vinci_offline.evaluation.own_data import own_data
from vinci_offline.hooks.csv_log import last_row
from vinci_offline.keras_setup import import_keras
from vinci_offline.policies.stored_file import file_hash, policy_file
from vinci_offline.progress import line
from vinci_offline.runs.run_directory import RunDirectory

VALUE = "value/initial"
FITS = "fqe"
"""Folder of a run with the fits that judge it."""


@dataclass(frozen=True)
class Judged:
    """Episodes that judge runs.

    Attributes:
        data: the episodes.
        notes: whether the runs have learned from them, and where a better judgement is to be had; a line each.
    """

    data: Dataset
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judge:
    """Fitted Q evaluation with one set of options for all runs.

    Attributes:
        steps: gradient steps of each fit.
        gamma: its discount.
        seed: its seed.
        progress: show progress.
    """

    steps: int
    gamma: float
    seed: int
    progress: bool

    def own(self, runs: Sequence[Member]) -> Judged:
        """Return the episodes of the data of runs of one task that none has learned from; all if there is none.

        Raises:
            UsageError: the files are gone or have changed.
        """
        return held_out(own_data(RunDirectory(runs[0].path), ": give episodes with --data FILE"), runs)

    def given(self, dataset: Dataset, runs: Sequence[Member]) -> Judged:
        """Return the episodes of a file that judge runs; those that none has learned from if it is their own."""
        hashes = {str(RunDirectory(run.path).dataset().get("hash")) for run in runs}
        if dataset.hash not in hashes:
            return Judged(dataset)
        own = [run for run in runs if RunDirectory(run.path).dataset().get("hash") == dataset.hash]
        return held_out(dataset, own)

    def value(self, run: Member, data: Dataset, place: str) -> Mapping[str, float]:
        """Return the numbers of a run's fit: its value over first states, and their standard error.

        Raises:
            UsageError: no episode is whole, so nothing tells where episodes begin.
            VinciError: the run has no policy, or it does not suit the data.
        """
        if not whole(data.episode_columns).any():
            raise UsageError(
                "no episode of the data is whole, so nothing tells where episodes begin: give others"
            )
        policy = policy_file(str(run.path), stochastic=False)
        digest = file_hash(policy)
        name = f"{digest[:8]}-{data.hash[:8]}-{self.steps}-{self.gamma:g}-{self.seed}"
        output = run.path / FITS / name
        kept = last_row(output / "metrics.csv")
        if kept.get("step") == self.steps and VALUE in kept:
            return kept
        if self.progress:
            line(f"fitting the value of {run.path} ({place})")
        from vinci_offline.training.trainer import train

        result = train(
            data,
            "fqe",
            output=output,
            settings={"evaluation_policy": str(policy), "stochastic": False, "policy_hash": digest},
            steps=self.steps,
            gamma=self.gamma,
            seed=self.seed,
            log_every=min(self.steps, 1_000),
            resume=True,
            progress=self.progress,
        )
        if result.interrupted:
            raise KeyboardInterrupt
        return last_row(output / "metrics.csv")


def held_out(dataset: Dataset, runs: Sequence[Member]) -> Judged:
    """Return the episodes of a dataset that none of the runs which train on it has learned from.

    A run with ``--validation`` holds out a share of the episodes, and of two shares the smaller is part of the larger.
    """
    shares = [json.loads(run.settings.get("validation", "null")) for run in runs]
    known = [share for share in shares if share is not None]
    if len(known) == len(shares):
        import_keras()  # first, so that no import below it shows a backend's start-up messages
        from vinci_offline.training.held_out import split_episodes

        kept = split_episodes(dataset, min(known)).held_out
        assert kept is not None
        return Judged(kept, ("the runs held these episodes out: none has learned from them",))
    learned = (
        "runs have learned from these very episodes, which flatters those that fit their errors: judge them by "
        "others, with --data FILE or from train --validation 0.1"
    )
    return Judged(dataset, (learned,))
