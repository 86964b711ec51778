"""The review in a real notebook: the cards stand there as forms, are answered by keyboard alone, and are kept."""

import json
from datetime import date, timedelta
from urllib.parse import urlsplit

import nbformat
import pytest
from served import wait_for_kernel

from mechinterp_course.tutor import progress
from mechinterp_course.tutor.catalog import course
from mechinterp_course.tutor.events import Event

pytestmark = [pytest.mark.browser, pytest.mark.kernel]

SECONDS = 90_000  # Playwright counts in milliseconds


def happened(workspace, number: int, kind: str, **data) -> None:
    day = (date.today() - timedelta(days=9)).isoformat()
    line = Event(f"e{number}", f"{day}T10:00:{number:02d}.000Z", kind, "one", day, data).to_line()
    with (workspace / progress.FILE).open("a") as file:
        file.write(line + "\n")


def test_cards_are_answered_by_keyboard_and_kept(chromium, workspace_server, shots):
    workspace, address = workspace_server
    book = course()
    quiz = next(q for q in book.questions.values() if q.kind == "quiz")
    happened(
        workspace, 1, "quiz", question=quiz.id, choice=next(c for i, c in enumerate(quiz.choices) if i != quiz.answer)
    )
    happened(workspace, 2, "check", exercise=book.lessons[0].exercises[0].name, passed=True)
    cell = nbformat.v4.new_code_cell("from mechinterp_course import review\n\nreview(7)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), workspace / "five.ipynb")
    page = chromium.new_page(viewport={"width": 1000, "height": 1300})
    parts = urlsplit(address)
    page.goto(f"{parts.scheme}://{parts.netloc}/lab/tree/five.ipynb?{parts.query}")
    code = page.locator(".jp-CodeCell").first
    code.wait_for(timeout=SECONDS)
    wait_for_kernel(page)
    code.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    forms = page.locator("form.mechinterp-question")
    forms.first.wait_for(timeout=SECONDS)
    page.wait_for_timeout(1500)
    assert forms.count() >= 3
    page.screenshot(path=shots / "review_1.png")
    asked = next(form for form in forms.all() if "quiz question" in form.inner_text())
    asked.locator("input[type=radio]").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    asked.locator("[role=status] >> text=answer").or_(asked.locator("[role=status] >> text=Right")).or_(
        asked.locator("[role=status] >> text=Not this one")
    ).first.wait_for(timeout=SECONDS)
    covered = page.locator("form.mechinterp-question details").last
    covered.locator("summary").click()
    page.wait_for_timeout(500)
    page.screenshot(path=shots / "review_2.png")
    page.get_by_role("menuitem", name="Settings").click()
    page.get_by_text("Theme", exact=True).first.hover()
    page.get_by_text("JupyterLab Dark", exact=True).first.click()
    page.wait_for_timeout(1500)
    page.screenshot(path=shots / "review_dark.png")
    lines = [json.loads(line) for line in (workspace / progress.FILE).read_text().splitlines()]
    assert [(one["card"], one["rating"]) for one in lines if one["kind"] == "review"][0][0] == f"quiz:{quiz.id}"
    page.close()
