"""`grade_one(job)`: a submission in, points and the executed notebook out. Stateless: it keeps warm processes, and nothing of any student.

First all cells run in the box, one after the other; where a check cell stands, the box keeps a copy of the process. Then each
copy is examined from outside. So nothing of the hidden inputs is there while cells can still show something. A cell that does
not end is interrupted, one that ends its process is left out in a second attempt, and what was earned stays earned: the checks
have a time of their own, however long the cells took.
"""

import contextlib
import json
import socket
import time
from dataclasses import dataclass, field, replace

import nbformat

from ...errors import CourseError
from ...tutor.catalog import course
from . import flags, harmless, needed, release, warm
from .graded import FAILED, GRADED, REPAIRED, Graded, Job, Outcome
from .meter import Meter
from .rebuild import Cell, Rebuilt, rebuild
from .wire import Broken, Wire

GRACE_SECONDS = 5.0  # for an interrupted cell to end
ATTEMPTS = 3  # how often the cells are started: once, and again without a cell that ended its process


@dataclass
class Page:
    """What became of a cell when it ran."""

    outputs: list = field(default_factory=list)
    count: int | None = None
    seconds: float = 0.0


IDLE = Page([{"output_type": "stream", "name": "stdout", "text": needed.SAID + "\n"}])


@dataclass
class Run:
    """A notebook on its way through the box."""

    job: Job
    cells: list[Cell]
    deadline: float  # for the cells, and then for the checks
    pages: dict[str, Page] = field(default_factory=dict)
    answers: dict[str, socket.socket] = field(default_factory=dict)  # by check cell: our end of the way to its copy
    idle: set[str] = field(default_factory=set)  # cells that only show something: they do not run
    left_out: dict[str, str] = field(default_factory=dict)  # cells that ended their process, and how
    reason: str = ""
    out_of_time: bool = False

    def close(self) -> None:
        for one in self.answers.values():
            one.close()


def grade_one(job: Job) -> Graded:
    """Return what became of a submission. Whatever it does, this returns; it raises only where nothing can be graded here."""
    started = time.monotonic()
    made = release.read(job.source)
    try:
        rebuilt = rebuild(made, job.submission)
    except CourseError as unreadable:
        return _failed(job, made, str(unreadable), started)
    except Exception as error:  # whatever a file holds, it stops no other
        return _failed(
            job, made, f"The file could not be read as a notebook ({type(error).__name__}: {error}).", started
        )
    try:
        return _run_and_judge(job, made, rebuilt, started)
    except CourseError:  # nothing can be graded here: no box, no class source
        raise
    except Exception as error:
        reason = f"Grading it stopped ({type(error).__name__}: {error}). Grade it again."
        return replace(_failed(job, made, reason, started), unfinished=True)


def _run_and_judge(job: Job, made: release.Release, rebuilt: Rebuilt, started: float) -> Graded:
    with warm.bench(course(), job.unsafe) as bench:
        lesson = course().lesson(job.lesson)
        session = bench.session(job.limits, made.modules, _models(lesson))
        with contextlib.closing(session), Meter(session.process.pid, job.limits.memory_mib) as meter:
            idle = set() if job.all_cells else needed.not_needed(rebuilt.cells)
            run = Run(job, rebuilt.cells, time.monotonic() + job.limits.wall_seconds, idle=idle)
            with contextlib.closing(run):
                _run_cells(run, session)
                session.order("kill")
                run.deadline = time.monotonic() + job.limits.wall_seconds
                outcomes = tuple(_examine(run, bench, cell) for cell in run.cells if cell.role == "check")
    return _graded(job, made, rebuilt, run, outcomes, meter, started)


def _models(lesson) -> list[str]:
    """Return the bundled models that a lesson's lab or checks name."""
    from ...interp import models

    text = "".join((lesson.folder / name).read_text(encoding="utf-8") for name in ("lab.py", "checks.py"))
    return [entry.name for entry in models.catalogue() if entry.kind == "bundled" and f'"{entry.name}"' in text]


# --- running the cells -----------------------------------------------------------------------------------------------


def _run_cells(run: Run, session: warm.Session) -> None:
    """Run all code cells; start again without a cell that ended its process."""
    for attempt in range(ATTEMPTS):
        ended_in = _attempt(run, session)
        if ended_in is None:
            return
        cell, how = ended_in
        run.left_out[cell.id] = how
        page = run.pages.setdefault(cell.id, Page())
        page.outputs.append(_error("Stopped", f"{how} The notebook went on without this cell."))
        if _is_over(run, cell):
            return
        if attempt == ATTEMPTS - 1:
            run.reason = f"Its process ended {ATTEMPTS} times, the last time in the cell {cell.id}; the cells behind it did not run."


