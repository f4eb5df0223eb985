"""Workers of a Ray cluster that take tasks, for collecting and for evaluating."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe


class RayPool:
    """Ray's workers, each an object of one class. Ray restarts a worker that dies, and it does its task again.

    Args:
        ray: the package.
        workers: the actors.
        failed: makes the error for an exception of the environment or the policy, of its description.
        lost: makes the error for a worker that is lost for good, of the reason.
    """

    def __init__(
        self,
        ray: Any,
        workers: list[Any],
        failed: Callable[[str], VinciError],
        lost: Callable[[str], VinciError],
    ) -> None:
        self._ray, self._idle, self._failed, self._lost = ray, workers, failed, lost
        self._busy: dict[Any, tuple[Any, Any]] = {}

    @property
    def idle(self) -> bool:
        """True while a worker has no task."""
        return bool(self._idle)

    def start(self, key: Any, method: str, *arguments: Any) -> None:
        """Let an idle worker call one of its methods; ``key`` tells the task apart."""
        worker = self._idle.pop()
        self._busy[getattr(worker, method).remote(*arguments)] = key, worker

    def receive(self) -> tuple[Any, Any]:
        """Wait for a task to end. Return its key and its result.

        Raises:
            VinciError: it failed, or its worker was lost for good.
        """
        ray = self._ray
        (done, *_), _ = ray.wait(list(self._busy), num_returns=1)
        key, worker = self._busy.pop(done)
        try:
            result = ray.get(done)
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", error)
            raise cause if isinstance(cause, VinciError) else self._failed(describe(cause)) from None
        except ray.exceptions.RayError as error:
            raise self._lost(" ".join(str(error).split())[:300]) from error
        self._idle.append(worker)
        return key, result


@contextmanager
def ray_pool(
    worker: type,
    job: Any,
    workers: int,
    failed: Callable[[str], VinciError],
    lost: Callable[[str], VinciError],
) -> Iterator[RayPool]:
    """Give workers ``worker(job)`` of a Ray cluster; end them afterwards.

    A cluster that is already connected is used; then the cluster that ``RAY_ADDRESS`` names; otherwise one is started
    on this machine and stopped at the end. Each worker must find the modules and files of the environment and the
    policies under the same paths as this process.

    Raises:
        UsageError: Ray is not installed, or the job cannot be sent to another process.
        VinciError: Ray cannot be reached or started.
    """
    ray = _ray()
    # Ray prints what it notices, such as a dead worker, on standard output, where results belong.
    with redirect_stdout(sys.stderr), _cluster(ray, workers):
        remote = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(worker)
        try:
            started = [remote.remote(job) for _ in range(workers)]
        except TypeError as error:
            raise UsageError(
                f"the policy or the environment cannot be sent to a worker ({describe(error)}): use a function at the "
                "top level of a module"
            ) from error
        try:
            yield RayPool(ray, list(started), failed, lost)
        finally:
            # All is done, or the work failed: what workers still do is not needed.
            for each in started:
                ray.kill(each)


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
