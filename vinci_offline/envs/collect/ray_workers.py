"""Recording shards with the workers of a Ray cluster. Shards are the same, so the data is the same."""

from __future__ import annotations

from vinci_offline.envs.collect.job import Job
from vinci_offline.envs.collect.meter import Report
from vinci_offline.envs.collect.recorder import Recorder
from vinci_offline.envs.collect.shards import ShardFolder
from vinci_offline.envs.collect.workers import Ledger, failed
from vinci_offline.envs.ray_pool import ray_pool
from vinci_offline.errors import VinciError
from vinci_offline.types import Columns


def record_on_ray(job: Job, folder: ShardFolder, ledger: Ledger, workers: int, report: Report) -> None:
    """Record the missing shards in Ray's workers. Shards come back through its object store and are published here.

    Ray restarts a worker that dies, and the worker records its shard again, with the same result.

    Raises:
        UsageError: Ray is not installed, or the job cannot be sent to another process.
        VinciError: a worker failed for good. Finished shards stay.
    """
    with ray_pool(_Worker, job, workers, failed, _lost) as pool:
        while not ledger.complete():
            while pool.idle and (index := ledger.take()) is not None:
                pool.start(index, "record", index, ledger.rows_before(index), ledger.needed(index))
            index, (columns, lengths) = pool.receive()
            ledger.rows[index] = folder.publish(index, columns, lengths)
            report(len(columns["rewards"]), len(lengths))


class _Worker:
    """Recorder in a process of the cluster. It makes environments and policies once and keeps them."""

    def __init__(self, job: Job) -> None:
        self._recorder = Recorder(job)

    def record(self, index: int, rows_before: int, needed: int | None) -> tuple[Columns, list[int]]:
        """Record a shard. Return its columns and the lengths of its episodes."""
        return self._recorder.record(index, rows_before, needed)


def _lost(reason: str) -> VinciError:
    return VinciError(f"a Ray worker was lost ({reason}): finished shards are kept, go on with --resume")
