"""Labels against snippets checked by hand, against Python's own symbol tables, and against text made at random."""

import ast
import builtins
import io
import keyword
import symtable
import sys
import textwrap
import tokenize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import labels, roles, tasks
from mechinterp_course.interp.tokenizer import CodeTokenizer

CODE = CodeTokenizer()


def characters(source: str) -> tuple[str, dict[str, np.ndarray]]:
    """The text of a snippet, and its labels with every character as a token of its own."""
    text = textwrap.dedent(source).lstrip("\n")
    return text, labels.compute(text, [(i, i + 1) for i in range(len(text))])


def marked(source: str, label: str) -> str:
    """The snippet with every character that lacks the label replaced by a dot."""
    text, found = characters(source)
    return "".join(c if c == "\n" or mark else "." for c, mark in zip(text, found[label], strict=True))


def names(source: str, label: str = "name_role") -> list[tuple[str, object]]:
    """Every name of the snippet, in order, with its role (or another label)."""
    text, found = characters(source)
    starts = [0, *(i + 1 for i, c in enumerate(text) if c == "\n")]
    listed = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        place = starts[token.start[0] - 1] + token.start[1]
        if token.type == tokenize.NAME and found["name_role"][place]:
            value = found[label][place]
            listed.append((token.string, labels.ROLES[value] if label == "name_role" else bool(value)))
    return listed


def depths(source: str, label: str) -> list[int]:
    """The label of the first character of each line that is not white space (of its line end, where there is none)."""
    text, found = characters(source)
    at, listed = 0, []
    for line in text.splitlines(keepends=True):
        listed.append(int(found[label][at + len(line) - len(line.lstrip()) if line.strip() else at]))
        at += len(line)
    return listed


# --- strings and comments -----------------------------------------------------------------------------------------


def test_strings_have_their_quotes_and_prefixes():
    assert marked("""x = rb'a' + "b # no" # "yes\n""", "in_string") == """....rb'a'..."b # no".......\n"""
    assert marked("""x = rb'a' + "b # no" # "yes\n""", "in_comment") == """.....................# "yes\n"""


def test_a_formatted_string_is_a_string_as_a_whole():
    source = """x = f'{a + len("b")!r:>{n}} and' f"{c}" + d\n"""
    assert marked(source, "in_string") == """....f'{a + len("b")!r:>{n}} and'.f"{c}"....\n"""
    assert names(source) == [("x", "variable"), ("d", "variable")]
    assert not characters(source)[1]["bracket_depth"].any()


def test_a_string_over_several_lines_is_one():
    source = 'x = """a\n  # not a comment\n    b"""\ny = 1\n'
    assert marked(source, "in_string") == '...."""a\n  # not a comment\n    b"""\n.....\n'
    assert not characters(source)[1]["in_comment"].any()


def test_docstrings_are_those_of_modules_classes_and_functions():
    source = '''
        """Module."""
        class C:
            "Class" " in two."
            x = "no"
            async def f():
                r"""Function."""
                "no"
        def g():
            f"no"
        def h():
            b"no"
        '''
    kept = marked(source, "in_docstring").replace(".", "").split()
    assert kept == ['"""Module"""', '"Class""', "in", 'two"', 'r"""Function"""']


# --- depth --------------------------------------------------------------------------------------------------------


def test_bracket_depth_is_what_is_open_once_the_token_is_read():
    text, found = characters('f(a[1], {")": (2)})  # (\n')
    depth = "".join(str(d) for d in found["bracket_depth"])
    assert text[:20] == 'f(a[1], {")": (2)}) '
    assert depth[:20] == "01122111222222332100"
    assert set(depth[20:]) == {"0"}


