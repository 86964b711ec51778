"""The course as data: lessons, exercises, questions, glossary, papers. The only reader of `content/`.

It reads `lab.py` and `lesson.py` as text and runs neither; `checks.py` is the one file that it loads, by name.
It imports nothing heavy, so that the command line can list the course in a few hundredths of a second.
"""

import importlib.util
import os
import tomllib
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType

from ..errors import CourseError, unknown
from .percent import Cell, read_cells

PACKAGE = Path(__file__).resolve().parent.parent
MAX_SITTING_MINUTES = 60  # an hour a day
MAX_LAB_MINUTES = 50  # a lab whose cards sum to more is cut in two: ten minutes stay for questions and breaks
QUESTION_KINDS = ("predict", "quiz")


@dataclass(frozen=True)
class Card:
    """What an exercise says of itself; `outline` is the third hint and `look` the word after passing."""

    name: str
    title: str
    purpose: str
    difficulty: int
    importance: int
    minutes: int
    points: int
    nudge: str
    idea: str
    outline: str
    look: str = ""
    uses: tuple[str, ...] = ()
    renamed_from: tuple[str, ...] = ()

    @property
    def hints(self) -> tuple[str, str, str]:
        return (self.nudge, self.idea, self.outline)


@dataclass(frozen=True)
class Question:
    """A prediction or a quiz question: the choices, the index of the right one, and a word on every choice."""

    id: str
    kind: str  # "predict" or "quiz"
    question: str
    choices: tuple[str, ...]
    answer: int
    why: tuple[str, ...]
    lesson: str


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lab: its card, its prompt, its answer cell (with the solution marks) and the demo cells after it."""

    card: Card
    lesson: str
    prompt: tuple[Cell, ...]
    answer: Cell
    demo: tuple[Cell, ...]

    @property
    def name(self) -> str:
        return self.card.name


@dataclass(frozen=True)
class Sitting:
    """A part of a lesson that fits into an hour: the reading, or a run of exercises."""

    name: str  # "reading", "lab A", "lab B", ...
    minutes: int
    exercises: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """One lesson folder. `number` is "06", `slug` "induction_heads", `stem` the name of its notebooks."""

    number: str
    slug: str
    title: str
    summary: str
    minutes: int  # of reading; the lab's minutes come from its cards
    prerequisites: tuple[str, ...]
    folder: Path = field(repr=False)

    @property
    def id(self) -> str:
        return f"l{self.stem}"

    @property
    def stem(self) -> str:
        return f"{self.number}_{self.slug}"

    @cached_property
    def lesson_cells(self) -> tuple[Cell, ...]:
        return read_cells(self.folder / "lesson.py")

    @cached_property
    def lab_cells(self) -> tuple[Cell, ...]:
        return read_cells(self.folder / "lab.py")

    @cached_property
    def intro(self) -> tuple[Cell, ...]:
        """The lab's cells before the first exercise; its code cells are the setup."""
        cells = self.lab_cells
        first = next((i for i, cell in enumerate(cells) if "card" in cell.marks), len(cells))
        return cells[:first]

    @cached_property
    def exercises(self) -> tuple[Exercise, ...]:
        return _read_exercises(self)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        return tuple(
            _read_question(self, cell, kind)
            for cell in (*self.lesson_cells, *self.lab_cells)
            for kind in QUESTION_KINDS
            if kind in cell.marks
        )

    @cached_property
    def sittings(self) -> tuple[Sitting, ...]:
        """The reading, then the lab in as few parts of at most 50 minutes as it takes, as even as they can be."""
        few = len(self._parts(MAX_LAB_MINUTES))
        parts = next(parts for limit in range(1, MAX_LAB_MINUTES + 1) if len(parts := self._parts(limit)) == few)
        names = ["lab"] if few == 1 else [f"lab {chr(ord('A') + i)}" for i in range(few)]
        return (
            Sitting("reading", self.minutes),
            *(
                Sitting(name, sum(e.card.minutes for e in part), tuple(e.name for e in part))
                for name, part in zip(names, parts, strict=True)
            ),
        )

    def _parts(self, limit: int) -> list[list[Exercise]]:
        """Cut the lab, in order, into parts of at most `limit` minutes; a longer exercise stands alone."""
        parts, minutes = [[]], 0
        for exercise in self.exercises:
            if parts[-1] and minutes + exercise.card.minutes > limit:
                parts.append([])
                minutes = 0
            parts[-1].append(exercise)
            minutes += exercise.card.minutes
        return parts


