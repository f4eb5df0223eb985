"""The directory of a run of several seeds: one run directory a seed, and a summary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.files import clear_folder, make_folder, publish_text
from vinci_offline.locks import LOCK, refuse_used_folder
from vinci_offline.runs.run_directory import RunDirectory


@dataclass(frozen=True)
class SeedsDirectory:
    """``seeds.json`` and ``seed-K/`` under ``path``."""

    path: Path

    def exists(self) -> bool:
        """Return True where a run of several seeds was started here."""
        return (self.path / "seeds.json").is_file()

    def member(self, seed: int) -> RunDirectory:
        """Return the run directory of one seed."""
        return RunDirectory(self.path / f"seed-{seed}")

    def check_claim(self, seeds: Sequence[int], *, resume: bool, overwrite: bool) -> None:
        """Refuse what `claim` may not take. Change nothing.

        Raises:
            UsageError: the directory is not empty and neither flag is set, ``resume`` leaves out one of its seeds, or
                another process trains one of them.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file, and a run is a folder: choose another with -o")
        if self.exists() and resume:
            self._check_holds(seeds)
        elif self.path.exists() and any(path.name != LOCK for path in self.path.iterdir()):
            self._check_replaceable(overwrite=overwrite)

    def claim(self, seeds: Sequence[int], *, resume: bool, overwrite: bool) -> None:
        """Take the directory for these seeds. A resumed run may add seeds.

        Raises:
            UsageError: as `check_claim`.
        """
        self.check_claim(seeds, resume=resume, overwrite=overwrite)
        if self.path.exists() and not (self.exists() and resume):
            clear_folder(self.path, keep=LOCK)
        make_folder(self.path)
        if not (self.exists() and resume):
            self._write({"seeds": list(seeds)})

    def save(self, seeds: Sequence[int], summary: Mapping[str, Any]) -> None:
        """Write ``seeds.json``.

        Args:
            seeds: the run's seeds in order.
            summary: the results as JSON values, each number finite or None.
        """
        self._write({"seeds": list(seeds), **summary})

    def read(self) -> dict[str, Any]:
        """Read ``seeds.json``.

        Raises:
            VinciError: it is missing or damaged.
        """
        try:
            content: dict[str, Any] = json.loads((self.path / "seeds.json").read_text(encoding="utf-8"))
            content["seeds"] = [int(seed) for seed in content["seeds"]]
        except Exception as error:  # damage raises errors of any kind
            raise VinciError(
                f"{self.path / 'seeds.json'} does not describe seeds: restore it from a copy, or train again"
            ) from error
        return content

    def _check_holds(self, seeds: Sequence[int]) -> None:
        known = self.read()["seeds"]
        if not set(known) <= set(seeds):
            raise UsageError(
                f"{self.path} holds the seeds {known[0]} to {known[-1]}: resume with --seed {known[0]} and "
                f"--seeds {len(known)} or more, or choose another -o"
            )

    def _check_replaceable(self, *, overwrite: bool) -> None:
        a_run = RunDirectory(self.path).exists()
        if not self.exists() and not a_run:
            # Delete runs only: other folders are not ours.
            raise UsageError(f"{self.path} exists and is no run: choose another with -o")
        if not overwrite:
            advice = (
                "--overwrite replaces it" if a_run else "--resume goes on with it, --overwrite replaces it"
            )
            kind = "a run of one seed, without --seeds" if a_run else "a run of several seeds"
            raise UsageError(f"{self.path} exists, {kind}: {advice}")
        for lock in self.path.glob(f"seed-*/{LOCK}"):
            refuse_used_folder(lock.parent)

    def _write(self, content: Mapping[str, Any]) -> None:
        marked = {"format": "vinci-offline-seeds", "version": 1, **content}
        publish_text(self.path / "seeds.json", json.dumps(marked, indent=2, allow_nan=False))
