"""Rules that say when a feature should be active, from the exact labels and the text of tokens.

A rule is true or false of every token of a sample: "part of a docstring", "the token is ␣self", "in a line whose first word is import".
How well rules fit features, neurons and random directions is measured in `feature_scores`. Must not import TransformerLens.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp.feature_sample import Sample
from mechinterp_course.interp.plots import visible
from mechinterp_course.interp.roles import ROLES

LEAST = 20  # a rule must hold for so many tokens of each half, or nothing can be said of it
ROLE_SAYS = {
    "parameter": "a parameter's name",
    "function": "a function's name",
    "class": "a class's name",
    "attribute": "an attribute's name",
    "builtin": "a builtin's name",
    "keyword argument": "the name of a keyword argument",
    "variable": "a variable's name",
}


@dataclass(frozen=True)
class Rules:
    """Rules, and of which tokens they hold.

    The first rules are `flags`, of which many can hold for one token. The others come in `kinds`, such as "which token it is": of a
    kind at most one holds, so a kind is one array with the number of the rule, or -1.
    """

    names: list[str]  # short, as "in_docstring", "token self"
    says: list[str]  # "part of a docstring"
    flags: Bool[np.ndarray, "token flag"]
    kinds: list[Int[np.ndarray, "token"]]

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str) -> int:
        """The number of a rule by its name, as "token ␣self" or "token  self"; an unknown one raises CourseError."""
        kind, _, word = name.partition(" ")
        shown = f"{kind} {visible(word)}" if word else kind
        if shown not in self.names:
            raise unknown("rule", name, self.names)
        return self.names.index(shown)

    def truth(self, rule: int | str) -> Bool[np.ndarray, "token"]:
        """Of which tokens of the sample a rule holds: by its number, or its name."""
        rule = self.number(rule) if isinstance(rule, str) else rule
        if rule < self.flags.shape[1]:
            return self.flags[:, rule]
        return np.logical_or.reduce([kind == rule for kind in self.kinds])

    def holds(self, tokens: Int[np.ndarray, "n"], rules: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Whether the rule of each pair (token, rule) holds."""
        found = np.zeros(len(tokens), dtype=bool)
        flag = rules < self.flags.shape[1]
        found[flag] = self.flags[tokens[flag], rules[flag]]
        for kind in self.kinds:
            found[~flag] |= kind[tokens[~flag]] == rules[~flag]
        return found

    def counts(self, among: Bool[np.ndarray, "token"]) -> Int[np.ndarray, "rule"]:
        """For how many of some tokens each rule holds."""
        counts = np.zeros(len(self), dtype=np.int64)
        counts[: self.flags.shape[1]] = self.flags[among].sum(0)
        for kind in self.kinds:
            chosen = kind[among]
            counts += np.bincount(chosen[chosen >= 0], minlength=len(self))
        return counts


def rules(sample: Sample) -> Rules:
    """Every rule that holds for at least LEAST tokens of either half of the sample.

    Labels, where the sample has them; what a token looks like; which token it is, which one stands before it, and with which
    word its line begins. A rule looks at the text up to and with its token, as the model does; where a line begins before the
    window does, its first word is not known.
    """
    before = Before(sample)
    told = {**(_of_labels(sample, before) if sample.labels else {}), **_of_text(sample, before)}
    halves = sample.halves
    if not all(half.any() for half in halves):
        raise CourseError(
            "Every window of the sample is in one half, so a rule chosen there cannot be scored on other files.",
            "Take a sample of two files or more.",
        )
    told = {key: truth for key, truth in told.items() if all((truth & half).sum() >= LEAST for half in halves)}
    names, says = [name for name, _ in told], [sentence for _, sentence in told]
    flags = np.stack(list(told.values()), axis=1) if told else np.zeros((sample.n_tokens, 0), dtype=bool)
    kinds = []
    for name, sentence, words in _kinds(before):
        kinds.append(_kind(words, halves, name, sentence, names, says))
    return Rules(names, says, flags, kinds)


