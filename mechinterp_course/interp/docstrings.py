"""Functions whose docstring lists their parameters in order: text to learn from, and held-out prompts to ask with.

The task of Heimersheim and Janiak 2023: after ":param" comes the next name of the signature. The real library has few such
docstrings, so `code-4l` also learns from functions made here. A quarter of the one-token names, of the summaries and of the
descriptions is held out by a hash: the prompts use only those, and no text to learn from does. Must not import TransformerLens;
torch only where tensors are made.
"""

import functools
import hashlib
import keyword
import random
import re
from typing import NamedTuple

from mechinterp_course.errors import CourseError


def _words(text: str) -> list[str]:
    return text.split()


# Names that are one token behind a space, so that an answer is one logit.
ONE_TOKEN = _words(
    "all any arg args argument base bytes call char code command con context cur data default end error file format function"
    " header int key len line list method mode module name names new node number object op option other out par path pre read"
    " result set spec str string sub text time tuple type use value"
)
# More names, of several tokens: they are learnt from alone.
MORE_NAMES = _words(
    "address align axis border bucket cache callback chunk client color column config count cursor day delay depth device digest"
    " domain encoding event factor field flags frame group handler height host hook image index indent item iterator label lang"
    " last left length level limit locale lock logger loop margin mask matrix maximum member message minimum month needle offset"
    " order origin owner parent password pattern payload peer phase pool port prefix priority process protocol quality query"
    " queue radius rate reader reason record region reply request retries right root row sample scale schema scope screen seed"
    " sender separator server session shape signal size slot socket source speed stack start state status step stop stream style"
    " suffix symbol table target task template thread threshold timeout title token total tree unit url user vector version"
    " visitor weight widget width window word worker writer year zone"
)
VERBS = _words(
    "add apply bind build call check close compare convert copy count create decode delete draw encode fetch find flush format"
    " get handle insert join load lock make map merge move open pack parse print process push read register remove render"
    " replace reset resolve run save scan select send set show sort split start stop store test update validate visit wait"
    " write"
)
# A summary and a description have a slot for each word that is drawn.
SUMMARIES = (
    "Return the {} of a {}.",
    "Set the {} and the {}.",
    "Create a new {} from this {}.",
    "Read one {} from the {}.",
    "Add a {} to the {}.",
    "Find the {} with this {}.",
    "Write the {} as a {}.",
    "Open the {} and return its {}.",
    "Check that a {} has the {}.",
    "Call the {} with every {}.",
    "Convert this {} to a {}.",
    "Remove the {} from its {}.",
    "Compare the {} with another {}.",
    "Send the {} to a {}.",
    "Replace each {} by the {}.",
    "Wait for the {} of the {}.",
    "Print a {} for each {}.",
    "Update the {} when the {} changes.",
    "Initialize the {} by a {}.",
    "Make the {} ready for a {}.",
    "Store this {} in the {}.",
    "Get the {} that the {} uses.",
    "Run the {} until the {} ends.",
    "Split the {} at each {}.",
)
DESCRIPTIONS = (
    "the {} of the {}",
    "a {} or a {}",
    "the {} that has a {}",
    "an optional {} for the {}",
    "which {} to {}",
    "the {} to use for the {}",
    "if true, the {} is a {}",
    "a list of {} and {}",
    "the number of the {} in the {}",
    "one {} for each {}",
    "the {} before the {}",
    "how the {} is made from the {}",
    "a function from {} to {}",
    "the first {} of this {}",
    "the default {} of a {}",
    "any {} with a {}",
    "a {} that is not a {}",
    "the {} in the {}, or None",
    "where the {} and the {} are",
    "the last {} after the {}",
    "a string with the {} and the {}",
    "the {} as a {}",
    "must be a {} or the {}",
    "what the {} does to the {}",
    "the {} by which the {} is found",
    "the same {} as in the {}",
    "only the {} of a {}",
    "a {} without its {}",
)
DEFAULTS = ("None", "None", "False", "True", "0", "1", "''", "()")
HELD_OUT = 4  # one in so many is held out


def is_held_out(text: str) -> bool:
    """Whether a name, summary or description is kept for the prompts. A hash decides, on every machine the same."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % HELD_OUT == 0


def _split(texts) -> tuple[list[str], list[str]]:
    """Those to learn from, and those held out."""
    return [t for t in texts if not is_held_out(t)], [t for t in texts if is_held_out(t)]


LEARNT_SUMMARIES, HELD_OUT_SUMMARIES = _split(SUMMARIES)
LEARNT_DESCRIPTIONS, HELD_OUT_DESCRIPTIONS = _split(DESCRIPTIONS)
LEARNT_NAMES, _OTHER_NAMES = _split(ONE_TOKEN)
# Without "number" and "string": descriptions to learn from have those words.
HELD_OUT_NAMES = [name for name in _OTHER_NAMES if name not in " ".join(LEARNT_SUMMARIES + LEARNT_DESCRIPTIONS).split()]
# A template is a summary and a description; every line of a prompt has the same description, with other words.
TEMPLATES = [(HELD_OUT_SUMMARIES[i % len(HELD_OUT_SUMMARIES)], text) for i, text in enumerate(HELD_OUT_DESCRIPTIONS)]


# --- text to learn from -------------------------------------------------------------------------------------------


def _name(rng: random.Random) -> str:
    """A parameter's name: half of them one token, the others longer."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(LEARNT_NAMES)
    if kind < 0.85:
        return rng.choice(MORE_NAMES)
    return f"{rng.choice(MORE_NAMES)}_{rng.choice(MORE_NAMES)}"