def _is_over(run: Run, last: Cell | None) -> bool:
    """Whether the time for the cells has passed; then the reason says at which cell."""
    if time.monotonic() < run.deadline:
        return False
    where = f"; the cells behind {last.id} did not run" if last else ""
    run.reason = f"It had not ended after {run.job.limits.wall_seconds:.0f} seconds{where}."
    run.out_of_time = True
    return True


def _attempt(run: Run, session: warm.Session) -> tuple[Cell, str] | None:
    """Run the cells in a new process; return the cell in which it ended, and how, or None when all have run, or the time is over."""
    checks = [cell for cell in run.cells if cell.role == "check" and cell.id not in run.answers]
    pairs = {cell.id: socket.socketpair() for cell in checks}
    ours, theirs = socket.socketpair()
    session.order("run", [theirs, *(pair[1] for pair in pairs.values())])
    for one in (theirs, *(pair[1] for pair in pairs.values())):
        one.close()
    wire, places = Wire(ours), {cell.id: at for at, cell in enumerate(checks)}
    before = None
    try:
        for cell in run.cells:
            if cell.kind != "code" and cell.role not in ("answer", "code") or cell.id in {*run.left_out, *run.idle}:
                continue
            if cell.role == "check" and cell.id not in places:
                continue
            if _is_over(run, before):
                return None
            asked = {"do": "run", "source": cell.source}
            if cell.role == "check":
                asked = {"do": "snapshot", "at": places[cell.id], "exercise": cell.release.exercise}
            how = _one(run, session, wire, cell, asked)
            if how:  # a check cell runs nothing of the student's: what stops there was begun in the cell before
                return (cell if cell.role != "check" or before is None else before), how
            if cell.role == "check":
                run.answers[cell.id] = pairs[cell.id][0]
            else:
                before = cell
    finally:
        ours.close()
        for id, pair in pairs.items():
            if run.answers.get(id) is not pair[0]:
                pair[0].close()
    return None


def _one(run: Run, session: warm.Session, wire: Wire, cell: Cell, asked: dict) -> str:
    """Run one cell and keep what it showed; return how its process ended, or "" when it goes on."""
    started = time.monotonic()
    limits = run.job.limits
    until = min(started + limits.cell_seconds, run.deadline)
    not_ended = f"It had not ended after {limits.cell_seconds:.0f} seconds"
    if until == run.deadline:
        not_ended = f"The notebook's {limits.wall_seconds:.0f} seconds were over before it had ended"
    interrupted = False
    try:
        wire.deadline = until
        wire.send(asked)
        while True:
            ready = warm.wait_for([wire.socket, session.control], until)
            if wire.socket in ready:
                break
            if session.control in ready:
                if warm.news(session.control).get("do", "gone") in ("ended", "gone"):
                    return "It ended its process (out of memory, or stopped by its own code)."
            elif time.monotonic() >= until and not interrupted:
                interrupted, until = True, time.monotonic() + GRACE_SECONDS
                session.order("interrupt")
            elif time.monotonic() >= until:
                return _end(session, f"{not_ended}, and it could not be interrupted.")
        wire.deadline = max(until, time.monotonic() + GRACE_SECONDS)
        said, _ = wire.receive()
    except TimeoutError:
        return _end(session, "It stopped answering.")
    except Broken as broken:
        _end(session, "")
        return (
            "It ended its process (out of memory, or stopped by its own code)."
            if str(broken) == "it ended"
            else "What it showed could not be read."
        )
    count = said.get("count")
    outputs = harmless.outputs(said.get("outputs"))
    if interrupted:
        outputs.append(_error("Stopped", f"{not_ended}, and it was interrupted."))
    if cell.id not in run.pages:  # a second attempt shows nothing twice
        run.pages[cell.id] = Page(outputs, count if type(count) is int else None, time.monotonic() - started)
    return ""


def _end(session: warm.Session, how: str) -> str:
    """Have the process of the cells killed, and wait until it is."""
    session.order("kill")
    until = time.monotonic() + GRACE_SECONDS
    while session.control in warm.wait_for([session.control], until):
        if warm.news(session.control).get("do", "gone") in ("ended", "gone"):
            break
    return how


# --- examining -------------------------------------------------------------------------------------------------------


