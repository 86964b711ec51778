"""What goes into the grading of one submission and what comes out of it, as plain data that travels between processes.

Imports nothing: a scheduler, a gradebook or a test can hold these without loading a kernel, torch or nbgrader.
"""

from dataclasses import dataclass, field

GRADED, REPAIRED, FAILED = "graded", "repaired", "failed"


@dataclass(frozen=True)
class Limits:
    """What one submission may use. It is stopped when it reaches a limit, and what it has earned by then is kept."""

    wall_seconds: float = 300.0  # for all its cells, and as much again for all its checks
    cell_seconds: float = 60.0  # for one cell, or for all that the checks of one exercise ask of the answer
    cpu_seconds: int = 600  # of each of its processes, over all threads
    memory_mib: int = 6144  # of all its processes and files; lab 14 takes 4100 where every cell runs
    processes: int = 128  # and threads
    output_bytes: int = 1_000_000  # of what one cell shows; the rest is cut off
    files_mib: int = 256  # of what it writes, in memory and gone with it


@dataclass(frozen=True)
class Job:
    """All that a stateless worker needs to grade one submission."""

    lesson: str  # the stem of the lab's notebook: "06_induction_heads"
    student: str
    source: str = field(
        repr=False
    )  # the class's source notebook (solutions, hidden checks, the secret seed) as JSON text
    submission: str | bytes = field(repr=False)  # the student's notebook as it came
    limits: Limits = Limits()
    unsafe: bool = False  # without a sandbox
    all_cells: bool = False  # also those that only show something


@dataclass(frozen=True)
class Outcome:
    """One check cell of the release and what it earned."""

    grade_id: str
    exercise: str
    points: float
    max_points: float
    passed: bool
    hidden: bool | None = None  # whether the hidden checks passed; None: never reached
    told: str = ""  # the verdict's lines, which the student may read
    mistake: str = ""  # the named misconception, if one matches
    seconds: float = 0.0


@dataclass(frozen=True)
class Graded:
    """What became of one submission. `reason` says in a sentence why it failed, or why it stopped early."""

    student: str
    lesson: str
    state: str  # GRADED, REPAIRED or FAILED
    reason: str = ""
    outcomes: tuple[Outcome, ...] = ()
    repairs: tuple[str, ...] = ()  # what was mended, in sentences for the instructor
    flags: tuple[str, ...] = ()  # what looks like tampering, in careful words
    notebook: str = field(default="", repr=False)  # the executed notebook as JSON text, for nbgrader's autograded/
    wall_s: float = 0.0
    peak_mib: float = 0.0
    time_limit: float = 0.0  # the seconds after which it was stopped; 0: it was not
    unfinished: bool = False  # the grader itself stopped: that is nobody's 0, and the next call grades it again

    @property
    def points(self) -> float:
        return sum(outcome.points for outcome in self.outcomes)

    @property
    def max_points(self) -> float:
        return sum(outcome.max_points for outcome in self.outcomes)
