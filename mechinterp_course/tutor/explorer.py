"""`explore(sae)`: browse the features of a sparse autoencoder: search, sort, open one, follow its neighbours; by mouse or by keys.

The table of features is computed beforehand (`interp.features.table`), so the explorer is alive at once; only what is on the screen is sent.
A saved notebook keeps the first features: as a picture of the explorer where it is trusted, as plain HTML where it is not.
Imports `interp.feature_table`, which needs no torch; anywidget inside a function.
"""

from functools import cache
from pathlib import Path

from ..errors import CourseError
from ..interp import feature_table
from ..interp.feature_table import FeatureTable
from . import explorer_static
from .explorer_pages import ORDERS, Index, heading
from .question_view import in_kernel

ROWS = 40  # rows that are sent at once
KEPT = 12  # pages that a saved notebook keeps


def explore(
    sae: str | Path | FeatureTable, feature: int | None = None, *, search: str = "", order: str = "score"
) -> None:
    """Show the features of an SAE.

    sae: the name of a bundled SAE, the file of a saved table, or a table: `features.table(sae, model, sample, name=...)`.
    feature: the one that is open at first; by default the first of the list. search: a number, a token or words of a rule. order: one of
    "score", "frequency", "effect", "activation", "number". Raises CourseError for a name, a feature or an order that does not exist.
    """
    index = Index(_table(sae))
    found, why = index.find(search, order, falling=order != "number")
    shown = index.page(feature) if feature is not None else index.page(found[0]) if len(found) else None
    kept = list(dict.fromkeys([shown["id"]] * bool(shown) + found[:KEPT].tolist()))
    text, html = explorer_static.text(index, kept), explorer_static.html(index, kept)
    if not in_kernel():
        print(text)
        return
    from IPython.display import display

    bundle = {"text/plain": text, "text/html": html}
    widget = _widget(index, found, why, kept, search, order)
    _close_earlier(widget)
    if widget is not None:
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        bundle["application/vnd.jupyter.widget-view+json"] = view
    display(bundle, raw=True)


def _table(sae) -> FeatureTable:
    if isinstance(sae, FeatureTable):
        return sae
    if isinstance(sae, Path) or (isinstance(sae, str) and sae.endswith(".npz")):
        return FeatureTable.load(sae)
    if isinstance(sae, str):
        return feature_table.load(sae)
    raise CourseError(
        f"The explorer shows a table of features, and this is of the type {type(sae).__name__}.",
        'Give the name of a bundled SAE, or measure yours first: features.table(sae, model, sample, name="mine").',
    )


@cache
def _widget_class() -> type:
    import anywidget
    from traitlets import Bool, Dict, Int, List, Unicode

    here = Path(__file__).parent

    class ExplorerWidget(anywidget.AnyWidget):
        """The explorer in explorer.js. What is synchronised is what a saved notebook keeps; the rest comes in messages."""

        _esm = (here / "explorer.js").read_text(encoding="utf-8")
        _css = (here / "explorer.css").read_text(encoding="utf-8")
        about = Dict().tag(sync=True)
        orders = List().tag(sync=True)
        query = Unicode().tag(sync=True)
        order = Unicode().tag(sync=True)
        falling = Bool().tag(sync=True)
        total = Int().tag(sync=True)
        rows = List().tag(sync=True)
        pages = List().tag(sync=True)  # the first is open

    return ExplorerWidget


def _widget(index: Index, found, why: dict, kept: list[int], search: str, order: str):
    """The explorer as a widget, or None where there are no widgets."""
    try:
        made = _widget_class()(
            about=heading(index.table),
            orders=[list(item) for item in ORDERS.items()],
            query=search,
            order=order,
            falling=order != "number",
            total=len(found),
            rows=index.rows(found[:ROWS], why),
            pages=[index.page(i) for i in kept],
        )
    except ImportError:
        return None
    made.on_msg(lambda widget, message, _buffers: widget.send(answer(index, message)))
    return made


_open: dict[str, tuple[str, list]] = {}  # cell -> (its run, the widgets that this run shows)


def _close_earlier(widget) -> None:
    """Close the widgets that an earlier run of this cell showed: a saved notebook keeps every widget that is open."""
    from IPython import get_ipython

    request = getattr(get_ipython(), "parent_header", None) or {}
    cell, run = request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id", "")
    if cell is None or widget is None:
        return
    before, shown = _open.get(cell, ("", []))
    if before != run:
        for earlier in shown:
            earlier.close()
        shown = []
    _open[cell] = (run, [*shown, widget])


def answer(index: Index, message) -> dict:
    """What the kernel answers to the page: rows of a list, or the page of a feature. Nonsense is answered with a sentence.

    message: {"ask": "list", "query", "order", "falling", "from"} or {"ask": "page", "feature"}, and "turn", which comes back.
    """
    asked = message if isinstance(message, dict) else {}
    turn = {"turn": asked.get("turn")}
    try:
        if asked.get("ask") == "page":
            return {**turn, "page": index.page(asked.get("feature"))}
        if asked.get("ask") == "list":
            found, why = index.find(str(asked.get("query", "")), asked.get("order"), bool(asked.get("falling")))
            start = max(0, int(asked.get("from") or 0))
            rows = index.rows(found[start : start + ROWS], why)
            return {**turn, "total": len(found), "from": start, "rows": rows}
        return {**turn, "error": "The explorer was asked something that it does not know. Run this cell again."}
    except CourseError as error:
        return {**turn, "error": str(error)}
    except (TypeError, ValueError):
        return {**turn, "error": "The explorer was asked something that it does not know. Run this cell again."}
