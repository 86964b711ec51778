"""Every kind of picture in JupyterLab, in a real browser without a network: run live, saved and opened again, trusted and not.

`MECHINTERP_SCREENSHOTS=folder pytest tests/browser/test_plots_in_jupyterlab.py` leaves pictures to look at.
"""

import json
import os
from urllib.parse import urlsplit

import nbformat
import pytest
from served import go_to, saved, served, wait_for_kernel

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.xdist_group("plots in JupyterLab")]

SECONDS_60 = 60_000  # Playwright counts in milliseconds
SETUP = """
import numpy as np
from mechinterp_course.interp import plots, tables, views

rng = np.random.default_rng(0)
words = ["<|endoftext|>", "def", " area", "(", "width", ",", " height", "):", "\\n   ", " return", " width", " *", " height"]
scores = rng.normal(size=(6, 13, 13)) * 3
scores[:, *np.triu_indices(13, 1)] = -np.inf
patterns = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
losses = np.array([np.nan, *np.abs(rng.normal(size=12)) * 3])
"""
SAID = 'title="A title of {kind}", alt="What {kind} shows, said in a sentence."'
AXES = 'xlabel="the x axis", ylabel="the y axis"'
CALLS = {
    "heatmap": f"plots.heatmap(rng.normal(size=(4, 9)), zmid=0, text=True, {SAID}, {AXES})",
    "lines": f'plots.lines({{"one": rng.normal(size=20), "two": rng.normal(size=20)}}, {SAID}, {AXES})',
    "bars": f'plots.bars([3.0, 1.0, -2.0], ["a", "b", "c"], ylabel="height", {SAID})',
    "scatter": f'plots.scatter(rng.normal(size=(9, 2)), groups=list("aabbccdde"), {SAID}, {AXES})',
    "arrows": f'plots.arrows([[1, 0.5], [-1, 1], [0.3, -1]], ["cat", "dog", "eel"], {SAID})',
    "attention": f"plots.attention(patterns[:3], words, {SAID})",
    "table": f'tables.table([("one", 1), ("two", 2)], ["name", "number"], {SAID})',
    "tokens": f'views.tokens(losses, words, zlabel="loss in nats", {SAID})',
    "heads": f"views.attention_heads(patterns, words, {SAID})",
    "more heads": f'views.attention_heads(patterns[:2], words, names=["L0H1", "L1H3"], {SAID})',
}
PLOTLY = ["heatmap", "lines", "bars", "scatter", "arrows", "attention", "table"]
HEADS = ["heads", "more heads"]


def alt(kind: str) -> str:
    return f"What {kind} shows, said in a sentence."


