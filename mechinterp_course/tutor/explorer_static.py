"""The feature explorer without a script: the first features as HTML that opens and closes by itself, and as text.

Colours and fonts stand in the elements, by their own names: a notebook that is not trusted keeps those, and drops style sheets and variables.
"""

from html import escape

from .explorer_pages import Index, heading

FEW = 4  # contexts among the strongest that are shown
BARS = " ▁▂▃▄▅▆▇█"
GLOW = 0.38  # how strong the ground of the strongest token is: text on it keeps a contrast of 4.5 on light and on dark pages
GREY = "opacity: 0.75"  # paler than the text around it, on a light and on a dark page
LINE = "#80808060"
MONO = "font-family: monospace"


def html(index: Index, features: list[int]) -> str:
    """Return the heading and some features, each behind its summary."""
    about = heading(index.table)
    shown = "".join(_feature(index.page(i), is_open=n == 0) for n, i in enumerate(features))
    return (
        f'<div style="line-height: 1.5; max-width: 62em"><p style="margin: 4px 0"><strong>Features of {escape(about["name"])}</strong> '
        f'<span style="{GREY}">({escape(about["hook"])})</span><br>{escape(about["counts"])}</p>{shown}'
        f'<p style="margin: 6px 0; {GREY}">These are {len(features)} of {len(index.table):,} features. Run this cell to browse all.</p></div>'
    )


def _feature(page: dict, is_open: bool) -> str:
    rule = (
        escape(page["rule"]) if page["explained"] else "no rule explains it" if page["count"] else "never active here"
    )
    score = f", F1 {page['f1']:.2f}" if page["explained"] else ""
    peaks = " ".join(f'<span style="{MONO}">{escape(peak)}</span>' for peak in page["peaks"])
    summary = f"<strong>{page['id']}</strong>&ensp;{peaks}&ensp;{rule}{score}, {page['density']} of tokens"
    return (
        f'<details{" open" if is_open else ""} style="border-top: 1px solid {LINE}; padding: 4px 0">'
        f'<summary style="cursor: pointer">{summary}</summary>{_facts(page)}{_contexts(page)}</details>'
    )


def _facts(page: dict) -> str:
    lines = [f"Active on {page['count']:,} tokens; mean {page['mean']}, largest {page['most']}."]
    if page["label"]:
        lines.append(label_line(page["label"]))
    most = max(page["histogram"], default=0)
    if most:
        bars = "".join(BARS[-(-(len(BARS) - 1) * count // most)] for count in page["histogram"])
        lines.append(f'Activations, 0 to {page["most"]}: <span style="{MONO}">{bars}</span>')
    for which, side in zip(("Writes for", "Writes against"), page["writes"], strict=True):
        words = ", ".join(f'<span style="{MONO}">{escape(token)}</span> {signed(value)}' for token, value in side[:6])
        lines.append(f"{which}: {words}")
    lines.append("Nearest: " + ", ".join(f"{n} ({cosine})" for n, cosine, _ in page["near"]))
    return "".join(f'<p style="margin: 2px 0 2px 18px">{line}</p>' for line in lines)


def _contexts(page: dict) -> str:
    parts, band, left = [], "", 0
    for place in page["contexts"]:
        if place["band"] != band:
            band, left = place["band"], FEW if not band else 1
            parts.append(f'<p style="margin: 6px 0 2px 18px; {GREY}">{band}</p>')
        left -= 1
        if left >= 0:
            parts.append(
                f'<div style="margin: 0 0 3px 18px; white-space: pre-wrap; {MONO}">{_tokens(place, page["scale"])}</div>'
            )
    return "".join(parts)


def _tokens(place: dict, scale: float) -> str:
    parts = [f'<span style="{GREY}">BOS </span>'] if place["opens"] else []
    for i, (token, step) in enumerate(zip(place["tokens"], place["steps"], strict=True)):
        text = escape(legible(token))
        if step:
            under = "; text-decoration: underline" if i == place["at"] else ""
            ground = f"background-color: rgba(255, 140, 0, {0.08 + (GLOW - 0.08) * step / 255:.2f})"
            text = f'<span title="{step * scale:.3g}" style="{ground}{under}">{text}</span>'
        parts.append(text)
    return "".join(parts)


def rule_line(row: dict) -> str:
    """What a list says of a feature: its rule, or that none explains it."""
    if row["explained"]:
        return row["rule"]
    if not row["count"]:
        return "never active here"
    return f"no rule; nearest: {row['rule']}" if row["rule"] else "no rule"


def legible(token: str) -> str:
    """A token within a line of text: line ends as ↵, indentation as dots, one space as a space."""
    text = token.replace("\n", "↵").replace("\t", "⇥").replace("\r", "")
    return "·" * min(len(text), 4) + " " if len(text) > 1 and not text.strip(" ") else text


def label_line(label: dict) -> str:
    """The rule with its figures, and those of the baselines, in a sentence."""
    beside = [
        f"{what} {label[key]:.2f}"
        for key, what in (("neuron", "best neuron"), ("random", "best random direction"))
        if label[key] is not None
    ]
    return (
        f"Rule: {escape(label['says'])}. It says yes {label['yes']}: precision {label['precision']:.2f}, "
        f"recall {label['recall']:.2f}, F1 {label['f1']:.2f}" + (f" ({', '.join(beside)})" if beside else "") + "."
    )


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def text(index: Index, features: list[int]) -> str:
    """Return the heading and a line for each of some features, for places that show no HTML."""
    about = heading(index.table)
    lines = [f"Features of {about['name']} ({about['hook']}): {about['counts']}."]
    for row in index.rows(features):
        rule = rule_line(row) + (f", F1 {row['f1']:.2f}" if row["explained"] else "")
        lines.append(f"{row['id']:>6}  {' '.join(row['peaks']):<24} {rule}, {row['density']} of tokens")
    return "\n".join(lines)
