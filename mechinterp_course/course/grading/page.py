"""The report as one HTML file that works offline: data, style, and two scripts (plotly's and ours), which alone may run on it.

The page is drawn in the browser from the data, by `pages/report.js`, with text nodes only: no word of a student's becomes HTML.
"""

import secrets
from pathlib import Path

from markupsafe import Markup

from ...tutor.notebook import write
from . import render


def write_report(found: dict, path: Path) -> Path:
    """Write the report of `insight()` to a file that only its owner can read, and return the path."""
    path = Path(path).expanduser().resolve()
    write(path, report_html(found))
    path.chmod(0o600)
    return path


def report_html(found: dict) -> str:
    """Return the report as HTML."""
    from plotly.offline import get_plotlyjs

    template = render.environment().get_template("report.html")
    return template.render(
        title=f"{found['class']}: where the class is",
        css=Markup(render.asset("common.css") + render.asset("report.css")),
        nonce=secrets.token_urlsafe(16),
        data=Markup(render.as_data(found)),
        script=Markup(render.asset("report.js")),
        plotly=Markup(get_plotlyjs()),
    )
