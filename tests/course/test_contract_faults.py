"""The contract itself, proved: a sound lesson passes, and each planted fault is reported under its rule and no other."""

import planted as module
import pytest
from planted import plant

from mechinterp_course.course import build, contract

SUMS_CHECK = """    matrix = draw.normal(3, 4)
    expect.close(answer(matrix), torch.einsum("rc -> r", matrix), "the row sums")
"""
ABSOLUTE = """@sums.wrong("forgets the sign", "You dropped the signs.")
def absolute(matrix):
    return matrix.sum(dim=-1).abs()


@sums.variation("a loop")"""
MISSING_IMPORT = """@sums.wrong("needs what is not there", "You need a library that nobody has.")
def needs_more(matrix):
    import a_library_that_nobody_has

    return a_library_that_nobody_has.sums(matrix)


@sums.variation("a loop")"""
TWIN = """@sums.wrong("mean, again", "The same mistake under another name.")
def means_again(matrix):
    return matrix.sum(dim=-1) / matrix.shape[-1]


@sums.variation("a loop")"""
ASKS = """# %%
import socket

try:
    socket.create_connection(("example.org", 80), timeout=1)
except OSError:
    pass

# %% [markdown]
# ### The picture"""
ASKS_BY_LIBRARY = """# %%
import circuitsvis as cv

cv.tokens.colored_tokens(["a", "b"], [0.0, 1.0])

# %% [markdown]
# ### The picture"""
STARTER = "    ### BEGIN SOLUTION\n    return matrix.sum(dim=-1)\n    ### END SOLUTION"
LOOP = '@sums.variation("a loop")'
PICTURE = "# %% [markdown]\n# ### The picture"
DEMO = "# %%\nrow_sums(torch.ones(2, 3))"

# An answer that reads a list of the setup's, through a function of the setup's.
READS_SIZES = [
    (
        "lab.py",
        "# %%\nimport torch\n",
        "# %%\nimport random\n\nimport torch\n\nsizes = [2, 3]\n\n\ndef no_size():\n    return 0 * sizes[0]\n",
    ),
    ("lab.py", STARTER, STARTER.replace("sum(dim=-1)", "sum(dim=-1) + no_size()")),
]

# name: (the rule that must report it, the edits that plant it). These run whole, kernels and all.
IN_KERNEL = {
    "warning on stderr": (
        "quiet",
        [("lab.py", "# %%\nimport torch", '# %%\nimport warnings\n\nimport torch\n\nwarnings.warn("old")')],
    ),
    "value displayed by a check": (
        "displays",
        [("checks.py", SUMS_CHECK, "    import sys\n\n    sys.displayhook(0.5)\n" + SUMS_CHECK)],
    ),
    "request to the outside": ("offline", [("lesson.py", PICTURE, ASKS)]),
    "request by circuitsvis": ("offline", [("lesson.py", PICTURE, ASKS_BY_LIBRARY)]),
    "error in the lab": ("runs", [("lab.py", DEMO, "# %%\n1 / 0")]),
    "error in the lesson": ("runs", [("lesson.py", "print(torch.tensor([1.0, 2.0, 3.0]).mean())", "undefined")]),
    "points lost in the kernel": (
        "points",
        [
            (
                "checks.py",
                "    ratio = answer(matrix) / matrix\n",
                '    import sys\n\n    expect.true("ipykernel" not in sys.modules, "Not here.")\n    ratio = answer(matrix) / matrix\n',
            )
        ],
    ),
    "home stops": ("home-runs", [("home.py", "# [[contents]]\n", "# [[contents]]\n\n# %%\n1 / 0\n")]),
}