@dataclass(frozen=True)
class Course:
    """The whole course, read from one content folder."""

    root: Path
    title: str
    lessons: tuple[Lesson, ...]
    map: dict[str, str]  # the number and title of every lesson, those not built yet too

    @cached_property
    def exercises(self) -> dict[str, Exercise]:
        return {e.name: e for lesson in self.lessons for e in lesson.exercises}

    @cached_property
    def renamed(self) -> dict[str, str]:
        """The exercises' names by those that they had in earlier releases."""
        return {old: name for name, exercise in self.exercises.items() for old in exercise.card.renamed_from}

    @cached_property
    def questions(self) -> dict[str, Question]:
        return {q.id: q for lesson in self.lessons for q in lesson.questions}

    @cached_property
    def glossary(self) -> dict[str, str]:
        return _read_toml(self.root / "glossary.toml").get("terms", {})

    @cached_property
    def papers(self) -> dict[str, dict]:
        return {p["id"]: p for p in _read_toml(self.root / "papers.toml").get("paper", [])}

    def lesson(self, name: str) -> Lesson:
        """Return the lesson called "6", "06", "induction_heads", "06_induction_heads" or "l06_induction_heads"."""
        wanted = name.strip().removesuffix(".ipynb")
        wanted = wanted.zfill(2) if wanted.isdigit() else wanted
        for lesson in self.lessons:
            if wanted in (lesson.number, lesson.slug, lesson.stem, lesson.id):
                return lesson
        if wanted in self.map:
            raise CourseError(f"Lesson {wanted} ({self.map[wanted]}) is not built yet.", f"There are: {self._built()}.")
        raise unknown(
            "lesson",
            name,
            [lesson.stem for lesson in self.lessons] + [lesson.slug for lesson in self.lessons],
        )

    def exercise(self, name: str) -> Exercise:
        _need_text(name)
        if name in self.exercises:
            return self.exercises[name]
        if name in self.renamed:
            raise CourseError(
                f"The exercise {name!r} is now called {self.renamed[name]!r}.", "Run `mechinterp update`."
            )
        raise unknown("exercise", name, self.exercises)

    def question(self, name: str) -> Question:
        _need_text(name)
        if name not in self.questions:
            raise unknown("question", name, self.questions)
        return self.questions[name]

    def lesson_of(self, exercise: str) -> Lesson:
        return self.lesson(self.exercise(exercise).lesson)

    def neighbours(self, lesson: Lesson) -> tuple[Lesson | None, Lesson | None]:
        """Return the lessons before and after this one."""
        at = self.lessons.index(lesson)
        before = self.lessons[at - 1] if at else None
        after = self.lessons[at + 1] if at + 1 < len(self.lessons) else None
        return before, after

    def checks(self, lesson: Lesson) -> dict:
        """Return the `Exercise` objects of the lesson's `checks.py` (`tutor/checks.py`), by name."""
        return _load_checks(lesson.folder / "checks.py")

    def _built(self) -> str:
        return ", ".join(lesson.stem for lesson in self.lessons)


def course(root: Path | None = None) -> Course:
    """Return the course in `root`; by default the one that ships with the package (or $MECHINTERP_CONTENT)."""
    return _course(Path(root or os.environ.get("MECHINTERP_CONTENT") or PACKAGE / "content").resolve())


def notebooks_root() -> Path:
    """Return the folder with `lessons/`, `exercises/` and `solutions/`: inside an installed package, or the clone's root."""
    override = os.environ.get("MECHINTERP_NOTEBOOKS")
    if override:
        return Path(override)
    installed = PACKAGE / "_notebooks"
    return installed if installed.is_dir() else PACKAGE.parent


@cache
def _course(root: Path) -> Course:
    if not (root / "course.toml").is_file():
        raise CourseError(f"There is no course in {root} (no course.toml).", "Is the package installed completely?")
    data = _read_toml(root / "course.toml")
    lessons = []
    for place, entry in enumerate(data.get("lesson", []), 1):
        where = f"course.toml, lesson {entry.get('number', f'at place {place}')}"
        number, slug, title, summary = (_text(entry, key, where) for key in ("number", "slug", "title", "summary"))
        minutes, needs = _whole(entry, "minutes", where), _texts(entry, "prerequisites", where, ())
        lessons.append(Lesson(number, slug, title, summary, minutes, needs, root / f"l{number}_{slug}"))
    return Course(root, _text(data, "title", "course.toml"), tuple(lessons), dict(data.get("map", {})))