class Before:
    """The text of every token, and what stands before it in its window; "" where the window begins."""

    def __init__(self, sample: Sample):
        shape = tuple(sample.ids.shape)
        vocabulary, place = np.unique(sample.ids.numpy(), return_inverse=True)
        self.vocabulary = np.array([sample.texts[int(i)] for i in vocabulary], dtype=object)
        self.here = place.reshape(shape)  # the number of each token in the vocabulary
        self.last = np.full(shape, -1)
        self.last[:, 1:] = self.here[:, :-1]
        self.place = np.broadcast_to(np.arange(shape[1]), shape)

    def is_a(self, test) -> np.ndarray:
        """(window, length): whether the test holds for the text of each token."""
        return self._of_words(test)[self.here]

    def follows_a(self, test) -> np.ndarray:
        """(window, length): whether the test holds for the text of the token before."""
        return np.append(self._of_words(test), False)[self.last]

    def _of_words(self, test) -> np.ndarray:
        return np.array([bool(test(word)) for word in self.vocabulary])

    def first_words(self) -> np.ndarray:
        """(window, length): the number of the first token of each line that is not blank; -1 where it is not known."""
        newline, blank = self.is_a(lambda w: "\n" in w), self.is_a(lambda w: not w.strip())
        first = np.full(self.here.shape, -1)
        now, open_line = np.full(len(self.here), -1), np.zeros(len(self.here), dtype=bool)
        for i in range(self.here.shape[1]):
            begins = open_line & ~blank[:, i]
            now = np.where(begins, self.here[:, i], now)
            open_line &= ~begins
            first[:, i] = now
            now = np.where(newline[:, i], -1, now)
            open_line |= newline[:, i]
        return first


def _of_labels(sample: Sample, before: Before) -> dict[tuple[str, str], np.ndarray]:
    """Rules from the exact labels: {(name, sentence): (token,)}."""
    found = sample.labels
    role, depth, indent = found["name_role"], found["bracket_depth"], found["indentation_depth"]
    string, comment, docstring = found["in_string"], found["in_comment"], found["in_docstring"]
    code, name = ~string & ~comment, role > 0

    told = {
        ("in_string", "part of a string"): string,
        ("in_docstring", "part of a docstring"): docstring,
        ("in_other_string", "part of a string that is no docstring"): string & ~docstring,
        ("in_comment", "part of a comment"): comment,
        ("code", "code: no string and no comment"): code,
        ("keyword", "a keyword"): found["keyword"],
        ("name", "part of a name"): name,
        ("seen_before", "part of a name that stood earlier in the file"): found["seen_before"],
        ("new_name", "part of a name that is new in the file"): name & ~found["seen_before"],
        ("in_brackets", "inside brackets"): (depth > 0) & code,
        ("two_brackets_deep", "two brackets deep, or deeper"): (depth > 1) & code,
        ("top_level", "not indented"): indent == 0,
        ("two_blocks_deep", "two indented blocks deep, or deeper"): indent >= 2,
        ("three_blocks_deep", "three indented blocks deep, or deeper"): indent >= 3,
    }
    for i, which in enumerate(ROLES):
        if i:
            told[which.replace(" ", "_"), ROLE_SAYS[which]] = role == i
    for name_, what, truth in (
        ("docstring", "a docstring", docstring),
        ("other_string", "a string that is no docstring", string & ~docstring),
        ("comment", "a comment", comment),
    ):
        earlier = np.zeros(sample.ids.shape, dtype=bool)
        earlier[:, 1:] = truth.reshape(sample.ids.shape)[:, :-1]
        earlier[:, 0] = True  # what stood before the window is not known
        told[f"opens_{name_}", f"the first token of {what}"] = truth & ~earlier.reshape(-1)
    marks = {"newline": "a line end", "punctuation": "punctuation", "word": "a word, or a part of one"}
    for mark, called in marks.items():
        truth = before.is_a(LOOKS[mark]).reshape(-1)
        told[f"{mark}_in_docstring", f"{called} in a docstring"] = truth & docstring
        told[f"{mark}_in_comment", f"{called} in a comment"] = truth & comment
        told[f"{mark}_in_code", f"{called} in code"] = truth & code
    return told