# These are found in the text and in this process; the kernels are left out.
IN_PROCESS = {
    "wrong answer passes": (
        "wrong-answers-caught",
        [
            ("checks.py", SUMS_CHECK, SUMS_CHECK.replace("draw.normal(3, 4)", "draw.uniform(3, 4)")),
            ("checks.py", LOOP, ABSOLUTE),
        ],
    ),
    "starter passes": (
        "starters",
        [("lab.py", STARTER, "    return matrix.sum(dim=-1)\n    ### BEGIN SOLUTION\n    pass\n    ### END SOLUTION")],
    ),
    "wrong answer dies of an import": ("wrong-answers-return", [("checks.py", LOOP, MISSING_IMPORT)]),
    "wrong answers alike": ("wrong-answers-named", [("checks.py", LOOP, TWIN)]),
    "leaked line": (
        "leaks",
        [("lab.py", "# Return the sum of each row", "# Write `return matrix.sum(dim=-1)`: the sum of each row")],
    ),
    "hint missing": ("hints", [("lab.py", '# idea = "Add along the last axis."\n', "")]),
    "prerequisite not built": ("prerequisites", [("course.toml", "prerequisites = []", 'prerequisites = ["01"]')]),
    "dead link": ("links", [("lesson.py", "# Attention sums rows.", "# See [the next lesson](07_nothing.ipynb).")]),
    "unknown term": ("terms", [("lesson.py", "[[term:row sum]]", "[[term:row total]]")]),
    "left-out cell shuffles": ("skipped-cells", [*READS_SIZES, ("lab.py", DEMO, "# %%\nrandom.shuffle(sizes)")]),
    "left-out cell takes away": ("skipped-cells", [*READS_SIZES, ("lab.py", DEMO, "# %%\nlast = sizes.pop()")]),
    "starter's dependant undeclared": ("starters", [("lab.py", 'uses = ["row_sums"]', "uses = []")]),
    "solution without marks": ("answers", [("lab.py", STARTER, "    return matrix.sum(dim=-1)")]),
    "hidden check leaked": ("leaks", [("lab.py", DEMO, '# %%\ncheck("row_sums", row_sums, seed=3)')]),
    "variation rejected": ("variations", [("checks.py", "return torch.stack([sum(row) for row in matrix])", "return torch.stack([sum(row) for row in matrix]) + 1")]),
    "no variation": ("checks", [("checks.py", '@sums.variation("a loop")\n', "")]),
    "too few wrong answers": ("checks", [("lab.py", "importance = 3", "importance = 5")]),
    "check without a card": ("checks", [("checks.py", 'scaled = Exercise("scaled_rows")', 'scaled = Exercise("scaled_rows")\nother = Exercise("nobody")')]),
    "memorised answer passes": ("memorised", [("checks.py", "matrix = draw.normal(3, 4)", "matrix = torch.arange(12.0).reshape(3, 4)")]),
    "message empty": (
        "messages",
        [("checks.py", SUMS_CHECK, SUMS_CHECK.replace("expect.close(", "expect.true(torch.equal(").replace(', "the row sums")', '), "")')), ("checks.py", "stack([sum(row) for row in matrix])", "stack([row.sum() for row in matrix])")],
    ),
    "message gives the solution": (
        "messages",
        [("checks.py", SUMS_CHECK, '    matrix = draw.normal(3, 4)\n    right = torch.einsum("rc -> r", matrix)\n    result = answer(matrix)\n    same = result.shape == right.shape and torch.allclose(result, right)\n    expect.true(same, "Write return matrix.sum(dim=-1).")\n')],
    ),
    "points missing": ("cards", [("lab.py", "points = 2", "points = 0")]),
    "purpose missing": ("cards", [("lab.py", '# purpose = "A softmax divides by one."\n', "")]),
    "difficulty out of range": ("cards", [("lab.py", "difficulty = 2", "difficulty = 9")]),
    "hints alike": ("hints", [("lab.py", "Add along the last axis.", "Which axis is a row?")]),
    "exercise too long": ("minutes", [("lab.py", "minutes = 10", "minutes = 30")]),
    "reading too long": ("minutes", [("course.toml", "minutes = 10", "minutes = 75")]),
    "summary missing": ("entry", [("course.toml", 'summary = "Sum and scale the rows of a tensor."', 'summary = ""')]),
    "another title on the map": ("entry", [("course.toml", '00 = "Rows"', '00 = "Lines"')]),
    "name used twice": ("names", [("lab.py", 'uses = ["row_sums"]', 'uses = ["row_sums"]\n# renamed_from = ["row_sums"]')]),
    "cell id used twice": ("metadata", [("lesson.py", PICTURE, '# %% [markdown] id="watch-1"\n# ### The picture')]),
    "cell id of odd letters": ("metadata", [("lesson.py", PICTURE, '# %% [markdown] id="the picture!"\n# ### The picture')]),
    "section missing": ("sections", [("lesson.py", "# %% [markdown]\n# ## Watch\n#\n# Nothing yet.\n\n", "")]),
    "section empty": ("sections", [("lesson.py", "# ## Watch\n#\n# Nothing yet.", "# ## Watch")]),
    "sections in another order": ("sections", [("lesson.py", "# ## Watch", "# ## Read"), ("lesson.py", "# ## Read\n#\n# 1.", "# ## Watch\n#\n# 1.")]),
    "another title": ("sections", [("lesson.py", "# # Rows", "# # Lines")]),
    "prediction without reveal": ("predictions", [("lesson.py", 'reveal("rows-mean")', "pass")]),
    "reveal before the question": ("predictions", [("lesson.py", "from mechinterp_course import predict, reveal", 'from mechinterp_course import predict, reveal\n\nreveal("rows-mean")')]),
    "answer out of range": ("predictions", [("lesson.py", "# answer = 0", "# answer = 5")]),
    "choice without a why": ("predictions", [("lesson.py", '["Right: 6 / 3.", "That is the largest."]', '["Right: 6 / 3."]')]),
    "unknown paper": ("papers", [("lesson.py", "[[paper:someone2020]]", "[[paper:nobody1900]]")]),
    "paper without an author": ("library", [("papers.toml", 'authors = "Someone et al."\n', "")]),
    "column without a heading": (
        "tables",
        [("lesson.py", "# Attention sums rows.", "# | | yes |\n# |---|---|\n# | one | two |")],
    ),
    "address in a lesson": ("addresses", [("lesson.py", "# Attention sums rows.", "# See https://example.org.")]),
    "dead anchor": ("links", [("lesson.py", "# Attention sums rows.", "# See [this](#Nowhere-at-all).")]),
    "lesson not built": ("links", [("lesson.py", "# Attention sums rows.", "# See [[lesson:01]].")]),
    "misspelt link": ("links", [("lesson.py", "# Attention sums rows.", "# See [[trem:tensor]].")]),
    "link in a hint": ("links", [("lab.py", "Which axis is a row?", "Which axis is a [[term:row sum]]?")]),
    "dead link at home": ("shared-links", [("home.py", "# [[contents]]", "# [[contents]]\n#\n# [x](nothing.ipynb)")]),
    "card unreadable": ("readable", [("lab.py", "# difficulty = 1", "# difficulty = = 1")]),
    "checks that cannot be loaded": ("readable", [("checks.py", "import torch\n", "import torch\nimport a_library_that_nobody_has\n")]),
    "no exercise": ("exercises", [("lab.py", "# %% [raw] card", "# %% [raw] draft"), ("lab.py", "# %% [raw] card", "# %% [raw] draft")]),
}  # fmt: skip


