"""Recording shards with the workers of a Ray cluster. Shards are the same, so the data is the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vinci_offline.envs.collect.job import Job
from vinci_offline.envs.collect.meter import Report
from vinci_offline.envs.collect.recorder import Recorder
from vinci_offline.envs.collect.shards import ShardFolder
from vinci_offline.envs.collect.workers import Ledger, failed
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.types import Columns


def record_on_ray(job: Job, folder: ShardFolder, ledger: Ledger, workers: int, report: Report) -> None:
    """Record the missing shards in Ray's workers. Shards come back through its object store and are published here.

    Ray restarts a worker that dies, and the worker records its shard again, with the same result. A cluster that is
    already connected is used; then the cluster that ``RAY_ADDRESS`` names; otherwise one is started on this machine
    and stopped at the end. Each worker must find the modules and files of the environment and the policies under the
    same paths as this process.

    Raises:
        UsageError: Ray is not installed, or the job cannot be sent to another process.
        VinciError: a worker failed for good. Finished shards stay.
    """
    ray = _ray()
    with _cluster(ray, workers):
        remote = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Worker)
        try:
            idle = [remote.remote(job) for _ in range(workers)]
        except TypeError as error:
            raise UsageError(
                f"the policy or the environment cannot be sent to a worker ({describe(error)}): use a function at the "
                "top level of a module"
            ) from error
        everyone, busy = list(idle), {}
        try:
            while not ledger.complete():
                while idle and (index := ledger.take()) is not None:
                    worker = idle.pop()
                    task = worker.record.remote(index, ledger.rows_before(index), ledger.needed(index))
                    busy[task] = index, worker
                done, _ = ray.wait(list(busy), num_returns=1)
                index, worker = busy.pop(done[0])
                columns, lengths = _result(ray, done[0])
                ledger.rows[index] = folder.publish(index, columns, lengths)
                report(len(columns["rewards"]), len(lengths))
                idle.append(worker)
        finally:
            # The dataset is complete, or the collection failed: their shards are not needed.
            for worker in everyone:
                ray.kill(worker)


class _Worker:
    """Recorder in a process of the cluster. It makes environments and policies once and keeps them."""

    def __init__(self, job: Job) -> None:
        self._recorder = Recorder(job)

    def record(self, index: int, rows_before: int, needed: int | None) -> tuple[Columns, list[int]]:
        """Record a shard. Return its columns and the lengths of its episodes."""
        return self._recorder.record(index, rows_before, needed)


def _ray() -> Any:
    # Ray warns until this is set; a later version makes it the default.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'vinci-offline[ray]'") from None
    return ray


@contextmanager
def _cluster(ray: Any, workers: int) -> Iterator[None]:
    """Connect Ray. A cluster that was started here stops at the end."""
    if ray.is_initialized():
        yield
        return
    own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **own)
    except (OSError, RuntimeError, ValueError) as error:
        raise VinciError(
            f"Ray cannot be reached or started ({describe(error)}): is RAY_ADDRESS right?"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _result(ray: Any, task: Any) -> tuple[Columns, list[int]]:
    try:
        found: tuple[Columns, list[int]] = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", error)
        raise cause if isinstance(cause, VinciError) else failed(describe(cause)) from None
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:300]
        raise VinciError(
            f"a Ray worker was lost ({reason}): finished shards are kept, go on with --resume"
        ) from error
    return found
