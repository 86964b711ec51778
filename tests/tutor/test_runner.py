"""What a learner reads when a check does not pass: whole messages, for every way in which an answer can be wrong."""

import random
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch
from tiny import TINY_COURSE

from mechinterp_course import check
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import progress
from mechinterp_course.tutor.checks import Check, Draw
from mechinterp_course.tutor.reference import reference, run_cell
from mechinterp_course.tutor.runner import VISIBLE_SEED, CheckFailed, examine

pytestmark = pytest.mark.usefixtures("tiny_course")


def learner(source: str) -> dict:
    """Run code the way a notebook cell runs it, and return its names."""
    space = {}
    run_cell(textwrap.dedent(source), space, "cell 7")
    return space


def told(name: str, answer, **others) -> str:
    """Return what the learner reads."""
    with pytest.raises(CheckFailed) as failed:
        check(name, answer, **others)
    text = str(failed.value)
    assert 2 <= len(text.splitlines()) <= 6
    assert isinstance(failed.value, AssertionError)
    return text


def told_of(name: str, source: str) -> str:
    return told(name, learner(source)[name])


CALLED = "Called: double(x = [1.72 0.679 0.916] [-0.406 -0.605 -0.437])"

MESSAGES = {
    "wrong values": (
        "double",
        "def double(x):\n    y = 2 * x\n    y[1, 1] = 7.0\n    return y",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        The result is wrong at 1 of 6 places, first at [1, 1]: yours 7.00, right -1.21.
        Yours: [3.43 1.36 1.83] [-0.811 7.00 -0.874]   Right: [3.43 1.36 1.83] [-0.811 -1.21 -0.874]
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "a named mistake": (
        "double",
        "def double(x):\n    return x * x",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        The result is wrong at 6 of 6 places, first at [0, 0]: yours 2.94, right 3.43.
        A right answer: every number is doubled.
        This looks like: squares. You returned x times x; twice x is x plus x.
        Next: hint("double")""",
    ),
    "some checks hold": (
        "row_softmax",
        "def row_softmax(scores):\n    return scores.abs() / scores.abs().sum(-1, keepdim=True)",
        """\
        ✗ row_softmax   1 of 2 checks passed
        Called: row_softmax(scores = a 2 × 4 tensor)
        The probabilities are wrong at 8 of 8 places, first at [0, 0]: yours 0.288, right 0.046.
        Yours: [0.288 0.142 0.354 0.216] [0.235 0.650 0.111 0.004]   Right: [0.046 0.081 0.550 0.323] [0.113 0.829 0.021 0.037]
        A right answer: a larger score has a larger probability, by the ratio of the exponentials.
        Next: hint("row_softmax")""",
    ),
    "a wrong shape": (
        "double",
        "def double(x):\n    return 2 * x.T",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        The result has shape (3, 2); it should be (2, 3).
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "a wrong dtype": (
        "double",
        "def double(x):\n    return (2 * x).long()",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        The result holds int64; it should hold decimal numbers, like the input.
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "another device": (
        "double",
        "def double(x):\n    return 2 * x.to('meta')",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        The result is on the device meta; it should be on cpu, like the input.
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "NaN": (
        "double",
        "def double(x):\n    return x / (x - x) * 2",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        The result is infinite at [0, 0], 6 of 6 places. Infinity comes from a division by 0, log 0, or exp of a large number.
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "a real NaN": (
        "double",
        "def double(x):\n    return x.log()",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        The result is NaN (not a number) at [1, 0], 3 of 6 places. NaN comes from 0/0, inf/inf, inf - inf, 0 times inf, or a logarithm of a negative number.
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "None": (
        "double",
        "def double(x):\n    2 * x",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        double returned None. Does every path through it end in `return ...`?
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "an edited input": (
        "double",
        "def double(x):\n    x *= 2\n    return x",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        double changed its input x (at [0, 0]). Whoever calls it may still need the old values: make a new tensor (x = x + …, not x += …), or copy first with .clone().
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "numpy": (
        "double",
        "def double(x):\n    return 2 * x.numpy()",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        The result is a numpy array; it should be a torch tensor, like the input.
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "an error inside": (
        "row_softmax",
        "def row_softmax(scores):\n    total = scores.sum(-1)\n    return scores / total",
        """\
        ✗ row_softmax   0 of 2 checks passed
        Called: row_softmax(scores = a 3 × 5 tensor)
        row_softmax stopped with RuntimeError: The size of tensor a (5) must match the size of tensor b (3) at non-singleton dimension 1
        Your line: return scores / total   where scores (3, 5), total (3,)
        A right answer: every row sums to 1.
        Next: hint("row_softmax")""",
    ),
    "an error in a helper of the learner's": (
        "double",
        "def helper(numbers):\n    return numbers[9]\n\ndef double(x):\n    return helper(x) * 2",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        double stopped with IndexError: index 9 is out of bounds for dimension 0 with size 2
        Your line: return helper(x) * 2   and there, in helper: return numbers[9]   where numbers (2, 3)
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "an error without a message": (
        "double",
        "def double(x):\n    raise KeyError",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        double stopped with KeyError.
        Your line: raise KeyError
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "exit": (
        "double",
        "import sys\ndef double(x):\n    sys.exit(0)",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        double stopped with SystemExit: 0
        Your line: sys.exit(0)
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "a changed signature": (
        "double",
        "def double(x, y):\n    return x + y",
        f"""\
        ✗ double   0 of 1 check passed
        {CALLED}
        double could not be called: double() missing 1 required positional argument: 'y'. Keep its first line (def …) as it was given.
        A right answer: every number is doubled.
        Next: hint("double")""",
    ),
    "unsolved": (
        "double",
        "def double(x):\n    raise NotImplementedError()",
        """\
        ✗ double   0 of 1 check passed
        double is not written yet: its line `raise NotImplementedError()` still stands.
        Next: replace that line; hint("double") helps you to begin""",
    ),
    "an unsolved dependency": (
        "quadruple",
        "def double(x):\n    raise NotImplementedError()\n\ndef quadruple(x):\n    return double(double(x))",
        """\
        ✗ quadruple   0 of 1 check passed
        quadruple calls double, and double is not written yet.
        Next: solve double first, or take the course's: double = borrow("double")""",
    ),
    "a broken dependency": (
        "quadruple",
        "def double(x):\n    return x * x\n\ndef quadruple(x):\n    return double(double(x))",
        """\
        ✗ quadruple   0 of 1 check passed
        Called: quadruple(x = [0.338 0.055 -0.197])
        The result is wrong at 3 of 3 places, first at [0]: yours 0.013, right 1.35.
        quadruple calls double, and double does not pass its own check.
        A right answer: every number is four times as large.
        Next: mend double first: check("double", double)""",
    ),
    "a sound dependency, and a mistake of one's own": (
        "quadruple",
        "def double(x):\n    return x + x\n\ndef quadruple(x):\n    return double(x)",
        """\
        ✗ quadruple   0 of 1 check passed
        Called: quadruple(x = [0.338 0.055 -0.197])
        The result is wrong at 3 of 3 places, first at [0]: yours 0.676, right 1.35.
        A right answer: every number is four times as large.
        This looks like: doubles once. Your numbers are twice x: double was called once.
        Next: hint("quadruple")""",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name, source, message", MESSAGES.values(), ids=MESSAGES.keys())
def test_the_whole_message(name, source, message):
    assert told_of(name, source) == textwrap.dedent(message)


def test_a_helper_that_is_not_written_yet_is_named():
    source = "def part(x):\n    raise NotImplementedError()\n\ndef double(x):\n    return part(x)"
    assert "double calls part, and the line `raise NotImplementedError()` still stands in part." in told_of(
        "double", source
    )


def test_a_check_that_is_broken_before_its_first_call_does_not_blame_the_answer(tiny_course, monkeypatch):
    from mechinterp_course.tutor.catalog import course

    book = course()
    broken = Check("always", lambda answer, draw: [][0])
    monkeypatch.setattr(book.checks(book.lesson_of("double"))["double"], "checks", [broken])
    said = told("double", lambda x: 2 * x)
    assert "This check stopped before it could look at your answer (IndexError" in said
    assert "fault of the course" in said


def test_a_result_instead_of_the_function():
    assert told("double", torch.ones(2)) == (
        "✗ double   0 of 1 check passed\n"
        'check("double", …) was given a tensor of shape (2,), float32: [1.00 1.00]; it needs the function itself, without brackets.\n'
        'Next: check("double", double)'
    )


def test_no_function_at_all():
    with pytest.raises(CheckFailed) as failed:
        check("double")
    assert str(failed.value) == (
        '✗ double   0 of 1 check passed\ncheck("double") needs your function as well.\nNext: check("double", double)'
    )


def test_an_operation_that_torch_has_not_implemented_is_no_starter():
    """torch raises NotImplementedError too; the learner has written something, and must not be told that they have not."""
    text = told_of("double", "import torch\ndef double(x):\n    return torch.softmax(x.long(), -1)")
    assert "not written yet" not in text
    assert "double stopped with NotImplementedError" in text
    assert "Your line: return torch.softmax(x.long(), -1)   where x (2, 3)" in text


def test_a_result_that_the_check_cannot_work_with_is_described(tiny_course, monkeypatch):
    def test(answer, draw):
        answer(draw.normal(3))[7] + 1

    double = tiny_course.checks(tiny_course.lesson("00"))["double"]
    monkeypatch.setattr(double, "checks", [Check("the eighth number is doubled", test)])
    assert told_of("double", "def double(x):\n    return x.sum()") == (
        "✗ double   0 of 1 check passed\n"
        "Called: double(x = [0.487 0.495 1.05])\n"
        "double returned the number 2.03, and the check could not work with that "
        "(IndexError: index 7 is out of bounds for dimension 0 with size 0).\n"
        "A right answer: the eighth number is doubled.\n"
        'Next: hint("double")'
    )


def test_no_message_shows_code_of_the_course():
    for name, source, _ in MESSAGES.values():
        text = told_of(name, source)
        assert "Traceback" not in text and "mechinterp_course/" not in text and ".py" not in text


def test_the_notebook_shows_the_lines_and_no_traceback():
    with pytest.raises(CheckFailed) as failed:
        check("double", learner("def double(x):\n    return x * x")["double"])
    lines = failed.value._render_traceback_()
    assert "\n".join(lines).replace("\x1b[31m", "").replace("\x1b[0m", "") == str(failed.value)


# --- passing ---


def test_a_right_answer_prints_one_line_and_returns_nothing(capsys):
    assert check("double", reference("double")) is None
    assert capsys.readouterr().out == "✓ double   1 of 1 check passed. Why does the shape stay the same?\n"


def test_with_a_seed_the_hidden_checks_run_too(capsys):
    check("row_softmax", reference("row_softmax"), seed=12345)
    assert capsys.readouterr().out == "✓ row_softmax   3 of 3 checks passed on new inputs.\n"


def test_a_hard_coded_answer_passes_the_visible_check_and_fails_the_hidden_one():
    seen = Draw(VISIBLE_SEED, "double", "every number is doubled").normal(2, 3)

    def double(x):
        return 2 * seen if torch.equal(x, seen) else seen

    assert examine("double", double).passed
    hidden = examine("double", double, seed=99)
    assert hidden.lines()[0] == "✗ double   0 of 2 checks passed on new inputs"


def test_naive_softmax_fails_only_the_hidden_check():
    naive = learner("def row_softmax(scores):\n    return scores.exp() / scores.exp().sum(-1, keepdim=True)")[
        "row_softmax"
    ]
    assert examine("row_softmax", naive).passed
    verdict = examine("row_softmax", naive, seed=1)
    assert (verdict.held, verdict.total, verdict.title) == (2, 3, "scores of 1000 and more")


def test_the_same_seed_gives_the_same_verdict():
    answer = learner("def double(x):\n    return x")["double"]
    assert examine("double", answer, seed=5) == examine("double", answer, seed=5)
    assert examine("double", answer, seed=5).called != examine("double", answer, seed=6).called


# --- the learner's own state ---


def test_the_random_state_of_the_learner_is_untouched_and_not_seen():
    draws = "import random, numpy, torch\nseen = []\ndef double(x):\n"
    draws += "    seen.append((torch.rand(()).item(), numpy.random.rand(), random.random()))\n    return 2 * x"
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
        space = learner(draws)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        check("double", space["double"])
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1], np.random.get_state()[1])
        assert before[2] == random.getstate()
        runs.append(space["seen"])
    assert runs[0] == runs[1] and runs[0]


def test_the_random_state_comes_back_after_a_failure_too():
    torch.manual_seed(3), random.seed(3)
    before = torch.get_rng_state(), random.getstate()
    told_of("double", "import torch, random\ndef double(x):\n    torch.rand(9), random.random()\n    return 1 / 0")
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()


def test_gradients_work_inside_no_grad_and_the_setting_comes_back():
    space = learner("import torch\non = []\ndef double(x):\n    on.append(torch.is_grad_enabled())\n    return 2 * x")
    with torch.no_grad():
        check("double", space["double"])
        assert not torch.is_grad_enabled()
    assert space["on"] == [True]


def test_what_an_answer_writes_to_stderr_goes_to_stdout(capsys):
    source = "import sys, warnings\ndef double(x):\n    print('mine', file=sys.stderr)\n    warnings.warn('careful')\n    return 2 * x"
    answer = learner(source)["double"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *rest: print(message, file=sys.stderr)
        check("double", answer)
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("mine\ncareful\n✓ double")


def test_an_interrupt_stops_the_check():
    with pytest.raises(KeyboardInterrupt):
        check("double", learner("def double(x):\n    raise KeyboardInterrupt")["double"])


# --- names, records, imports ---


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(CourseError) as error:
        check("doubel", lambda x: x)
    assert error.value._render_traceback_() == ["There is no exercise 'doubel'.", "Did you mean double?"]


def test_a_borrowed_dependency_is_not_called_broken():
    space = learner("def quadruple(x):\n    return double(x) + 1")
    space["double"] = reference("double")
    assert "does not pass its own check" not in told("quadruple", space["quadruple"])


def test_a_broken_part_is_found_behind_a_decorator():
    """torch.no_grad() puts a function of torch's around the learner's: the notebook's names are those of the one inside."""
    source = "import torch\n\n{}def quadruple(x):\n    return double(double(x))\n\ndef double(x):\n    return x + 1"
    for decorator in ("", "@torch.no_grad()\n"):
        said = told_of("quadruple", source.format(decorator))
        assert "quadruple calls double, and double does not pass its own check." in said, decorator


def test_a_name_without_its_quotes_is_told():
    with pytest.raises(CourseError) as error:
        check(told, told)
    assert error.value._render_traceback_() == ["The name of an exercise or question goes in quotes.", 'Write "told".']


def test_a_check_is_recorded(workspace):
    told_of("double", "def double(x):\n    return x * x")
    check("double", reference("double"))
    first, second = progress.load()
    assert (first.kind, first.data["passed"], first.data["mistake"]) == ("check", False, "squares")
    assert (second.data["passed"], second.data["held"], second.data["total"]) == (True, 1, 1)


def test_examine_prints_and_records_nothing(workspace, capsys):
    examine("double", lambda x: x)
    assert capsys.readouterr() == ("", "") and progress.load() == []


def test_every_wrong_answer_of_the_tiny_course_is_named_and_every_variation_passes(tiny_course):
    for lesson in tiny_course.lessons:
        for name, checked in tiny_course.checks(lesson).items():
            assert examine(name, reference(name), seed=11).passed
            for variation in checked.variations:
                assert examine(name, variation.answer, seed=11).passed
            for wrong in checked.wrong_answers:
                assert examine(name, wrong.answer).mistake == wrong.name


def test_a_check_needs_no_nbgrader():
    code = (
        "import sys; sys.modules['nbgrader'] = None\n"
        "from mechinterp_course import check, borrow\n"
        "check('double', borrow('double'))"
    )
    env = {"MECHINTERP_CONTENT": str(TINY_COURSE), "MECHINTERP_WORKSPACE": "", "PATH": "", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert run.stdout.splitlines()[-1].startswith("✓ double") and run.stderr == ""


def test_a_check_computes_on_one_thread_and_puts_the_learners_number_back():
    seen, before = [], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        check("double", lambda x: seen.append(torch.get_num_threads()) or 2 * x)
        assert set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
