"""Which cells a submission's answers depend on: the others only show something, and need not run to grade it.

A lab shows what a learner's functions do: it draws, trains and prints. Of those cells, as they were released, only the ones are
run whose names an answer, or a cell that the student wrote or changed, reads. That is decided from the text, by Python's own
`symtable`. Where the text cannot tell (`exec`, `globals`, IPython's magics, a mistake in the writing), every cell runs.

What an expression changes on its way (`first = files.pop()`) is not seen: to count every call would make most cells run. So the
contract asks of every lab that no cell which is left out may change what an answer reads (`may_change`).
"""

import ast
import builtins
import re
import symtable
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

from .rebuild import Cell

# Ways to a name that do not say it: a function or module, IPython's memory of earlier cells, an attribute.
DYNAMIC = frozenset(
    {"exec", "eval", "globals", "locals", "vars", "get_ipython", "In", "Out", "__main__", "builtins", "__builtins__"}
)
MEMORY = re.compile(r"_+|_i*\d*|_(ih|oh|dh)")
ATTRIBUTES = frozenset({"__globals__", "f_globals", "f_locals", "user_ns", "user_global_ns"})
CHANGING = frozenset({"setattr", "delattr", "next", "map", "filter"})  # of Python's own functions
SHOWS = frozenset({"print", "display"})  # functions that change nothing that they are given
SAID = "Not run: this cell only shows something. No answer, and no cell that was changed, depends on it."


@dataclass(frozen=True)
class Names:
    """The names that a cell reads from the notebook, those that it gives it, and those whose things it changes."""

    reads: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    dynamic: bool = False  # whether the text cannot tell


def not_needed(cells: list[Cell]) -> set[str]:
    """Return the ids of the cells that nothing graded depends on: released, unchanged, behind the first answer."""
    code = [cell for cell in cells if cell.role in ("answer", "code", "own") and cell.kind == "code"]
    first = next((at for at, cell in enumerate(code) if cell.role == "answer"), len(code))
    names = {cell.id: names_of(cell.source) for cell in code}
    if any(names[cell.id].dynamic for cell in code):
        return set()
    open_ = [cell for at, cell in enumerate(code) if at > first and _as_released(cell)]
    needed = [cell for cell in code if cell not in open_]
    modules = set().union(*(one.imports for one in names.values()))  # `plots.lines(...)` changes nothing
    given = {id: one.gives | one.changes - modules for id, one in names.items()}
    reads = set().union(*(names[cell.id].reads for cell in needed))
    while found := [cell for cell in open_ if given[cell.id] & reads]:
        open_ = [cell for cell in open_ if cell not in found]
        reads |= set().union(*(names[cell.id].reads for cell in found))
    return {cell.id for cell in open_}


def _as_released(cell: Cell) -> bool:
    return cell.role == "code" and cell.release is not None and cell.source == cell.release.source


def names_of(source: str) -> Names:
    """Return the names of a cell. What is no Python can still run, as `time z = y` does: the text cannot tell."""
    try:
        text = TransformerManager().transform_cell(source)
        tree, table = ast.parse(text), symtable.symtable(text, "cell", "exec")
    except Exception:  # whatever a cell holds: MemoryError and RecursionError too
        return Names(dynamic=True)
    reads, gives = _top_level(table)
    gives |= {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    imports = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_imported()}
    dynamic = bool(reads & DYNAMIC) or any(map(MEMORY.fullmatch, reads)) or any(map(_is_dynamic, ast.walk(tree)))
    return Names(*map(frozenset, (reads, gives, _changed(tree), imports)), dynamic)


def _is_dynamic(node: ast.AST) -> bool:
    """Whether code reaches names here without saying them: `from __main__ import y`, `sys.modules`, `f.__globals__`."""
    if isinstance(node, ast.Import):
        return any(alias.name in DYNAMIC for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in DYNAMIC or any(
            alias.name == "*" or (node.module, alias.name) == ("sys", "modules") for alias in node.names
        )
    if isinstance(node, ast.Attribute):
        return node.attr in ATTRIBUTES or (node.attr == "modules" and _root(node) == "sys")
    return isinstance(node, ast.Constant) and node.value in ("__main__", *ATTRIBUTES)


def _top_level(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Return what a table of names reads from the outermost level, with all tables inside it, and what it gives it."""
    outermost = table.get_type() == "module" or getattr(table.get_type(), "value", "") == "module"
    reads, gives = set(), set()
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (outermost or symbol.is_global()):
            reads.add(symbol.get_name())
        if outermost and (symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()):
            gives.add(symbol.get_name())
    for child in table.get_children():
        reads |= _top_level(child)[0]
    return reads, gives


def _changed(tree: ast.Module) -> set[str]:
    """Return the names whose things a cell changes: `x[0] = 1`, `x.a = 1`, `del x[0]`, and `x.append(1)` or `train(x)` on a line of its own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(_root(node))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            found |= _changed_by(node.value)
        if isinstance(node, ast.AugAssign):
            found.add(_root(node.target))
    return found - {""}


def _changed_by(call: ast.Call) -> set[str]:
    """Return the names whose things a call on a line of its own may change: a method's own thing, a function's arguments."""
    if isinstance(call.func, ast.Attribute):
        return {_root(call.func)}
    if isinstance(call.func, ast.Name) and call.func.id in SHOWS:
        return set()
    return {_root(given) for given in [*call.args, *(keyword.value for keyword in call.keywords)]}


def may_change(source: str) -> set[str]:
    """Return every name whose things any call in a cell may change; more than `not_needed` looks at, and meant for labs."""
    tree = ast.parse(TransformerManager().transform_cell(source))
    found = _changed(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not _only_reads(node.func):
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
            found |= {one.id for part in parts for one in ast.walk(part) if isinstance(one, ast.Name)}
            found.add(_root(node.func) if isinstance(node.func, ast.Attribute) else "")
    return found - {""}


def _only_reads(function: ast.expr) -> bool:
    """Whether a function changes nothing that it is given: most of Python's own, and the course's plots."""
    if isinstance(function, ast.Name):
        return function.id in SHOWS or (hasattr(builtins, function.id) and function.id not in CHANGING)
    return _root(function) == "plots"


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
