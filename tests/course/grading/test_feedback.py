"""A student's page: what the check said, nothing that it hides, and nothing that a browser would run or fetch."""

import json
import re

import pytest
from classes import COLUMNS, LAB, SUMS, submit

from mechinterp_course.course.grading import feedback, render
from mechinterp_course.course.grading.gradebook import opened

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def page(made, course, grade):
    """Grade one submission full of HTML, scripts and the class's seed; return its page."""

    def write(answers, outputs=(), name="ada"):
        path = submit(made, name, answers)
        lab = json.loads(path.read_text())
        for cell in lab["cells"]:
            if cell["id"] == "row_sums":
                cell["outputs"] = list(outputs)
        path.write_text(json.dumps(lab))
        grade()
        (written,) = feedback.write_pages(made, course, [LAB], [name])
        assert written == made.root / "feedback" / name / LAB / f"{LAB}.html"
        return written.read_text(encoding="utf-8")

    return write


def test_it_says_what_the_check_said(page):
    text = page({"row_sums": COLUMNS})
    assert "This looks like: sum over the wrong axis." in text
    assert "<b>0</b> of 3 points" in text and "0 of 2 exercises passed" in text
    assert "You left this exercise as it was." in text, "the second one"


def test_points_and_words_of_a_teacher_count(made, course, grade):
    submit(made, "ada", {"row_sums": COLUMNS})
    grade()
    with opened(made) as book:
        book.gradebook.find_grade("row_sums-check", LAB, LAB, "ada").manual_score = 1.0
        book.gradebook.find_comment("row_sums", LAB, LAB, "ada").manual_comment = "Nearly: $x^2$ <b>not bold</b>"
        book.gradebook.db.commit()
    text = feedback.write_pages(made, course, [LAB])[0].read_text(encoding="utf-8")
    assert "<b>1</b> of 3 points" in text and "A person looked at this exercise" in text
    assert "<msup>" in text and "&lt;b&gt;not bold" in text


def test_nothing_of_a_students_runs(made, page):
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": EVIL},
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"text/html": EVIL, "application/javascript": "alert(1)"},
        },
        {"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": EVIL, "text/plain": "a figure"}},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": "not a picture' onerror='alert(1)"}},
    ]
    text = page({"row_sums": f"    return 1  # right {EVIL}\n"}, outputs)
    assert "<script" not in text and "<img" not in text and "&lt;script&gt;" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert feedback.ELSEWHERE in text


def test_a_picture_is_shown(page):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    outputs = [{"output_type": "display_data", "metadata": {}, "data": {"image/png": pixel, "text/plain": "fig"}}]
    assert f"data:image/png;base64,{pixel}" in page({"row_sums": SUMS}, outputs)


def test_no_hidden_check_and_no_seed_is_in_it(made, page):
    seed = str(made.seed)
    outputs = [{"output_type": "stream", "name": "stdout", "text": f"found it: {seed}"}]
    text = page({"row_sums": f"    return {seed}  # right\n"}, outputs)
    assert seed not in text and "found it: …" in text
    assert "HIDDEN" not in text and "seed=" not in text


def test_it_needs_no_network(page):
    text = page({"row_sums": SUMS})
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", text)


def test_only_those_who_were_graded_have_a_page(made, course, grade):
    submit(made, "ada", {})
    assert feedback.write_pages(made, course, [LAB]) == []


@pytest.mark.parametrize(
    "text, has",
    [
        ("$a_i$ and $$\\frac{1}{2}$$", ["<msub>", "<mfrac>", 'display="block"']),
        ("costs $5 or $6", ["costs"]),
        ("[in](../other.ipynb) [out](https://example.org)", ["<a>in</a>", 'href="https://example.org"']),
        ("[run](javascript:alert(1))", ["run"]),
        ("<script>x</script>", ["&lt;script&gt;"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ["<table>", "<td>1</td>"]),
    ],
)
def test_markdown_becomes_html_that_does_nothing(text, has):
    made = render.markdown(text)
    assert all(part in made for part in has)
    assert "<script" not in made and 'href="javascript' not in made


def test_all_mathematics_of_the_course_can_be_drawn():
    """Every formula of every lab, converted: nothing is left as TeX."""
    from mechinterp_course.tutor.catalog import course

    formulas = 0
    for lesson in course().lessons:
        for cell in lesson.lab_cells:
            if cell.type == "markdown" and "$" in cell.source:
                made = render.markdown(cell.source)
                formulas += made.count("<math")
                assert "\\frac" not in made and "\\sum" not in made and "\\text" not in made, cell.source
    assert formulas > 50
