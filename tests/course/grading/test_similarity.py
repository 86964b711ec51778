"""Answers that are alike: names, comments and layout do not hide it; what is given, published or common does not count."""

from mechinterp_course.course.grading.similarity import functions, look_at, parts

LONG = """
def score(pattern, length):
    \"\"\"Return the mean along the stripe.\"\"\"
    total, seen = 0.0, 0
    for query in range(length, 2 * length):
        key = query - length + 1
        total = total + pattern[query, key] * 2 / 2
        seen = seen + 1
    if seen == 0:
        return pattern.new_zeros(())
    return total / max(seen, 1)
"""
RENAMED = """
# my own work
def score(p, n):
    summe, zahl = 0.0, 0
    for q in range(n, 2 * n):
        k = q - n + 1

        summe = summe + p[q, k] * 2 / 2   # add
        zahl = zahl + 1
    if zahl == 0: return p.new_zeros(())
    return summe / max(zahl, 1)
"""
OTHER = """
def score(pattern, length):
    stripe = pattern.diagonal(offset=1 - length)
    late = stripe[1:][: length]
    weights = late.new_ones(late.shape).cumsum(0).clamp(max=1)
    values = [float(value) * float(weight) for value, weight in zip(late, weights)]
    return pattern.new_tensor(sum(values) / len(values)) if values else pattern.new_zeros(())
"""


def second(code):
    return code.replace("score", "other").replace("2 * ", "3 * ")


def test_names_comments_and_layout_do_not_count():
    assert parts(LONG) == parts(RENAMED) != parts(OTHER)


def test_other_constants_and_calls_do_count():
    assert parts(LONG) != parts(LONG.replace("+ 1", "+ 2"))
    assert parts(LONG) != parts(LONG.replace("max(", "min("))


def test_two_that_are_alike_in_two_answers_are_listed():
    answers = {
        "a": {"score": LONG, "other": second(LONG)},
        "b": {"score": RENAMED, "other": second(RENAMED)},
        "c": {"score": OTHER, "other": second(OTHER)},
    }
    (pair,) = look_at(answers, {}, {})
    assert (pair.first, pair.second, pair.compared) == ("a", "b", 2)
    assert [(match.exercise, match.similarity, match.same_text) for match in pair.matches] == [
        ("other", 1.0, False),
        ("score", 1.0, False),
    ]


def test_one_that_is_alike_is_chance_unless_it_is_long_and_the_same_to_the_letter():
    assert look_at({"a": {"score": LONG}, "b": {"score": RENAMED}}, {}, {}) == []
    assert len(look_at({"a": {"score": LONG}, "b": {"score": LONG}}, {}, {})) == 1


def test_starters_and_published_answers_do_not_count():
    answers = {one: {"score": LONG, "other": second(LONG)} for one in ("a", "b")}
    assert look_at(answers, {"score": LONG}, {"other": [second(RENAMED)]}) == []
    nearly = LONG.replace("max(seen, 1)", "max(seen, 2)")
    answers = {one: {"score": nearly, "other": second(nearly)} for one in ("a", "b")}
    assert look_at(answers, {}, {"score": [LONG], "other": [second(LONG)]}) == []


def test_what_many_write_does_not_count():
    answers = {f"s{i}": {"score": LONG, "other": second(LONG)} for i in range(4)}
    assert look_at(answers, {}, {}) == []


def test_short_answers_do_not_count():
    code = "def f(x):\n    return x.sum(-1)\n"
    answers = {one: {"f": code, "g": code} for one in ("a", "b")}
    assert look_at(answers, {}, {}) == []


def test_code_that_does_not_parse_is_compared_by_words():
    broken = LONG + "\nthis is not python (" * 20
    assert len(look_at({"a": {"score": broken}, "b": {"score": broken}}, {}, {})) == 1


def test_a_thousand_brackets_break_nothing():
    assert parts("(" * 5000 + ")" * 5000)


def test_the_functions_of_a_checks_file_are_published(tmp_path):
    (tmp_path / "checks.py").write_text(f"import torch\n\n@a.wrong('x', 'y')\n{LONG.strip()}\n")
    assert [parts(code) for code in functions(tmp_path / "checks.py")] == [parts(LONG)]
    assert functions(tmp_path / "none.py") == []


def test_five_hundred_are_compared_in_seconds():
    import time

    answers = {}
    for i in range(500):
        own = (
            LONG.replace("length + 1", f"length + {i % 97}")
            .replace("2 / 2", f"{i} / {i + 1}")
            .replace("score", "score")
        )
        answers[f"s{i}"] = {"score": own + f"    seen += {i}\n" * (i % 11)}
    started = time.perf_counter()
    look_at(answers, {}, {})
    assert time.perf_counter() - started < 30  # 1 s on a quiet core
