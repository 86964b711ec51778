"""What each name in a Python file is: a parameter, a function, a class, an attribute, a builtin, or another variable.

Follows Python's scoping rules on the `ast`, and runs nothing. Standard library only.
"""

import ast
from dataclasses import dataclass, field

ROLES = ("none", "parameter", "function", "class", "attribute", "builtin", "keyword argument", "variable")
NONE, PARAMETER, FUNCTION, CLASS, ATTRIBUTE, BUILTIN, KEYWORD_ARGUMENT, VARIABLE = range(len(ROLES))

# The builtins of Python 3.11, written out: labels must not depend on the Python that runs.
BUILTINS = frozenset(
    """
    ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError BrokenPipeError
    BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError
    ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning EnvironmentError Exception
    ExceptionGroup FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError
    ImportError ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError
    KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplemented
    NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError
    RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration StopIteration
    SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError TypeError UnboundLocalError
    UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError
    Warning ZeroDivisionError __build_class__ __debug__ __import__ abs aiter all anext any ascii bin bool breakpoint
    bytearray bytes callable chr classmethod compile complex delattr dict dir divmod enumerate eval exec filter
    float format frozenset getattr globals hasattr hash hex id input int isinstance issubclass iter len list locals
    map max memoryview min next object oct open ord pow print property range repr reversed round set setattr slice
    sorted staticmethod str sum super tuple type vars zip
""".split()  # noqa: SIM905 (a list of 150 literals is no easier to read)
)

Position = tuple[int, int]  # line from 1, column from 0, counted in characters


@dataclass
class Scope:
    """A region whose names belong together: a module, a class, a function, or a comprehension."""

    kind: str
    lines: tuple[int, int]
    parent: "Scope | None" = None
    bound: dict[str, int] = field(default_factory=dict)  # name -> role
    declared: dict[str, str] = field(default_factory=dict)  # name -> "global" or "nonlocal"

    def bind(self, name: str, role: int) -> None:
        """Note that the name gets a value here. Of several roles the one that comes first in ROLES stays."""
        if self.declared.get(name) == "nonlocal":
            return  # the function around it binds it
        home = self.module() if self.declared.get(name) == "global" else self
        home.bound[name] = min(role, home.bound.get(name, role))

    def role_of(self, name: str) -> int:
        """The role of a name that is looked up here: the nearest scope that binds it says; methods do not see their class."""
        scope = self.module() if self.declared.get(name) == "global" else self
        while scope is not None:
            if name in scope.bound and (scope.kind != "class" or scope is self):
                return scope.bound[name]
            scope = scope.parent
        return BUILTIN if name in BUILTINS else VARIABLE

    def module(self) -> "Scope":
        return self if self.parent is None else self.parent.module()


