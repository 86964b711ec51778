"""Lessons run once, in a kernel without a network, and kept until the lesson, the package or a version changes."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat

from ...errors import CourseError
from ...tutor.catalog import Course, Lesson
from ..build import lesson_notebook
from ..contract import fingerprint
from ..kernels import Run, run

SECONDS = 600  # a lesson has 120 in the contract; its section on the fetched model comes on top


def executed(
    course: Course, lessons: Iterable[Lesson], jobs: int, tell: Callable[[str], None]
) -> Iterator[tuple[Lesson, nbformat.NotebookNode]]:
    """Yield each lesson with its notebook as it looks after running. Raises CourseError where one stops or raises."""
    missing = []
    for lesson in lessons:
        kept = _kept(course, lesson)
        if kept is None:
            missing.append(lesson)
        else:
            yield lesson, kept
    with ThreadPoolExecutor(max(1, jobs)) as pool:  # each kernel is a process of its own
        running = {pool.submit(_run, course, lesson): lesson for lesson in missing}
        try:
            for number, done in enumerate(as_completed(running), 1):
                lesson = running[done]
                tell(f"{number} of {len(missing)} lessons run, {lesson.number} {lesson.title}")
                yield lesson, _whole(lesson, done.result(), _memory(course, lesson))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run(course: Course, lesson: Lesson) -> Run:
    from ...interp.fetch import cache_folder

    # With the fetched model, where somebody has fetched it: the site then shows those sections, too.
    environment = {"MECHINTERP_CONTENT": str(course.root), "MECHINTERP_CACHE": str(cache_folder())}
    return run(lesson_notebook(course, lesson), SECONDS, environment)


def _whole(lesson: Lesson, done: Run, memory: Path) -> nbformat.NotebookNode:
    if done.stopped or done.errors:
        cell, name, message = done.errors[0] if done.errors else (done.cell, done.stopped, "")
        raise CourseError(
            f"Lesson {lesson.number} does not run: {name} {message} in the cell {cell}.".replace("  ", " "),
            f"`mechinterp author check {lesson.number}` says more.",
        )
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(done.notebook, memory)
    except OSError:  # a cache that cannot be written costs time, nothing else
        pass
    return done.notebook


def _memory(course: Course, lesson: Lesson) -> Path:
    from platformdirs import user_cache_path

    from ...interp.fetch import cache_folder

    there = "with" if (cache_folder() / "smollm2").is_dir() else "without"
    return user_cache_path("mechinterp-course") / "site" / f"{fingerprint(course, lesson)}-{there}.ipynb"


def _kept(course: Course, lesson: Lesson) -> nbformat.NotebookNode | None:
    path = _memory(course, lesson)
    try:
        return nbformat.read(path, as_version=4) if path.is_file() else None
    except Exception:  # half a file, or a foreign one: run the lesson again
        return None
