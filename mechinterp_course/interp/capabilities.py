"""What `code-4l` can do: the docstring task, induction, and what a straight cut reads from its stream: figures of its card.

Nothing here trains the model. Must not import TransformerLens; `models.load` does.
"""

import ast
import re
from pathlib import Path

import torch

from mechinterp_course.interp import attention, docstrings, induction, models, separability, tokenizer
from mechinterp_course.interp.docstrings import Prompt
from mechinterp_course.interp.recipes import MixtureRecipe

PROMPTS = 64  # of each template and number of documented parameters
DOCUMENTED = (1, 2, 3, 4)
SEED = 20_000
LONGEST = 255  # tokens of a real prompt: what fits the context behind BOS
HOW = (
    f"docstrings.docstring_prompts: {PROMPTS} prompts for each of the {len(docstrings.TEMPLATES)} held-out templates and each "
    f"number of parameters already documented (1 to {DOCUMENTED[-1]}, of 5 in the signature), seed {SEED}; names, summaries and "
    "descriptions that no generated text for training holds; value, by_documented, by_template: share of prompts where the right "
    "name's logit is higher than that of every other name of the signature (a guess: 0.2); not_yet_named: than that of every name "
    "that is not documented yet; anything: the right name has the highest logit of all tokens. Such prompts were looked at while "
    "the recipe was made: without its second part, on varied functions, it reached 0.65"
)
HOW_REAL = (
    "functions of the library's files whose docstring lists parameters in the order of the signature, as ':param name:' or under "
    f"'Args:'; of each parameter after the first listed one, the text from 'def' to the name, its end of at most {LONGEST} tokens; the "
    "names compared by the log-probability of their tokens and of a ':' behind; right: the right name above all others of the "
    "signature; chance: of a guess among them. The model was trained on the files of the train split"
)


def figures(folder: Path, recipe: MixtureRecipe, held_out: dict[str, list[str]]) -> dict:
    """What the card says beyond its losses, from the weights as they are stored. `held_out`: texts by split."""
    raw = models.load(folder)
    return {
        "mixture": shares(recipe),
        "behaviours": behaviours(raw, held_out) | {"linearly_separable_labels": separability.measured(raw)},
        "behaviours_processed": behaviours(models.load(folder, processed=True), held_out),
    }


def shares(recipe: MixtureRecipe) -> dict:
    """Of all tokens that the model was trained on, the share of each kind."""
    totals = {"loops": 0, "copies": 0, "generated_docstrings": 0, "source": 0}
    for step in range(recipe.steps):
        _, rows, width, n_loops, n_copies, n_made_up = recipe.stage(step)
        for kind, n in zip(totals, (n_loops, n_copies, n_made_up, rows - n_loops - n_copies - n_made_up), strict=True):
            totals[kind] += n * (width - 1)
    return {kind: round(n / sum(totals.values()), 4) for kind, n in totals.items()}


def behaviours(model, held_out: dict[str, list[str]]) -> dict:
    """The docstring task, made up and real, and repeated random tokens, of a bridge."""
    return {
        "held_out_docstrings": docstring_scores(model),
        "real_docstrings": {split: real_scores(model, texts) for split, texts in held_out.items()} | {"how": HOW_REAL},
        "repeated_tokens": {str(length): induction.measured(model, length) for length in induction.LENGTHS},
        "distant_copy": {"induction": induction._by_layer(induction.distant_copy(model))},
        "induction_how": induction.HOW.split("; renamed_source")[0],
    }


# --- the docstring task -------------------------------------------------------------------------------------------


