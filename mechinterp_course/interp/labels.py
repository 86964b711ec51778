"""What each token of Python source is, exactly: in a string, in a comment, how deep in brackets, a name of which role.

Labels come from Python's own `tokenize` and `ast`, not from a model. Those differ between versions of Python, so the labels of
the bundled sample were computed once, by Python 3.11, and are stored beside it. Must not import torch or TransformerLens.
"""

import bisect
import functools
import io
import keyword
import sys
import tokenize
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import roles, tasks
from mechinterp_course.interp.roles import ROLES
from mechinterp_course.interp.tokenizer import CodeTokenizer

FILE = tasks.CORPUS / "labels.npz"
VERSION = (3, 11)  # the Python that computes the stored labels

# Every label, and what it says of a token.
LABELS = {
    "in_string": "part of a string literal, its quotes and prefix included; a formatted string counts as a whole",
    "in_comment": "part of a comment, from its # to the end of the line",
    "in_docstring": "part of the docstring of a module, class or function; also in_string",
    "bracket_depth": "how many brackets are open once the token is read",
    "indentation_depth": "how many indented blocks its line stands in",
    "keyword": "a keyword of Python",
    "name_role": "0 for no name, else what the name is: "
    + ", ".join(f"{i} {role}" for i, role in enumerate(ROLES) if i),
    "seen_before": "part of a name that occurred earlier in the file",
}
TRUTHS = ("in_string", "in_comment", "in_docstring", "keyword", "seen_before")  # True or False; the others count

Span = tuple[int, int]  # the characters of a token: from, up to


class LabelledFile(NamedTuple):
    """A file of the sample: token ids without BOS, (pos,), and for each name in LABELS an array (pos,)."""

    path: str
    ids: np.ndarray
    labels: dict[str, np.ndarray]


# --- computing ----------------------------------------------------------------------------------------------------


def spans(text: str, code: CodeTokenizer) -> list[Span]:
    """The characters that each token of `code.ids(text)` stands for. Tokens of one character's bytes share its span."""
    return code.backend.encode(text, add_special_tokens=False).offsets


def compute(text: str, spans: list[Span]) -> dict[str, np.ndarray]:
    """Return the labels of the tokens of a Python file: for each name in LABELS an array of shape (pos,).

    text: a whole file, with \\n line ends. spans: the characters of each token, (from, up to); an empty span, as that of
    BOS, gets no label. A token takes the label of its last character that is not white space, because that is what a
    model has read when it is at the token. Raises CourseError where the text is not Python or a span leaves it.
    """
    if any(not 0 <= start <= stop <= len(text) for start, stop in spans):
        raise CourseError(
            "A token's span lies outside the text.", "Give the spans of this very text: labels.spans(text, tokenizer)."
        )
    of_characters = _of_characters(text)
    # One more entry, without any label, for empty spans.
    last = [len(text) if stop == start else _last_sign(text, start, stop) for start, stop in spans]
    return {name: np.append(values, values.dtype.type(0))[last] for name, values in of_characters.items()}


def _last_sign(text: str, start: int, stop: int) -> int:
    """Where the last character of a token stands that is not white space; its very last where all are."""
    word = text[start:stop].rstrip()
    return start + len(word) - 1 if word else stop - 1


def _of_characters(text: str) -> dict[str, np.ndarray]:
    """The labels of every character of a file."""
    labels = {name: np.zeros(len(text), dtype=bool if name in TRUTHS else np.uint8) for name in LABELS}
    walk, tokens = _read(text)
    starts = np.cumsum([0, *(len(line) + 1 for line in text.split("\n"))])

    def part(start: roles.Position, end: roles.Position) -> slice:
        return slice(starts[start[0] - 1] + start[1], starts[end[0] - 1] + end[1])

    for start, end in string_places(tokens):
        labels["in_string"][part(start, end)] = True
    for start, end in walk.docstrings:
        labels["in_docstring"][part(start, end)] = labels["in_string"][part(start, end)]
    for token in tokens:
        if token.type == tokenize.COMMENT:
            labels["in_comment"][part(token.start, token.end)] = True
    outside = [t for t in tokens if not labels["in_string"][part(t.start, t.end)].any()]
    opened = np.zeros(len(text), dtype=int)
    for token in outside:
        if token.type == tokenize.OP and token.string in "()[]{}":
            opened[part(token.start, token.end)] = 1 if token.string in "([{" else -1
    labels["bracket_depth"][:] = opened.cumsum()
    for line, depth in enumerate(indentation(tokens, text.count("\n") + 1)):
        labels["indentation_depth"][starts[line] : starts[line + 1]] = depth
    seen = set()
    for token, before in _names(outside):
        place = part(token.start, token.end)
        soft = before == "" and walk.is_soft_keyword(token.string, token.start)
        if soft or keyword.iskeyword(token.string):
            labels["keyword"][place] = True
        else:
            defined = {"def": roles.FUNCTION, "class": roles.CLASS}.get(before)
            labels["name_role"][place] = defined or walk.role(token.string, token.start, token.end)
            labels["seen_before"][place] = token.string in seen
            seen.add(token.string)
    return labels


