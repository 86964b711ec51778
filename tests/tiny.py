"""The tiny course that most tests use, and how to forget it."""

from pathlib import Path

from mechinterp_course.tutor import catalog, reference

TINY_COURSE = Path(__file__).parent / "tiny_course"


def clear_catalog_caches() -> None:
    """Forget every course that was read, so that changed files are read again."""
    for cached in (catalog._course, catalog._load_checks, reference._solved):
        cached.cache_clear()
