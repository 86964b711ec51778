"""Small classes for tests: the planted course, a class folder of it, and submissions that say what they should earn."""

import json
from pathlib import Path

from mechinterp_course.course.grading.folder import ClassFolder

LAB = "00_rows"
SUMS = "    return matrix.sum(dim=-1)  # right\n"
SCALED = "    return matrix / matrix.sum(dim=-1, keepdim=True)  # right\n"
COLUMNS = "    return matrix.sum(dim=0)  # wrong axis\n"


def submit(made: ClassFolder, student: str, answers: dict[str, str] | None = None, word: str = "") -> Path:
    """Hand in the released lab with these answer bodies; `word` is added to the first one, as a comment."""
    lab = json.loads(made.released(LAB))
    for cell in lab["cells"]:
        body = (answers or {}).get(cell["id"])
        if body is not None:
            cell["source"] = "".join(cell["source"]).split("    # YOUR CODE HERE")[0] + body
        if cell["id"] == "row_sums" and word:
            cell["source"] = "".join(cell["source"]) + f"\n# {word}\n"
    path = made.root / "submitted" / student / LAB / f"{LAB}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(lab), encoding="utf-8")
    return path