@pytest.fixture
def planted(tmp_path, monkeypatch, fresh_catalog):
    """Plant faults into the small course and build it; returns a function that gives the course."""
    monkeypatch.setenv("MECHINTERP_NOTEBOOKS", str(tmp_path))

    def plant_and_build(*faults):
        made = plant(tmp_path / "content", *faults)
        try:
            build.write(made, tmp_path)
        except Exception:  # a folder that cannot be read cannot be built
            assert contract.check(made, cached=False, kernels=False).findings[0].rule == "readable"
        return made

    return plant_and_build


def report(course, kernels):
    return contract.check(course, cached=False, jobs=1, kernels=kernels)


def rules_of(found):
    return {finding.rule for finding in found.findings}


@pytest.mark.kernel
def test_a_sound_course_satisfies_every_rule(planted):
    found = report(planted(), kernels=True)
    assert found.lines()[:-1] == []
    assert (found.lessons, found.exercises, found.variations) == (1, 2, 2)
    assert found.wrong_answers == found.wrong_answers_caught == 4
    assert found.lines()[-1].startswith("✓ sound: 1 lesson, 2 exercises, 4 of 4 wrong answers caught")


@pytest.mark.kernel
@pytest.mark.parametrize("fault", IN_KERNEL)
def test_fault_is_found_among_all_rules(planted, fault):
    rule, edits = IN_KERNEL[fault]
    found = report(planted(*edits), kernels=True)
    assert rules_of(found) == {rule}, found.lines()


@pytest.mark.parametrize("fault", IN_PROCESS)
def test_fault_is_found_in_process(planted, fault):
    rule, edits = IN_PROCESS[fault]
    edits = [] if fault == "no exercise" else edits
    course = planted(*edits) if edits else planted_without_exercises(planted)
    found = report(course, kernels=False)
    assert rules_of(found) == {rule}, found.lines()