def _examine(run: Run, bench: warm.Bench, cell: Cell) -> Outcome:
    """Examine the copy of the process that was kept at a check cell."""
    ours, name = cell.release, cell.release.exercise
    left = run.deadline - time.monotonic()
    over = run.answers.get(cell.id)
    found = None
    if over is None:
        told = f"✗ {name}\nIts check was not reached. {run.reason}".strip()
    elif left <= 0:
        told = f"✗ {name}\nThe time for checks was over before its check."
        late = f"Its checks took longer than {run.job.limits.wall_seconds:.0f} seconds; not every one was reached."
        run.reason, run.out_of_time = run.reason or late, True
    else:
        found = bench.examine(over, name, ours.seed, min(run.job.limits.cell_seconds, left))
        told = "\n".join(found["lines"]) if found else f"✗ {name}\nIts checks did not end on what {name} returned."
    passed = bool(found and found["visible"] and found["hidden"])
    return Outcome(
        grade_id=ours.grade_id,
        exercise=name,
        points=ours.points if passed else 0.0,
        max_points=ours.points,
        passed=passed,
        hidden=found["hidden"] if found else None,
        told=told,
        mistake=found["mistake"] if found else "",
        seconds=found["seconds"] if found else 0.0,
    )


# --- what comes out --------------------------------------------------------------------------------------------------


def _graded(job, made, rebuilt: Rebuilt, run: Run, outcomes, meter: Meter, started: float) -> Graded:
    code = [(cell.id, cell.source) for cell in rebuilt.cells if cell.kind == "code" and cell.role != "check"]
    release_code = {cell.source.strip() for cell in made.cells}
    code = [(id, source) for id, source in code if source.strip() not in release_code]
    suspicious = [*rebuilt.flags, *flags.flags(code)]
    reason = run.reason
    if meter.ended and not reason:
        reason = f"It used more than {job.limits.memory_mib} MiB of memory; {meter.ended} of its processes were ended."
    return Graded(
        student=job.student,
        lesson=job.lesson,
        state=REPAIRED if rebuilt.repairs else GRADED,
        reason=reason,
        outcomes=outcomes,
        repairs=tuple(rebuilt.repairs),
        flags=tuple(dict.fromkeys(suspicious)),
        notebook=_notebook(made, rebuilt, run, outcomes),
        wall_s=time.monotonic() - started,
        peak_mib=meter.peak_mib,
        time_limit=job.limits.wall_seconds if run.out_of_time else 0.0,
    )


def _failed(job: Job, made: release.Release, reason: str, started: float) -> Graded:
    outcomes = tuple(
        Outcome(
            cell.grade_id,
            cell.exercise,
            0.0,
            cell.points,
            False,
            None,
            f"✗ {cell.exercise}\nThe notebook could not be graded.",
        )
        for cell in made.checks
    )
    return Graded(job.student, job.lesson, FAILED, reason, outcomes, wall_s=time.monotonic() - started)


def _notebook(made: release.Release, rebuilt: Rebuilt, run: Run, outcomes: tuple[Outcome, ...]) -> str:
    """Return the executed notebook: the release's cells and metadata, what the cells showed, and the verdicts in the check cells."""
    verdicts = {outcome.grade_id: outcome for outcome in outcomes}
    cells = []
    for cell in rebuilt.cells:
        kind = "code" if cell.role in ("answer", "code") else cell.kind
        source = cell.source if cell.release is not None or kind == "code" else harmless.markdown(cell.source)
        one = {"cell_type": kind, "id": cell.id, "source": source}
        one["metadata"] = json.loads(cell.release.metadata) if cell.release else {}
        if kind == "code":
            page = run.pages.get(cell.id, IDLE if cell.id in run.idle else Page())
            shown = _verdict(verdicts[cell.release.grade_id]) if cell.role == "check" else page.outputs
            one |= {"execution_count": page.count, "outputs": shown}
        cells.append(one)
    notebook = {"cells": cells, "metadata": json.loads(made.metadata), "nbformat": 4, "nbformat_minor": 5}
    return nbformat.writes(nbformat.from_dict(notebook)) + "\n"


def _verdict(outcome: Outcome) -> list[dict]:
    if outcome.passed:
        return [{"output_type": "stream", "name": "stdout", "text": outcome.told + "\n"}]
    lines = outcome.told.splitlines()
    return [{"output_type": "error", "ename": "CheckFailed", "evalue": outcome.told, "traceback": lines}]


def _error(name: str, said: str) -> dict:
    return {"output_type": "error", "ename": name, "evalue": said, "traceback": [f"{name}: {said}"]}
