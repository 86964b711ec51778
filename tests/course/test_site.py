"""The site: executed lessons as pages that need no kernel, no network and no mouse."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from tiny import TINY_COURSE

from mechinterp_course.course.build import lesson_notebook
from mechinterp_course.course.kernels import Run
from mechinterp_course.course.markup import GLOSSARY
from mechinterp_course.course.site import layout, prepare
from mechinterp_course.course.site.executed import _whole
from mechinterp_course.errors import CourseError
from mechinterp_course.interp import tables
from mechinterp_course.tutor import catalog

PLOT = {
    "data": [{"type": "bar", "y": [1, 2]}],
    "layout": {"title": {"text": "Two <b>bars</b>"}, "meta": {"alt": "One </script> is higher."}},
}


@pytest.fixture(scope="module")
def book():
    return catalog.course(TINY_COURSE)


def code(source: str, *outputs: dict) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source)
    cell.outputs = [nbformat.v4.new_output("display_data", data) for data in outputs]
    return cell


def page(book, *cells) -> nbformat.NotebookNode:
    return prepare.page(nbformat.v4.new_notebook(cells=list(cells)), book)


# --- pages without a kernel ---


def test_a_plot_becomes_data_and_says_what_it_shows(book):
    (cell,) = page(
        book,
        code("draw()", {prepare.PLOT: PLOT}, {"text/html": '<p style="position:absolute; x">Figure: Two bars</p>'}),
    ).cells
    (output,) = cell.outputs
    html = output.data["text/html"]
    data = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1]
    assert json.loads(data)["layout"]["meta"]["alt"] == PLOT["layout"]["meta"]["alt"]
    assert (
        html.count("</script>") == 1 and "Two bars" in re.sub(" +", " ", html) and "<b>" not in html.split("<script")[0]
    )


def test_a_table_becomes_a_table_that_can_be_read_cell_by_cell(book):
    drawn = tables.table([("a<b", 1), ("c", None)], ["one & all", "two"], title="T <3", alt="What it shows.")
    ((output,),) = (cell.outputs for cell in page(book, code("t", {prepare.PLOT: json.loads(drawn.to_json())})).cells)
    html = output.data["text/html"]
    assert "<td>a&lt;b</td><td>1</td></tr><tr><td>c</td><td></td></tr>" in html
    assert '<th scope="col">one &amp; all</th>' in html and "T &lt;3" in html and "What it shows." in html
    assert "<script" not in html


def test_a_progress_bar_leaves_what_it_showed_last(book):
    bar = "reading:  10%\rreading:  60%\rreading: 100%"
    for text, shown in [
        (f"before\n{bar}\nafter\n", "before\nreading: 100%\nafter\n"),
        (f"{bar}\r      \r3 files\n", "3 files\n"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
    ]:
        cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("stream", text=text)])
        assert [output.text for output in page(book, cell).cells[0].outputs] == [shown]
    pieces = [nbformat.v4.new_output("stream", text=text) for text in ("\rat  10%", "\rat 100%", "\n")]
    (whole,) = page(book, nbformat.v4.new_code_cell("x", outputs=pieces)).cells[0].outputs
    assert whole.text == "at 100%\n"
    gone = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("stream", text=f"{bar}\r      \r")])
    assert page(book, gone).cells[0].outputs == []


def test_questions_open_on_a_click_and_never_show_the_answer_before(book):
    for question in book.questions.values():
        call = f'{question.kind}("{question.id}")'
        (asked,) = page(book, code(call, {prepare.WIDGET: {}, "text/plain": "x"})).cells
        right = prepare.view.as_html(question.why[question.answer])
        assert asked.cell_type == "markdown" and prepare.view.as_html(question.choices[0]) in asked.source
        assert right not in asked.source.split("<details>")[0]
        if question.kind == "predict":
            assert right not in asked.source
            (shown,) = page(book, code(f'reveal("{question.id}")')).cells
            assert right in shown.source.split("<details>")[1]


def test_what_needs_a_kernel_is_left_out_and_the_rest_stays(book):
    (cell,) = page(
        book,
        code(
            "x",
            {prepare.WIDGET: {}, "text/plain": "a <widget>"},
            {"text/plain": "2"},
            {prepare.WIDGET: {}, "text/html": "<i>here</i>"},
        ),
    ).cells
    assert [dict(output.data) for output in cell.outputs] == [
        {"text/html": "<pre>a &lt;widget&gt;</pre>"}, {"text/plain": "2"}, {"text/html": "<i>here</i>"},
    ]  # fmt: skip


def test_a_lesson_that_does_not_run_is_said_and_no_site_is_made(book, tmp_path):
    broken = nbformat.v4.new_notebook(cells=[code("1 / 0")])
    broken.cells[0].outputs = [
        nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])
    ]
    with pytest.raises(CourseError, match="Lesson 00 does not run: ZeroDivisionError division by zero"):
        _whole(book.lessons[0], Run(broken, 1.0), tmp_path / "kept.ipynb")
    with pytest.raises(CourseError, match="it had not ended"):
        _whole(
            book.lessons[0],
            Run(nbformat.v4.new_notebook(), 1.0, stopped="it had not ended after 9 seconds"),
            tmp_path / "kept.ipynb",
        )
    assert not (tmp_path / "kept.ipynb").exists()


# --- the whole site ---


class Page(HTMLParser):
    """The addresses and the ids of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.addresses, self.ids, self.scripts = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        self.addresses += [found[name] for name in ("src", "href") if found.get(name)]
        self.scripts += [found.get("src", "")] if tag == "script" else []


