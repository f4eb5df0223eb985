"""The file of a stored policy, and its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.inputs import meant_path
from vinci_offline.runs.run_directory import RunDirectory


def policy_file(name: str, *, stochastic: bool) -> Path:
    """Return the ``.keras`` file of a policy: itself, or of a run directory the one that holds its distribution.

    Args:
        name: a run directory or a ``.keras`` file.
        stochastic: take ``stochastic_policy.keras`` or ``sampler.keras`` of a run that has one.

    Raises:
        UsageError: the name is neither.
        VinciError: there is no such file.
    """
    path = Path(name)
    if path.is_dir():
        directory = RunDirectory(path)
        drawn = (directory.stochastic_policy, directory.sampler) if stochastic else ()
        return next((each for each in drawn if each.is_file()), None) or directory.policy_file()
    if path.suffix != ".keras":
        what = "is no policy of the package" if path.exists() or ":" in name else "does not exist"
        raise UsageError(f"{name} {what}: give a run directory, a .keras file, or random{meant_path(path)}")
    if not path.is_file():
        raise VinciError(f"{name} does not exist: check the path of the policy{meant_path(path)}")
    return path


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
