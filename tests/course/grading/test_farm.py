"""The farm: a named scheduler with several worker processes, one of which is killed; and what it says when it cannot work."""

import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import dask
import pytest
import stand_in
from classes import LAB, SUMS, submit

from mechinterp_course.course.grading import farm, records, session
from mechinterp_course.course.grading.graded import Job
from mechinterp_course.errors import CourseError


def jobs(made, count, answer="right"):
    notebook = submit(made, "model", {"row_sums": SUMS}).read_text().replace("right", answer)
    return [Job(LAB, f"s{i}", made.source(LAB), notebook) for i in range(count)]


@pytest.fixture
def cluster(made):
    """A scheduler and four worker processes, as on several machines; a dead worker is not replaced."""
    from distributed import LocalCluster

    records.package_hash.cache_clear()  # the workers read the package now; so does this process
    with dask.config.set({"distributed.nanny.terminate": "0s", **farm.SETTINGS}):
        options = {
            "n_workers": 4,
            "threads_per_worker": 1,
            "dashboard_address": None,
            "host": "127.0.0.1",
            "silence_logs": 60,
        }
        with LocalCluster(**options) as running:
            yield running


def test_one_of_four_workers_is_killed(made, cluster, calls):
    """Its job runs again elsewhere; no other job runs twice, and none is lost."""
    pids = [nanny.pid for nanny in cluster.workers.values()]
    running = farm.run(jobs(made, 16, "right SLOW"), scheduler=cluster.scheduler_address, grade=stand_in.grade)
    first = next(running)
    os.kill(pids[0], signal.SIGKILL)
    done = [first, *running]
    assert sorted(graded.student for graded in done) == sorted(f"s{i}" for i in range(16))
    assert all(graded.points == 1 for graded in done)
    assert calls() in (16, 17), "at most the job of the killed worker ran again"


def test_no_more_jobs_are_under_way_than_there_are_workers(made, cluster, calls):
    taken = []

    def noted():
        for job in jobs(made, 12):
            taken.append(job.student)
            yield job

    running = farm.run(noted(), scheduler=cluster.scheduler_address, grade=stand_in.grade)
    next(running)
    assert len(taken) <= 5
    running.close()


def test_workers_with_another_course_are_refused(made, cluster, monkeypatch):
    monkeypatch.setattr(farm, "package_hash", PretendHash())
    with pytest.raises(CourseError, match="4 of 4 workers have another version of the course"):
        next(farm.run(jobs(made, 1), scheduler=cluster.scheduler_address, grade=stand_in.grade))


class PretendHash:
    """Answers one thing here and another on the workers."""

    def __init__(self, here=None):
        self.here = here or os.getpid()

    def __call__(self):
        return "here" if os.getpid() == self.here else "there"

    def __reduce__(self):
        return PretendHash, (self.here,)


@pytest.mark.parametrize(
    "address, says",
    [("tcp://127.0.0.1:1", "No scheduler with workers answers"), ("10.0.0.5", "answers at|not a scheduler")],
)
def test_a_scheduler_that_does_not_answer_is_told(made, address, says, monkeypatch):
    monkeypatch.setattr(farm, "PATIENCE_SECONDS", 2)
    with pytest.raises(CourseError, match=says):
        next(farm.run(jobs(made, 1), scheduler=address if "127" in address else "nonsense://x", grade=stand_in.grade))


def test_a_lost_connection_is_no_failure_of_a_student(made, course):
    """What was under way then has no record, so the next call grades it."""
    from distributed import LocalCluster

    for i in range(4):
        submit(made, f"s{i}", {"row_sums": SUMS}, "SLOW")
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "protocol": "tcp", "host": "127.0.0.1"}
    with LocalCluster(**options, dashboard_address=None, silence_logs=60) as running:
        grading = session.grade(made, course, [LAB], scheduler=running.scheduler_address, one=stand_in.grade)
        done = [next(grading).student]
        running.close()
        with pytest.raises(CourseError, match="connection to the scheduler was lost. .*same command again"):
            done += [record.student for record in grading]
    kept = records.load_all(made.root, LAB)
    assert [record.student for record in kept] == sorted(done) and len(done) < 4
    assert all(record.graded.points == 1 for record in kept)


@pytest.mark.parametrize("status", ["closed", "connecting", "running"])
def test_a_client_that_has_lost_its_scheduler_is_given_no_jobs(status):
    class Client:
        def nthreads(self):
            raise OSError("Timed out trying to connect")

    Client.status = status
    with pytest.raises(CourseError, match="connection to the scheduler was lost"):
        farm._threads(Client())


def test_stopping_leaves_no_process_behind(made, course):
    for i in range(4):
        submit(made, f"s{i}", {"row_sums": SUMS}, "SLOW")
    before, files = threading.active_count(), _farms()
    running = session.grade(made, course, [LAB], workers=1, one=stand_in.grade)
    next(running)
    running.close()
    for _ in range(100):
        if not _worker_processes():
            break
        time.sleep(0.1)
    assert not _worker_processes()
    assert _farms() == files
    assert threading.active_count() <= before + 4  # Dask keeps a pool of threads for its own use


def _farms() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("mi-farm-*"))


def _worker_processes() -> list[str]:
    """Return the command lines of this process's descendants that are Dask workers."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            line = (status.parent / "cmdline").read_text()
        except (OSError, IndexError):
            continue
        if parent == os.getpid() and "spawn_main" in line:
            found.append(line)
    return found
