"""Which cells a submission's answers depend on: the others only show something, and need not run to grade it.

A lab shows what a learner's functions do: it draws, trains and prints. Of those cells, as they were released, only the ones are
run whose names an answer, or a cell that the student wrote or changed, reads. That is decided from the text, by Python's own
`symtable`. Where the text cannot tell (`exec`, `globals`, IPython's magics), every cell runs.
"""

import ast
import symtable
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

from .rebuild import Cell

DYNAMIC = frozenset({"exec", "eval", "globals", "locals", "vars", "get_ipython", "__main__"})
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
    """Return the names of a cell. One that is no Python reads and gives nothing: it will say so when it runs."""
    try:
        text = TransformerManager().transform_cell(source)
        tree, table = ast.parse(text), symtable.symtable(text, "cell", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return Names()
    reads, gives = _top_level(table)
    gives |= {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    imports = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_imported()}
    star = any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    dynamic = star or bool((reads | imported) & DYNAMIC)
    return Names(*map(frozenset, (reads, gives, _changed(tree), imports)), dynamic)


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


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
