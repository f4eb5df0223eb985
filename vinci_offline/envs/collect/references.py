"""Names of policies that `collect` takes: all that `load_policy` takes, and two that only record."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from vinci_offline.envs.collect.goal_exploration import GoalExploration, load_descriptor
from vinci_offline.errors import UsageError
from vinci_offline.policies.named import check_policy_name, load_policy
from vinci_offline.policies.policy import Policy
from vinci_offline.policies.sb3_files import Sb3Name
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import EnvironmentSpec

RANDOM_STATE = "random-state"
"""The name of sampling uniform states and actions, one step at a time."""
_EXPLORATION = "gep"


def is_exploration(reference: Any) -> bool:
    """Return True for ``gep`` and ``gep:DESCRIPTOR``, which learn from earlier shards."""
    return isinstance(reference, str) and reference.partition(":")[0] == _EXPLORATION


def refuse_recording_only(reference: Any) -> None:
    """Raise a UsageError for a name that records data and cannot be evaluated."""
    if reference == RANDOM_STATE or is_exploration(reference):
        raise UsageError(f"{reference} records data and is no policy by itself: use it with collect")


def check_reference(reference: Any) -> None:
    """Refuse a name that `collect` does not know, or whose file or package is missing.

    Raises:
        UsageError: the name is unknown, or a package that it needs is not installed.
        VinciError: its file does not exist.
    """
    if is_exploration(reference):
        load_descriptor(_descriptor(reference))
    elif reference != RANDOM_STATE:
        check_policy_name(reference)


def load_reference(reference: Any, spec: EnvironmentSpec, *, sample: bool) -> Policy:
    """Load the policy that a name stands for.

    Args:
        reference: a name or an object, but not ``random-state``.
        spec: the environment.
        sample: sample the policy's own distribution. The random policy and goal exploration stay as they are.

    Raises:
        VinciError: as `load_policy` does.
    """
    if is_exploration(reference):
        return GoalExploration(spec, load_descriptor(_descriptor(reference)))
    return load_policy(reference, spec, stochastic=sample and reference != "random")


def describe_reference(reference: Any) -> str:
    """Return a policy's name with a hash of its files, because their content may change under the same name."""
    if not isinstance(reference, str | Path):
        kind = reference if hasattr(reference, "__qualname__") else type(reference)
        return f"{kind.__module__}:{kind.__qualname__}"
    name = str(reference)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in _files(name) if file.is_file()]
    return " ".join([name, *digests])


def _files(name: str) -> list[Path]:
    if Sb3Name.matches(name):
        return Sb3Name.parse(name).files
    named = _descriptor(name) if is_exploration(name) else name
    source = Path(named.rpartition(":")[0] if ":" in named else named)
    if not source.is_dir():
        return [source]
    run = RunDirectory(source)
    return [run.policy, run.stochastic_policy, run.sampler]


def _descriptor(reference: str) -> str:
    return reference.removeprefix(_EXPLORATION).removeprefix(":")
