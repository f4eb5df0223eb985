"""A contender's process: builds what it is told to, then takes steps for as long as each line says.

    python -m contenders.worker NAME TASK

Lines in: ``run SECONDS``; the end of the input ends the process. Lines out, JSON: first ``{"ready": true}``, or
``{"failed": WHY}``; then for each run ``{"steps": N, "seconds": T, "peak_bytes": P}``.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from typing import Any

from contenders.task import Steps, Task

BUILDERS = {
    "tensorflow": ("ours", ""),
    "tensorflow-graph": ("ours", "graph"),
    "jax": ("ours", ""),
    "jax-seeds": ("ours", "seeds"),
    "d3rlpy": ("peer_d3rlpy", ""),
    "torchrl": ("peer_torchrl", ""),
    "pytorch": ("pytorch_loop", ""),
    "pytorch-compiled": ("pytorch_loop", "compiled"),
    "pytorch-captured": ("pytorch_loop", "captured"),
    "product-tensorflow": ("product", "tensorflow"),
    "product-pytorch": ("product", "pytorch"),
}
GLANCE = 0.1
"""Seconds between looks at the clock: a loop that is called anew for every few steps would not run at its own speed."""


def main() -> None:
    name, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    # Libraries print what they like: the pipe to the parent is for replies alone.
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
    for line in sys.stdin:
        taken, seconds = take(steps, chunk, float(line.split()[1]))
        reply(steps=taken, seconds=seconds, peak_bytes=peak_bytes())


def warm_up(steps: Steps) -> int:
    """Compile, and find how many steps one glance takes."""
    steps(2)
    chunk = 2
    while chunk < 1 << 20:
        began = time.perf_counter()
        steps(chunk)
        if time.perf_counter() - began > GLANCE:
            break
        chunk *= 2
    return chunk


def take(steps: Steps, chunk: int, seconds: float) -> tuple[int, float]:
    """Steps for at least that long: how many, and how long."""
    taken, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        steps(chunk)
        taken += chunk
    return taken, elapsed


def peak_bytes() -> int:
    """The most memory that this process has held; ``ru_maxrss`` is in KiB, on macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
