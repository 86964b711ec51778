"""The lessons, executed, as an HTML site that works offline: `build(course, folder)`.

`executed` runs each lesson once and keeps the result until something of it changes; `prepare` turns an executed notebook into one that
needs no kernel; `layout` lays them out with Sphinx and MyST-NB. Mathematics is MathML, plots are plotly's own, from one script
that lies in the site; the search is Sphinx's. Learners never import this.
"""

from .layout import build

__all__ = ["build"]