def _read(text: str) -> tuple[roles.Walk, list[tokenize.TokenInfo]]:
    """The tree and the tokens of a file."""
    if "\r" in text:
        raise CourseError("Labels need \\n line ends, and this text has \\r.", "Use text.replace('\\r\\n', '\\n').")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an old file may hold "\d": its author's business
            return roles.Walk(text), list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError) as error:
        raise CourseError(
            f"This text is not a whole Python file: {error}.",
            "Labels need complete, correct source: begin at a file's top and end at its end.",
        ) from error


def string_places(tokens: list[tokenize.TokenInfo]) -> list[tuple[roles.Position, roles.Position]]:
    """Where each string literal begins and ends. From Python 3.12 on, a formatted string is many tokens: it counts as one."""
    opens = {getattr(tokenize, name, None) for name in ("FSTRING_START", "TSTRING_START")} - {None}
    closes = {getattr(tokenize, name, None) for name in ("FSTRING_END", "TSTRING_END")} - {None}
    places, begun = [], []
    for token in tokens:
        if token.type in opens:
            begun.append(token.start)
        elif token.type in closes:
            places.append((begun.pop(), token.end))
        elif token.type == tokenize.STRING:
            places.append((token.start, token.end))
    return places


def _names(tokens: list[tokenize.TokenInfo]):
    """Every NAME token, with the text of the token before it: "" at the beginning of a statement."""
    before = ""
    for token in tokens:
        if token.type == tokenize.NAME:
            yield token, before
        if token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            before = ""
        elif token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.string


def indentation(tokens: list[tokenize.TokenInfo], lines: int) -> list[int]:
    """How many indented blocks each line stands in.

    The lines of one statement have one depth. A line with a comment alone belongs to the deepest block before or after it
    whose column it reaches; an empty line to the block of the line before it.
    """
    depth: list[int | None] = [None] * lines
    columns, before, comments = (
        [],
        [],
        [],
    )  # the columns of the open blocks; those of the last statement; waiting comments
    begun = None
    for token in tokens:
        if token.type == tokenize.INDENT:
            columns.append(len(token.string))
        elif token.type == tokenize.DEDENT:
            columns.pop()
        elif token.type == tokenize.COMMENT and begun is None:
            comments.append(token.start)
        elif token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.ENCODING):
            if begun is None:
                begun = token.start[0]
                for line, column in comments:
                    depth[line - 1] = max(bisect.bisect(before, column), bisect.bisect(columns, column))
                comments, before = [], list(columns)
        elif token.type == tokenize.NEWLINE and begun is not None:
            for line in range(begun, token.start[0] + 1):
                depth[line - 1] = len(columns)
            begun = None
    filled, last = [], 0
    for known in depth:
        last = last if known is None else known
        filled.append(last)
    return filled


# --- the bundled sample -------------------------------------------------------------------------------------------


def write_sample(file: Path = FILE) -> None:
    """Compute the labels of the bundled sample and store them, with the token ids that they belong to.

    Run again when the sample or the tokenizer changes. Raises CourseError under another Python than 3.11.
    """
    if sys.version_info[:2] != VERSION:
        running = ".".join(map(str, sys.version_info[:2]))
        raise CourseError(
            f"The stored labels are those of Python 3.11, and this is Python {running}.", "Use Python 3.11."
        )
    code = CodeTokenizer()
    ids, labels, lengths = [], {name: [] for name in LABELS}, []
    for _, text in tasks.sample():
        encoded = code.backend.encode(text, add_special_tokens=False)
        ids.append(np.array(encoded.ids, dtype=np.uint16))
        lengths.append(len(encoded.ids))
        for name, values in compute(text, encoded.offsets).items():
            labels[name].append(values)
    arrays = {name: np.concatenate(parts) for name, parts in labels.items()}
    with Path(file).open("wb") as stream:
        np.savez_compressed(stream, lengths=np.array(lengths), ids=np.concatenate(ids), **arrays)


@functools.cache
def sample() -> list[LabelledFile]:
    """The bundled sample with its stored labels, file by file, in the order of `tasks.sample()`.

    All arrays of a file have one entry a token, BOS not among them.
    """
    with np.load(FILE) as stored:
        arrays = {name: stored[name] for name in ("ids", *LABELS)}
        ends = np.cumsum(stored["lengths"])[:-1]
    parts = {name: np.split(values, ends) for name, values in arrays.items()}
    return [
        LabelledFile(path, parts["ids"][i], {name: parts[name][i] for name in LABELS})
        for i, (path, _) in enumerate(tasks.sample())
    ]
