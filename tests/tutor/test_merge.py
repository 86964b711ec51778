"""A new release brought into a learner's notebook: nothing that the learner wrote is lost."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.tutor import notebook
from mechinterp_course.tutor.merge import merge
from mechinterp_course.tutor.renaming import renamed_source


def prose(name, text):
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}


def demo(name, text):
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {},
        "source": text.splitlines(keepends=True),
        "outputs": [],
        "execution_count": None,
    }


def answer(name, text=None):
    text = text or f"def {name}(x):\n    raise NotImplementedError()"
    meta = {"nbgrader": {"grade": False, "grade_id": name, "locked": False, "solution": True}}
    return {**demo(name, text), "metadata": meta}


def check(name):
    meta = {"nbgrader": {"grade": True, "grade_id": f"{name}-check", "locked": True, "solution": False, "points": 1}}
    return {
        **demo(f"{name}-check", f'from mechinterp_course import check\n\ncheck("{name}", {name})'),
        "metadata": meta,
    }


def book(*cells):
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def own(name, text, kind="code"):
    return demo(name, text) if kind == "code" else prose(name, text)


def sources(made):
    return [notebook.source(cell) for cell in made["cells"]]


def ids(made):
    return [cell["id"] for cell in made["cells"]]


def with_text(made, name, text):
    made = copy.deepcopy(made)
    for cell in made["cells"]:
        if cell["id"] == name:
            cell["source"] = [text]
    return made


BASE = book(
    prose("intro-1", "# Lab"),
    answer("alpha"),
    check("alpha"),
    demo("alpha-demo-1", "alpha(1)"),
    answer("beta"),
    check("beta"),
)
NEW = book(
    prose("intro-1", "# The lab"),
    prose("intro-2", "A word more."),
    answer("alpha"),
    check("alpha"),
    demo("alpha-demo-1", "print(alpha(1))"),
    answer("beta", "def beta(x, y):\n    raise NotImplementedError()"),
    check("beta"),
    answer("gamma"),
    check("gamma"),
)


def test_an_untouched_notebook_becomes_the_new_release():
    assert merge(BASE, BASE, NEW).notebook["cells"] == NEW["cells"]


def test_answers_stay_and_prose_is_replaced():
    mine = with_text(BASE, "alpha", "def alpha(x):\n    return 1")
    merged = merge(BASE, mine, NEW)
    assert ids(merged.notebook) == ids(NEW)
    assert "def alpha(x):\n    return 1" in sources(merged.notebook)
    assert "# The lab" in sources(merged.notebook)
    assert merged.kept_answers == ["alpha"]
    assert merged.new_exercises == ["gamma"]
    assert merged.changed_starters == []


def test_a_changed_starter_is_named_only_where_an_answer_is_kept():
    assert merge(BASE, BASE, NEW).changed_starters == []
    merged = merge(BASE, with_text(BASE, "beta", "def beta(x):\n    return 2"), NEW)
    assert merged.changed_starters == ["beta"]
    assert "def beta(x):\n    return 2" in sources(merged.notebook)


def test_outputs_stay_where_the_text_does():
    mine = copy.deepcopy(BASE)
    mine["cells"][1] |= {"source": ["def alpha(x):\n    return 1"], "execution_count": 7}
    mine["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "✓ alpha"}]
    mine["cells"][3]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "old"}]
    cells = notebook.by_id(merge(BASE, mine, NEW).notebook)
    assert cells["alpha"]["execution_count"] == 7
    assert cells["alpha-check"]["outputs"] == mine["cells"][2]["outputs"]
    assert cells["alpha-demo-1"]["outputs"] == []


def test_own_cells_stay_behind_the_cell_that_they_followed():
    mine = copy.deepcopy(BASE)
    mine["cells"].insert(2, own("aaaa", "my = 'note'"))
    mine["cells"].insert(0, own("bbbb", "a first word", "markdown"))
    mine["cells"].append(own("cccc", "the_end = 1"))
    merged = merge(BASE, mine, NEW)
    assert ids(merged.notebook) == [
        *("bbbb", "intro-1", "intro-2", "alpha", "aaaa", "alpha-check", "alpha-demo-1", "beta", "beta-check", "cccc"),
        *("gamma", "gamma-check"),
    ]
    assert merged.own_cells == 3


def test_an_own_cell_behind_a_cell_that_is_gone_stays_near():
    new = book(*(cell for cell in BASE["cells"] if cell["id"] != "alpha-demo-1"))
    mine = copy.deepcopy(BASE)
    mine["cells"].insert(4, own("aaaa", "behind the demo"))
    made = ids(merge(BASE, mine, new).notebook)
    assert made[made.index("alpha-check") + 1] == "aaaa"


def test_a_demo_that_both_changed_stands_twice_and_one_that_only_the_learner_changed_stays():
    mine = with_text(BASE, "alpha-demo-1", "alpha(100)")
    merged = merge(BASE, mine, NEW).notebook
    at = ids(merged).index("alpha-demo-1")
    assert sources(merged)[at : at + 2] == ["print(alpha(1))", "alpha(100)"]
    assert sources(merge(BASE, mine, BASE).notebook) == sources(mine)


def test_an_edited_check_cell_is_the_released_one_again():
    mine = with_text(BASE, "alpha-check", "print('passed')")
    assert notebook.by_id(merge(BASE, mine, NEW).notebook)["alpha-check"] == check("alpha")


def test_deleted_answers_and_checks_come_back_and_deleted_prose_does_not():
    mine = book(*(c for c in BASE["cells"] if c["id"] not in ("alpha", "alpha-check", "alpha-demo-1")))
    made = ids(merge(BASE, mine, NEW).notebook)
    assert "alpha" in made and "alpha-check" in made
    assert "alpha-demo-1" not in made


def test_of_a_copied_answer_cell_the_written_one_is_the_answer():
    mine = copy.deepcopy(BASE)
    mine["cells"].insert(2, answer("alpha", "def alpha(x):\n    return 1"))  # the same id twice
    made = merge(BASE, mine, NEW).notebook
    assert notebook.source(notebook.by_id(made)["alpha"]) == "def alpha(x):\n    return 1"
    assert len(set(ids(made))) == len(made["cells"])


def test_two_written_copies_are_both_kept():
    mine = with_text(BASE, "alpha", "def alpha(x):\n    return 1")
    mine["cells"].insert(2, answer("alpha", "def alpha(x):\n    return 2"))
    made = merge(BASE, mine, NEW).notebook
    assert {"def alpha(x):\n    return 1", "def alpha(x):\n    return 2"} <= set(sources(made))
    graded = [c["metadata"]["nbgrader"]["grade_id"] for c in made["cells"] if "nbgrader" in c["metadata"]]
    assert len(graded) == len(set(graded))
    assert len(set(ids(made))) == len(made["cells"])


def test_an_answer_in_a_new_cell_is_found_by_the_function_that_it_defines():
    mine = book(*(c for c in BASE["cells"] if c["id"] != "alpha"))
    mine["cells"].insert(1, own("zzzz", "def alpha(x):\n    return 3"))
    made = merge(BASE, mine, NEW).notebook
    assert notebook.source(notebook.by_id(made)["alpha"]) == "def alpha(x):\n    return 3"
    assert sources(made).count("def alpha(x):\n    return 3") == 1


def test_cells_without_ids_are_found_by_their_text():
    mine = with_text(BASE, "alpha", "def alpha(x):\n    return 1")
    for cell in mine["cells"]:
        del cell["id"]
        cell["metadata"] = {}
    made = merge(BASE, mine, NEW).notebook
    assert ids(made) == ids(NEW)
    assert notebook.source(notebook.by_id(made)["alpha"]) == "def alpha(x):\n    return 1"


def test_a_renamed_exercise_keeps_its_answer_under_the_new_name():
    new = book(answer("delta"), check("delta"), answer("beta"), check("beta"))
    mine = with_text(BASE, "alpha", "def alpha(x):\n    return alpha(x - 1) if x else 0  # alpha")
    merged = merge(BASE, mine, new, {"alpha": "delta"})
    assert notebook.source(notebook.by_id(merged.notebook)["delta"]) == (
        "def delta(x):\n    return delta(x - 1) if x else 0  # alpha"
    )
    assert merged.renamed == [("alpha", "delta")]
    assert merged.notes == []
    assert merged.removed == []


def test_other_cells_that_call_the_former_name_are_counted():
    new = book(answer("delta"), check("delta"), answer("beta"), check("beta"))
    mine = with_text(
        with_text(BASE, "alpha", "def alpha(x):\n    return 1"), "beta", "def beta(x):\n    return alpha(x)"
    )
    merged = merge(BASE, mine, new, {"alpha": "delta"})
    assert any("alpha" in note and "delta" in note for note in merged.notes)


def test_a_removed_exercise_leaves_its_answer_at_the_end_under_a_heading_once():
    new = book(answer("beta"), check("beta"))
    mine = with_text(BASE, "alpha", "def alpha(x):\n    return 1")
    merged = merge(BASE, mine, new)
    assert merged.removed == ["alpha"]
    assert sources(merged.notebook)[-1] == "def alpha(x):\n    return 1"
    assert "nbgrader" not in merged.notebook["cells"][-1]["metadata"]
    newer = book(prose("intro-1", "Hello"), answer("gamma"), check("gamma"))
    third = with_text(merged.notebook, "beta", "def beta(x):\n    return 2")
    again = merge(new, third, newer)
    assert sum("Kept from an earlier version" in text for text in sources(again.notebook)) == 1
    assert {"def alpha(x):\n    return 1", "def beta(x):\n    return 2"} <= set(sources(again.notebook))


@pytest.mark.parametrize(
    ("text", "expected", "safe"),
    [
        ("def old(x):\n    return old(x)", "def new(x):\n    return new(x)", True),
        ("é = 'old'; y = 1\ndef old(x): return x.old + y", "é = 'old'; y = 1\ndef new(x): return x.old + y", True),
        (
            "é = 'é'; f = lambda: old(1)\ndef old(x): return 1",
            "é = 'é'; f = lambda: new(1)\ndef new(x): return 1",
            True,
        ),
        ("def old(x):\n    new = 1\n    return new", None, False),
        ("def old(old):\n    return old", None, False),
        ("def old(x): return 1\nold = 3", None, False),
        ("def old(x) return 1", None, False),
        ("old = lambda x: x", None, False),
    ],
)
def test_a_function_is_renamed_only_where_it_is_safe(text, expected, safe):
    assert renamed_source(text, "old", "new") == (expected or text, safe)


# --- nothing is lost, whatever the learner did ----------------------------------------------------------------------

NAMES = ["alpha", "beta", "gamma", "delta"]
TEXTS = st.text("abcdef=()\n 1é", min_size=1, max_size=30).filter(lambda t: t.strip())


@st.composite
def releases(draw):
    """Two releases: exercises come and go, one may be renamed, prose and starters change, cells move."""

    def release(names, version):
        made = [prose("intro-1", f"intro {draw(st.integers(0, 2))}")]
        for name in names:
            starter = f"def {name}(x):\n    raise NotImplementedError()  # {draw(st.integers(0, 1))}"
            made += [
                prose(f"{name}-card", f"card {name} {draw(st.integers(0, 1))}"),
                answer(name, starter),
                check(name),
            ]
            made += [demo(f"{name}-demo-1", f"{name}({draw(st.integers(0, 2))})")] * draw(st.booleans())
        return book(*made)

    before = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    after = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    renames = {}
    gone, come = [n for n in before if n not in after], [n for n in after if n not in before]
    if gone and come and draw(st.booleans()):
        renames[gone[0]] = come[0]
    return release(before, 1), release(after, 2), renames


@st.composite
def histories(draw):
    """Two releases and a learner's notebook between them; also the texts that the learner wrote, and their answers."""
    base, new, renames = draw(releases())
    cells = copy.deepcopy(base["cells"])
    written = []
    for step in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(cells) - 1))
        text = f"{draw(TEXTS)}#{step}"
        match draw(st.sampled_from(["edit", "edit", "add", "move", "copy", "delete", "forget id", "duplicate id"])):
            case "edit":
                cells[at] = notebook.with_source(cells[at], text)
            case "add":
                cells.insert(at, own(f"x{step}", text, draw(st.sampled_from(["code", "markdown"]))))
            case "move":
                cells.insert(draw(st.integers(0, len(cells) - 1)), cells.pop(at))
            case "copy":
                cells.insert(at + 1, {**copy.deepcopy(cells[at]), "id": f"y{step}"})
            case "delete" if len(cells) > 1:
                cells.pop(at)
            case "forget id":
                cells[at] = {k: v for k, v in cells[at].items() if k != "id"}
            case "duplicate id":
                cells.insert(at + 1, notebook.with_source(copy.deepcopy(cells[at]), text))
    released = set(sources(base))
    kept = [cell for cell in cells if notebook.source(cell).strip() and notebook.source(cell) not in released]
    written = [notebook.source(cell) for cell in kept if not notebook.is_check(cell)]
    return base, {**base, "cells": cells}, new, renames, written


