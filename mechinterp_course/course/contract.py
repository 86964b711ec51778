"""The contract: every rule that a lesson must satisfy, and `check`, which applies them all and reports.

The rules stand in `rules/`. A lesson that satisfied them is remembered by a hash of all that it depends on, so that
`mechinterp author check` is quick; where CI is set, nothing is remembered.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path

from ..tutor.catalog import PACKAGE, Course, Lesson, course, notebooks_root
from .markup import lab_path, lesson_path, solution_path
from .rules.base import COURSE, RULES, Finding

_MEASURED_WITH = ("torch", "transformer-lens", "nbgrader", "ipykernel", "plotly")
_ABOUT_WRONG_ANSWERS = ("wrong-answers-return", "wrong-answers-caught", "wrong-answers-named")


@dataclass
class Report:
    """What the contract found in some lessons, and how much it looked at."""

    lessons: int = 0
    exercises: int = 0
    wrong_answers: int = 0
    wrong_answers_caught: int = 0
    variations: int = 0
    seconds: float = 0.0
    remembered: int = 0  # lessons that had not changed since they last satisfied every rule
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.findings

    def add(self, other: "Report") -> None:
        for name in ("lessons", "exercises", "wrong_answers", "wrong_answers_caught", "variations", "remembered"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.findings += other.findings

    def as_dict(self) -> dict:
        return {**asdict(self), "sound": self.sound, "seconds": round(self.seconds, 1)}

    def as_json(self) -> str:
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False)

    def lines(self) -> list[str]:
        """Return the report as a person reads it: one line a finding, then one with the counts."""
        counts = (
            f"{_count(self.lessons, 'lesson')}, {_count(self.exercises, 'exercise')}, "
            f"{self.wrong_answers_caught} of {_count(self.wrong_answers, 'wrong answer')} caught, "
            f"{_count(self.variations, 'variation')}, {self.seconds:.1f} seconds"
        )
        remembered = f" ({self.remembered} unchanged since the last check)" if self.remembered else ""
        verdict = "sound" if self.sound else _count(len(self.findings), "finding")
        return [
            *(f"✗ {finding}" for finding in self.findings),
            f"{'✓' if self.sound else '✗'} {verdict}: {counts}{remembered}",
        ]


def rules() -> dict[str, str]:
    """Return every rule's name and its sentence."""
    return {name: rule.says for name, rule in _registry().items()}


def check(
    book: Course,
    lessons: Iterable[str] | None = None,
    jobs: int | None = None,
    cached: bool = True,
    progress: Callable[[str], None] | None = None,
    kernels: bool = True,
) -> Report:
    """Apply every rule to the named lessons (none = all, and the rules about the course as a whole), and report.

    `progress` is called with a line of text as each lesson is done. `jobs` lessons are checked at a time. Without
    `kernels`, the rules that run notebooks are left out, and nothing is remembered.
    """
    started, tell = time.perf_counter(), progress or (lambda line: None)
    chosen = [book.lesson(name) for name in lessons] if lessons else list(book.lessons)
    remember = cached and kernels and not os.environ.get("CI")
    report, todo = Report(), []
    for lesson in chosen:
        known = _remembered(book, lesson) if remember else None
        if known is None:
            todo.append(lesson)
        else:
            report.add(known)
            tell(f"{lesson.stem}: unchanged")
    for lesson, found in _checked(book, todo, jobs or os.cpu_count() or 1, kernels):
        if remember and found.sound:
            _remember(book, lesson, found)
        report.add(found)
        tell(f"{lesson.stem}: {'sound' if found.sound else _count(len(found.findings), 'finding')}")
    if not lessons and not any(finding.rule == "readable" for finding in report.findings):
        about_course = [rule for rule in _registry().values() if rule.about == COURSE]
        report.findings += [f for rule in about_course if kernels or not rule.needs_kernel for f in rule(book)]
    report.findings.sort(key=lambda f: (f.lesson, f.exercise or "", f.rule, f.cell or ""))
    report.seconds = time.perf_counter() - started
    return report