def _filled(pattern: str, rng: random.Random, words: list[str]) -> str:
    return pattern.format(*rng.sample(words, pattern.count("{}")))


@functools.cache
def _tokenizer():
    from mechinterp_course.interp.tokenizer import CodeTokenizer

    return CodeTokenizer()


@functools.cache
def varied_names() -> list[str]:
    """Every word or piece of a word that is one token behind a space, and can be a name; none that is held out."""
    code = _tokenizer()
    words = [code.decode([i]) for i in range(code.d_vocab)]
    names = [word[1:] for word in words if re.fullmatch(" [a-z]{2,}", word)]
    return [name for name in names if not keyword.iskeyword(name) and name != "self" and not is_held_out(name)]


def function(rng: random.Random, varied: bool = False) -> str:
    """The source of one made-up function with its docstring: a signature, the list of its parameters, a short body.

    varied: the names are any one token for the most part, and the descriptions of one to eight words.
    """
    margin = rng.choice(("", "", "    "))
    inner = margin + "    "
    if varied:
        drawn = [rng.choice(varied_names()) if rng.random() < 0.75 else _name(rng) for _ in range(rng.randint(3, 7))]
    else:
        drawn = [_name(rng) for _ in range(rng.randint(2, 6))]
    names = list(dict.fromkeys(drawn))
    required = rng.randint(1, len(names)) if rng.random() < 0.4 else len(names)
    signature = [*names[:required], *(f"{name}={rng.choice(DEFAULTS)}" for name in names[required:])]
    first = ["self"] * (bool(margin) or rng.random() < 0.5)
    verb = rng.choice(VERBS) if rng.random() < 0.6 else f"{rng.choice(VERBS)}_{rng.choice(MORE_NAMES)}"
    words = LEARNT_NAMES + MORE_NAMES
    google = rng.random() < 0.3
    lines = [f"{margin}def {verb}({', '.join(first + signature)}):"]
    lines += [f'{inner}"""{_filled(rng.choice(LEARNT_SUMMARIES), rng, words)}', ""]
    lines += [f"{inner}Args:"] * google
    for name in names:
        patterned = rng.random() < (0.5 if varied else 0.85)
        told = (
            _filled(rng.choice(LEARNT_DESCRIPTIONS), rng, words)
            if patterned
            else _plain(rng, words, 8 if varied else 4)
        )
        lines.append(f"{inner}    {name}: {told}" if google else f"{inner}:param {name}: {told}")
    lines.append(f'{inner}"""')
    if first and rng.random() < 0.5:
        lines += [f"{inner}self.{name} = {name}" for name in names]
    else:
        lines.append(f"{inner}return {rng.choice(VERBS)}({', '.join(names)})")
    return "\n".join(lines) + "\n\n"


def _plain(rng: random.Random, words: list[str], most: int) -> str:
    """A description without a template: a few words."""
    return " ".join(rng.sample(words, rng.randint(1, most)))


def rows(n: int, width: int, seed: int, step: int, varied: bool = False):
    """The rows of a training step: made-up functions one after the other, cut at `width` tokens. Shape (n, width), no BOS.

    Seed and step decide the text.
    """
    import torch

    code = _tokenizer()
    made = []
    for row in range(n):
        rng = random.Random(f"docstrings {seed} {step} {row}")
        ids: list[int] = []
        while len(ids) < width:
            ids += code.ids(function(rng, varied))
        made.append(ids[:width])
    return torch.tensor(made, dtype=torch.long).view(n, width)


# --- prompts to ask with ------------------------------------------------------------------------------------------


class Prompt(NamedTuple):
    """A prompt that ends at ":param". What comes next is `answer`, one token, as every one of `others` would be."""

    text: str
    answer: str  # with the space before it: " path"
    others: tuple[str, ...]  # the other names of the signature, `self` not among them


def docstring_prompts(
    n: int, seed: int = 0, parameters: int = 5, documented: int = 2, template: int = 0
) -> list[Prompt]:
    """Return n prompts with names and a template that no model was shown in generated text.

    parameters: names in the signature, after self. documented: how many of them are already listed; the answer is the next.
    template: which of TEMPLATES. Prompts of one call have the same number of tokens, and their parts stand at the same places.
    """
    if not 0 <= documented < parameters <= len(HELD_OUT_NAMES):
        raise CourseError(
            f"{documented} of {parameters} parameters cannot be documented with one to follow.",
            f"Choose 0 <= documented < parameters <= {len(HELD_OUT_NAMES)}.",
        )
    if not 0 <= template < len(TEMPLATES):
        raise CourseError(f"There is no template {template}.", f"Choose 0 to {len(TEMPLATES) - 1}.")
    rng = random.Random(f"prompts {seed}")
    return [_prompt(rng, parameters, documented, *TEMPLATES[template]) for _ in range(n)]


def _prompt(rng: random.Random, parameters: int, documented: int, summary: str, description: str) -> Prompt:
    names = rng.sample(HELD_OUT_NAMES, parameters)
    words = [word for word in ONE_TOKEN if word not in names]
    function_name = rng.choice(words)
    lines = [f"def {function_name}(self, {', '.join(names)}):", f'    """{_filled(summary, rng, words)}', ""]
    lines += [f"    :param {name}: {_filled(description, rng, words)}" for name in names[:documented]]
    text = "\n".join([*lines, "    :param"])
    others = tuple(f" {name}" for i, name in enumerate(names) if i != documented)
    return Prompt(text, f" {names[documented]}", others)
