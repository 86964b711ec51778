"""Grades what is new in a class folder: plans, sends jobs to the farm, and writes each result as it comes in.

The one writer: gradebook, executed notebook, then the record that says "done". Stopped anywhere, the next call goes on
where this one was: what has a record is not graded again, what has none is.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import CourseError
from ...tutor.catalog import Course
from . import farm, records
from .folder import ClassFolder, Submission
from .gradebook import Book, opened
from .graded import FAILED, GRADED, REPAIRED, Graded, Job, Limits
from .records import Record

LOCK = ".grading.lock"


@dataclass(frozen=True)
class Plan:
    """What there is to grade, and how many submissions are graded already."""

    new: tuple[Submission, ...] = ()
    done: int = 0
    releases: dict[str, str] = field(default_factory=dict)  # {lab: the hash of what grades it}


def plan(
    made: ClassFolder,
    course: Course,
    labs: Iterable[str],
    again: bool = False,
    students: Iterable[str] = (),
    seconds: float = 0.0,
) -> Plan:
    """Return what there is to grade in these labs; with `again` all of it, else what is new or has changed.

    What was stopped after fewer than `seconds` seconds counts as new.
    """
    labs, wanted = list(labs), set(students)
    releases = {lab: records.release_hash(made, course, lab) for lab in labs}
    new, done = [], 0
    for submission in made.submissions(labs):
        if wanted and submission.student not in wanted:
            continue
        record = None if again else records.load(made.root, submission.lesson, submission.student)
        key = records.key_of(submission, _read(submission), releases[submission.lesson]) if record else ""
        if record and record.key == key and not 0 < record.graded.time_limit < seconds:
            done += 1
        else:
            new.append(submission)
    return Plan(tuple(new), done, releases)


def grade(
    made: ClassFolder,
    course: Course,
    labs: Iterable[str],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    unsafe: bool = False,
    all_cells: bool = False,
    again: bool = False,
    students: Iterable[str] = (),
    limits: Limits | None = None,
    one: Callable[[Job], Graded] | None = None,
    began: Callable[[Plan], None] = lambda plan: None,
) -> Iterator[Record]:
    """Grade what is new, and yield each record once it is written. `one` grades a job; `began` is told the plan.

    Where `limits` are given, what was stopped by a shorter limit of time is graded again.
    """
    labs = list(labs)
    with _alone(made.root), opened(made) as book:
        todo = plan(made, course, labs, again, students, limits.wall_seconds if limits else 0.0)
        began(todo)
        _write_what_the_gradebook_lacks(made, book, labs, {(s.student, s.lesson) for s in todo.new})
        keys: dict[tuple[str, str], tuple[str, str]] = {}
        broken = [submission for submission in todo.new if submission.path is None]
        for submission in broken:
            key = records.key_of(submission, b"", todo.releases[submission.lesson])
            graded = Graded(submission.student, submission.lesson, FAILED, submission.trouble)
            yield _written(made, book, key, graded)
        jobs = _jobs(made, todo, keys, limits or Limits(), unsafe, all_cells)
        if len(broken) == len(todo.new):
            return
        for graded in farm.run(jobs, workers, scheduler, one):
            key, note = keys.pop((graded.student, graded.lesson))
            yield _written(made, book, key, _noted(graded, note))


def _jobs(made: ClassFolder, todo: Plan, keys: dict, limits: Limits, *how: bool) -> Iterator[Job]:
    """Yield a job for each new submission; what it was made of is noted in `keys`. Read one by one: a class is large."""
    sources = {lab: made.source(lab) for lab in todo.releases}
    for submission in todo.new:
        if submission.path is None:
            continue
        data = _read(submission)
        key = records.key_of(submission, data, todo.releases[submission.lesson])
        keys[submission.student, submission.lesson] = key, submission.note
        yield Job(submission.lesson, submission.student, sources[submission.lesson], data, limits, *how)


def _read(submission: Submission) -> bytes:
    try:
        return submission.path.read_bytes() if submission.path else b""
    except OSError:
        return b""  # it went away meanwhile: a damaged notebook, for the grader to report


def _noted(graded: Graded, note: str) -> Graded:
    """Add what was mended before the grader saw it."""
    if not note:
        return graded
    state = REPAIRED if graded.state == GRADED else graded.state
    return replace(graded, state=state, repairs=(note, *graded.repairs))


def _written(made: ClassFolder, book: Book, key: str, graded: Graded) -> Record:
    """Write one result: the record last, because it says that all the rest is there. One without a key is graded again."""
    if not graded.unfinished:
        book.save(graded)
    record = records.make("" if graded.unfinished else key, graded)
    records.save(made.root, record)
    return record


def _write_what_the_gradebook_lacks(made: ClassFolder, book: Book, labs: list[str], new: set[tuple[str, str]]) -> None:
    """Enter what was graded before into a gradebook that does not have it: one that was lost, or moved to a new address."""
    for lab in labs:
        there = None
        for record in records.load_all(made.root, lab):
            if (record.student, lab) in new or record.graded.unfinished:
                continue
            if there is None:
                book.enter(lab)
                there = book.scores(lab)
            if record.student not in there:
                book.save(record.graded)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the class folder: two that grade at once would grade twice."""
    from filelock import FileLock, Timeout

    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CourseError(
            f"Somebody is grading in {root} already.", "Wait for that to end, or stop it with Ctrl-C where it runs."
        ) from None
    try:
        yield
    finally:
        lock.release()