LOOKS = {
    "newline": lambda w: "\n" in w,
    "spaces": lambda w: w != "" and not w.strip(" "),
    "digit": lambda w: w.strip().isdigit(),
    "punctuation": lambda w: w.strip() != "" and not any(c.isalnum() for c in w),
    "word": lambda w: any(c.isalpha() for c in w),
    "after_a_space": lambda w: w[:1] == " " and w.strip() != "",
    "capital": lambda w: w.strip()[:1].isupper(),
    "all_capitals": lambda w: len(w.strip()) > 1 and w.strip().isupper(),
    "one_letter": lambda w: len(w.strip()) == 1 and w.strip().isalpha(),
    "opening_bracket": lambda w: w.strip()[-1:] in ("(", "[", "{") and w.strip() != "",
    "closing_bracket": lambda w: w.strip()[:1] in (")", "]", "}") and w.strip() != "",
    "underscore": lambda w: w.strip() != "" and not w.strip().strip("_"),
}
LOOK_SAYS = {
    "newline": "a line end",
    "spaces": "nothing but spaces",
    "digit": "a digit, or a number",
    "punctuation": "punctuation",
    "word": "a word, or a part of one",
    "after_a_space": "a word or sign with a space before it",
    "capital": "something that begins with a capital",
    "all_capitals": "two capitals or more, and no small letter",
    "one_letter": "a single letter",
    "opening_bracket": "an opening bracket",
    "closing_bracket": "a closing bracket",
    "underscore": "an underscore, or several",
}


def _of_text(sample: Sample, before: Before) -> dict[tuple[str, str], np.ndarray]:
    """Rules from what the tokens look like: {(name, sentence): (token,)}."""
    told = {(name, LOOK_SAYS[name]): before.is_a(test) for name, test in LOOKS.items()}
    letters = before.is_a(lambda w: w[:1].isalpha())
    told["word_goes_on", "a later part of a word"] = letters & before.follows_a(lambda w: w[-1:].isalpha())
    told["after_opening_bracket", "right after an opening bracket"] = before.follows_a(LOOKS["opening_bracket"])
    told["after_underscore", "right after an underscore"] = before.follows_a(LOOKS["underscore"])
    told["after_digit", "right after a digit"] = before.follows_a(LOOKS["digit"])
    told["after_punctuation", "right after punctuation"] = before.follows_a(LOOKS["punctuation"])
    told["after_newline", "right after a line end"] = before.follows_a(LOOKS["newline"])
    told["first_places", "one of the first four tokens that the model reads"] = before.place < 4
    return {key: truth.reshape(-1) for key, truth in told.items()}


def _kinds(before: Before):
    """(name, words -> sentence, (token,) word or None) of the kinds of rules of which one at most holds for a token."""
    texts = np.append(before.vocabulary, None)
    stripped = np.array([None if w is None or not w.strip() else w.strip().lower() for w in texts], dtype=object)
    several = {w for w in set(stripped) if w is not None and (stripped == w).sum() > 1}
    either = np.array([w if w in several else None for w in stripped], dtype=object)
    first = before.first_words()

    def variants(word: str) -> str:
        return "the token " + " or ".join(visible(w) for w in texts[:-1][stripped[:-1] == word])

    yield "token", lambda word: f"the token {visible(word)}", texts[before.here].reshape(-1)
    yield "word", variants, either[before.here].reshape(-1)
    yield "after", lambda word: f"right after {visible(word)}", texts[before.last].reshape(-1)
    yield "line", lambda word: f"in a line whose first word is {visible(word)}", stripped[first].reshape(-1)


def _kind(words, halves, name: str, sentence, names: list[str], says: list[str]) -> np.ndarray:
    """Number the words that are frequent enough as rules, behind those that have a number; return (token,) numbers."""
    known = words != None  # noqa: E711  an array of objects, compared one by one
    vocabulary, place = np.unique(words[known].astype(str), return_inverse=True)
    number = np.full(len(words), -1)
    number[known] = place
    frequent = np.ones(len(vocabulary), dtype=bool)
    for half in halves:
        frequent &= np.bincount(number[half & known], minlength=len(vocabulary)) >= LEAST
    rule = np.full(len(vocabulary) + 1, -1)
    rule[np.flatnonzero(frequent)] = len(names) + np.arange(frequent.sum())
    for word in vocabulary[frequent]:
        names.append(f"{name} {visible(str(word))}")
        says.append(sentence(str(word)))
    return rule[number]