def write_notebook(path) -> None:
    sources = [SETUP.strip(), *(call.replace("{kind}", kind) for kind, call in CALLS.items())]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def lab(chromium, tmp_path_factory):
    """Run and save that notebook in JupyterLab; give (page, workspace, address). All requests must stay on this machine."""
    asked = []
    with served(tmp_path_factory.mktemp("plots")) as (_, workspace, address):
        write_notebook(workspace / "plots.ipynb")
        page = chromium.new_page(viewport={"width": 1280, "height": 7000})  # high: JupyterLab draws only what is near
        page.on("request", lambda request: asked.append(request.url))
        open_notebook(page, address, "plots.ipynb")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        output(page, HEADS[-1]).locator("canvas").first.wait_for(timeout=SECONDS_60)
        notebook = save(page, workspace / "plots.ipynb")
        # Another text has another signature: as JupyterLab sees it, nobody here has run this notebook.
        notebook["cells"][0]["source"] = "# written by somebody else"
        (workspace / "untrusted.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        yield page, workspace, address
        page.close()
    outside = [url for url in asked if urlsplit(url).hostname not in ("localhost", "127.0.0.1", None)]
    assert asked and not outside


def open_notebook(page, address: str, name: str, look: str = "Light") -> None:
    go_to(page, address, name, look)
    page.locator(".jp-Notebook .jp-CodeCell").nth(len(CALLS)).wait_for(timeout=SECONDS_60)
    page.locator(f"body[data-jp-theme-name='JupyterLab {look}']").wait_for(state="attached", timeout=SECONDS_60)
    wait_for_kernel(page)


def save(page, file) -> dict:
    """Save the notebook and return it."""
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    return saved(page, file, lambda made: all(cell["outputs"] for cell in made["cells"][1:]))


def output(page, kind: str):
    """Return what stands below the cell of one kind of picture."""
    return page.locator(".jp-Notebook .jp-CodeCell").nth(1 + list(CALLS).index(kind)).locator(".jp-OutputArea").first


def read_aloud(page) -> str:
    """Return everything that a screen reader can come to on the page."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return "\n".join(str(node.get("name", {}).get("value", "")) for node in tree if not node["ignored"])


def keep(page, shots, name: str) -> None:
    """Leave a picture of each output for people to look at, where somebody asked for them."""
    if "MECHINTERP_SCREENSHOTS" in os.environ:
        for kind in CALLS:
            output(page, kind).screenshot(path=shots / f"{name}_{kind.replace(' ', '_')}.png")


def assert_tokens_are_coloured(page) -> None:
    spans = output(page, "tokens").locator("span[title]")
    grounds = spans.evaluate_all("spans => spans.map(span => getComputedStyle(span).backgroundColor)")
    assert len(grounds) == 13 and grounds[0] == "rgba(0, 0, 0, 0)"  # the first token has no loss
    assert len(set(grounds[1:])) > 6
    assert spans.nth(9).evaluate("span => getComputedStyle(span).whiteSpace") == "pre-wrap"


def assert_every_picture_is_there(page) -> None:
    for kind in PLOTLY:
        # Live an SVG; in a saved notebook the image of it, until the mouse is over it.
        output(page, kind).locator(".main-svg:visible, .plot-img[src]:visible").first.wait_for(timeout=SECONDS_60)
        unseen = output(page, kind).get_by_text(f"Figure: A title of {kind}. {alt(kind)}")
        assert unseen.evaluate("text => text.getBoundingClientRect().width") <= 1
    said = read_aloud(page)
    assert [kind for kind in CALLS if alt(kind) not in said] == []
    assert_tokens_are_coloured(page)
    assert not page.locator(".jp-OutputArea [data-mime-type='application/vnd.jupyter.stderr']").count()


def test_live_every_picture_is_drawn_and_read_aloud(lab, shots):
    page, *_ = lab
    assert_every_picture_is_there(page)
    for kind in HEADS:
        group = output(page, kind).get_by_role("group", name=f"A title of {kind}. {alt(kind)}")
        assert group.locator("canvas").count() == {"heads": 6, "more heads": 2}[kind] + 1
    assert not output(page, "heatmap").locator("[data-title*='loud'], .plotlyjsicon").count()
    keep(page, shots, "live")


def test_saved_and_opened_again_the_heads_share_one_script_on_a_dark_page(lab, shots):
    page, workspace, address = lab
    # A packed library begins like this.
    assert (workspace / "plots.ipynb").read_text(encoding="utf-8").count("H4sI") == 1
    open_notebook(page, address, "plots.ipynb", "Dark")
    for kind in HEADS:
        output(page, kind).locator("canvas").first.wait_for(timeout=SECONDS_60)
    assert_every_picture_is_there(page)
    keep(page, shots, "trusted_dark")


@pytest.mark.parametrize("look", ["Light", "Dark"])
def test_untrusted_everything_shows_without_a_script(lab, shots, look):
    page, _, address = lab
    open_notebook(page, address, "untrusted.ipynb", look)
    assert_every_picture_is_there(page)
    for kind in HEADS:
        picture = output(page, kind).get_by_role("img", name=f"A title of {kind}. {alt(kind)}")
        assert picture.is_visible() and picture.evaluate("image => image.naturalWidth") > 400
        assert not output(page, kind).locator("canvas, script").count()
    keep(page, shots, f"untrusted_{look.lower()}")
