"""A grader that runs nothing, for tests of what is around grading: points by words in the answers, and accidents on demand.

An answer that holds "right" earns its points. KILL-ONCE ends the worker's process the first time, KILL-ALWAYS every time;
SLOW takes half a second, LATE is stopped by the limit of time; BREAK raises; MEND is reported as repaired, ODD as flagged.
"""

import json
import os
import time
from pathlib import Path

from mechinterp_course.course.grading.graded import FAILED, GRADED, REPAIRED, Graded, Job, Outcome
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor.notebook import by_id, is_check, source

DIARY = "STAND_IN_DIARY"  # names a folder in which every call leaves a file


def grade(job: Job) -> Graded:
    folder = Path(os.environ[DIARY])
    (folder / f"{job.student}-{job.lesson}-{time.time_ns()}").touch()
    text = job.submission.decode() if isinstance(job.submission, bytes) else job.submission
    if "REFUSE" in text:
        raise CourseError("There is no sandbox here.", "Install bubblewrap.")
    if "KILL-ALWAYS" in text or ("KILL-ONCE" in text and len(list(folder.glob(f"{job.student}-*"))) == 1):
        os._exit(1)
    if "SLOW" in text:
        time.sleep(0.5)
    if "BREAK" in text:
        raise RuntimeError("the grader tripped")
    try:
        notebook = json.loads(text)
    except ValueError:
        return Graded(job.student, job.lesson, FAILED, "The file is not a notebook.")
    return _graded(job, notebook, text)


def _graded(job: Job, notebook: dict, text: str) -> Graded:
    cells, outcomes = by_id(notebook), []
    for cell in json.loads(job.source)["cells"]:
        if is_check(cell):
            name = cell["id"].removesuffix("-check")
            answer, points = source(cells[name]), float(cell["metadata"]["nbgrader"]["points"])
            right = "right" in answer
            told = f"✓ {name}   1 of 1 check passed." if right else f"✗ {name}   0 of 1 checks passed"
            mistake = "" if right or "wrong axis" not in answer else "sum over the wrong axis"
            if mistake:
                told += f"\nThis looks like: {mistake}. You added up the columns; a row is along the last axis."
            earned = points if right else 0.0
            outcomes.append(Outcome(cell["id"], name, earned, points, right, right, told, mistake, 0.25))
    repairs = ("A deleted check cell was put back.",) if "MEND" in text else ()
    flags = ("An answer assigns to the name `check`.",) if "ODD" in text else ()
    state = REPAIRED if repairs else GRADED
    late = job.limits.wall_seconds if "LATE" in text else 0.0
    return Graded(
        job.student, job.lesson, state, "", tuple(outcomes), repairs, flags, json.dumps(notebook), 0.5, 100.0, late
    )
