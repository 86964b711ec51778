"""The release version of a lab, made in-process by nbgrader's own preprocessors.

The same steps in the same order as `nbgrader generate_assignment`, without a database; a test holds the two against each
other. nbgrader is imported when a release is made, not before.
"""

import logging

import nbformat

from ..errors import CourseError


def released(source: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook that `nbgrader generate_assignment` would release for this source."""
    made, resources = nbformat.from_dict(source), {}
    for step in _steps():
        made, resources = step.preprocess(made, resources)
    return made


def _steps() -> list:
    """Return nbgrader's steps, less those that add nothing here (headers, generated tests) or need its database."""
    require_nbgrader()
    from nbgrader import preprocessors as steps

    order = [
        steps.LockCells,
        steps.ClearSolutions,
        steps.ClearOutput,
        steps.CheckCellMetadata,
        steps.ComputeChecksums,
        steps.ClearHiddenTests,
        steps.ClearMarkScheme,
        steps.ComputeChecksums,
        steps.CheckCellMetadata,
    ]
    quiet = logging.getLogger("mechinterp.release")
    return [step(parent=None, log=quiet) for step in order]


def require_nbgrader() -> None:
    """Raise a `CourseError` with the remedy where nbgrader is not installed."""
    try:
        import nbgrader  # noqa: F401
    except ImportError:
        raise CourseError(
            "Building and grading labs needs nbgrader, which is not installed.",
            'Run: pip install "mechinterp-course[class]"',
        ) from None
