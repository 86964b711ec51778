"""What an attention-only model does on repeated random tokens: its heads, its loss, and what is left without one head.

The figures stand in the model's card. Nothing here trains. Must not import TransformerLens; `models.load` does.
"""

import json
import tokenize
from io import StringIO
from keyword import iskeyword
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from mechinterp_course.interp import attention, models, tokenizer

SEED = 20_000  # of the random tokens that are measured on; training draws from other seeds
SEQUENCES = 32
LENGTHS = (25, 50, 100, 127)  # tokens of one copy; 127 twice, behind BOS, nearly fills the context of 256
HOW = (
    f"attention.repeated_tokens: BOS, then random tokens written twice, {SEQUENCES} sequences, seed {SEED}; per number of "
    "tokens in one copy; losses are means in nats over each copy; scores are of the best head of each layer, by attention.py; "
    "distant_copy: 50 tokens, 100 others, the same 50; renamed_source: windows of 256 tokens of held-out files, each name "
    "replaced by random letters; prefix_matching: attention to all tokens that follow an earlier occurrence of the present "
    "one; previous_token_head: the head of layer 0 with the highest score, however low; previous_token_scores: of all heads of "
    f"layer 0, at {LENGTHS[0]} tokens: where several are high, cutting one leaves induction; without_previous_token_head: its output "
    "(hook_z) set to zero"
)
# What an edit does not reach in these models. TransformerLens hangs hook_resid_mid on the way into the MLP, not on the stream.
SILENT = {
    "hook_resid_mid": "edit hook_attn_out or hook_resid_post",
    "ln2.hook_normalized": "it only feeds the MLP, which is zero",
    "mlp.hook_pre": "the MLP is zero",
    "mlp.hook_post": "the MLP is zero",
}


def repeats(length: int) -> Int[Tensor, "batch pos"]:
    """The sequences that all figures for one length are measured on."""
    return attention.repeated_tokens(range(1, tokenizer.VOCABULARY), length, SEQUENCES, SEED, bos=0)


def figures(folder: Path, steps: list[int], held_out: list[str]) -> dict:
    """What the card of an attention-only model says beyond its losses, from the weights as they are stored.

    `steps` are those of its checkpoints, the last step among them; `held_out` are texts that it never saw.
    """
    raw = models.load(folder)
    found = {
        "behaviours": behaviours(raw, held_out),
        "behaviours_processed": behaviours(models.load(folder, processed=True), held_out),
        "hooks_that_do_not_act": SILENT,
    }
    if len(steps) > 1:
        found |= {"checkpoints": steps, "checkpoint_curve": curve(folder, steps)}
    return found


def behaviours(model, held_out: list[str]) -> dict:
    """Scores and losses of a bridge, and the same without its previous-token head."""
    scores = attention.head_scores(model, repeats(LENGTHS[0]))["previous token"]
    head = scores[0].argmax().item()
    code = renamed_windows(held_out)

    def without_head(z, hook):
        z = z.clone()
        z[:, :, head] = 0
        return z

    def everything():
        return {
            "repeated_tokens": {str(length): measured(model, length) for length in LENGTHS},
            "distant_copy": {"induction": _by_layer(distant_copy(model))},
            "renamed_source": {"prefix_matching": _by_layer(prefix_matching(model, code))}
            | {"nats_per_token": round(attention.token_losses(model, code).mean().item(), 3)},
        }

    with_head = everything()
    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_z", without_head)]):
        without = everything()
    told = {"previous_token_head": [0, head], "previous_token_scores": [round(s, 3) for s in scores[0].tolist()]}
    return {**told, **with_head, "without_previous_token_head": without, "how": HOW}


def distant_copy(model, length: int = 50, between: int = 100) -> Tensor:
    """The induction scores where the second copy does not follow at once: `between` other random tokens stand before it.

    Both are drawn from one seed, so in the first of the sequences the others begin with the copy itself. The cards' figures, of seeds whose
    weights are not kept, were measured so; without that sequence the best head of `code-attn-2l` scores .78 instead of .77.
    """
    once, other = repeats(length)[:, : length + 1], repeats(between)[:, 1 : between + 1]
    tokens = torch.cat([once, other, once[:, 1:]], dim=1)
    pattern = attention.patterns(model, tokens)
    back = pattern.diagonal(offset=-(length + between - 1), dim1=-2, dim2=-1)
    return back[..., -length:].mean((1, 3))