def docstring_scores(model) -> dict:
    """The share of held-out prompts where the model prefers the right name: over all, and by what stands in the prompt."""
    by_documented: dict[str, list] = {str(n): [] for n in DOCUMENTED}
    by_template: dict[str, list] = {description: [] for _, description in docstrings.TEMPLATES}
    for template, (_, description) in enumerate(docstrings.TEMPLATES):
        for documented in DOCUMENTED:
            prompts = docstrings.docstring_prompts(PROMPTS, SEED + 10 * template + documented, 5, documented, template)
            found = judged(model, prompts, documented)
            by_documented[str(documented)] += found
            by_template[description] += found
    everything = [found for some in by_documented.values() for found in some]
    return {
        "value": _share(everything, 0),
        "not_yet_named": _share(everything, 1),
        "anything": _share(everything, 2),
        "by_documented": {key: _share(found, 0) for key, found in by_documented.items()},
        "by_template": {key: _share(found, 0) for key, found in by_template.items()},
        "prompts": len(everything),
        "how": HOW,
    }


def judged(model, prompts: list[Prompt], documented: int) -> list[tuple[bool, bool, bool]]:
    """For each prompt, whether its answer beats all other names, those not documented yet, and every token there is."""
    code = tokenizer.CodeTokenizer()
    tokens = torch.stack([code.encode(prompt.text) for prompt in prompts])
    with torch.no_grad():
        logits = model(tokens)[:, -1]
    found = []
    for row, prompt in zip(logits, prompts, strict=True):
        right, *others = (row[code.ids(name)[0]].item() for name in (prompt.answer, *prompt.others))
        later = others[documented:]
        found.append((right > max(others), right > max(later, default=-1e9), right >= row.max().item()))
    return found


def _share(found: list[tuple], which: int) -> float:
    return round(sum(one[which] for one in found) / len(found), 3)


# --- real functions -----------------------------------------------------------------------------------------------


def real_prompts(text: str) -> list[Prompt]:
    """From a file's functions whose docstring lists their parameters in the signature's order: a prompt for each parameter but
    the first listed. A list is of lines ":param name:", or of lines "name:" under "Args:". An answer may be of several tokens.
    """
    lines = text.splitlines()
    prompts = []
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
        source = "\n".join(lines[function.lineno - 1 : function.end_lineno])
        listed = _listed(source, names)
        if [name for name, _, _ in listed] != [name for name in names if name in [found for found, _, _ in listed]]:
            continue
        for name, space, start in listed[1:]:
            prompts.append(
                Prompt(source[:start], space + name, tuple(space + other for other in names if other != name))
            )
    return prompts


def _listed(source: str, names: list[str]) -> list[tuple[str, str, int]]:
    """The parameters that a docstring lists, in its order: the name, the space that belongs to it, and where that begins."""
    known = "|".join(map(re.escape, names)) or "(?!)"
    of_param = [(m[1], " ", m.start(1) - 1) for m in re.finditer(rf"^ *:param ({known}):", source, re.M)]
    under_args = re.search(r"^ *Args:\n((?: +\S.*\n)+)", source, re.M)
    if of_param or not under_args:
        return of_param
    found = re.finditer(rf"^ +({known})(?: \([^)\n]*\))?:", under_args[1], re.M)
    return [(m[1], "", under_args.start(1) + m.start(1)) for m in found]


def real_scores(model, texts: list[str]) -> dict:
    """The share of real prompts where the right name is the likeliest of the signature, and how many there are."""
    prompts = [prompt for text in texts for prompt in real_prompts(text)]
    right = sum(
        likelihood(model, p.text, p.answer) > max(likelihood(model, p.text, o) for o in p.others) for p in prompts
    )
    chance = sum(1 / (1 + len(p.others)) for p in prompts)
    n = len(prompts)
    return {"prompts": n} | ({"right": round(right / n, 3), "chance": round(chance / n, 3)} if n else {})


def likelihood(model, text: str, name: str) -> float:
    """The log-probability of a name's tokens and of the colon behind it, after the end of a text."""
    code = tokenizer.CodeTokenizer()
    answer = code.encode(name + ":", bos=False)
    before = code.encode(text, bos=False)[-(LONGEST - len(answer)) :]
    tokens = torch.cat([torch.tensor([0]), before, answer])[None]
    with torch.no_grad():
        losses = attention.token_losses(model, tokens)[0]
    return -losses[-len(answer) :].sum().item()
