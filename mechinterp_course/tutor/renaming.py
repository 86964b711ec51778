"""Code that a learner wrote, read as a tree: what a cell defines, what it uses, and a function given another name."""

import ast
import io
import tokenize


def defined(text: str) -> set[str]:
    """Return the names of the functions that a cell defines at its top level."""
    try:
        return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    except (SyntaxError, ValueError):
        return set()


def names_in(text: str) -> set[str]:
    """Return the names that a cell uses; none where it does not parse."""
    try:
        return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError):
        return set()


def renamed_source(text: str, old: str, new: str) -> tuple[str, bool]:
    """Return the text with the function `old` called `new`, and whether that was safe; unsafe text is left as it is.

    Safe means: the text parses, defines `old` once, at its top level, uses the name for nothing else, and not yet `new`.
    """
    try:
        tree = ast.parse(text)
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return text, False
    top = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == old]
    if len(top) != 1 or _bindings(tree, old) != 1 or any(t.type == tokenize.NAME and t.string == new for t in tokens):
        return text, False
    used = {(n.lineno, n.col_offset) for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == old}
    lines = text.splitlines(keepends=True)
    for at in range(len(tokens) - 1, -1, -1):
        token = tokens[at]
        if token.type != tokenize.NAME or token.string != old:
            continue
        row, column = token.start
        # ast counts bytes, tokenize counts characters.
        is_definition = at > 0 and tokens[at - 1].string == "def"
        if is_definition or (row, len(lines[row - 1][:column].encode())) in used:
            lines[row - 1] = lines[row - 1][:column] + new + lines[row - 1][column + len(old) :]
    return "".join(lines), True


def _bindings(tree: ast.AST, name: str) -> int:
    """Return how many times a tree binds a name: by a definition, an assignment, a parameter or an import."""
    count = 0
    for node in ast.walk(tree):
        count += isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name
        count += isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
        count += isinstance(node, ast.arg) and node.arg == name
        count += isinstance(node, ast.alias) and (node.asname or node.name) == name
        count += isinstance(node, (ast.Global, ast.Nonlocal)) and name in node.names
    return count
