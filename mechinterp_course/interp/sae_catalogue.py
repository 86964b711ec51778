"""The bundled sparse autoencoders by name: what there is, and what its card says. Must not import torch or TransformerLens."""

import dataclasses
import json
from pathlib import Path

from mechinterp_course.errors import unknown
from mechinterp_course.interp import tasks

ZOO = tasks.ZOO / "saes"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the catalogue of SAEs."""

    name: str
    about: str
    model: str  # the model whose activations it reads
    hook_name: str
    d_sae: int
    bytes: int
    where: Path


def catalogue() -> list[Entry]:
    """Every bundled SAE, from its card."""
    folders = [file.parent for file in sorted(ZOO.glob("*/card.json"))]
    cards = [json.loads((folder / "card.json").read_text(encoding="utf-8")) for folder in folders]
    fields = ("name", "about", "model", "hook_name", "d_sae", "bytes")
    return [Entry(*(c[f] for f in fields), folder) for c, folder in zip(cards, folders, strict=True)]


def names(model: str | None = None) -> list[str]:
    """The names of the bundled SAEs, all of them or those of one model."""
    return [entry.name for entry in catalogue() if model in (None, entry.model)]


def folder_of(name: str) -> Path:
    """The folder of a bundled SAE; an unknown name raises CourseError with the nearest ones."""
    if name not in names():
        raise unknown("SAE", name, names(), "mechinterp models lists them all.")
    return ZOO / name


def card(name: str) -> dict:
    """The card of a bundled SAE: what it reads, how it was made, and what was measured on it."""
    return json.loads((folder_of(name) / "card.json").read_text(encoding="utf-8"))
