"""Runs jobs on Dask workers: the cores of this machine, or a cluster whose scheduler is named. One code path for both.

A worker is stateless: a `Job` goes in, a `Graded` comes out. At most as many jobs are under way as there are workers, so
a worker that dies costs the one job that it had; that job runs again elsewhere, and after the third death it is reported
as failed. Must not import nbgrader: what is written, and where, is for the caller.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

from ...errors import CourseError
from .graded import FAILED, Graded, Job
from .records import package_hash

DEATHS = 2  # a job may outlive this many workers
PATIENCE_SECONDS = 20  # for a scheduler to answer, and for its workers to come
SETTINGS = {
    "distributed.scheduler.allowed-failures": DEATHS,
    "distributed.scheduler.work-stealing": False,
    # A job is short or long, never big: nothing is to be paused or spilled because a sandbox beside it uses memory.
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.admin.tick.limit": "60s",
    # No pages about what runs: nobody asked for them, and they would be open to whoever else uses this machine.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "logging": {"distributed": "critical", "distributed.nanny": "critical"},
}


def run(
    jobs: Iterable[Job],
    workers: int | None = None,
    scheduler: str | None = None,
    grade: Callable[[Job], Graded] | None = None,
) -> Iterator[Graded]:
    """Yield what became of each job, in the order in which they end; stopping early leaves nothing running."""
    if grade is None:
        from .worker import grade_one as grade
    try:
        import dask
        import distributed  # noqa: F401  its own settings first: what is set before them is lost with the block
    except ImportError:
        raise CourseError(
            "Grading in parallel needs the library distributed, which is not installed.",
            'Run: pip install "mechinterp-course[class]"',
        ) from None
    with dask.config.set(SETTINGS), _connected(workers, scheduler) as client:
        yield from _stream(client, iter(jobs), grade)


def _stream(client, jobs: Iterator[Job], grade: Callable[[Job], Graded]) -> Iterator[Graded]:
    from distributed import as_completed

    waiting: dict[str, Job] = {}
    done = as_completed()

    def refill() -> None:
        """Give every free worker a job; workers may have come or gone."""
        free = max(1, _threads(client)) - len(waiting)
        for _, job in zip(range(free), jobs, strict=False):
            future = client.submit(
                _work, grade, job, key=f"{job.lesson}/{job.student}/{os.urandom(4).hex()}", pure=False
            )
            waiting[future.key] = job
            done.add(future)

    try:
        refill()
        while waiting:
            future = next(done)
            job = waiting.pop(future.key)
            result = _result(future, job)
            future.release()
            refill()  # first, so that nobody waits while the result is written
            yield result
    finally:
        if waiting:
            client.cancel(list(done.futures), force=True)


def _threads(client) -> int:
    """Return how many jobs the workers can run at once."""
    if client.status != "running":  # a job that it takes now would never end
        raise _lost()
    try:
        return sum(client.nthreads().values())
    except OSError:
        raise _lost() from None


def _work(grade: Callable[[Job], Graded], job: Job) -> Graded:
    """What runs on a worker."""
    return grade(job)


def _result(future, job: Job) -> Graded:
    """Return the job's result; where its workers died or the grader itself broke, a failure that says so."""
    if future.status == "finished":
        try:
            return future.result()
        except CancelledError:  # lost on its way
            raise _lost() from None
    if future.status in ("cancelled", "lost"):  # by Dask: nobody else takes a job back
        raise _lost()
    error = future.exception() if future.status == "error" else None
    if isinstance(error, CourseError):  # refused, as where there is no sandbox: true of every submission
        raise error
    if type(error).__name__ == "KilledWorker":
        reason = f"The grading process died {DEATHS + 1} times while it worked on this submission."
        return Graded(job.student, job.lesson, FAILED, reason)
    said = " ".join(str(error).split())[:200]
    reason = f"The grader itself failed on this submission ({type(error).__name__}: {said})."
    return Graded(job.student, job.lesson, FAILED, reason, unfinished=True)


def _lost() -> CourseError:
    return CourseError(
        "The connection to the scheduler was lost.", "Run the same command again; what is graded is kept."
    )


@contextlib.contextmanager
def _connected(workers: int | None, scheduler: str | None):
    """Yield a client of the named scheduler, or of a cluster of this machine's cores that ends with the block."""
    from distributed import Client, LocalCluster

    if scheduler:
        with _client(Client, scheduler) as client:
            _same_everywhere(client)
            yield client
        return
    # What workers leave behind, killed ones too, lies in one folder and goes with it.
    with tempfile.TemporaryDirectory(prefix="mi-farm-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o711)  # a box of another user's may have to pass through
        cluster = LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            host="127.0.0.1",
            security=True,  # keys of this run alone: a scheduler runs whatever anybody sends it
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            memory_limit=0,  # the sandbox limits a submission; a worker needs little
            silence_logs=60,
            local_directory=scratch,
            env={"TMPDIR": scratch},
            preload=["mechinterp_course.course.grading.calm"],
        )
        with cluster, Client(cluster) as client:
            yield client


def _client(kind, scheduler: str):
    try:
        client = kind(scheduler, timeout=PATIENCE_SECONDS)
        client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
    except ValueError as error:
        raise CourseError(
            f"{scheduler!r} is not a scheduler's address ({error}).", "Like this: tcp://10.0.0.5:8786"
        ) from None
    except (OSError, TimeoutError):
        raise CourseError(
            f"No scheduler with workers answers at {scheduler}.",
            "Start one there with `dask scheduler`, and on every machine that grades `dask worker ADDRESS --nthreads 1`.",
        ) from None
    return client


def _same_everywhere(client) -> None:
    """Refuse workers whose course differs from this one: they would grade by other checks."""
    try:
        found = client.run(package_hash)
    except ImportError:
        found = {client.scheduler.address: ""}
    here = package_hash()
    other = sorted(address for address, theirs in found.items() if theirs != here)
    if other:
        raise CourseError(
            f"{len(other)} of {len(found)} workers have another version of the course, or none ({other[0]} is one).",
            "Install the same mechinterp-course[class] on every machine, and start the workers again.",
        )
