"""The figure that `plots` and `tables` return: plotly's own, which also tells a screen reader what it shows.

JupyterLab shows a saved plotly figure as an image without a description until the mouse is over it, and a live one as loose words.
So each display is followed by its title and alternative text, as text that takes no room on the page.
Must not import torch, TransformerLens, or anything of courses.
"""

import re
import sys
from html import escape

import plotly.graph_objects as go
import plotly.io as pio

# No button that uploads the figure to a company's cloud, and no link to its page.
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}
# Out of sight and still read: `display:none` would hide it from screen readers too. An untrusted notebook keeps this style.
UNSEEN = "position:absolute; width:1px; height:1px; margin:-1px; overflow:hidden; clip:rect(0px 0px 0px 0px)"


def described(figure: dict) -> str:
    """Return what a figure, as the JSON that a notebook holds, shows: title and alternative text without markup; "" where it has neither."""
    layout = figure.get("layout", {})
    title, meta = layout.get("title", {}), layout.get("meta")
    title = title.get("text", "") if isinstance(title, dict) else str(title)
    alt = meta.get("alt", "") if isinstance(meta, dict) else ""
    return " ".join(re.sub(r"<[^>]*>", " ", f"{title}. {alt}".strip(". ")).split())


class Figure(go.Figure):
    """A plotly figure whose `layout.meta["alt"]` says what it shows."""

    def show(self, *args, **kwargs):
        """Show the figure, and say what it shows."""
        pio.show(self, *args, **{"config": CONFIG, **kwargs})
        self.say()

    def _ipython_display_(self):
        if pio.renderers.render_on_display and pio.renderers.default:
            self.show()
        else:
            print(repr(self))

    def say(self) -> None:
        """Say what it shows, out of sight, for screen readers; `show` does."""
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if hasattr(shell, "kernel"):  # a notebook, not a terminal
            said = f"{self.layout.title.text}. {(self.layout.meta or {}).get('alt', '')}"
            bundle = {"text/html": f'<p style="{UNSEEN}">Figure: {escape(said)}</p>', "text/plain": said}
            shell.display_pub.publish(bundle)