def planted_without_exercises(planted):
    lab, checks = module.LAB, module.CHECKS
    end = lab[lab.index("# %% [raw] card=") :]
    return planted(("lab.py", end, ""), ("checks.py", checks, ""))


def test_stale_build_is_found(planted, tmp_path):
    course = planted()
    path = tmp_path / "lessons" / "00_rows.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("Attention sums rows", "Attention adds rows"))
    found = report(course, kernels=False)
    assert rules_of(found) == {"built"}
    assert "lessons/00_rows.ipynb is out of date; run `mechinterp author build`" in found.findings[0].message


def test_missing_and_foreign_notebooks_are_found(planted, tmp_path):
    course = planted()
    (tmp_path / "solutions" / "00_rows" / "00_rows.ipynb").unlink()
    (tmp_path / "lessons" / "07_old.ipynb").write_text("{}")
    found = report(course, kernels=False)
    assert rules_of(found) == {"built", "shared"}
    assert "lessons/07_old.ipynb belongs to no lesson" in " ".join(map(str, found.findings))


def plant_a_second_lesson(monkeypatch, **renamed):
    """Let the next course have another lesson, `columns`, like the first one but for the renamed words."""
    entry = module.COURSE.split("[[lesson]]")[1].split("[map]")[0]
    for old, new in (('"00"', '"01"'), ('"rows"', '"columns"'), ('"Rows"', '"Columns"')):
        entry = entry.replace(old, new)
    for name in ("lesson.py", "lab.py", "checks.py"):
        text = module.FILES[f"l00_rows/{name}"].replace("rows-", "columns-").replace("# # Rows", "# # Columns")
        for old, new in renamed.items():
            text = text.replace(old, new)
        monkeypatch.setitem(module.FILES, f"l01_columns/{name}", text)
    return ("course.toml", "[map]", f"[[lesson]]{entry}[map]")


def test_two_lessons_with_one_exercise_name(planted, monkeypatch):
    found = report(planted(plant_a_second_lesson(monkeypatch)), kernels=False)
    assert rules_of(found) == {"names"}
    assert {finding.exercise for finding in found.findings} == {"row_sums", "scaled_rows"}


def test_lessons_are_checked_side_by_side(planted, monkeypatch):
    renamed = {"row_sums": "line_sums", "scaled_rows": "scaled_lines", "[[term:row sum]]": "[[term:unknown]]"}
    book, told = planted(plant_a_second_lesson(monkeypatch, **renamed)), []
    found = contract.check(book, cached=False, jobs=2, kernels=False, progress=told.append)
    assert (found.lessons, found.exercises, found.wrong_answers_caught) == (2, 4, 8)
    assert [(one.rule, one.lesson) for one in found.findings] == [("terms", "01_columns")]
    assert sorted(told) == ["00_rows: sound", "01_columns: 1 finding"]


def test_every_rule_says_what_it_asks_for(planted):
    sentences = contract.rules()
    assert len(sentences) >= 25
    assert all(sentence.endswith(".") and len(sentence) > 15 for sentence in sentences.values())


def test_every_rule_about_a_lesson_has_a_planted_fault():
    proved = {rule for rule, _ in (*IN_KERNEL.values(), *IN_PROCESS.values())} | {"built", "shared"}
    assert set(contract.rules()) - proved <= {"time"}  # a lesson that does not end: test_kernels.py


def test_what_was_sound_is_remembered_until_it_changes(planted, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CI", raising=False)
    course = planted()
    looked = []

    def look(book, lesson, kernels=True):
        looked.append(lesson.stem)
        return contract.Report(lessons=1, exercises=2)

    monkeypatch.setattr(contract, "check_lesson", look)
    first, second = (contract.check(course, ["00"], jobs=1) for _ in range(2))
    assert (first.remembered, second.remembered, second.exercises, looked) == (0, 1, 2, ["00_rows"])
    contract.check(course, ["00"], jobs=1, cached=False)
    monkeypatch.setenv("CI", "true")
    contract.check(course, ["00"], jobs=1)
    assert len(looked) == 3
    monkeypatch.delenv("CI")
    lesson = tmp_path / "content" / "l00_rows" / "lesson.py"
    lesson.write_text(lesson.read_text() + "\n")
    contract.check(course, ["00"], jobs=1)
    assert len(looked) == 4
