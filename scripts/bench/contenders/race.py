"""Run contenders in turns, one at a time, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contenders.task import Task

LABELS = {
    "tensorflow": "vinci-offline, TensorFlow (XLA)",
    "tensorflow-graph": "vinci-offline, TensorFlow (graph)",
    "jax": "vinci-offline, JAX",
    "jax-seeds": "vinci-offline, JAX, many seeds",
    "d3rlpy": "d3rlpy",
    "corl": "CORL",
    "torchrl": "TorchRL",
    "pytorch": "PyTorch loop, eager",
    "pytorch-compiled": "PyTorch loop, torch.compile",
    "pytorch-captured": "PyTorch loop, torch.compile in CUDA graphs",
}
ENGINES = ("tensorflow", "jax", "tensorflow-graph", "jax-seeds")
PEERS = ("d3rlpy", "corl", "torchrl", "pytorch", "pytorch-compiled")
PRODUCTS = ("product-tensorflow", "product-pytorch")
PRODUCT_FLOP = 2.0 * 1024**3
REST = 0.3
"""Seconds between turns, in which the last contender's threads stop spinning."""


class ContenderError(Exception):
    """Contender that could not be built, or that died."""


@dataclass(frozen=True)
class Result:
    """Rates of one contender.

    Attributes:
        rates: steps a second of each round.
        peak_bytes: peak memory of its process.
    """

    rates: tuple[float, ...]
    peak_bytes: int

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def over(self, other: Result) -> float:
        """Return the median of the rounds' ratios; the machine's drift cancels in each."""
        return statistics.median(a / b for a, b in zip(self.rates, other.rates, strict=True))


class Contender:
    """Worker process that builds a contender; leaving the context ends it."""

    def __init__(self, name: str, task: Task) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "contenders.worker", name, json.dumps(asdict(task))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(name, task),
        )

    def built(self) -> dict[str, Any]:
        """Wait until the contender is built, and return its reply.

        Raises:
            ContenderError: it cannot be built here; the message says why.
        """
        return self._reply()

    def run(self, seconds: float) -> tuple[float, int]:
        """Take steps for some seconds; return steps a second and the peak memory so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"run {seconds}\n")
        self._process.stdin.flush()
        reply = self._reply()
        return reply["steps"] / reply["seconds"], reply["peak_bytes"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        reply = json.loads(line) if line else {"failed": self._failure()}
        if "failed" in reply:
            raise ContenderError(reply["failed"])
        return reply

    def _failure(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return f"exit code {code}{f': {lines[-1]}' if lines else ''}"


def environment(name: str, task: Task) -> dict[str, str]:
    """Return a worker's environment variables: this package's sources, the Keras backend, and no unwanted GPU."""
    here = Path(__file__).resolve().parents[1]
    paths = [str(here), str(here.parent / "learning"), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "KERAS_BACKEND": "jax" if name.startswith("jax") else "tensorflow",
    }
    variables.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if task.threads:
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        variables |= dict.fromkeys(names, str(task.threads))
    if task.device == "cpu":
        variables |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    else:
        # Several processes share the GPU's memory.
        variables["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    return variables


def step_flop(task: Task) -> float:
    """Count the operations of a step in a process of its own: see `contenders.work`."""
    with Contender("work", Task(**{**asdict(task), "device": "cpu"})) as work:
        flop: float = work.built()["flop"]
        return flop


def race(
    names: Sequence[str], task: Task, *, rounds: int, seconds: float, say: Callable[[str], None] = print
) -> dict[str, Result]:
    """Run every contender for ``seconds`` in each round; report and leave out a peer that cannot run.

    Raises:
        ContenderError: an engine of this project failed.
    """
    rates: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}
    with ExitStack() as stack:
        contenders: dict[str, Contender] = {}
        for group in groups(names, task):
            started = [stack.enter_context(Contender(name, task)) for name in group]
            for contender in started:
                try:
                    contender.built()
                    contenders[contender.name] = contender
                except ContenderError as error:
                    if contender.name in ENGINES:
                        raise ContenderError(f"{contender.name}: {error}") from error
                    say(f"{LABELS.get(contender.name, contender.name)} is left out: {error}")
        for _ in range(rounds):
            for contender in (contenders[name] for name in names if name in contenders):
                time.sleep(REST)
                rate, peaks[contender.name] = contender.run(seconds)
                rates.setdefault(contender.name, []).append(rate)
    return {name: Result(tuple(each), peaks[name]) for name, each in rates.items()}


def groups(names: Sequence[str], task: Task) -> list[list[str]]:
    """Return the contenders that are built side by side: on a GPU all peers, then each engine of ours alone.

    XLA times its kernels on the GPU to choose among them, so nothing else may run there meanwhile.
    """
    if task.device == "cpu":
        return [[name] for name in names]
    return [[name for name in names if name not in ENGINES], *([name] for name in names if name in ENGINES)]


def product_rates(results: Mapping[str, Result]) -> Result:
    """Return the FLOP/s of the fastest float32 matrix product in each round."""
    products = [results[name].rates for name in PRODUCTS if name in results]
    return Result(tuple(PRODUCT_FLOP * max(rates) for rates in zip(*products, strict=True)), 0)
