"""From the name of a policy, or an object, to a policy that acts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from vinci_offline.data.shipped import shipped_datasets
from vinci_offline.errors import UsageError
from vinci_offline.inputs import check_local, meant_path
from vinci_offline.keras_setup import check_keras_file, load_keras_model
from vinci_offline.loading import load_object
from vinci_offline.policies.callable_policy import FunctionPolicy, ObjectPolicy, own_policy
from vinci_offline.policies.keras_policy import KerasPolicy
from vinci_offline.policies.onnx_policy import OnnxPolicy, check_onnx
from vinci_offline.policies.policy import Policy
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.policies.sb3_files import Sb3Name
from vinci_offline.policies.sb3_policy import Sb3Policy
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import command, did_you_mean


def load_policy(reference: Any, spec: EnvironmentSpec, *, stochastic: bool = False) -> Policy:
    """Load or make the policy that a user names.

    Args:
        reference: ``"random"``; a ``.keras`` file, loaded in Keras' safe mode; a run directory, for its
            ``policy.keras``; an ``.onnx`` file; ``sb3:ALGO:FILE.zip[:VECNORMALIZE]``; ``module:object`` or
            ``file.py:object``; a Keras model; a callable, or a class; or a policy.
        spec: the environment that it will act in.
        stochastic: sample from the policy's own distribution. Of a run directory, take
            ``stochastic_policy.keras``, or else ``sampler.keras``.

    Raises:
        UsageError: there is no such policy, or it has no distribution to sample from.
        SpecError: it does not fit the environment.
        VinciError: its file is missing, damaged or not safe to load.
    """
    if isinstance(reference, str | Path):
        return _load_named(str(reference), spec, stochastic)
    if "keras" in sys.modules and isinstance(reference, sys.modules["keras"].Model):
        return KerasPolicy(reference, spec, stochastic=stochastic)
    if stochastic:
        raise UsageError(
            "only a Keras or SB3 policy with a distribution can be asked to sample; "
            "a function of yours samples by itself: give it the form (obs, rng) -> action"
        )
    if isinstance(
        reference, RandomPolicy | KerasPolicy | FunctionPolicy | ObjectPolicy | OnnxPolicy | Sb3Policy
    ):
        return reference
    return own_policy(reference, spec)


def portable_policy(reference: Any, spec: EnvironmentSpec, *, stochastic: bool = False) -> Policy | None:
    """Load a Keras policy in a form that other processes take without Keras; None if there is no such form.

    Args:
        reference: as `load_policy` takes it.
        spec: the environment.
        stochastic: sample from the policy's distribution.
    """
    if isinstance(reference, str | Path):
        if not (str(reference).endswith(".keras") or Path(reference).is_dir()):
            return None
    elif "keras" not in sys.modules or not isinstance(reference, sys.modules["keras"].Model):
        return None
    policy = load_policy(reference, spec, stochastic=stochastic)
    return policy if isinstance(policy, KerasPolicy) and policy.portable else None


def check_policy_name(policy: Any) -> None:
    """Refuse a name that stands for no policy, or whose file or package is missing. Load nothing.

    Args:
        policy: a reference that `load_policy` takes. An object passes.

    Raises:
        UsageError: the name is unknown, or a package that it needs is not installed.
        VinciError: its file does not exist.
    """
    if not isinstance(policy, str | Path):
        return
    check_local(policy)
    name = str(policy)
    if Sb3Name.matches(name):
        Sb3Name.parse(name).warn()
    elif name.endswith(".onnx"):
        check_onnx(Path(name))
    elif name.endswith(".keras"):
        check_keras_file(Path(name))
    elif name != "random" and ":" not in name and not Path(name).is_dir():
        raise UsageError(_unknown(name))


def _unknown(name: str) -> str:
    """Return the message for a name that stands for no policy."""
    path = Path(name)
    if name in shipped_datasets() or (path.is_file() and path.suffix in (".h5", ".hdf5")):
        return f"{name} is a dataset, not a policy: train one from it with: {command('train', name)}"
    if path.suffix == ".py":
        return f"{name} is a Python file: name the policy in it, as {name}:policy"
    near = did_you_mean(name, ("random", "random-state", "gep")) or meant_path(path)
    return (
        f"unknown policy {name!r}: give random, a .keras or .onnx file, a run directory, "
        "sb3:ALGO:FILE.zip[:VECNORMALIZE], or file.py:object (module:object); collect also takes random-state and "
        f"gep[:file.py:descriptor]{near}"
    )


def _load_named(name: str, spec: EnvironmentSpec, stochastic: bool) -> Policy:
    if name == "random":
        if stochastic:
            raise UsageError("the random policy has no other mode: leave out the sampling")
        return RandomPolicy(spec)
    path = Path(name)
    if path.is_dir():
        path = RunDirectory(path).policy_file(stochastic=stochastic)
        return KerasPolicy(load_keras_model(path), spec, stochastic=stochastic)
    if name.endswith(".keras"):
        return KerasPolicy(load_keras_model(path), spec, stochastic=stochastic)
    if Sb3Name.matches(name):
        return Sb3Policy(Sb3Name.parse(name), spec, stochastic=stochastic)
    check_policy_name(name)
    if name.endswith(".onnx"):
        if stochastic:
            raise UsageError(f"{name} gives actions, not a distribution: leave the sampling out")
        return OnnxPolicy(path, spec)
    found = load_object(name)
    if isinstance(found, str | Path):
        raise UsageError(f"{name} is a {type(found).__name__}, not a policy")
    return load_policy(found, spec, stochastic=stochastic)
