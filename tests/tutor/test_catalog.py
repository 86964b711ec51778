"""The only reader of the course: percent files, lessons, exercises, sittings, and the errors that a name gets."""

import re
import warnings

import jupytext
import pytest
from tiny import TINY_COURSE, clear_catalog_caches

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog
from mechinterp_course.tutor.percent import parse_cells, read_cells

CONTENT = catalog.PACKAGE / "content"
PERCENT_FILES = [
    path
    for root in (CONTENT, TINY_COURSE)
    for path in sorted(root.rglob("*.py"))
    if path.name in ("lesson.py", "lab.py", "home.py")
]


def ours(text: str) -> list[tuple[str, str]]:
    return [(cell.type, cell.source) for cell in parse_cells(text)]


def jupytexts(text: str) -> list[tuple[str, str]]:
    """What an editor sees, without the blank lines around a cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = jupytext.reads(text, fmt="py:percent").cells
    return [(cell.cell_type, cell.source.strip("\n")) for cell in cells]


# --- the percent format ---


@pytest.mark.parametrize("path", PERCENT_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_reader_agrees_with_jupytext_on_every_file(path):
    text = path.read_text(encoding="utf-8")
    assert ours(text) == jupytexts(text)
    assert len(ours(text)) > 1


ODD_FILES = {
    "empty cells": "# %% [markdown]\n\n# %%\n",
    "no file": "",
    "a title": "# %% A title of a cell\nx = 1\n",
    "a title before the type": "# %% A title [markdown]\n# text\n",
    "no space before the percent signs": "#%%\nx = 1\n\n#%% [markdown]\n# hello\n",
    "spaces after the marker": '# %% [raw] card="a"   \n# title = "x"\n',
    "a marker inside a string": '# %%\ntext = """\n# %% [markdown]\n# not a cell\n"""\ny = 2\n\n# %%\nz\n',
    "a marker inside a single-quoted block": "# %%\ntext = '''\n# %%\n'''\n# %%\nz\n",
    "a triple quote inside a string": '# %%\nx = \'class A:\\n    """\'\n\n# %% [markdown]\n# text\n',
    "a triple quote inside a comment": '# %%\n# """\nx = 1  # """\n\n# %% [markdown]\n# text\n',
    "a docstring on one line": '# %%\ndef f():\n    """Return 1."""\n    return 1\n\n# %%\nx\n',
    "a docstring with an apostrophe": '# %%\ndef f():\n    """It\'s one.\n    """\n\n# %%\nx\n',
    "an escaped quote": "# %%\nx = 'it\\'s \"\"\" here'\n\n# %%\nx\n",
    "paragraphs and lists": "# %% [markdown]\n# a\n#\n# - b\n#   - c\n#     d\n\n# %%\nx\n",
    "headings, a hash without a space": "# %% [markdown]\n# # Title\n# ## Section\n#hash\n",
    "blank lines between cells": "# %%\nx = 1\n\n\ny = 2\n\n\n\n# %%\nz\n",
    "blank lines at the start of a cell": "# %%\n\n\nx = 1\n",
    "a header": "# ---\n# jupyter:\n#   jupytext:\n#     formats: py\n# ---\n\n# %%\nx\n",
    "windows line ends": "# %%\r\nx = 1\r\n\r\n# %% [markdown]\r\n# a\r\n",
    "no line end at the end": "# %%\nx = 1",
    "letters of other languages": "# %% [markdown]\n# ψ → “quote” ä 你好\n",
    "TOML": '# %% [raw] predict="id-1"\n# question = "a # b"\n# why = [\n#     "x",\n# ]\n',
    "a percent sign in a comment": "# %%\nx = 1  # %% of it\ny = x % 2\n",
    "a tab": "# %% [markdown]\n#\ttabbed\n# trailing  \n# x\n",
}


@pytest.mark.parametrize("text", ODD_FILES.values(), ids=ODD_FILES.keys())
def test_the_reader_agrees_with_jupytext_on_odd_files(text):
    assert ours(text) == jupytexts(text)


REFUSED = {
    "text before the first cell": ("x = 0\n\n# %%\ny\n", "line 1: this stands before the first cell."),
    "bare text in markdown": ("# %% [markdown]\n# a\nb\n", "line 3: a markdown cell holds comments only."),
    "a markdown cell as a string": ('# %% [markdown]\n"""\na\n"""\n', "line 2: a markdown cell holds comments only."),
    "no space before the type": ("# %%\nx\n# %%[markdown]\n# a\n", "line 3: this is almost the start of a cell."),
    "an indented marker": ("# %%\nif x:\n    # %% a\n    y\n", "line 3: this is almost the start of a cell."),
    "a cell magic": ("# %%\n# %%time\nx\n", "line 2: this is almost the start of a cell."),
    "a magic command": ("# %%\n# %matplotlib inline\n", "line 2: jupytext would run this comment as a magic command."),
    "a shell command": ("# %%\n# !ls\n", "line 2: jupytext would run this comment as a magic command."),
}