def test_indentation_is_counted_in_blocks():
    source = """
        def f():

            if x:
                y = (1,
            2)
                # in the inner block

            # in the outer block
            z = '''
        text'''
        # in no block
        w = 1
        """
    assert depths(source, "indentation_depth") == [0, 0, 1, 2, 2, 2, 2, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "source, expected",
    [
        ("def f():\n    # first\n    x\n", [0, 1, 1]),
        ("def f():\n        x\n    # between\ny\n", [0, 1, 0, 0]),
        ("# at the top\nx\n", [0, 0]),
        ("if a:\n\tb\n\t# with a tab\n", [0, 1, 1]),
        ("x = 1 + \\\n        2\ny\n", [0, 0, 0]),
        ("class C: x = 1\ny", [0, 0]),
        ("if a:\n  b\n  # last, without line end", [0, 1, 1]),
    ],
)
def test_comments_and_continued_lines_belong_to_a_block(source, expected):
    assert depths(source, "indentation_depth") == expected


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, expected",
    [
        ("import os.path as p, sys\np.x", "os variable, path variable, p variable, sys variable, p variable, x attribute"),
        ("from . import a\nfrom .b import len\nlen", "a variable, b variable, len variable, len variable"),
        ("print(x=1, **y)", "print builtin, x keyword argument, y variable"),
        (
            "def f(a, /, b: int = len, *c, d=a, **e) -> str: return a, b, c, d, e, f, g",
            "f function, a parameter, b parameter, int builtin, len builtin, c parameter, d parameter, a variable, "
            "e parameter, str builtin, a parameter, b parameter, c parameter, d parameter, e parameter, f function, g variable",
        ),
        ("lambda x, y=z: x + y + z", "x parameter, y parameter, z variable, x parameter, y parameter, z variable"),
        ("def f(a):\n  def g(b):\n    return a, b\n  return g, b", "f function, a parameter, g function, b parameter, "
         "a parameter, b parameter, g function, b variable"),
        ("@d.e(k=1)\nclass C(B, metaclass=M): pass", "d variable, e attribute, k keyword argument, C class, B variable, "
         "metaclass keyword argument, M variable"),
        ("class C:\n  x = 1\n  y = x\n  def m(self):\n    return x, m, self.m, C", "C class, x variable, y variable, x variable, "
         "m function, self parameter, x variable, m variable, self parameter, m attribute, C class"),
        ("def f(x):\n  return [x for x in x if x]", "f function, x parameter, x variable, x variable, x parameter, x variable"),
        ("def f(a):\n  return {k: v for k, v in a for a in k}", "f function, a parameter, k variable, v variable, k variable, "
         "v variable, a parameter, a variable, k variable"),
        ("class C:\n  def f(self): pass\n  g = [f for i in f]", "C class, f function, self parameter, g variable, f variable, "
         "i variable, f function"),
        ("def f():\n  [y := len for i in f]\n  y", "f function, y variable, len builtin, i variable, f function, y variable"),
        ("def f(len):\n  len = len or 1", "f function, len parameter, len parameter, len parameter"),
        ("def g(): pass\ndef f(g):\n  global h\n  def h(): pass\n  h\nh", "g function, f function, g parameter, h function, "
         "h function, h function, h function"),
        ("def f(a):\n  def g():\n    nonlocal a\n    a = 1", "f function, a parameter, g function, a parameter, a parameter"),
        ("def f(x):\n  def g():\n    global x\n    return x", "f function, x parameter, g function, x variable, x variable"),
        ("try: pass\nexcept ValueError as e: e.args", "ValueError builtin, e variable, e variable, args attribute"),
        ("async def f(a):\n  async with a as b: await b", "f function, a parameter, a parameter, b variable, b variable"),
        ("x: int = y\nfor x.a, (b, *c) in d: del b", "x variable, int builtin, y variable, x variable, a attribute, b variable, "
         "c variable, d variable, b variable"),
        ("f = 1\ndef f(): pass\nf", "f function, f function, f function"),
        ("with open(p) as (a, b[i]): pass", "open builtin, p variable, a variable, b variable, i variable"),
        ("a.\\\n  b . c", "a variable, b attribute, c attribute"),
        ("naïve.é(ü=1).x", "naïve variable, é attribute, ü keyword argument, x attribute"),
        ("'→', naïve, f(ü=1)", "naïve variable, f variable, ü keyword argument"),
        ("__name__, __import__", "__name__ variable, __import__ builtin"),
    ],
)  # fmt: skip
def test_names_have_the_roles_that_python_gives_them(source, expected):
    assert [f"{name} {role}" for name, role in names(source + "\n")] == expected.split(", ")


def test_match_is_a_keyword_only_where_it_is_one():
    source = """
        match = case
        match.x
        match match:
            case [1, *rest] if rest:
                match(case)
            case {"k": v, **more} | C(y=w) as whole:
                pass
            case _:
                pass
        """
    words = marked(source, "keyword").replace(".", " ").split()
    assert words == ["match", "case", "if", "case", "as", "pass", "case", "pass"]
    listed = [f"{name} {role}" for name, role in names(source)]
    assert listed[:4] == ["match variable", "case variable", "match variable", "x attribute"]
    assert {"rest variable", "v variable", "more variable", "whole variable", "_ variable"} <= set(listed)