def contains(made, text, renames):
    """Whether a text is in the notebook, as it was or with a renamed function."""
    there = set(sources(made))
    return text in there or any(renamed_source(text, old, new)[0] in there for old, new in renames.items())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(histories())
def test_every_text_of_the_learners_is_in_the_merged_notebook(history):
    base, mine, new, renames, written = history
    before = json.dumps([base, mine, new])
    merged = merge(base, mine, new, renames)
    assert json.dumps([base, mine, new]) == before, "merge changed its inputs"
    for text in written:
        assert contains(merged.notebook, text, renames), text


@settings(max_examples=150, deadline=None, derandomize=True)
@given(histories())
def test_the_merged_notebook_is_the_new_release_with_more(history):
    base, mine, new, renames, _ = history
    made = merge(base, mine, new, renames).notebook
    assert len(set(ids(made))) == len(made["cells"])
    released = notebook.by_id(new)
    here = [cell["id"] for cell in made["cells"] if cell["id"] in released]
    assert here == [name for name in ids(new) if name in here], "the release's order"
    for name, cell in released.items():
        if notebook.is_answer(cell) or notebook.is_check(cell):
            assert notebook.by_id(made)[name]["metadata"] == cell["metadata"]
        if notebook.is_check(cell):
            assert notebook.source(notebook.by_id(made)[name]) == notebook.source(cell)
    graded = [notebook.grading(cell)["grade_id"] for cell in made["cells"] if notebook.grading(cell)]
    assert len(graded) == len(set(graded))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(histories())
def test_merging_again_changes_nothing(history):
    base, mine, new, renames, _ = history
    once = merge(base, mine, new, renames).notebook
    assert merge(new, once, new, renames).notebook["cells"] == once["cells"], "a second update"
    # After an update that was interrupted the base is the old one. Unchanged copies of old starters may go then.
    old = set(sources(base))
    rerun = merge(base, once, new, renames).notebook["cells"]
    assert [c for c in rerun if notebook.source(c) not in old] == [
        c for c in once["cells"] if notebook.source(c) not in old
    ]
