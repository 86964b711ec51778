"""Text as HTML that needs no network and no script: markdown with mathematics, code in colours, templates that escape.

Mathematics becomes MathML, which browsers draw themselves. HTML inside markdown is shown as text, whoever wrote it.
Must not import nbgrader.
"""

import json
import re
from functools import cache
from pathlib import Path

from markupsafe import Markup

PAGES = Path(__file__).parent / "pages"


@cache
def environment():
    """Return the templates in `pages/`; what is put into one is escaped unless it is `Markup`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def asset(name: str) -> str:
    """Return the text of a file in `pages/`."""
    return (PAGES / name).read_text(encoding="utf-8")


def as_data(value) -> str:
    """Return JSON that can stand in a script element: nothing in it ends the element, or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def markdown(text: str) -> Markup:
    """Return markdown as HTML. Links within the course lose their address: a page on its own has nowhere to go."""
    return Markup(_parser().render(text))


@cache
def _parser():
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.use(
        dollarmath_plugin, double_inline=True, renderer=lambda tex, options: mathml(tex, options["display_mode"])
    )
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("image", lambda self, tokens, at, options, env: tokens[at].content)
    return parser


def _link_open(self, tokens, at, options, env) -> str:
    address = tokens[at].attrGet("href") or ""
    return self.renderToken(tokens, at, options, env) if re.match(r"https?://", address) else "<a>"


def mathml(tex: str, block: bool = False) -> str:
    """Return TeX as MathML; what cannot be converted is shown as it is written."""
    from html import escape

    from latex2mathml.converter import convert

    try:
        return convert(tex.strip(), display="block" if block else "inline")
    except Exception:  # the library raises whatever its parser meets
        return f"<code>{escape(tex)}</code>"


def code(text: str) -> Markup:
    """Return Python as HTML; the colours are classes of `code_colours`."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return Markup(highlight(text, PythonLexer(), HtmlFormatter(cssclass="code")))


@cache
def code_colours() -> str:
    """Return the style sheet of `code`, for light and dark."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default", cssclass="code").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark", cssclass="code").get_style_defs(".code")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n.code {{ background: none }}"
