"""A Sphinx extension: mathematics as MathML, which browsers draw without a script and screen readers read aloud."""

from ..grading.render import mathml


def _inline(self, node) -> None:
    from docutils.nodes import SkipNode

    self.body.append(f'<span class="math">{mathml(node.astext())}</span>')
    raise SkipNode


def _block(self, node) -> None:
    from docutils.nodes import SkipNode

    self.body.append(f'<div class="math" tabindex="0">{mathml(node.astext(), block=True)}</div>')
    raise SkipNode


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
