"""Which build of torch is installed, and what it takes of the disk: read from its files, because importing it takes seconds."""

import importlib.util
import re
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class TorchBuild:
    """An installed torch: `cuda` is None for a CPU build; `companions` are the packages that only a CUDA build needs."""

    version: str
    cuda: str | None
    bytes: int
    companions: tuple[str, ...]


def installed() -> TorchBuild | None:
    """Return the installed torch, None where there is none."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0])
    parts = [folder, folder.parent / "nvidia", folder.parent / "triton"]
    text = (folder / "version.py").read_text(encoding="utf-8")
    version = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b[^=\n]*=\s*'([^']+)'", text, re.MULTILINE)
    return TorchBuild(
        version=version[1] if version else "of an unknown version",
        cuda=cuda[1] if cuda else None,
        bytes=sum(_size(part) for part in parts) if cuda else 0,
        companions=_companions() if cuda else (),
    )


def has_gpu() -> bool:
    """Whether an NVIDIA driver is here."""
    return Path("/proc/driver/nvidia/version").exists() or bool(shutil.which("nvidia-smi"))


def _companions() -> tuple[str, ...]:
    names = (distribution.metadata["Name"] or "" for distribution in metadata.distributions())
    return tuple(sorted({name for name in names if name.startswith(("nvidia-", "cuda-")) or name == "triton"}))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
