"""CircuitsVis without a network: its script as it lies in the installed package, packed, and once in a notebook.

Each display of CircuitsVis itself first asks google.com, and writes an import from the network where that answers: such a notebook
is blank offline. Nothing here asks anybody. The script has 1.3 MB, packed 0.5 MB: the first cell of a kernel's session that
shows heads carries it, and the other figures of the notebook wait for it. A figure without it shows its picture.
Must not import torch, TransformerLens, or anything of courses.
"""

import gzip
import sys
from base64 import b64encode
from functools import cache
from html import escape
from importlib.util import find_spec
from json import dumps
from pathlib import Path

import numpy as np

# Draws every waiting figure once the library is there. `{packed}` is the packed library, or empty.
SCRIPT = """
<style>.mechinterp-heads h4 { font-size: 10px; line-height: 1.2; } .mechinterp-heads h2 { display: none; }</style>
<script>
(() => {
  const shared = (window.mechinterpHeads ??= {});
  const packed = "{packed}";
  const unpack = async () => {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Function((await new Response(stream).text()) + "\\nreturn CircuitsVis;")();
  };
  const draw = (library) => {
    for (const place of document.querySelectorAll("[data-mechinterp-heads]")) {
      const { label, ...heads } = JSON.parse(place.dataset.mechinterpHeads);
      delete place.dataset.mechinterpHeads;
      place.id = "mechinterp-heads-" + Math.random().toString(36).slice(2);
      place.className = "mechinterp-heads";
      place.setAttribute("role", "group");
      place.setAttribute("aria-label", label);
      place.style.display = "block";
      library.render(place.id, library.AttentionHeads, heads);
      place.nextElementSibling.open = false;
    }
  };
  if (packed) shared.library ??= unpack();
  shared.library?.then(draw);
})();
</script>
"""


class Carrier:
    """Which cell of the notebook carries the script; the others share it."""

    def __init__(self):
        self.cell = self.run = None

    def must_carry(self) -> bool:
        """Whether the figure that is shown now brings the script: the first of the first cell that shows one.

        That cell brings it again whenever it runs again. Where nobody says which cell runs, every figure brings it.
        """
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        request = getattr(shell, "parent_header", None) or {}
        cell, run = request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id")
        if cell is None:
            return True
        if self.cell not in (None, cell) or self.run == run:
            return False
        self.cell, self.run = cell, run
        return True


def heads_place(patterns: np.ndarray, tokens: list[str], names: list[str], label: str) -> str:
    """Return the empty element in which the script draws the heads. CircuitsVis numbers the tokens itself: "John (4)"."""
    known = {
        "attention": np.round(patterns, 3).tolist(),
        "tokens": tokens,
        "attentionHeadNames": names,
        "maskUpperTri": not np.triu(patterns, 1).any(),
        "label": label,
    }
    data = escape(dumps(known, ensure_ascii=False, separators=(",", ":")))
    # A light sheet under it: CircuitsVis draws dark text.
    style = "display:none; background-color:#ffffff; color:#222222; padding:8px; position:relative"
    return f'<div data-mechinterp-heads="{data}" style="{style}"></div>'


def script(carried: bool) -> str:
    """Return the script that draws; with the library in it, or waiting for the figure that carries that."""
    return SCRIPT.replace("{packed}", _packed() if carried else "")


@cache
def _packed() -> str:
    folder = Path(find_spec("circuitsvis").submodule_search_locations[0])
    library = (folder / "dist" / "cdn" / "iife.js").read_text(encoding="utf-8").split("\n//# sourceMappingURL")[0]
    return b64encode(gzip.compress(library.encode(), mtime=0)).decode()
