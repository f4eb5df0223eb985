"""What trains fastest on this machine: processes of one thread on a CPU, one compiled call on a GPU with JAX."""

from __future__ import annotations

import os
from pathlib import Path


def default_workers(runs: int) -> int:
    """Return the number of processes: one for each core that this process may use, but no more than there are runs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, runs))


def has_a_gpu(backend: str | None = None) -> bool:
    """Return True where learners may run on an NVIDIA GPU. Nothing is imported for it.

    Args:
        backend: Keras' backend; None takes that of ``KERAS_BACKEND``.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    on_jax = (backend or os.environ.get("KERAS_BACKEND")) == "jax"
    on_cpu = on_jax and os.environ.get("JAX_PLATFORMS", "") == "cpu"
    return Path("/dev/nvidiactl").exists() and not hidden and not on_cpu


def prefers_vmap() -> bool:
    """Return True where one compiled call of JAX trains faster than processes do."""
    return os.environ.get("KERAS_BACKEND") == "jax" and has_a_gpu()


def workers_for_seeds(seeds: int, workers: int | None = None, backend: str | None = None) -> int:
    """Return the number of processes that train the seeds of one run; with 1 they are trained in this process.

    Args:
        seeds: the number of seeds.
        workers: the user's number of processes, or None.
        backend: Keras' backend; None takes that of ``KERAS_BACKEND``.
    """
    if workers is None:
        # On a GPU JAX trains all seeds in one call, and TensorFlow's processes would divide its memory.
        return 1 if has_a_gpu(backend) else default_workers(seeds)
    return min(workers, seeds)
