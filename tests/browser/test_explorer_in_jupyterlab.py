"""The feature explorer in JupyterLab, in a real browser without a network: live, by keys alone, saved and opened again, trusted and not.

`MECHINTERP_SCREENSHOTS=folder pytest tests/browser/test_explorer_in_jupyterlab.py` leaves pictures to look at.
"""

import json
import os
import urllib.request
from urllib.parse import urlsplit

import nbformat
import pytest
from planted_features import planted_table
from served import go_to, saved, served, wait_for_kernel

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.xdist_group("explorer in JupyterLab")]

PATIENCE_MS = 120_000  # Playwright counts in milliseconds
SOURCE = 'from mechinterp_course import explore\n\nexplore("planted.npz")'


@pytest.fixture(scope="module")
def lab(chromium, tmp_path_factory):
    """A workspace with a notebook that explores a table; give (page, workspace, address). All requests must stay on this machine."""
    asked = []
    with served(tmp_path_factory.mktemp("explorer")) as (_, workspace, address):
        planted_table().save(workspace / "planted.npz")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SOURCE)])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, workspace / "explorer.ipynb")
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        page.on("request", lambda request: asked.append(request.url))
        yield page, workspace, address
        page.close()
    outside = [url for url in asked if urlsplit(url).hostname not in ("localhost", "127.0.0.1", None)]
    assert asked and not outside


def open_notebook(page, address: str, name: str, look: str = "Light") -> None:
    go_to(page, address, name, look)
    page.locator(f"body[data-jp-theme-name='JupyterLab {look}']").wait_for(state="attached", timeout=PATIENCE_MS)
    wait_for_kernel(page)


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    explorer = page.locator(".mechinterp-explorer").first
    explorer.locator("[role=option]").nth(39).wait_for(state="attached", timeout=PATIENCE_MS)
    return explorer


