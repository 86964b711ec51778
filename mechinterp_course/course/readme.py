"""The part of the README that is built: the table of models, from their cards, between two comments."""

import json
import re
from pathlib import Path

from ..interp.models_table import table
from ..interp.tasks import ZOO

README = "README.md"
_PLACE = re.compile(r"(?<=<!-- models -->\n).*?(?=<!-- /models -->)", re.DOTALL)


def build_readme(root: Path) -> dict[str, str]:
    """Return the README below `root` with its table as a build makes it, as {path: text}; {} where it has no place for one."""
    file = root / README
    text = file.read_bytes().decode("utf-8", "replace") if file.is_file() else ""
    if not _PLACE.search(text):
        return {}
    cards = [json.loads(card.read_text(encoding="utf-8")) for card in sorted(ZOO.glob("*/card.json"))]
    return {README: _PLACE.sub(lambda _: f"\n{table(cards)}\n", text)}