def check_lesson(book: Course, lesson: Lesson, kernels: bool = True) -> Report:
    """Apply every rule about lessons to one of them; without `kernels`, those that run no notebook."""
    registry = _registry()
    findings = registry["readable"](book, lesson)
    if findings:  # nothing else can be looked at
        return Report(lessons=1, findings=findings)
    for name, rule in registry.items():
        if rule.about != COURSE and name != "readable" and (kernels or not rule.needs_kernel):
            findings += rule(book, lesson)
    checked = book.checks(lesson).values()
    wrong = {(exercise.name, one.name) for exercise in checked for one in exercise.wrong_answers}
    missed = {(f.exercise, f.cell) for f in findings if f.rule in _ABOUT_WRONG_ANSWERS}
    return Report(
        lessons=1,
        exercises=len(lesson.exercises),
        wrong_answers=len(wrong),
        wrong_answers_caught=len(wrong - missed),
        variations=sum(len(exercise.variations) for exercise in checked),
        findings=findings,
    )


def _registry() -> dict:
    from . import rules

    return rules.RULES


def _checked(book: Course, lessons: list[Lesson], jobs: int, kernels: bool) -> Iterable[tuple[Lesson, Report]]:
    """Yield each lesson with its report, several at a time where there are several."""
    if min(jobs, len(lessons)) <= 1:
        for lesson in lessons:
            yield lesson, check_lesson(book, lesson, kernels)
        return
    with ProcessPoolExecutor(min(jobs, len(lessons)), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_check_by_name, book.root, lesson.id, kernels): lesson for lesson in lessons}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_by_name(root: Path, lesson_id: str, kernels: bool) -> Report:
    import torch

    torch.set_num_threads(1)  # as many lessons as cores are checked at a time
    book = course(root)
    return check_lesson(book, book.lesson(lesson_id), kernels)


# --- what was sound before --------------------------------------------------------------------------------------------


def fingerprint(book: Course, lesson: Lesson) -> str:
    """Return a hash of all that a lesson's report depends on: its folder, the package, its notebooks, the versions."""
    digest = hashlib.sha256()
    root = notebooks_root()
    files = [path for path in sorted(lesson.folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    files += [book.root / name for name in ("course.toml", "glossary.toml", "papers.toml")]
    files += [root / path(lesson) for path in (lesson_path, lab_path, solution_path)]
    files.append(PACKAGE.parent / "constraints.txt")
    for path in files:
        digest.update(f"{path.name}\0".encode() + (path.read_bytes() if path.is_file() else b"") + b"\0")
    digest.update(_package_fingerprint().encode())
    return digest.hexdigest()


@cache
def _package_fingerprint() -> str:
    """Return a hash of the package's code and models, without the lessons, and of the versions they run on."""
    digest = hashlib.sha256(sys.version.encode())
    for name in _MEASURED_WITH:
        try:
            digest.update(f"{name} {version(name)}\0".encode())
        except PackageNotFoundError:
            digest.update(f"{name} none\0".encode())
    for path in sorted(PACKAGE.rglob("*")):
        inside = path.relative_to(PACKAGE).parts
        if path.is_file() and not {"content", "_notebooks", "__pycache__"} & set(inside):
            digest.update(f"{'/'.join(inside)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _memory(book: Course, lesson: Lesson) -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("mechinterp-course") / "contract" / f"{fingerprint(book, lesson)}.json"


def _remembered(book: Course, lesson: Lesson) -> Report | None:
    """Return the report of a lesson that satisfied every rule and has not changed since, or None."""
    try:
        return Report(**json.loads(_memory(book, lesson).read_text(encoding="utf-8")), remembered=1)
    except (OSError, ValueError, TypeError):
        return None


def _remember(book: Course, lesson: Lesson, report: Report) -> None:
    counts = {
        name: getattr(report, name)
        for name in ("lessons", "exercises", "wrong_answers", "wrong_answers_caught", "variations")
    }
    try:
        path = _memory(book, lesson)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(counts), encoding="utf-8")
    except OSError:  # a cache that cannot be written costs time, nothing else
        return


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


__all__ = ["RULES", "Finding", "Report", "check", "check_lesson", "rules"]
