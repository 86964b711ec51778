"""The box: what it holds, what it refuses, and that grading also works where a box within the box is not allowed, or no box at all."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from planted import plant

from mechinterp_course.course.build import release_notebook, source_notebook
from mechinterp_course.course.grading import flags, harmless, sandbox, strip, warm
from mechinterp_course.course.grading.graded import GRADED, Job, Limits
from mechinterp_course.course.grading.worker import grade_one
from mechinterp_course.course.notebook import text_of
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor.catalog import course

needs_box = pytest.mark.skipif(sys.platform != "linux" or shutil.which("bwrap") is None, reason="needs bubblewrap")


def test_the_copy_for_the_box_holds_no_solution_and_no_check(tmp_path):
    strip.stripped(course(), tmp_path / "copy")
    files = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert not [path for path in files if path.name == "checks.py" and "content" in path.parts]
    text = {
        path: path.read_text(encoding="utf-8") for path in files if "content" in path.parts and path.name == "lab.py"
    }
    assert len(text) == len(course().lessons)
    for lesson in course().lessons:
        copied = next(one for path, one in text.items() if lesson.id in path.parts)
        assert "BEGIN SOLUTION" not in copied
        for exercise in lesson.exercises:
            solution = re.search(r"### BEGIN SOLUTION\n(.*?)\s*### END", exercise.answer.source, re.DOTALL)[1]
            assert solution not in copied, exercise.name
    folders = {path.relative_to(tmp_path / "copy" / strip.NAME).parts[0] for path in files}
    assert folders == {"__init__.py", "errors.py", "interp", "tutor", "content", "course"}


def test_the_copy_can_be_read_as_a_course(tmp_path):
    strip.stripped(course(), tmp_path / "copy")
    code = "from mechinterp_course.tutor.catalog import course; print(len(course().exercises))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "copy")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == len(course().exercises)


def test_without_bubblewrap_it_refuses_with_the_remedy(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    monkeypatch.setattr(sandbox.sys, "platform", "linux")
    with pytest.raises(CourseError, match="not installed. .*apt install bubblewrap.*--unsafe"):
        sandbox.require()
    sandbox.require(unsafe=True)


def test_on_another_system_it_refuses_with_the_remedy(monkeypatch):
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(CourseError, match="darwin does not have.*Linux virtual machine"):
        sandbox.require()


@needs_box
def test_where_bubblewrap_does_not_work_it_says_why(monkeypatch):
    sandbox._trouble.cache_clear()
    monkeypatch.setattr(sandbox, "_walls", lambda: ["bwrap", "--no-such-wall"])
    with pytest.raises(CourseError, match="Unknown option --no-such-wall"):
        sandbox.require()
    sandbox._trouble.cache_clear()


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("MECHINTERP_CONTENT", str(tmp_path / "content"))
    book = plant(tmp_path / "content")
    lesson = book.lessons[0]
    notebook = json.loads(json.dumps(release_notebook(book, lesson)))
    for cell in notebook["cells"]:
        if cell["id"] == "row_sums":
            cell["source"] = "import os\ndef row_sums(m):\n    return m.sum(-1)\nprint(os.getuid(), os.getcwd())"
    return lesson.stem, "ada", text_of(source_notebook(book, lesson, 77)), json.dumps(notebook)


@needs_box
@pytest.mark.kernel
def test_a_box_for_each_submission_where_there_can_be_none_within(job, monkeypatch):
    def refuse(self, *arguments):
        return None

    monkeypatch.setattr(warm.Bench, "_copy", refuse)
    graded = grade_one(Job(*job, Limits(wall_seconds=60)))
    assert (graded.state, graded.points) == (GRADED, 1.0)
    warm.close_all()


@pytest.mark.kernel
@pytest.mark.skipif(sys.platform == "win32", reason="a notebook is graded on Linux and macOS")
def test_without_walls_it_grades_as_well(job, monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    graded = grade_one(Job(*job, Limits(wall_seconds=60), unsafe=True))
    assert (graded.state, graded.points) == (GRADED, 1.0)
    warm.close_all()


def test_where_the_grader_itself_stops_the_submission_is_not_done(job, monkeypatch):
    def full(course, unsafe):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(warm, "bench", full)
    graded = grade_one(Job(*job))
    assert graded.unfinished and "No space left on device" in graded.reason
    assert not grade_one(Job(*job[:3], "no notebook")).unfinished


def test_what_a_student_wrote_becomes_harmless():
    text = harmless.markdown("<script>x</script> a < b [l](JavaScript:alert(1)) $\\href{u}{x}$ <img onerror=x>")
    assert (
        "<script" not in text
        and "<img" not in text
        and "JavaScript:" not in text
        and "\\href" not in text
        and "a < b" in text
    )
    bad = [
        {"output_type": "display_data", "data": {"text/html": "<b>", "image/png": "not base64!"}},
        {"output_type": "execute_result", "data": {"image/png": "aGk="}, "execution_count": "1"},
        {"output_type": "stream", "name": "log", "text": ["x"]},
        {"output_type": "error", "traceback": "no list"},
        {"output_type": "update"},
        7,
    ]
    made = harmless.outputs(bad)
    assert made[0]["data"] == {"text/plain": harmless.FIGURE}
    assert made[1] == {
        "output_type": "execute_result",
        "data": {"image/png": "aGk=", "text/plain": harmless.FIGURE},
        "metadata": {},
        "execution_count": None,
    }
    assert [one["output_type"] for one in made] == ["display_data", "execute_result", "stream", "error"]
    assert harmless.outputs("nonsense") == []


class _Elements(HTMLParser):
    """Collects the elements of a page that lead or load anywhere, or that could hold a script."""

    def __init__(self, page: str):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        is_heading_anchor = tag == "a" and given.get("href", "").startswith("#")  # nbconvert's own
        if tag in ("a", "img", "script", "style", "iframe", "svg", "htmlx") and not is_heading_anchor:
            self.found.append((tag, given))


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "# [x](javascript:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\nscript:alert(1))",
        "[x](<javascript:alert(1)>)",
        "[x](https://evil.example)",
        "![a](https://evil.example/p.png)",
        "[![a](https://evil.example/p.png)](https://evil.example)",
        "![a](attachment:p.png)",
        "[x][1]\n\n[1]: https://evil.example",
        "![x]\n\n> [x]: https://evil.example 'y'",
        "- [x]\n\n[x]:\n  javascript:alert(1)",
        "<https://evil.example>",
        "<javascript:alert(1)>",
        "<me@evil.example>",
        "https://evil.example and www.evil.example",
        "| [x](https://evil.example) |\n|---|\n| ![y](https://evil.example) |",
        "<\\style onload=x>*{}</\\style> <\\htmlx onclick=alert(1)>",
        "<img src=x onerror=alert(1)>",
        "a <svg/onload=alert(1)>",
        "<\x00script>alert(1)</script>",
        "$<img src=x>$ and $$[x](https://evil.example)$$",
    ],
)
def test_a_text_cell_shows_no_link_and_no_picture(text):
    """Seen as an instructor sees it, through nbconvert."""
    from nbconvert.filters import markdown2html

    page = _Elements(markdown2html(harmless.markdown(text)))
    assert page.found == []


@pytest.mark.parametrize(
    "command", ["href", "\\href", "\\\\href", "HREF", "href1", "mmlToken", "htmlClass", "htmlData"]
)
def test_a_text_cell_gives_mathematics_no_command_that_leads_out(command):
    made = harmless.markdown(f"$\\{command}{{javascript:x}}{{y}}$")
    assert "\\" not in made and command.strip("\\") in made


def test_an_ordinary_text_cell_reads_as_before():
    text = "# Title\n\n*Why* a < b: $\\frac{1}{2}$, `x[0]`, and\n\n```python\nif x[0]:\n    d = {'data': 1}\n```"
    assert harmless.markdown(text).replace("\u200b", "") == text


@pytest.mark.parametrize(
    "code",
    [
        "import math\nx = 1",
        "import torch.nn.functional as F\ny = F.softmax(x, -1)",
        "model.cfg.use_x = True",
        "%matplotlib inline\n!ls",
        "a = [",
        "",
    ],
)
def test_ordinary_code_is_not_flagged(code):
    assert flags.flags([("c", code)]) == []


@pytest.mark.parametrize(
    "code",
    [
        "check = print",
        "def check(*a): pass",
        "import gc",
        "from ctypes import cdll",
        "sys.modules['x'] = 1",
        "torch.isclose = lambda *a: 1",
        "setattr(torch, 'equal', 1)",
        "os.fork()",
        "open('/proc/1/mem')",
        "get_ipython().ast_transformers.append(1)",
    ],
)
def test_code_around_the_machinery_is_flagged_with_care(code):
    found = flags.flags([("c", code)])
    assert found and all(
        one.startswith("The cell c touches ") and one.endswith("; have a look at it.") for one in found
    )
