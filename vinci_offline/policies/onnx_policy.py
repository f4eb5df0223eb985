"""Policies from ONNX models, run by onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.inputs import meant_path
from vinci_offline.loading import describe
from vinci_offline.policies.actions import to_actions, to_choices
from vinci_offline.policies.onnx_graph import check_graph
from vinci_offline.policies.policy import Decision, Observations, Policy
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvironmentSpec,
    describe_space,
    is_countable,
)
from vinci_offline.types import Array

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
}


def check_onnx(path: Path) -> None:
    """Check that an ONNX policy's file and its runtime are there.

    Raises:
        VinciError: the file does not exist.
        UsageError: onnxruntime is not installed.
    """
    if not path.is_file():
        raise VinciError(f"{path} does not exist: check the path of the policy{meant_path(path)}")
    if find_spec("onnxruntime") is None:
        raise UsageError(f"policy {path} needs onnxruntime: pip install 'vinci-offline[onnx]'")


class OnnxPolicy(Policy):
    """An ONNX model from raw observations ``[B, ...]`` to environment actions, on one thread of the CPU.

    The first output counts: ``[B, A]`` for a Box; for Discrete ``[B]`` integers, or ``[B, n]`` scores of which the
    largest is taken. Dict observations go to the inputs named after their keys. A model with a fixed batch size of
    one is called once a lane.

    Args:
        path: the model.
        spec: the environment that it will act in.

    Raises:
        VinciError: the file is missing or damaged, or is no ONNX model.
        SpecError: its inputs or its output do not fit the environment.
        UsageError: onnxruntime is not installed.
    """

    deterministic = True

    def __init__(self, path: Path, spec: EnvironmentSpec) -> None:
        check_onnx(path)
        self._path, self._space = path, spec.action_space
        self._session = _session(path)
        self._inputs = _inputs(path, self._session, spec)
        batches = {node.shape[0] for node in self._inputs.values() if isinstance(node.shape[0], int)}
        if batches - {1}:
            raise SpecError(
                f"{path} takes batches of exactly {max(batches)}: export it with a free batch size"
            )
        self._one_by_one = bool(batches)
        self._check_output(spec)

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose actions for all lanes."""
        lanes = len(rngs)
        if self._one_by_one:
            output = np.concatenate([self._run(observations, slice(j, j + 1)) for j in range(lanes)])
        else:
            output = self._run(observations, slice(None))
        space = self._space
        if not isinstance(space, DiscreteSpace):
            certain = np.zeros(lanes) if is_countable(space) else None
            return Decision(to_actions(output, space, lanes), certain)
        if output.size == lanes * space.n and output.size != lanes:
            return Decision(to_choices(output.reshape(-1, space.n), space, lanes), np.zeros(lanes))
        return Decision(to_actions(output, space, lanes), np.zeros(lanes))

    def _run(self, observations: Observations, rows: slice) -> Array:
        feed = {}
        for key, node in self._inputs.items():
            values = observations[key] if isinstance(observations, dict) else observations
            feed[node.name] = _fed(values[rows], np.dtype(_DTYPES[node.type]), self._path)
        try:
            return np.atleast_1d(np.asarray(self._session.run(None, feed)[0]))
        except Exception as error:  # onnxruntime has no common error of its own
            raise VinciError(f"{self._path} failed on an observation ({describe(error)})") from error

    def _check_output(self, spec: EnvironmentSpec) -> None:
        """Check the output for an observation of zeros, because the model may not declare its shape."""
        space = spec.observation_space
        zeros: Any = (
            {key: _zeros(part) for key, part in space.spaces.items()}
            if isinstance(space, DictSpace)
            else _zeros(space)
        )
        output = self._run(zeros, slice(None))
        action = spec.action_space
        sizes = (
            {1, action.n} if isinstance(action, DiscreteSpace) else {math.prod(getattr(action, "shape", ()))}
        )
        if output.size not in sizes:
            raise SpecError(
                f"{self._path} gives an output of shape {output.shape[1:]}, but "
                f"{spec.id or 'the environment'} takes {describe_space(action)}: "
                "use a policy made for this environment"
            )


def _fed(values: Array, dtype: np.dtype[Any], path: Path) -> Array:
    """Return observations as a model's input takes them: floats may round, whole numbers must fit."""
    with np.errstate(invalid="ignore"):
        fed = np.ascontiguousarray(values, dtype)
    if dtype.kind in "iu" and values.dtype != dtype and not np.array_equal(fed, values):
        raise SpecError(f"{path} takes {dtype}, and an observation is not such a number: use another policy")
    return fed


def _session(path: Path) -> Any:
    import onnxruntime

    check_graph(path)
    options = onnxruntime.SessionOptions()
    # Lanes and workers already use the cores; more threads would compete with them.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError:
        raise
    except Exception as error:  # onnxruntime has no common error of its own
        raise VinciError(
            f"{path} is not an ONNX model that onnxruntime can run ({describe(error)})"
        ) from error


def _inputs(path: Path, session: Any, spec: EnvironmentSpec) -> dict[str, Any]:
    """Return the model's input for each key of a Dict observation; under an empty name for other observations."""
    space = spec.observation_space
    nodes = session.get_inputs()
    parts = dict(space.spaces) if isinstance(space, DictSpace) else {"": space}
    found = (
        {node.name: node for node in nodes} if isinstance(space, DictSpace) else dict.fromkeys([""], nodes[0])
    )
    fits = len(nodes) == len(parts) and set(found) == set(parts)
    for key, part in parts.items():
        if not fits:
            break
        shape = part.shape if isinstance(part, BoxSpace) else ()
        given = found[key].shape
        fits = len(given) == len(shape) + 1 and all(
            not isinstance(a, int) or a == b for a, b in zip(given[1:], shape, strict=True)
        )
    if not fits or any(node.type not in _DTYPES for node in nodes):
        shown = ", ".join(f"{node.name} {node.type} {node.shape}" for node in nodes)
        raise SpecError(
            f"{path} takes {shown}, but {spec.id or 'the environment'} has observations "
            f"{describe_space(space)}: use a policy made for this environment"
        )
    return found


def _zeros(space: Any) -> Array:
    return np.zeros((1, *space.shape), space.dtype) if isinstance(space, BoxSpace) else np.zeros(1, np.int64)