@pytest.mark.parametrize("text, sentence", REFUSED.values(), ids=REFUSED.keys())
def test_what_could_be_read_differently_is_refused_with_its_line(text, sentence):
    with pytest.raises(CourseError) as error:
        parse_cells(text, "l00_x/lab.py, ")
    assert error.value.sentence == f"l00_x/lab.py, {sentence}"
    assert error.value.remedy


def test_marks_and_lines_are_kept():
    cells = parse_cells('# %% [markdown] id="intro"\n# a\n\n# %% answer="double"\nx\n')
    assert [(cell.marks, cell.line) for cell in cells] == [({"id": "intro"}, 1), ({"answer": "double"}, 4)]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CourseError, match="has no lab.py"):
        read_cells(tmp_path / "lab.py")


# --- the course ---


def test_the_course_that_ships_is_readable():
    book = catalog.course()
    assert [lesson.number for lesson in book.lessons] == sorted(lesson.number for lesson in book.lessons)
    for lesson in book.lessons:
        assert book.map[lesson.number] == lesson.title
        assert lesson.exercises and lesson.questions
        assert sum(sitting.minutes for sitting in lesson.sittings[1:]) == sum(e.card.minutes for e in lesson.exercises)
        assert all(sitting.minutes <= catalog.MAX_SITTING_MINUTES for sitting in lesson.sittings)


def test_an_exercise_has_its_card_prompt_answer_and_demo(tiny_course):
    exercise = tiny_course.exercise("row_softmax")
    assert (exercise.lesson, exercise.card.points, exercise.card.minutes) == ("l00_first_steps", 2, 30)
    assert [cell.source for cell in exercise.prompt] == ["Return the softmax of each row."]
    assert exercise.answer.source.startswith("def row_softmax(")
    assert [cell.source.split("(")[0] for cell in exercise.demo] == ["print"]
    assert exercise.card.hints[0] == "Which numbers should sum to 1?"
    assert tiny_course.exercise("quadruple").card.uses == ("double",)


def test_the_setup_is_every_cell_before_the_first_card(tiny_course):
    lesson = tiny_course.lesson("00")
    assert [cell.type for cell in lesson.intro] == ["markdown", "code"]
    assert lesson.intro[1].source == "import torch"


def test_questions_come_from_lesson_and_lab(tiny_course):
    question = tiny_course.question("row-axis")
    assert (question.kind, question.answer, question.lesson) == ("quiz", 1, "l00_first_steps")
    assert list(tiny_course.questions) == ["softmax-shift", "row-axis", "uniform-loss", "sure-loss"]


@pytest.mark.parametrize(
    "name", ["0", "00", "first_steps", "00_first_steps", "l00_first_steps", "00_first_steps.ipynb"]
)
def test_a_lesson_has_many_names(tiny_course, name):
    assert tiny_course.lesson(name).slug == "first_steps"


def test_neighbours(tiny_course):
    first, second = tiny_course.lessons
    assert tiny_course.neighbours(first) == (None, second)
    assert tiny_course.neighbours(second) == (first, None)