def stop_kernels(address: str) -> None:
    parts = urlsplit(address)
    base = f"{parts.scheme}://{parts.netloc}/api/sessions"
    for session in json.load(urllib.request.urlopen(f"{base}?{parts.query}", timeout=10)):
        request = urllib.request.Request(f"{base}/{session['id']}?{parts.query}", method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()


def shown(explorer, feature: int) -> None:
    explorer.get_by_role("heading", name=f"Feature {feature}", exact=True).wait_for(timeout=PATIENCE_MS)


def press(page, button) -> None:
    """Press a button by its keyboard: a click may miss what moves while the page is drawn."""
    button.wait_for(timeout=PATIENCE_MS)
    button.focus()
    page.keyboard.press("Enter")


def keep(page, shots, name: str) -> None:
    if "MECHINTERP_SCREENSHOTS" in os.environ:
        page.screenshot(path=shots / f"explorer_{name}.png")


def contrast(element) -> float:
    """The contrast of a text to what lies under it, by WCAG; half-transparent grounds are mixed."""
    return element.evaluate("""element => {
      const parts = (text) => text.match(/[\\d.]+/g).map(Number);
      const grounds = [];
      for (let e = element; e; e = e.parentElement) {
        const [r, g, b, a = 1] = parts(getComputedStyle(e).backgroundColor);
        grounds.push([r, g, b, a]);
        if (a === 1) break;
      }
      const under = grounds.reverse().reduce((low, [r, g, b, a]) => [r, g, b].map((c, i) => c * a + low[i] * (1 - a)), [255, 255, 255]);
      const light = (rgb) => {
        const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const [one, two] = [light(parts(getComputedStyle(element).color).slice(0, 3)), light(under)];
      return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    }""")


def focused(page, property: str = "className") -> str:
    return page.evaluate(f"document.activeElement.{property}")


def test_by_keys_alone_a_feature_is_searched_opened_and_left(lab, shots):
    page, _, address = lab
    open_notebook(page, address, "explorer.ipynb")
    explorer = run_all(page)
    shown(explorer, 0)
    explorer.get_by_role("listbox", name="Features").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    shown(explorer, 3)
    chosen = explorer.locator("[role=option][aria-selected=true]")
    assert chosen.count() == 1 and chosen.get_attribute("data-feature") == "3"
    listbox = explorer.get_by_role("listbox", name="Features")
    assert listbox.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    page.keyboard.press("/")
    page.keyboard.type("docstring")
    explorer.get_by_role("status").get_by_text("20 features").wait_for(timeout=PATIENCE_MS)
    page.keyboard.press("Enter")
    assert "mi-list" in focused(page)
    page.keyboard.press("Enter")
    assert focused(page, "tagName") == "H3"
    first = explorer.locator("[role=option]").first.get_attribute("data-feature")
    shown(explorer, int(first))
    keep(page, shots, "search")
    page.keyboard.press("Escape")
    assert "mi-list" in focused(page)
    page.keyboard.press("/")
    page.keyboard.press("Escape")  # the search is empty again
    page.wait_for_function("document.querySelectorAll('.mechinterp-explorer [role=option]').length >= 40")


def test_a_neighbour_is_followed_and_come_back_from(lab):
    page, *_ = lab
    explorer = page.locator(".mechinterp-explorer").first
    explorer.get_by_role("combobox").select_option("number")
    shown(explorer, 0)
    explorer.locator(".mi-near button").nth(1).focus()
    page.keyboard.press("Enter")
    shown(explorer, 2)
    press(page, explorer.locator(".mi-near button").nth(0))
    shown(explorer, 3)
    for feature in (2, 0):
        press(page, explorer.get_by_role("button", name=f"back to {feature}"))
        shown(explorer, feature)
    assert not explorer.get_by_role("button", name="back to").count()
    page.evaluate("Math.random = () => 0.75")
    press(page, explorer.get_by_role("button", name="Open a feature at random"))
    shown(explorer, 45)


def test_the_list_grows_as_it_is_walked_and_turns_round(lab):
    page, *_ = lab
    explorer = page.locator(".mechinterp-explorer").first
    explorer.get_by_role("listbox", name="Features").focus()
    page.keyboard.press("End")
    page.wait_for_function("document.querySelectorAll('.mechinterp-explorer [role=option]').length === 60")
    page.keyboard.press("End")
    shown(explorer, 59)
    assert explorer.get_by_text("It is never active on this sample.", exact=True).is_visible()
    press(page, explorer.get_by_role("button", name="Smallest first; press for largest first"))
    page.wait_for_function("document.querySelector('.mechinterp-explorer [role=option]').dataset.feature === '59'")


def test_a_search_without_a_find_says_so(lab):
    page, *_ = lab
    explorer = page.locator(".mechinterp-explorer").first
    explorer.get_by_role("searchbox").fill("zebra")
    explorer.get_by_text("No feature fits “zebra”.").wait_for(timeout=PATIENCE_MS)
    explorer.get_by_role("searchbox").fill("<b>")
    page.wait_for_function("document.querySelectorAll('.mechinterp-explorer [role=option]').length > 3")
    assert not explorer.locator("b").count()  # a token is text, whatever it looks like


@pytest.mark.parametrize("look", ["Light", "Dark"])
def test_everything_can_be_read_at_700_pixels(lab, shots, look):
    page, _, address = lab
    page.set_viewport_size({"width": 1132, "height": 1000})
    open_notebook(page, address, "explorer.ipynb", look)
    explorer = run_all(page)
    assert 680 <= explorer.bounding_box()["width"] <= 720
    explorer.get_by_role("listbox", name="Features").focus()
    page.keyboard.press("ArrowDown")
    shown(explorer, 1)
    assert explorer.evaluate("e => [...e.querySelectorAll('*')].every(x => x.scrollWidth <= e.clientWidth)")
    for where in (".mi-lit", ".mi-said", ".mi-note", ".mi-number", ".mi-peaks", ".mi-value", ".mi-link", ".mi-rule"):
        found = explorer.locator(where)
        assert found.count() and contrast(found.first) >= 4.5, where
    outline = explorer.locator("[role=option][aria-selected=true]").evaluate("e => getComputedStyle(e).outlineStyle")
    assert outline == "solid"
    keep(page, shots, f"700_{look.lower()}")
    page.set_viewport_size({"width": 1280, "height": 1000})


def test_saved_and_without_a_kernel_it_shows_its_first_features_and_says_how_to_see_all(lab, shots):
    page, workspace, address = lab
    open_notebook(page, address, "explorer.ipynb")
    run_all(page)
    run_all(page)
    page.wait_for_function("document.querySelectorAll('.mechinterp-explorer').length === 1")
    page.locator(".jp-Notebook").first.click(position={"x": 5, "y": 5})
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    notebook = saved(
        page, workspace / "explorer.ipynb", lambda made: made["cells"][0]["outputs"] and "widgets" in made["metadata"]
    )
    assert len(json.dumps(notebook)) < 400_000  # one explorer, although the cell has run several times
    theirs = json.loads(json.dumps(notebook))
    theirs["cells"][0]["source"] = "# written by somebody else"
    (workspace / "untrusted.ipynb").write_text(json.dumps(theirs), encoding="utf-8")
    stop_kernels(address)
    open_notebook(page, address, "explorer.ipynb", "Dark")
    explorer = page.locator(".mechinterp-explorer").first
    shown(explorer, 0)
    explorer.get_by_role("listbox", name="Features").focus()
    page.keyboard.press("ArrowDown")
    shown(explorer, 1)
    page.keyboard.press("End")
    explorer.get_by_text("run this cell again").wait_for(timeout=PATIENCE_MS)
    keep(page, shots, "saved_dark")


@pytest.mark.parametrize("look", ["Light", "Dark"])
def test_untrusted_the_first_features_are_there_without_a_script(lab, shots, look):
    page, _, address = lab
    open_notebook(page, address, "untrusted.ipynb", look)
    output = page.locator(".jp-Notebook .jp-OutputArea").first
    output.get_by_text("60 features on 240 tokens of 2 files").wait_for(timeout=PATIENCE_MS)
    assert not page.locator(".mechinterp-explorer").count()
    summaries = output.locator("summary")
    assert summaries.count() == 12
    summaries.nth(1).focus()
    page.keyboard.press("Enter")
    lit = output.locator("details").nth(1).locator("span[title]").first
    lit.wait_for(timeout=PATIENCE_MS)
    assert contrast(lit) >= 4.5
    assert lit.evaluate("e => getComputedStyle(e).backgroundColor") != "rgba(0, 0, 0, 0)"
    keep(page, shots, f"untrusted_{look.lower()}")