def test_a_name_is_seen_before_from_its_second_time_on():
    source = "def f(self, f):  # later\n    self.later = later.self\n    'other'\n    other = None\n"
    assert names(source, "seen_before") == [
        ("f", False), ("self", False), ("f", True), ("self", True), ("later", False), ("later", True), ("self", True),
        ("other", False),
    ]  # fmt: skip


def test_the_list_of_builtins_is_that_of_python():
    missing = [name for name in roles.BUILTINS if not hasattr(builtins, name)]
    assert missing == []
    assert {"len", "print", "ValueError", "__import__", "ExceptionGroup"} <= roles.BUILTINS
    assert not roles.BUILTINS.intersection(keyword.kwlist)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="newer symbol tables mix comprehensions into their function")
def test_what_a_scope_binds_is_what_pythons_symbol_tables_say():
    """On the whole sample: parameters and local names of every function and class."""
    compared = 0
    for path, text in tasks.sample():
        scopes = {(s.kind, s.lines[0], frozenset(s.bound)): s for s in roles.Walk(text).scopes}
        for table in _tables(symtable.symtable(text, path, "exec")):
            kind = table.get_type() if isinstance(table.get_type(), str) else table.get_type().value
            if kind not in ("function", "class") or table.get_name() in ("listcomp", "genexpr", "setcomp", "dictcomp"):
                continue
            local = {_unmangled(s.get_name(), table) for s in table.get_symbols() if s.is_local()}
            local -= {
                "__class__",
                "__classdict__",
                "__classdictcell__",
                "__static_attributes__",
                "__conditional_annotations__",
            }
            scope = scopes.get((kind, table.get_lineno(), frozenset(local)))
            assert scope is not None, f"{path}:{table.get_lineno()} {table.get_name()}"
            if kind == "function":
                parameters = {_unmangled(name, table) for name in table.get_parameters()}
                assert parameters == {name for name, role in scope.bound.items() if role == roles.PARAMETER}
            compared += 1
    assert compared > 500


def _tables(table):
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _unmangled(name: str, table) -> str:
    """A symbol table holds __x of class C as _C__x."""
    if name.startswith("_") and "__" in name[1:] and not name.startswith("__"):
        return "__" + name[1:].split("__", 1)[1]
    return name


# --- tokens -------------------------------------------------------------------------------------------------------


def test_a_token_has_the_label_of_its_last_sign():
    text = "x = f('a', 1)\n"
    found = labels.compute(
        text, [(0, 1), (1, 4), (4, 5), (5, 7), (7, 8), (8, 10), (10, 11), (11, 12), (12, 13), (13, 14)]
    )
    assert found["in_string"].tolist() == [False, False, False, True, True, False, False, False, False, False]
    assert found["bracket_depth"].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert [labels.ROLES[role] for role in found["name_role"][[0, 2]]] == ["variable", "variable"]


def test_an_empty_span_has_no_label():
    found = labels.compute("'a'", [(0, 0), (0, 3)])
    assert found["in_string"].tolist() == [False, True]
    assert {name: values.dtype.kind for name, values in found.items()} == {
        name: "b" if name in labels.TRUTHS else "u" for name in labels.LABELS
    }


def test_tokens_of_one_character_share_its_labels():
    text = "x = 'ü→' # →\n"
    spans = labels.spans(text, CODE)
    found = labels.compute(text, spans)
    assert len(spans) == len(CODE.ids(text)) > len(text.split())
    for span, string, comment in zip(spans, found["in_string"], found["in_comment"], strict=True):
        assert string == (4 <= text.index(text[slice(*span)].strip() or " ") < 8 and span[0] < 8)
        assert comment == (span[0] >= 8 and text[slice(*span)] != "\n")


@pytest.mark.parametrize(
    "text, words",
    [
        ("def f(:\n", "not a whole Python file"),
        ("x = '''\n", "not a whole Python file"),
        ("  x\n y\n", "not a whole Python file"),
        ("x = 1\x00", "not a whole Python file"),
        ("x = 1\r\n", "line ends"),
    ],
)
def test_what_is_not_python_is_refused(text, words):
    with pytest.raises(CourseError, match=words):
        labels.compute(text, [])


@pytest.mark.parametrize("span", [(-1, 1), (0, 3), (2, 1)])
def test_a_span_outside_the_text_is_refused(span):
    with pytest.raises(CourseError, match="outside the text"):
        labels.compute("x\n", [span])