@pytest.fixture(scope="module")
def site(book, tmp_path_factory):
    """The site of the tiny course, its lessons not run (running is tested by the contract), built once."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site") / "html"

    def not_run(course, lessons, jobs, tell):
        for lesson in lessons:
            made = lesson_notebook(course, lesson)
            made.cells[2:2] = [
                code("draw()", {prepare.PLOT: PLOT}),
                nbformat.v4.new_markdown_cell("So $x^2$ and $$\\frac{1}{2}$$"),
            ]
            yield lesson, made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "executed", not_run)
        return layout.build(book, folder).parent


def test_every_address_leads_somewhere_in_the_site_or_to_a_paper(site, book):
    papers = {paper["address"] for paper in book.papers.values()}
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) >= 2 * len(book.lessons) + 3
    for path, found in pages.items():
        for address in found.addresses:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                assert address in papers or parts.netloc == "github.com" and "furo" in address, (path.name, address)
                continue
            if not parts.path and not parts.fragment or address.startswith("data:"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), (path.name, address)
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in pages[target].ids, (path.name, address)


def test_every_lesson_is_there_with_its_lab_its_neighbours_and_the_glossary(site, book):
    first = (site / "index.html").read_text()
    for lesson in book.lessons:
        assert f"lessons/{lesson.stem}.html" in first and f"exercises/{lesson.stem}/{lesson.stem}.html" in first
    assert (site / GLOSSARY.replace(".ipynb", ".html")).is_file()
    text = (site / "lessons" / f"{book.lessons[0].stem}.html").read_text()
    assert 'class="next-page"' in text
    assert "<math" in text and not any(
        "mathjax" in script.lower() for script in Page(site / "lessons" / f"{book.lessons[0].stem}.html").scripts
    )
    assert "predict(" not in text


def test_no_solution_stands_in_the_site(site, book):
    text = "\n".join(path.read_text() for path in (site / "exercises").rglob("*.html"))
    assert "NotImplementedError" in text and "BEGIN SOLUTION" not in text


def test_the_search_knows_the_words(site):
    assert "softmax" in (site / "searchindex.js").read_text()


def test_a_folder_with_something_else_is_left_alone_and_an_old_site_is_replaced(site, book, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(CourseError, match="holds something else"):
        layout.build(book, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").is_file()
    layout._refuse(site)  # a site may be replaced
    layout._replace(site, tmp_path / "copy")
    (tmp_path / "copy" / "old.html").touch()
    layout._replace(site, tmp_path / "copy")
    assert not (tmp_path / "copy" / "old.html").exists() and (tmp_path / "copy" / layout.MARKER).is_file()


def test_the_theme_is_made_reachable():
    page = layout.reachable(
        '<p class="caption" role="heading"><aside class="sidebar-drawer"><pre><article role="main" id="a"></article>'
    )
    assert (
        'aria-level="2"' in page
        and 'aria-label="Pages"' in page
        and '<pre tabindex="0">' in page
        and page.count("<h1") == 1
    )
