"""Which cells need not run: only those of the release, unchanged, on whose names nothing that is graded depends."""

import builtins

import pytest

from mechinterp_course.course.build import solution_notebook, source_notebook
from mechinterp_course.course.grading import release
from mechinterp_course.course.grading.needed import may_change, names_of, not_needed
from mechinterp_course.course.grading.rebuild import Cell, rebuild
from mechinterp_course.course.grading.release import ReleaseCell
from mechinterp_course.course.notebook import text_of
from mechinterp_course.tutor.catalog import course

SETUP = ("setup", "code", "import torch\ndata = torch.ones(3)")
ANSWER = ("total", "answer", "def total(x):\n    y = x\n    return y.sum()")
SHOWN = ("shown", "code", "y = total(data)\nprint(y)")


def cells(*given):
    """Cells as (id, role, source); an own cell and one that ends in "!" are not as they were released."""
    made = []
    for id, role, source in given:
        released = None if role == "own" else ReleaseCell(id.rstrip("!"), role, "" if id.endswith("!") else source)
        made.append(Cell(id, role, "code", source, released))
    return made


def test_a_cell_that_only_shows_need_not_run_and_what_stands_before_the_first_answer_always_does():
    assert not_needed(cells(SETUP, ("look", "code", "print(data)"), ANSWER, SHOWN)) == {"shown"}


@pytest.mark.parametrize(
    "reader",
    [
        ("second", "answer", "def second(x):\n    return x + y"),
        ("second", "answer", "def second(x, by=y):\n    return x"),
        ("second", "answer", "second = lambda x: [y for _ in x]"),
        ("second", "answer", "class A:\n    def f(self):\n        return y\nsecond = A().f"),
        ("mine", "own", "print(y)"),
        ("mine", "own", "await y"),  # IPython runs it, Python's own compiler does not
        ("mine", "own", "[one async for one in y]"),
        ("changed!", "code", "print(y + 1)"),
    ],
)
def test_a_cell_whose_name_is_read_runs(reader):
    assert not_needed(cells(SETUP, ANSWER, SHOWN, reader)) == set()


def test_what_a_needed_cell_reads_is_needed_too():
    chain = [("a", "code", "a = 1"), ("b", "code", "b = a"), ("c", "code", "c = b"), ("d", "code", "d = c")]
    reader = ("last", "answer", "def last():\n    return c")
    assert not_needed(cells(SETUP, ANSWER, *chain, reader)) == {"d"}


@pytest.mark.parametrize(
    "source",
    [
        "data[0] = 2",
        "data.name = 2",
        "data.add_(1)",
        "fill(data)",
        "fill(3, into=data.weight)",
        "data += 1",
        "del data[0]",
        "def f():\n    global data\n    data = 1",
    ],
)
def test_a_cell_that_changes_what_an_answer_reads_runs(source):
    reader = ("last", "answer", "def last():\n    return data")
    assert not_needed(cells(SETUP, ANSWER, ("change", "code", source), reader)) == set()
    assert not_needed(cells(SETUP, ANSWER, ("change", "code", source))) == {"change"}


def test_a_call_of_a_module_changes_nothing():
    reader = ("last", "answer", "def last():\n    return torch.ones(1)")
    assert not_needed(cells(SETUP, ANSWER, ("draw", "code", "torch.manual_seed(1)"), reader)) == {"draw"}


@pytest.mark.parametrize(
    "source",
    [
        *("exec('y')", "globals()['y']", "%time y", "!ls", "import __main__", "from math import *", "print(vars())"),
        *("_ + 1", "__", "___", "_3", "_i3", "Out[3]", "In[1]", "_oh", "from __main__ import y", "import builtins"),
        *("import sys\nsys.modules['__main__'].y", "from sys import modules", "total.__globals__['y']"),
        *("getattr(total, '__globals__')", "import importlib\nimportlib.import_module('__main__')"),
    ],
)
def test_where_the_text_cannot_tell_everything_runs(source):
    assert not_needed(cells(SETUP, ANSWER, SHOWN, ("mine", "own", source))) == set()


@pytest.mark.parametrize("source", ["time z = y", "def (", "x = '\x00'", "(" * 3000, "-" * 100_000 + "1"])
def test_where_the_text_is_no_python_everything_runs(source):
    """IPython runs `time z = y`, as if it began with a percent sign."""
    assert not_needed(cells(SETUP, ANSWER, SHOWN, ("mine", "own", source))) == set()


@pytest.mark.parametrize(
    "source", ["for _ in range(3):\n    print(_x)", "model.modules()", "a, _ = 1, 2", "In_ = '__all__'"]
)
def test_what_only_looks_like_it_is_no_reason_to_run_everything(source):
    assert not_needed(cells(SETUP, ANSWER, SHOWN, ("mine", "own", source))) == {"shown"}


@pytest.mark.parametrize(
    "source",
    [
        *(
            "losses = train(data)",
            "random.shuffle(data)",
            "first = data.pop()",
            "x = f(g(data[0]))",
            "print(next(data))",
        ),
        *("y = [f(x=data.T) for _ in range(3)]", "def f():\n    data.add_(1)", "data[0] = 1"),
    ],
)
def test_for_the_contract_any_call_may_change_what_it_is_given(source):
    assert "data" in may_change(source)


@pytest.mark.parametrize(
    "source", ["print(len(data), data[0])", "plots.lines(data, x=data)", "y = data + 1", "x = list(data)"]
)
def test_what_only_reads_changes_nothing(source):
    assert "data" not in may_change(source)


def test_names_inside_functions_are_their_own():
    names = names_of("import a.b\ndef f(x):\n    y = x + z\n    return [q for q in y]\nw: int = f(1)")
    assert names.reads - {"int"} == {"z", "f"}
    assert names.gives == {"a", "f", "w"}


@pytest.mark.parametrize("lesson", course().lessons, ids=lambda lesson: lesson.stem)
def test_in_every_lab_what_runs_has_all_the_names_that_it_reads(lesson):
    made = release.read(text_of(source_notebook(course(), lesson, 77)))
    rebuilt = rebuild(made, text_of(solution_notebook(course(), lesson)))
    idle = not_needed(rebuilt.cells)
    assert idle, "every lab shows something"
    known = {*dir(builtins), "__name__"}
    for cell in rebuilt.cells:
        if cell.role in ("answer", "code") and cell.id not in idle:
            names = names_of(cell.source)
            known |= names.gives
            assert not names.dynamic
    for cell in rebuilt.cells:
        if cell.role in ("answer", "code") and cell.id not in idle:
            assert names_of(cell.source).reads <= known, cell.id