class Walk(ast.NodeVisitor):
    """Finds the scopes of a module, what each binds, and where each name stands in the tree."""

    def __init__(self, text: str):
        self.lines = text.split("\n")
        tree = ast.parse(text)
        self.scope = Scope("module", (1, len(self.lines)))
        self.scopes = [self.scope]
        self.used: dict[Position, Scope] = {}  # where a name begins -> the scope that looks it up
        self.fixed: dict[Position, int] = {}  # where a name begins -> a role that needs no look-up
        self.attribute_ends: set[Position] = set()
        self.imports: list[tuple[Position, Position]] = []
        self.docstrings: list[tuple[Position, Position]] = []
        self.visit(tree)

    def at(self, line: int, column: int) -> Position:
        """A position as `tokenize` counts it, in characters; `ast` counts bytes."""
        return line, len(self.lines[line - 1].encode()[:column].decode())

    def start(self, node: ast.AST) -> Position:
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.AST) -> Position:
        return self.at(node.end_lineno, node.end_col_offset)

    def visit_all(self, nodes) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def inside(self, kind: str, node: ast.AST, work) -> None:
        """Do `work()` in a new scope."""
        outer = self.scope
        self.scope = Scope(kind, (node.lineno, node.end_lineno), outer)
        self.scopes.append(self.scope)
        work()
        self.scope = outer

    def body(self, nodes: list) -> None:
        """Visit the statements of a module, class or function; the first may be its docstring."""
        if nodes and isinstance(nodes[0], ast.Expr) and isinstance(nodes[0].value, ast.Constant):
            string = nodes[0].value
            if isinstance(string.value, str):
                self.docstrings.append((self.start(string), self.end(string)))
        self.visit_all(nodes)

    def visit_Module(self, node) -> None:
        self.body(node.body)

    # functions, classes, comprehensions: what is looked up outside first, then the scope itself

    def visit_FunctionDef(self, node) -> None:
        self.scope.bind(node.name, FUNCTION)
        self.visit_all(node.decorator_list)
        self.function(node, [node.returns], lambda: self.body(node.body))

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node) -> None:
        self.function(node, [], lambda: self.visit(node.body))

    def function(self, node, outside: list, body) -> None:
        """Visit a def or a lambda: defaults and annotations are looked up outside, `body()` visits the inside."""
        a = node.args
        arguments = [*a.posonlyargs, *a.args, *([a.vararg] if a.vararg else []), *a.kwonlyargs]
        arguments += [a.kwarg] if a.kwarg else []
        self.visit_all([*a.defaults, *a.kw_defaults, *(argument.annotation for argument in arguments), *outside])

        def work() -> None:
            for argument in arguments:
                self.scope.bind(argument.arg, PARAMETER)
                self.fixed[self.start(argument)] = PARAMETER
            body()

        self.inside("function", node, work)

    def visit_ClassDef(self, node) -> None:
        self.scope.bind(node.name, CLASS)
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self.inside("class", node, lambda: self.body(node.body))

    def comprehension(self, node) -> None:
        first, *others = node.generators
        self.visit(first.iter)  # the first thing to loop over is looked up outside

        def work() -> None:
            self.visit_all([first.target, *first.ifs])
            for generator in others:
                self.visit_all([generator.iter, generator.target, *generator.ifs])
            self.visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

        self.inside("comprehension", node, work)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    # names

    def visit_Name(self, node) -> None:
        self.used[self.start(node)] = self.scope
        if not isinstance(node.ctx, ast.Load):
            self.scope.bind(node.id, VARIABLE)

    def visit_NamedExpr(self, node) -> None:
        home = self.scope
        while home.kind == "comprehension":
            home = home.parent
        home.bind(node.target.id, VARIABLE)
        self.used[self.start(node.target)] = home
        self.visit(node.value)

    def visit_Attribute(self, node) -> None:
        self.attribute_ends.add(self.end(node))
        self.visit(node.value)

    def visit_keyword(self, node) -> None:
        if node.arg is not None:
            self.fixed[self.start(node)] = KEYWORD_ARGUMENT
        self.visit(node.value)

    def visit_Import(self, node) -> None:
        self.imports.append((self.start(node), self.end(node)))
        for alias in node.names:
            self.scope.bind(alias.asname or alias.name.split(".")[0], VARIABLE)

    visit_ImportFrom = visit_Import

    def visit_Global(self, node) -> None:
        self.scope.declared |= dict.fromkeys(node.names, "global")

    def visit_Nonlocal(self, node) -> None:
        self.scope.declared |= dict.fromkeys(node.names, "nonlocal")

    def visit_ExceptHandler(self, node) -> None:
        self.captured(node, node.name)

    def visit_MatchAs(self, node) -> None:
        self.captured(node, node.name)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node) -> None:
        self.captured(node, node.rest)

    def captured(self, node, name: str | None) -> None:
        if name is not None:
            self.scope.bind(name, VARIABLE)
        self.generic_visit(node)

    def visit_JoinedStr(self, node) -> None:
        """A formatted string is a string as a whole: what stands in its braces gets no role."""

    visit_TemplateStr = visit_JoinedStr

    # answers

    def role(self, name: str, start: Position, end: Position) -> int:
        """The role of the name that stands from `start` to `end`."""
        if start in self.fixed:
            return self.fixed[start]
        if start in self.used:
            return self.used[start].role_of(name)
        if end in self.attribute_ends:
            return ATTRIBUTE
        if any(first <= start < last for first, last in self.imports):
            return VARIABLE
        return self.innermost(start[0]).role_of(name)

    def is_soft_keyword(self, name: str, start: Position) -> bool:
        """Whether a name that begins a statement is the word of a match, case or type statement, and not a name at all."""
        return name in ("match", "case", "type") and start not in self.used

    def innermost(self, line: int) -> Scope:
        """The smallest function or class around a line."""
        around = [s for s in self.scopes if s.kind != "comprehension" and s.lines[0] <= line <= s.lines[1]]
        return min(around, key=lambda scope: scope.lines[1] - scope.lines[0])
