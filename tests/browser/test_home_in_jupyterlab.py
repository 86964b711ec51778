"""The home notebook in a real JupyterLab: today's hour is there when it opens, in one screen, before anything is run."""

import pytest

from mechinterp_course.tutor.catalog import course

pytestmark = [pytest.mark.browser]

SECONDS = 90_000  # Playwright counts in milliseconds
ON_SCREEN = (
    "element => { const box = element.getBoundingClientRect(); return box.bottom <= innerHeight && box.width > 0 }"
)


def test_the_home_screen_is_there_without_a_click_in_one_screen(chromium, workspace_server, shots):
    _, address = workspace_server
    lesson = course().lessons[0]
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.goto(address)
    output = page.locator(".jp-OutputArea-output").first
    output.get_by_text("Today,").wait_for(timeout=SECONDS)
    page.wait_for_timeout(1500)
    page.screenshot(path=shots / "home_light.png")
    words = output.inner_text()
    for part in ("Streak", "Review", "How sure, how right", f"{lesson.number} {lesson.title}, the reading"):
        assert part in words
    assert page.locator(".jp-InputPrompt", has_text="[1]").count() == 0  # nothing was run
    assert all(output.locator("tr").nth(i).evaluate(ON_SCREEN) for i in range(output.locator("tr").count()))
    # JupyterLab takes some styles from a notebook that it does not trust yet: the lines of the bars stay.
    bar = output.locator("[title$='exercises done']").first
    assert bar.evaluate("element => getComputedStyle(element).borderTopWidth") == "1px"
    assert bar.evaluate("element => element.firstChild.offsetHeight > 0 && element.offsetWidth > 40")

    page.get_by_role("menuitem", name="Settings").click()
    page.get_by_text("Theme", exact=True).first.hover()
    page.get_by_text("JupyterLab Dark", exact=True).first.click()
    page.wait_for_timeout(1500)
    page.screenshot(path=shots / "home_dark.png")
    output.get_by_role("link", name=f"{lesson.number} {lesson.title}, the reading").click()
    page.locator(".lm-TabBar-tab.lm-mod-current", has_text=f"{lesson.stem}.ipynb").wait_for(timeout=SECONDS)
    page.close()
