"""What a student wrote and what their code displayed, as an instructor may open it: no script, no frame, no foreign address.

A page shows text, numbers, mathematics and pixel pictures; an address stays readable, and is no link. It does not rely on
nbconvert's own cleaning. Imports nothing heavy.
"""

import re

PICTURES = ("image/png", "image/jpeg")
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*\Z")
TAG = re.compile(r"<(?=[A-Za-z/!?])")
# Where a link, a picture, a definition of one or an address begins. A space without width there ends what markdown sees in it,
# and nobody sees the space: not in text, and not in code either.
LINK = re.compile(r"\](?=[(:])|!(?=\[)|:(?=//)|www(?=\.)|(javascript|vbscript|data|file)(?=\s*:)", re.IGNORECASE)
NO_LINK = "\\g<0>\u200b"
COMMANDS = re.compile(
    r"\\+(href|url|require|unicode|class|cssId|style|data|def|newcommand|csname|mmlToken|includegraphics|html[a-z]*)(?![a-z])",
    re.IGNORECASE,
)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]")
FIGURE = "[a figure]"
MOST = 1_000_000


def markdown(text: str) -> str:
    """Return a student's text cell with its HTML and its links shown as text."""
    text = COMMANDS.sub(r"\1", CONTROL.sub("", text))
    return TAG.sub("&lt;", LINK.sub(NO_LINK, text))  # tags last: without its backslash, <\style> is one


def outputs(given) -> list[dict]:
    """Return what a cell displayed, as nbformat wants it; what is no output, or no harmless kind, is left out."""
    made = (_output(one) for one in given[:500]) if isinstance(given, list) else ()
    return [one for one in made if one is not None]


def _output(one) -> dict | None:
    kind = one.get("output_type") if isinstance(one, dict) else None
    if kind == "stream":
        name = "stderr" if one.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": _text(one.get("text"))}
    if kind == "error":
        lines = one.get("traceback") if isinstance(one.get("traceback"), list) else []
        shown = [_text(line) for line in lines[:100]]
        return {
            "output_type": "error",
            "ename": _text(one.get("ename"))[:200],
            "evalue": _text(one.get("evalue")),
            "traceback": shown,
        }
    if kind in ("display_data", "execute_result"):
        made = {"output_type": kind, "data": _data(one.get("data")), "metadata": {}}
        if kind == "execute_result":
            count = one.get("execution_count")
            made["execution_count"] = count if type(count) is int else None
        return made if made["data"] else None
    return None


def _data(data) -> dict:
    if not isinstance(data, dict):
        return {}
    made = {kind: data[kind] for kind in PICTURES if isinstance(data.get(kind), str) and BASE64.match(data[kind])}
    if isinstance(data.get("text/latex"), str):
        made["text/latex"] = markdown(data["text/latex"])
    made["text/plain"] = _text(data.get("text/plain")) or FIGURE
    return made


def _text(value) -> str:
    return CONTROL.sub("", value[:MOST]).encode("utf-8", "replace").decode() if isinstance(value, str) else ""
