"""Estimates that a run keeps of its own policy: those of ``estimate --keep``, and the fits of ``compare --by fqe``."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.evaluation.findings import Estimates
from vinci_offline.evaluation.judging import FITS, VALUE
from vinci_offline.files import publish_text
from vinci_offline.hooks.csv_log import last_row
from vinci_offline.policies.stored_file import file_hash, policy_file
from vinci_offline.runs.run_directory import RunDirectory

FILE = "estimates.json"
_FORMAT = "vinci-offline-estimates"
_MOST_BYTES = 2**24
_STANDARD_ERRORS = 1.96


@dataclass(frozen=True, order=True)
class Basis:
    """What estimates must share to be compared over runs.

    Attributes:
        method: the method's name.
        data: the name of the file of the episodes, with the beginning of its hash.
        gamma: the discount a step.
        others: other options in words.
    """

    method: str
    data: str
    gamma: float
    others: str = ""


@dataclass(frozen=True)
class Kept:
    """An estimate of a run's policy.

    Attributes:
        basis: how it was made.
        value: the estimated mean return; NaN where the method refused to tell.
        low: the interval's lower end; NaN without one.
        high: its upper end.
        warning: why the interval may be wrong, or why the method refused; None if nothing speaks against it.
    """

    basis: Basis
    value: float
    low: float
    high: float
    warning: str | None = None


def check_keeps(policy: Any) -> Path:
    """Return the run directory that keeps the estimates of a policy.

    Raises:
        UsageError: the policy is no run directory.
    """
    if isinstance(policy, str | Path) and RunDirectory(Path(policy)).exists():
        return Path(policy)
    raise UsageError(f"--keep keeps estimates in a run directory, and {policy} is none: leave it out")


def keep(
    run: Path,
    data: Dataset,
    found: Estimates,
    *,
    gamma: float,
    interval: str,
    stochastic: bool,
    behaviour: str,
) -> None:
    """Write estimates into a run's directory. They replace those of the same methods, data and options.

    Raises:
        VinciError: the file there is damaged, or the disk is full.
    """
    options = {
        "data": f"{Path(data.path).stem if data.path else 'dataset'} {data.hash[:8]}",
        "data_hash": data.hash,
        "gamma": gamma,
        "interval": interval,
        "level": found.level,
        "stochastic": stochastic,
        "behaviour": behaviour,
    }
    digest = file_hash(policy_file(str(run), stochastic=stochastic))
    told = {name: each.to_json() for name, each in found.methods.items()}
    entries = []
    for entry in _entries(run):
        if entry.get("policy") != digest and entry.get("stochastic") == stochastic:
            continue  # of an earlier policy
        if {name: entry.get(name) for name in options} == options:
            told = {**dict(entry["methods"]), **told}
            continue
        entries.append(entry)
    entries.append({**options, "policy": digest, "episodes": found.episodes, "methods": told})
    content = {"format": _FORMAT, "version": 1, "estimates": entries}
    publish_text(run / FILE, json.dumps(content, indent=2))


def kept(run: Path) -> list[Kept]:
    """Return the estimates that a run keeps of its present policy, those of ``compare --by fqe`` too.

    Raises:
        VinciError: a file is damaged.
    """
    digests = {
        stochastic: file_hash(policy_file(str(run), stochastic=stochastic))
        for stochastic in (False, True)
        if RunDirectory(run).policy.is_file()
    }
    found = []
    for entry in _entries(run):
        with RunDirectory(run).explained(FILE):
            if entry["policy"] == digests.get(bool(entry["stochastic"])):
                found += list(_kept(entry))
    return [*found, *_fits(run, digests.get(False))]


def _kept(entry: Mapping[str, Any]) -> Iterator[Kept]:
    others = [
        f"{float(entry['level']):.0%} interval by {entry['interval']}",
        *(["the policy samples its actions"] if entry["stochastic"] else []),
        *(["behaviour fitted"] if entry["behaviour"] != "logged" else []),
    ]
    for method, each in dict(entry["methods"]).items():
        basis = Basis(str(method), str(entry["data"]), float(entry["gamma"]), ", ".join(others))
        if "refused" in each:
            yield Kept(basis, math.nan, math.nan, math.nan, str(each["refused"]))
            continue
        low, high = (math.nan if each[end] is None else float(each[end]) for end in ("low", "high"))
        warning = each.get("warning")
        yield Kept(basis, float(each["value"]), low, high, None if warning is None else str(warning))


def _fits(run: Path, digest: str | None) -> Iterator[Kept]:
    """Return the values of fits that `compare --by fqe` keeps, if they judge this policy."""
    for path in sorted((run / FITS).glob("*/config.json")):
        fit = RunDirectory(path.parent)
        row = last_row(fit.path / "metrics.csv")
        config, content = fit.config(), fit.dataset()
        with fit.explained("config.json"):
            settings, training = dict(config["hyperparameters"]), dict(config["training"])
            current = digest is not None and settings.get("policy_hash") == digest
            gamma = float(training["gamma"])
            finished = row.get("step") == config["steps"]
        if not (current and finished and math.isfinite(row.get(VALUE, math.nan))):
            continue
        with fit.explained("dataset.json"):
            names = "+".join(Path(str(name)).stem for name in content["files"])
            data = f"{names} {str(content['hash'])[:8]}"
        error = _STANDARD_ERRORS * row.get("value/standard_error", math.nan)
        others = f"95% interval over first states, {int(row['step']):,} steps of fitting"
        yield Kept(Basis("fqe", data, gamma, others), row[VALUE], row[VALUE] - error, row[VALUE] + error)


def _entries(run: Path) -> list[dict[str, Any]]:
    """Read the entries of a run's file; none without one."""
    path = run / FILE
    if not path.exists():
        return []
    try:
        return _read(path)
    except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
        raise VinciError(
            f"{path} does not hold estimates ({type(error).__name__}): delete it, and estimate again with --keep"
        ) from error


def _read(path: Path) -> list[dict[str, Any]]:
    """Read the entries of a file. A damaged one raises errors of many kinds."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a regular file")  # opening a pipe would wait for its writer
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["format"] != _FORMAT:
        raise ValueError(f"its format is not {_FORMAT}")
    return [dict(entry) for entry in content["estimates"]]
