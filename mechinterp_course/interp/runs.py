"""A folder in which a model is made: found when it is finished, gone on with after Ctrl-C, refused when it cannot be written.

Knows recipes and cards, and nothing of how a model learns. Must not import torch or TransformerLens.
"""

import json
from collections.abc import Callable
from pathlib import Path

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import tasks
from mechinterp_course.interp.recipes import Described

STATE = "training.pt"  # in the folder, while the model is on its way


def completed(recipe: Described, folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder with what the recipe makes: at once if that is there, else by `make`, which goes on from a saved state.

    `make` keeps its state in training.pt and writes the card last. The state goes when it is done, and stays after Ctrl-C.
    """
    if finished(recipe, folder):
        return folder
    prepare(folder)
    state = folder / STATE
    try:
        make(folder)
    except KeyboardInterrupt:
        raise CourseError(
            f"Stopped. What was learnt up to the last save is in {state}.", "Run the same command again to go on."
        ) from None
    state.unlink()
    return folder


def finished(recipe: Described, folder: Path) -> bool:
    """Whether the folder already holds what this recipe makes. The card is written last, so it says that all is there."""
    if not (folder / "card.json").is_file():
        return False
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    same_text = "corpus" not in card or card["corpus"]["sha256_of_manifest"] == tasks.corpus_hash()
    return card.get("recipe") == recipe.as_json() and same_text


def prepare(folder: Path) -> None:
    """Make the folder; the card of an earlier model there goes first, because it would be untrue from now on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.json").unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or "it cannot be written"
        raise CourseError(
            f"The folder {folder} cannot take the model: {reason}.", "Choose another folder with --out."
        ) from error


def write_atomically(file: Path, write) -> None:
    """Call `write(path)` on a temporary file beside `file`, then put it in place: no reader ever sees half a file."""
    part = file.with_name(file.name + ".part")
    write(part)
    part.replace(file)
