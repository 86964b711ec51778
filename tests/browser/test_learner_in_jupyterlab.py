"""A learner's first minutes in JupyterLab, in a real browser: a check that fails, an answer, a check that passes, the next page."""

import contextlib
import json
import re
from urllib.parse import urlsplit

import pytest
from served import wait_for_kernel

from mechinterp_course.course.build import solved
from mechinterp_course.tutor.catalog import course

pytestmark = [pytest.mark.browser, pytest.mark.kernel]

KERNEL_SECONDS = 90_000  # Playwright counts in milliseconds


def open_notebook(page, address: str, path: str) -> None:
    """Open a notebook of the workspace and wait until its kernel is idle."""
    parts = urlsplit(address)
    page.goto(f"{parts.scheme}://{parts.netloc}/lab/tree/{path}?{parts.query}")
    shown(page, path.split("/")[-1])
    wait_for_kernel(page)


def shown(page, name: str) -> None:
    """Wait until the notebook of that name is the tab in front."""
    page.locator(".lm-TabBar-tab.lm-mod-current", has_text=name).wait_for(timeout=KERNEL_SECONDS)
    in_front(page).locator(".jp-Cell").first.wait_for(timeout=KERNEL_SECONDS)


def in_front(page):
    """Return the notebook that is seen: JupyterLab keeps the other open tabs, hidden."""
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def scroll(page, pixels: int) -> None:
    in_front(page).locator(".jp-WindowedPanel-outer").hover()
    page.mouse.wheel(0, pixels)
    page.wait_for_timeout(100)


def code_cell(page, text: str):
    """Return the code cell that holds `text`, scrolled into view (JupyterLab draws only the cells near the window)."""
    cell = in_front(page).locator(".jp-CodeCell", has=page.locator(".cm-content", has_text=text)).first
    for _ in range(80):
        if cell.count():
            cell.scroll_into_view_if_needed()
            return cell
        scroll(page, 400)
    raise AssertionError(f"No code cell shows {text!r}.")


def run_cell(page, cell) -> None:
    """Run one cell and wait until it has its number."""
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    cell.locator(".jp-InputPrompt", has_text="[*]").wait_for(state="detached", timeout=KERNEL_SECONDS)
    page.wait_for_timeout(300)


def type_answer(page, cell, text: str) -> None:
    """Replace the cell's text, as one insertion, so that the editor closes no brackets by itself."""
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def test_a_check_fails_passes_and_the_next_page_opens(chromium, workspace_server, shots):
    workspace, address = workspace_server
    lesson = course().lessons[0]
    exercise = lesson.exercises[0]
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.get_by_role("link", name=lesson.title).first.wait_for(timeout=KERNEL_SECONDS)
    page.wait_for_timeout(2000)
    page.screenshot(path=shots / "1_home.png")

    open_notebook(page, address, f"exercises/{lesson.stem}/{lesson.stem}.ipynb")
    for cell in lesson.intro:
        if cell.type == "code":
            run_cell(page, code_cell(page, cell.source.splitlines()[0]))
    answer = code_cell(page, f"def {exercise.name}(")
    run_cell(page, answer)
    check = code_cell(page, f'check("{exercise.name}"')
    run_cell(page, check)
    check.get_by_text(f"{exercise.name} is not written yet").wait_for(timeout=KERNEL_SECONDS)
    page.screenshot(path=shots / "2_unsolved.png")
    told = check.locator(".jp-OutputArea").inner_text()
    assert f"✗ {exercise.name}" in told
    assert "Next:" in told
    assert "Traceback" not in told and "site-packages" not in told and "mechinterp_course/" not in told

    type_answer(page, answer, solved(exercise.answer.source))
    run_cell(page, answer)
    run_cell(page, check)
    check.get_by_text(f"✓ {exercise.name}").wait_for(timeout=KERNEL_SECONDS)
    page.screenshot(path=shots / "3_solved.png")
    assert "✗" not in check.locator(".jp-OutputArea").inner_text()
    events = [json.loads(line) for line in (workspace / "progress.jsonl").read_text().splitlines()]
    assert [e["passed"] for e in events if e["kind"] == "check"] == [False, True]

    scroll(page, 100_000)  # the way on stands below the last cell
    following = course().lessons[1]
    in_front(page).get_by_role("link", name=f"Lesson {following.number}: {following.title}").last.click()
    shown(page, f"{following.stem}.ipynb")
    in_front(page).get_by_role("heading", name=following.title).first.wait_for(timeout=KERNEL_SECONDS)
    page.wait_for_timeout(1000)
    page.screenshot(path=shots / "4_next.png")
    page.close()


def test_run_all_in_the_first_moment_asks_for_no_kernel(chromium, workspace_server):
    """JupyterLab may forget what is run before the notebook's kernel has begun: then it runs at the second asking."""
    from playwright.sync_api import TimeoutError as TookTooLong

    _, address = workspace_server
    lesson = course().lessons[0]
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    parts = urlsplit(address)
    page.goto(f"{parts.scheme}://{parts.netloc}/lab/tree/exercises/{lesson.stem}/{lesson.stem}.ipynb?{parts.query}")
    in_front(page).locator(".jp-Cell").first.wait_for(timeout=KERNEL_SECONDS)
    begun = in_front(page).locator(".jp-CodeCell .jp-InputPrompt", has_text=re.compile(r"\[\d+\]")).first
    asked = page.locator(".jp-Dialog")
    for patience in (20_000, KERNEL_SECONDS):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        with contextlib.suppress(TookTooLong):
            begun.or_(asked).first.wait_for(timeout=patience)
            break
    assert begun.count() and not asked.count()
    page.close()