@pytest.mark.parametrize(
    "call, sentence, remedy",
    [
        (lambda c: c.lesson("frist_steps"), "There is no lesson 'frist_steps'.", "Did you mean first_steps or 00_first_steps?"),
        (lambda c: c.lesson("2"), "Lesson 02 (A lesson that is not built) is not built yet.", "There are: 00_first_steps, 01_token_loss."),
        (lambda c: c.exercise("row_sofmax"), "There is no exercise 'row_sofmax'.", "Did you mean row_softmax?"),
        (lambda c: c.exercise("zzz"), "There is no exercise 'zzz'.", "There are: double, quadruple, row_softmax, token_loss."),
        (lambda c: c.exercise("fourfold"), "The exercise 'fourfold' is now called 'quadruple'.", "Run `mechinterp update`."),
        (lambda c: c.exercise(clear_catalog_caches), "The name of an exercise or question goes in quotes.", 'Write "clear_catalog_caches".'),
        (lambda c: c.question(["row-axis"]), "The name of an exercise or question goes in quotes.", 'Write "NAME".'),
        (lambda c: c.question("row-axes"), "There is no question 'row-axes'.", "Did you mean row-axis?"),
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_gets_the_nearest_one(tiny_course, call, sentence, remedy):
    with pytest.raises(CourseError) as error:
        call(tiny_course)
    assert (error.value.sentence, error.value.remedy) == (sentence, remedy)


# --- sittings ---


def lab_of(*minutes: int) -> str:
    cards = "".join(
        f'# %% [raw] card="e{i}"\n# minutes = {m}\n\n# %% answer="e{i}"\ndef e{i}(): ...\n\n'
        for i, m in enumerate(minutes)
    )
    return f"# %% [markdown]\n# # Lab\n\n{cards}"


@pytest.mark.parametrize(
    "minutes, sittings",
    [
        ([10, 10], [20]),
        ([25, 25], [50]),
        ([25, 26], [25, 26]),
        ([10, 15, 10, 15, 10, 10], [35, 35]),
        ([50, 10], [50, 10]),
        ([30, 30, 30, 30], [30, 30, 30, 30]),
        ([20] * 7, [40, 40, 40, 20]),
        ([10, 70, 10], [10, 70, 10]),
        ([0, 0], [0]),
    ],
)
def test_a_lab_is_cut_into_even_sittings_of_at_most_an_hour(tiny_course, minutes, sittings):
    path = tiny_course.root / "l00_first_steps" / "lab.py"
    path.write_text(lab_of(*minutes))
    clear_catalog_caches()
    lesson = catalog.course().lesson("00")
    reading, *labs = lesson.sittings
    assert (reading.name, reading.minutes) == ("reading", 5)
    assert [sitting.minutes for sitting in labs] == sittings
    assert [name for sitting in labs for name in sitting.exercises] == [f"e{i}" for i in range(len(minutes))]
    assert [s.name for s in labs] == (
        ["lab"] if len(labs) == 1 else [f"lab {letter}" for letter in "ABCD"[: len(labs)]]
    )


# --- faults in a lesson folder ---


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ('answer="double"', 'answer="duoble"', 'the exercise double needs one cell marked answer="double"'),
        (
            "# difficulty = 1",
            "# dificulty = 1",
            "There is no card field (in l00_first_steps/lab.py, line 8) 'dificulty'.",
        ),
        ("# minutes = 5", "# minutes = ", "the cell is not valid TOML"),
        ("# minutes = 5", '# minutes = "5"', "minutes must be a whole number"),
        ("# minutes = 5", '# minutes = 5\n# uses = "foo"', "uses must be a list of texts"),
        ("# minutes = 5", "# minutes = 5\n# uses = 5", "uses must be a list of texts"),
    ],
)
def test_a_fault_in_a_lab_is_named_with_its_place(tiny_course, old, new, sentence):
    path = tiny_course.root / "l00_first_steps" / "lab.py"
    path.write_text(path.read_text().replace(old, new, 1))
    clear_catalog_caches()
    with pytest.raises(CourseError) as error:
        _ = catalog.course().exercises
    assert sentence in error.value.sentence
    assert "l00_first_steps/lab.py, line 8" in error.value.sentence


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda text: text.replace("summary =", "sumary =", 1), "course.toml, lesson 00: summary must be a text."),
        (
            lambda text: text.replace("minutes = 5", 'minutes = "5"', 1),
            "course.toml, lesson 00: minutes must be a whole number.",
        ),
        (lambda text: text.replace('number = "00"', "number = 0", 1), "course.toml, lesson 0: number must be a text."),
        (lambda text: text.replace("title =", "name =", 1), "course.toml: title must be a text."),
    ],
)
def test_a_fault_in_the_list_of_lessons_is_named_with_its_lesson(tiny_course, change, sentence):
    path = tiny_course.root / "course.toml"
    path.write_text(change(path.read_text()))
    clear_catalog_caches()
    with pytest.raises(CourseError) as error:
        catalog.course()
    assert error.value.sentence == sentence


def test_choices_that_are_one_text_are_no_choices(tiny_course):
    path = tiny_course.root / "l00_first_steps" / "lesson.py"
    path.write_text(re.sub(r"# choices = .*", '# choices = "ab"', path.read_text(), count=1))
    clear_catalog_caches()
    with pytest.raises(CourseError, match="choices must be a list of texts"):
        _ = catalog.course().questions


def test_a_folder_without_a_course_says_so(tmp_path):
    with pytest.raises(CourseError, match="There is no course in"):
        catalog.course(tmp_path)
