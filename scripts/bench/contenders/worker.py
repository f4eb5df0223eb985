"""Process of a contender: build it, then take steps for the seconds of each input line.

    python -m contenders.worker NAME TASK

An input line is ``run SECONDS``; the end of the input ends the process. Output lines are JSON: ``{"ready": true}`` or
``{"failed": WHY}`` at first, then ``{"steps": N, "seconds": T, "peak_bytes": P}`` for each run.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from contenders.task import Steps, Task

BUILDERS = {
    "tensorflow": ("ours", ""),
    "tensorflow-graph": ("ours", "graph"),
    "jax": ("ours", ""),
    "jax-seeds": ("ours", "seeds"),
    "jax-settings": ("ours", "settings"),
    "d3rlpy": ("peer_d3rlpy", ""),
    "corl": ("peer_corl", ""),
    "torchrl": ("peer_torchrl", ""),
    "pytorch": ("pytorch_loop", ""),
    "pytorch-compiled": ("pytorch_loop", "compiled"),
    "pytorch-captured": ("pytorch_loop", "captured"),
    "product-tensorflow": ("product", "tensorflow"),
    "product-pytorch": ("product", "pytorch"),
}
CHUNK_SECONDS = 0.1
"""Least duration of one call of the loop: calls of few steps would measure the calls."""


def main() -> None:
    name, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    # Libraries print to standard output; the pipe to the parent must hold replies alone.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def reply(**values: Any) -> None:
        print(json.dumps(values), file=replies)

    try:
        if name == "work":
            from contenders.work import step_flop

            reply(ready=True, flop=step_flop(task))
            return
        module, variant = BUILDERS[name]
        steps = importlib.import_module(f"contenders.{module}").build(task, variant)
        chunk = warm_up(steps)
    except Exception as error:
        reply(failed=f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}")
        raise
    reply(ready=True)
    clock = time.process_time if task.cpu_time else time.perf_counter
    for line in sys.stdin:
        taken, seconds = take(steps, chunk, float(line.split()[1]), clock)
        reply(steps=taken, seconds=seconds, peak_bytes=peak_bytes())


def warm_up(steps: Steps) -> int:
    """Compile the loop and return the number of steps of one call."""
    steps(2)
    chunk = 2
    while chunk < 1 << 20:
        began = time.perf_counter()
        steps(chunk)
        if time.perf_counter() - began > CHUNK_SECONDS:
            break
        chunk *= 2
    return chunk


def take(steps: Steps, chunk: int, seconds: float, clock: Callable[[], float]) -> tuple[int, float]:
    """Take steps for at least some seconds of a clock; return their number and the seconds they took."""
    taken, began = 0, clock()
    while (elapsed := clock() - began) < seconds:
        steps(chunk)
        taken += chunk
    return taken, elapsed


def peak_bytes() -> int:
    """Return the peak memory of this process; ``ru_maxrss`` is in KiB, on macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