def test_an_old_file_makes_no_warning(recwarn):
    labels.compute("x = '\\d'\n", [(0, 1)])
    assert not recwarn.list


IDENTIFIERS = st.sampled_from(["a", "b", "len", "self", "naïve", "é", "x1", "match"])
ATOMS = st.one_of(IDENTIFIERS, st.sampled_from(["1", "'s'", '"""t\n#"""', "f'{a}'", "b''", "None", "'é→'"]))


def _wider(inner):
    return st.one_of(
        st.tuples(inner, inner).map(lambda p: f"({p[0]} + {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]}, {{{p[1]}}}]"),
        st.tuples(IDENTIFIERS, inner).map(lambda p: f"{p[0]}.{p[0]}({p[0]}={p[1]})"),
        st.tuples(IDENTIFIERS, inner).map(lambda p: f"(lambda {p[0]}: {p[1]})"),
        st.tuples(inner, IDENTIFIERS, inner).map(lambda p: f"[{p[0]} for {p[1]} in {p[2]}]"),
    )


EXPRESSIONS = st.recursive(ATOMS, _wider, max_leaves=6)
STATEMENTS = st.one_of(
    EXPRESSIONS,
    st.tuples(IDENTIFIERS, EXPRESSIONS).map(lambda p: f"{p[0]} = {p[1]}  # {p[1].splitlines()[0]}"),
    st.tuples(IDENTIFIERS, IDENTIFIERS, EXPRESSIONS).map(
        lambda p: f"def {p[0]}({p[1]}):\n    # c\n\n    return {p[2]}"
    ),
    st.just("class C:\n    '''doc'''\n    def m(self): pass"),
)
PROGRAMS = st.lists(STATEMENTS, max_size=5).map("\n".join)


@given(PROGRAMS)
@settings(max_examples=150, deadline=None)
def test_any_program_has_labels_that_fit_together(text):
    ids, spans = CODE.ids(text), labels.spans(text, CODE)
    found = labels.compute(text, spans)
    assert list(found) == list(labels.LABELS)
    assert {len(values) for values in found.values()} == {len(ids)} or not ids
    assert not (found["in_string"] & found["in_comment"]).any()
    assert not (found["in_docstring"] & ~found["in_string"]).any()
    named = found["name_role"] > 0
    assert not (named & (found["in_string"] | found["in_comment"] | found["keyword"])).any()
    assert not (found["seen_before"] & ~named).any()
    assert not ids or found["bracket_depth"][-1] == 0


@given(PROGRAMS)
@settings(max_examples=100, deadline=None)
def test_every_name_of_the_tree_has_a_role(text):
    """Independent of scopes: each name, attribute and parameter that `ast` sees outside formatted strings is labelled."""
    text += "\n"
    found = labels.compute(text, [(i, i + 1) for i in range(len(text))])
    starts = np.cumsum([0, *(len(line) + 1 for line in text.split("\n"))])
    tree = ast.parse(text)
    formatted = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.arg) and id(node) not in formatted:
            line = text.split("\n")[node.lineno - 1]
            place = starts[node.lineno - 1] + len(line.encode()[: node.col_offset].decode())
            role = labels.ROLES[found["name_role"][place]]
            assert role == "parameter" if isinstance(node, ast.arg) else role in (
                "parameter", "function", "class", "builtin", "variable")  # fmt: skip


# --- the stored sample --------------------------------------------------------------------------------------------


def test_the_stored_labels_belong_to_the_sample_and_the_tokenizer():
    stored = labels.sample()
    assert [file.path for file in stored] == [path for path, _ in tasks.sample()]
    for file, (_, text) in zip(stored, tasks.sample(), strict=True):
        assert file.ids.tolist() == CODE.ids(text)
        assert {len(values) for values in file.labels.values()} == {len(file.ids)}
    assert labels.FILE.stat().st_size < 1_000_000


@pytest.mark.skipif(sys.version_info[:2] != labels.VERSION, reason="the stored labels are those of Python 3.11")
def test_the_stored_labels_are_what_this_python_computes(tmp_path):
    labels.write_sample(tmp_path / "labels.npz")
    assert (tmp_path / "labels.npz").read_bytes() == labels.FILE.read_bytes()


def test_another_python_does_not_store_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "VERSION", (2, 7))
    with pytest.raises(CourseError, match="Python 3.11"):
        labels.write_sample(tmp_path / "labels.npz")
    assert list(tmp_path.iterdir()) == []