def _need_text(name: object) -> None:
    """Raise where a name was given without its quotes: hint(causal_mask)."""
    if not isinstance(name, str):
        meant = getattr(name, "__name__", "NAME")
        raise CourseError("The name of an exercise or question goes in quotes.", f'Write "{meant}".')


# What an author wrote in TOML, by its type. Without a default it must be there.


def _text(data: dict, key: str, where: str, default: str | None = None) -> str:
    if not isinstance(value := data.get(key, default), str):
        raise CourseError(f"{where}: {key} must be a text.", f'Write {key} = "...".')
    return value


def _texts(data: dict, key: str, where: str, default: tuple | None = None) -> tuple[str, ...]:
    value = data.get(key, default)
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise CourseError(f"{where}: {key} must be a list of texts.", f'Write {key} = ["...", "..."].')
    return tuple(value)


def _whole(data: dict, key: str, where: str, default: int | None = None) -> int:
    value = data.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise CourseError(f"{where}: {key} must be a whole number.", f"Write {key} = 3, without quotes.")
    return value


@cache
def _load_checks(path: Path) -> dict:
    from .checks import Exercise as Checked

    module = load_module(path, f"mechinterp_course.content.{path.parent.name}.checks")
    return {thing.name: thing for thing in vars(module).values() if isinstance(thing, Checked)}


def load_module(path: Path, name: str) -> ModuleType:
    """Run a Python file as a module of that name and return it."""
    if not path.is_file():
        raise CourseError(
            f"{path.parent.name} has no {path.name}.", "See content/README.md for what a lesson folder holds."
        )
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read_exercises(lesson: Lesson) -> tuple[Exercise, ...]:
    groups: list[list[Cell]] = []
    for cell in lesson.lab_cells:
        if "card" in cell.marks:
            groups.append([cell])
        elif groups:
            groups[-1].append(cell)
    return tuple(_read_exercise(lesson, cells) for cells in groups)


def _read_exercise(lesson: Lesson, cells: list[Cell]) -> Exercise:
    name = cells[0].marks["card"]
    where = f"{lesson.id}/lab.py, line {cells[0].line}"
    answers = [i for i, cell in enumerate(cells) if "answer" in cell.marks]
    if len(answers) != 1 or cells[answers[0]].marks["answer"] != name:
        raise CourseError(f'{where}: the exercise {name} needs one cell marked answer="{name}".')
    at = answers[0]
    return Exercise(_read_card(cells[0], where), lesson.id, tuple(cells[1:at]), cells[at], tuple(cells[at + 1 :]))


def _read_card(cell: Cell, where: str) -> Card:
    data = _cell_toml(cell, where)
    allowed = {f.name: f for f in fields(Card) if f.name != "name"}
    for key in data:
        if key not in allowed:
            raise unknown(f"card field (in {where})", key, allowed)
    for key in ("uses", "renamed_from"):
        data[key] = _texts(data, key, where, ())
    # A hint that is missing is a fault for the contract to name, not a reason to stop reading.
    for key in ("nudge", "idea", "outline", "look", "title", "purpose"):
        data[key] = _text(data, key, where, "").strip()
    for key in ("difficulty", "importance", "minutes", "points"):
        data[key] = _whole(data, key, where, 0)
    return Card(name=cell.marks["card"], **data)


def _read_question(lesson: Lesson, cell: Cell, kind: str) -> Question:
    where = f"{lesson.id}, line {cell.line}"
    data = _cell_toml(cell, where)
    missing = {"question", "choices", "answer", "why"} - set(data)
    if missing:
        raise CourseError(f"{where}: the {kind} {cell.marks[kind]} lacks {', '.join(sorted(missing))}.")
    return Question(
        id=cell.marks[kind],
        kind=kind,
        question=_text(data, "question", where).strip(),
        choices=_texts(data, "choices", where),
        answer=_whole(data, "answer", where),
        why=_texts(data, "why", where),
        lesson=lesson.id,
    )


def _cell_toml(cell: Cell, where: str) -> dict:
    try:
        return tomllib.loads(cell.source)
    except tomllib.TOMLDecodeError as error:
        raise CourseError(f"{where}: the cell is not valid TOML ({error}).") from None


def _read_toml(path: Path) -> dict:
    if not path.is_file():
        raise CourseError(f"{path} is missing.", "Is the package installed completely?")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CourseError(f"{path.name} is not valid TOML: {error}.") from None
