"""Looks for code that no answer needs and that looks into, or changes, the machinery around it. A flag is a reason to look, no verdict.

Points do not depend on it: the verdict is made where no student's code runs. Reads code, runs nothing.
"""

import ast
import re
import warnings

MODULES = {
    "gc": "the garbage collector's list of objects",
    "ctypes": "memory (ctypes)",
    "socket": "the network (socket)",
    "subprocess": "other programs (subprocess)",
    "multiprocessing": "other processes (multiprocessing)",
    "signal": "signals",
    "nbgrader": "nbgrader",
    "requests": "the network (requests)",
    "urllib": "the network (urllib)",
    "http": "the network (http)",
}
CALLS = {
    "_getframe": "the frames of its callers",
    "currentframe": "the frames of its callers",
    "fork": "copies of its process",
    "_exit": "the end of its process",
    "kill": "other processes (kill)",
    "ast_transformers": "how IPython reads code",
    "displayhook": "how values are shown",
    "find_spec": "where modules come from",
}
TEXTS = {
    r"NBGRADER_EXECUTION": "whether it is being graded",
    r"/proc/|/etc/": "files of the system",
    r"\bsite-packages\b|\blab\.py\b|\bchecks\.py\b": "files of the course",
    r"\bsys\.modules\b": "the table of modules",
    r"\bmechinterp_course\.course\b": "the grader's own code",
}
GUARDED = ("check", "borrow", "hint")


def flags(cells: list[tuple[str, str]]) -> list[str]:
    """Return careful sentences on (cell id, code) pairs."""
    found = []
    for where, code in cells:
        reasons = dict.fromkeys([*_from_text(code), *_from_tree(code)])
        found += [f"The cell {where} touches {reason}; have a look at it." for reason in reasons]
    return found


def _from_text(code: str) -> list[str]:
    return [reason for pattern, reason in TEXTS.items() if re.search(pattern, code)]


def _from_tree(code: str) -> list[str]:
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in code.splitlines())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(plain)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    modules = _imported(tree)
    return [reason for node in ast.walk(tree) for reason in _of(node, modules)]


def _imported(tree: ast.AST) -> set[str]:
    """Return the names under which modules are known in this cell."""
    names = {"torch", "np", "numpy", "F", "mechinterp_course", "sys", "builtins"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return names


def _of(node: ast.AST, modules: set[str]) -> list[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        return [MODULES[one] for name in names if (one := name.split(".")[0]) in MODULES]
    if isinstance(node, ast.Attribute) and node.attr in CALLS:
        return [CALLS[node.attr]]
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in GUARDED:
        return [f"the name {node.name}, which is the course's"]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    reasons = []
    for target in targets:
        if isinstance(target, ast.Name) and target.id in GUARDED:
            reasons.append(f"the name {target.id}, which is the course's")
        root = target
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(target, ast.Attribute) and isinstance(root, ast.Name) and root.id in modules:
            reasons.append(f"a name inside the module {root.id}")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr"):
        changed = node.args[0] if node.args else None
        if isinstance(changed, ast.Name) and changed.id in modules:
            reasons.append(f"a name inside the module {changed.id}")
    return reasons
