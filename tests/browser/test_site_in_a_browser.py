"""The site, opened from a disk in a real browser: plots draw, the search finds, and axe finds nothing to complain about."""

import pytest

from mechinterp_course.course.build import lesson_notebook
from mechinterp_course.course.kernels import run
from mechinterp_course.course.site import layout
from mechinterp_course.tutor.catalog import course

pytestmark = [pytest.mark.browser, pytest.mark.kernel]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of lesson 00, run in a kernel."""
    pytest.importorskip("sphinx")

    def executed(book, lessons, jobs, tell):
        for lesson in lessons:
            yield lesson, run(lesson_notebook(book, lesson), 300).notebook

    book = course()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "executed", executed)
        return layout.build(book, tmp_path_factory.mktemp("site") / "html", [book.lessons[0]]).parent


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "lesson", "lab", "glossary", "search"])
def test_axe_finds_nothing(chromium, site, shots, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    stem = course().lessons[0].stem
    paths = {
        "index": "index.html",
        "lesson": f"lessons/{stem}.html",
        "lab": f"exercises/{stem}/{stem}.html",
        "glossary": "lessons/glossary.html",
        "search": "search.html?q=softmax",
    }
    page = chromium.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
    outside = []
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else outside.append(request.url),
    )
    page.goto(f"file://{site}/{paths[name]}")
    page.wait_for_load_state("load")
    page.wait_for_timeout(800)
    page.screenshot(path=shots / f"site_{name}_{scheme}.png")
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    assert outside == []
    page.close()


def test_plots_draw_pages_fit_700_pixels_and_the_search_finds(chromium, site, shots):
    stem = course().lessons[0].stem
    page = chromium.new_page(viewport={"width": 700, "height": 900})
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"file://{site}/lessons/{stem}.html")
    figures = page.locator("figure.plot")
    assert figures.count() > 0
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
        figures.nth(number).locator(".main-svg").first.wait_for(timeout=20_000)
        assert len(figures.nth(number).get_attribute("aria-label")) > 20
    page.screenshot(path=shots / "site_700.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    page.goto(f"file://{site}/search.html?q=softmax")
    page.locator("#search-results li a").first.wait_for(timeout=20_000)
    assert troubles == []
    page.close()