def prefix_matching(model, tokens: Int[Tensor, "batch pos"]) -> Tensor:
    """Mean attention to all tokens that follow an earlier occurrence of the query's token, over queries that have one."""
    pattern = attention.patterns(model, tokens)
    earlier = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)
    follows = torch.nn.functional.pad(earlier, (1, 0))[:, :, :-1]  # one key later
    has_one = follows.any(-1)[None, :, None].float()
    return ((pattern * follows[:, None]).sum(-1) * has_one).sum((1, 3)) / has_one.sum((1, 3))


def renamed_windows(texts: list[str]) -> Int[Tensor, "batch pos"]:
    """One window of 256 tokens, BOS first, from the middle of each of the first texts long enough, with all names replaced."""
    code = tokenizer.CodeTokenizer()
    windows = []
    for text in texts:
        ids = code.encode(renamed(text), bos=False)
        if len(ids) >= 512 and len(windows) < SEQUENCES:
            middle = len(ids) // 2
            windows.append(torch.nn.functional.pad(ids[middle : middle + 255], (1, 0), value=0))
    return torch.stack(windows)


def measured(model, length: int) -> dict:
    """Scores of the best heads by layer, and the loss on both copies, for one length."""
    tokens = repeats(length)
    scores = attention.head_scores(model, tokens, length)
    first, second = (loss.mean().item() for loss in attention.repeat_loss(model, tokens, length))
    return {
        "previous_token": _by_layer(scores["previous token"]),
        "induction": _by_layer(scores["induction"]),
        "first_copy": round(first, 3),
        "second_copy": round(second, 3),
        "gain": round(first - second, 3),
    }


def _by_layer(scores: Tensor) -> list[dict]:
    best, head = scores.max(1)
    return [{"head": h, "score": round(s, 3)} for h, s in zip(head.tolist(), best.tolist(), strict=True)]


def curve(folder: Path, steps: list[int], length: int = 50) -> list[dict]:
    """Along the checkpoints: the best scores of each role in the whole model, and the gain on the second copy."""
    rows = []
    for step in steps:
        # The last one is the model itself; while its card is being written, nothing else says which step that is.
        found = measured(models.load(folder, checkpoint=None if step == steps[-1] else step), length)
        best = {role: max(s["score"] for s in found[role]) for role in ("previous_token", "induction")}
        rows.append({"step": step} | best | {key: found[key] for key in ("first_copy", "second_copy", "gain")})
    return rows


def add_seeds(folder: Path, others: list[Path]) -> None:
    """Put the figures of runs of the same recipe on other seeds into the card in `folder`, under "other_seeds"."""
    file = folder / "card.json"
    card = json.loads(file.read_text(encoding="utf-8"))
    card["other_seeds"] = {}
    for other in others:
        found = json.loads((other / "card.json").read_text(encoding="utf-8"))
        told = {key: value for key, value in found["behaviours"].items() if key != "how"}
        card["other_seeds"][str(found["seed"])] = {"loss": found["loss"], "behaviours": told}
    file.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


# --- renamed source -----------------------------------------------------------------------------------------------


def renamed(text: str, seed: int = 0) -> str:
    """The source with every name replaced, consistently, by random letters: what can be known of it stands in it alone."""
    draw = torch.Generator().manual_seed(seed)
    new, parts, at = {}, [], (1, 0)
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.NAME and not iskeyword(token.string):
            if token.string not in new:
                letters = torch.randint(26, (max(4, len(token.string)),), generator=draw).tolist()
                new[token.string] = "".join(chr(97 + i) for i in letters)
            parts += [_between(lines, at, token.start), new[token.string]]
            at = token.end
    return "".join([*parts, _between(lines, at, (len(lines) + 1, 0))])


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """The text between two places, given as (line from 1, column from 0)."""
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    rest = lines[start[0] - 1][start[1] :] if start[0] <= len(lines) else ""
    return rest + "".join(lines[start[0] : end[0] - 1]) + (lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else "")
