"""Checks of lesson 03. Wherever a model is given, it is a copy of its own: a hook that is left behind harms no other check.

A copy costs more than all that a check does with it, so it is kept, and used again once it is seen to be as it was loaded.
"""

import contextlib
import copy
import io
import math
import warnings
from functools import cache, partial

import torch
import torch.nn.functional as F

from mechinterp_course.interp import attention, models
from mechinterp_course.tutor.checks import Exercise, expect

# --- models to experiment on ----------------------------------------------------------------------------------------


@cache
def pristine(name):
    """The bundled model as it was loaded. It never runs: a model that ran with gradients cannot be copied."""
    with contextlib.redirect_stdout(
        io.StringIO()
    ):  # what `load` says of native models is not the learner's business here
        return models.load(name)


@cache
def loaded(name):
    """A copy that the checks compute their own numbers with; no answer ever touches it."""
    return copied(name)


def copied(name):
    model = pristine(name)
    return copy.deepcopy(model, {id(model.tokenizer): model.tokenizer})  # most of the work, and nobody edits it


KEPT = {}  # (model's name, seat): a copy, and what stood on it when it was made
HOOK_LISTS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def standing_on(model):
    """What an answer may have changed on a model, apart from its numbers: parts, hooks, modes, settings."""
    parts = [
        (id(part), part.training, part.__dict__.get("forward"), *(len(getattr(part, kind)) for kind in HOOK_LISTS))
        for part in model.modules()
    ]
    numbers = [(id(p), p.requires_grad, p.grad is None) for p in (*model.parameters(), *model.buffers())]
    settings = {key: value for key, value in vars(model.cfg).items() if isinstance(value, (bool, int, float, str))}
    return parts, numbers, settings


def same_numbers(model, other):
    pairs = zip((*model.parameters(), *model.buffers()), (*other.parameters(), *other.buffers()), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def as_loaded(name, seat):
    """The copy of this seat, if hooks are all that was ever done to it; otherwise a new one."""
    if (name, seat) in KEPT:
        model, stood = KEPT[name, seat]
        model.reset_hooks()
        if standing_on(model) == stood and same_numbers(model, pristine(name)):
            return model
    model = copied(name)
    run(model, torch.arange(3)[None])  # its first run puts on hooks of the model's own
    KEPT[name, seat] = model, standing_on(model)
    return model


@contextlib.contextmanager
def fresh(name, seat, theirs=()):
    """Give a copy of the model, with somebody else's hooks on it if there are any; afterwards it has those and no other.

    No two uses of a model within one exercise may have the same seat: naming a mistake runs wrong answers on these models
    again, and they start from what stands here at the end.
    """
    model = as_loaded(name, seat)
    for place, function in theirs:
        model.add_hook(place, function)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield model
    finally:
        model.reset_hooks()
        for place, function in theirs:
            model.add_hook(place, function)


def hooks_on(model):
    """The functions that are on the model's hooks, each with a name of its hook, the one in use where there are two."""
    names, points = {}, {}
    for name, point in model.hook_dict.items():
        points[id(point)] = point
        if name != point.name or id(point) not in names:
            names[id(point)] = name
    return [(names[key], handle.user_hook) for key, point in points.items() for handle in point.fwd_hooks]


def expect_unchanged(model, name, theirs=()):
    """Expect that no hook was left on the model, that those which were there still are, and that it computes as before."""
    now = hooks_on(model)
    left = [place for place, function in now if function not in [their for _, their in theirs]]
    what = "run_with_hooks and `with model.hooks(...)` take theirs off; what add_hook puts on stays."
    expect.true(not left, f"A hook is still on {left[0] if left else ''} after your function has returned. {what}")
    expect.true(
        len(now) == len(theirs),
        "A hook that somebody else had put on the model is gone after your function. reset_hooks() takes off everybody's: "
        "leave it out, and use run_with_hooks.",
    )
    five = torch.arange(5)[None]
    with torch.no_grad():
        expect.close(model(five), run(loaded(name), five, *theirs), "the model's own logits after your function")


def vocabulary(name):
    return loaded(name).cfg.d_vocab


def draw_tokens(draw, name, batch, pos):
    return draw.integers(1, vocabulary(name), batch, pos)


@torch.no_grad()
def cached(name, tokens, *hooks, theirs=()):
    """What TransformerLens' own run_with_cache holds for these hooks."""
    with loaded(name).hooks(fwd_hooks=list(theirs)):
        _, cache = loaded(name).run_with_cache(tokens, names_filter=list(hooks), return_cache_object=False)
    return [cache[hook] for hook in hooks]


@torch.no_grad()
def without_head(name, tokens, layer, head, theirs=()):
    """The logits of a model that has no such head: its rows of W_O are zero. No hook has a part in it."""
    model = loaded(name)
    rows = slice(head * model.cfg.d_head, (head + 1) * model.cfg.d_head)
    W_O = model.blocks[layer].attn.o.original_component.weight
    kept = W_O[rows].clone()
    try:
        W_O[rows] = 0
        return run(model, tokens, *theirs)
    finally:
        W_O[rows] = kept


@torch.no_grad()
def with_z(name, tokens, layer, head, z, theirs=()):
    """The logits when one head hands over `z`: the difference goes through W_O and is added to what attention puts out."""
    (own,) = cached(name, tokens, f"blocks.{layer}.attn.hook_z", theirs=theirs)
    more = (z - own[:, :, head]) @ models.weights(name)[f"blocks.{layer}.attn.W_O"][head]
    return run(loaded(name), tokens, (f"blocks.{layer}.hook_attn_out", lambda out, hook: out + more), *theirs)


def left_on(model, tokens, pairs):
    """Run the model with hooks that stay on it: the mistake of several wrong answers, which therefore stand last."""
    for place, function in pairs:
        model.add_hook(place, function)
    with torch.no_grad():
        return model(tokens)


@torch.no_grad()
def run(model, tokens, *pairs):
    return model.run_with_hooks(tokens, fwd_hooks=list(pairs))


def put(head, value):
    """A hook function that puts `value` into one head of hook_z."""

    def replace(z, hook):
        z = z.clone()
        z[:, :, head] = value
        return z

    return replace


# What somebody else has put on the model, where an answer is to leave it there and to count it in.
THEIRS = [("blocks.1.attn.hook_v", put(1, 0.0))]


# --- record_activations ---------------------------------------------------------------------------------------------

recording = Exercise("record_activations")

ASKED = ["blocks.1.attn.hook_z", "hook_embed", "blocks.0.attn.hook_pattern", "blocks.0.hook_resid_post"]


def expect_record(got, names):
    if not isinstance(got, dict):  # to describe a dictionary of tensors takes longer than to make it
        expect.true(False, f"You returned {expect.describe(got)}; it should be a dictionary.")
    for name in names:
        expect.true(
            name in got,
            f"Your dictionary has nothing under {name!r}, which was asked for. Its keys: {', '.join(map(repr, got))}.",
        )
    extra = [key for key in got if key not in names]
    expect.true(not extra, f"Your dictionary also has {extra[0] if extra else ''!r}, which was not asked for.")


@recording.check("the keys are the names that were asked for, and no others")
def record_keys(answer, draw):
    with fresh("code-attn-2l", "keys") as model:
        expect_record(answer(model, draw_tokens(draw, "code-attn-2l", 2, 5), ASKED), ASKED)


@recording.check("each activation equals what TransformerLens' run_with_cache holds")
def record_values(answer, draw):
    expect_recorded(answer, draw, "code-attn-2l", ASKED, 3)


@recording.check("in a model with MLPs and other sizes as well, and for a single name", hidden=True)
def record_mlps(answer, draw):
    expect_recorded(answer, draw, "code-2l", ["blocks.1.mlp.hook_post", *ASKED[::-1]], 2)
    expect_recorded(answer, draw, "code-attn-1l", ["blocks.0.attn.hook_k"], 1)


def expect_recorded(answer, draw, name, names, batch):
    tokens = draw_tokens(draw, name, batch, 7)
    with fresh(name, "values") as model:
        got = answer(model, tokens, names)
    expect_record(got, names)
    for hook, want in zip(names, cached(name, tokens, *names), strict=True):
        expect.close(got[hook], want, f"what you recorded at {hook}")


@recording.check("no hook stays on, nothing keeps gradients, and two recordings do not share their numbers")
def record_detached(answer, draw):
    with fresh("code-attn-2l", "twice") as model:
        first_tokens, second_tokens = draw_tokens(draw, "code-attn-2l", 2, 4), draw_tokens(draw, "code-attn-2l", 2, 4)
        first, second = answer(model, first_tokens, ASKED[:2]), answer(model, second_tokens, ASKED[:2])
        expect_unchanged(model, "code-attn-2l")
    for hook, want in zip(ASKED[:2], cached("code-attn-2l", first_tokens, *ASKED[:2]), strict=True):
        expect_record(first, ASKED[:2])
        expect.true(
            not first[hook].requires_grad,
            f"What you recorded at {hook} still carries its gradient, and with it the memory of the whole run. Keep "
            "activation.detach().",
        )
        expect.close(first[hook], want, f"what the first recording holds at {hook}, after a second one was made")
        expect.true(first[hook].data_ptr() != second[hook].data_ptr(), f"Two recordings share one tensor at {hook}.")


@recording.check("a hook that somebody put on before is still there afterwards, and no other")
def record_polite(answer, draw):
    theirs = [("blocks.0.attn.hook_z", put(1, 0.0))]
    with fresh("code-attn-2l", "theirs", theirs) as model:
        tokens = draw_tokens(draw, "code-attn-2l", 1, 5)  # one text: its axis is kept too
        with torch.no_grad():
            _, want = model.run_with_cache(tokens, names_filter="blocks.1.hook_resid_pre", return_cache_object=False)
        both = [answer(model, tokens, ["blocks.1.hook_resid_pre"]) for _ in range(2)]
        expect_unchanged(model, "code-attn-2l", theirs)
    for got in both:
        expect_record(got, ["blocks.1.hook_resid_pre"])
        expect.close(
            got["blocks.1.hook_resid_pre"],
            want["blocks.1.hook_resid_pre"],
            "what you recorded, with somebody's hook on the model,",
            because="their edit comes first, and you record what the model then has",
        )


def run_recorder(model, tokens, names, keep):
    """Run the model; at each name, `keep(found, name, activation, hook)` decides what is stored."""
    found = {}
    pairs = [(name, lambda activation, hook, name=name: keep(found, name, activation.detach(), hook)) for name in names]
    run(model, tokens, *pairs)
    return found


def store(found, key, activation):
    found[key] = activation.clone()


@recording.wrong(
    "keys from hook.name",
    "You stored under hook.name. That is the hook's canonical name: a hook put on blocks.1.attn.hook_z calls itself "
    "blocks.1.attn.o.hook_in. Store under the name that was asked for.",
)
def record_canonical(model, tokens, names):
    return run_recorder(model, tokens, names, lambda found, name, act, hook: store(found, hook.name, act))


@recording.wrong(
    "all hooks write to the last name",
    "Only the last name is there: a function made in a loop looks its variable up when it is called, and by then the loop is over. "
    "Make each function in a helper that takes the name, reader(name).",
)
def record_late(model, tokens, names):
    return run_recorder(model, tokens, names, lambda found, name, act, hook: store(found, names[-1], act))


@recording.wrong(
    "the first text only",
    "Your activations have lost their batch axis: you kept entry 0, the first text. Keep the whole batch.",
)
def record_first_text(model, tokens, names):
    return run_recorder(model, tokens, names, lambda found, name, act, hook: store(found, name, act[0]))


@recording.wrong(
    "the last position only",
    "You kept the last entry of axis 1 alone. For some hooks that is the last position, for a pattern it is the last head. Keep the "
    "whole activation.",
)
def record_last_position(model, tokens, names):
    return run_recorder(model, tokens, names, lambda found, name, act, hook: store(found, name, act[:, -1]))


@recording.wrong(
    "takes everybody's hooks off",
    "Your recording is right, and then reset_hooks() removes every hook, also those that you did not put there: the second run "
    "saw another model. run_with_hooks removes its own alone.",
)
def record_resets(model, tokens, names):
    found = run_recorder(model, tokens, names, lambda found, name, act, hook: store(found, name, act))
    model.reset_hooks()
    return found


@recording.variation("with model.hooks, and functools.partial")
def record_context(model, tokens, names):
    found = {}

    def keep(activation, hook, name):
        found[name] = activation.detach().clone()

    with torch.no_grad(), model.hooks(fwd_hooks=[(name, partial(keep, name=name)) for name in names]):
        model(tokens)
    return found


@recording.variation("one run for each name")
def record_one_by_one(model, tokens, names):
    found = {}
    for name in names:
        run(model, tokens, (name, lambda activation, hook: store(found, name, activation)))  # noqa: B023  called at once
    return found


@recording.variation("TransformerLens' own cache")
def record_by_cache(model, tokens, names):
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=names)
    return {name: cache[name] for name in names}


# --- recompute_pattern ----------------------------------------------------------------------------------------------

recomputed = Exercise("recompute_pattern")


def query_key(draw, batch=2, pos=5, n_heads=3, d_head=4, layers=2):
    """A made-up cache: all sizes differ, and each layer has other numbers."""
    return {f"blocks.{i}.attn.hook_{x}": draw.normal(batch, pos, n_heads, d_head) for i in range(layers) for x in "qk"}


def one_head_at_a_time(cache, layer):
    """Patterns by torch's own attention: values that are one-hot in the key hand back the pattern itself."""
    query, key = (cache[f"blocks.{layer}.attn.hook_{x}"].transpose(1, 2) for x in "qk")
    value = torch.eye(query.shape[2]).expand(*query.shape[:2], -1, -1)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


@recomputed.check("two positions by hand: query (2, 2), keys (3, 1) and (1, 1), d_head = 2")
def pattern_by_hand(answer, draw):
    query = torch.tensor([[[[9.0, 9.0]], [[2.0, 2.0]]]])  # (batch 1, pos 2, head 1, d_head 2)
    key = torch.tensor([[[[3.0, 1.0]], [[1.0, 1.0]]]])
    out = answer({"blocks.0.attn.hook_q": query, "blocks.0.attn.hook_k": key}, 0)
    expect.shape(out, (1, 1, 2, 2), axes="batch head query key")
    high = 1 / (1 + math.exp((4 - 8) / math.sqrt(2)))
    want = torch.tensor([[1.0, 0.0], [high, 1 - high]])
    expect.close(out[0, 0], want, "the pattern", because="query 0 sees key 0 alone; query 1 scores 8/√2 and 4/√2")


@recomputed.check("it equals torch's causal attention, for each block's own queries and keys")
def pattern_like_torch(answer, draw):
    cache = query_key(draw)
    for layer in (1, 0):
        out = answer(cache, layer)
        expect.shape(out, (2, 3, 5, 5), axes="batch head query key")
        expect.close(out, one_head_at_a_time(cache, layer), f"the pattern of block {layer}")


@recomputed.check("it equals hook_pattern of real models")
def pattern_real(answer, draw):
    for name, layer in [("code-attn-2l", 1), ("code-2l", 0)]:
        hooks = [f"blocks.{layer}.attn.hook_{x}" for x in ("q", "k", "pattern")]
        query, key, pattern = cached(name, draw_tokens(draw, name, 2, 9), *hooks)
        out = answer({hooks[0]: query, hooks[1]: key}, layer)
        expect.close(out, pattern, f"the pattern of block {layer} of {name}")


@recomputed.check("large scores do not overflow, and a single position attends to itself", hidden=True)
def pattern_extremes(answer, draw):
    cache = {
        name: 40 * tensor for name, tensor in query_key(draw, batch=1, pos=11, n_heads=2, d_head=7, layers=3).items()
    }
    expect.close(answer(cache, 2), one_head_at_a_time(cache, 2), "the pattern for large scores")
    expect.close(answer(query_key(draw, pos=1), 0), torch.ones(2, 3, 1, 1), "the pattern of a single position")


def pattern_of(cache, layer, scale=None, later=None, dim=-1, swap=False):
    """A pattern with one thing wrong: the scale, the mask, the softmax's axis, or query and key exchanged."""
    query, key = cache[f"blocks.{layer}.attn.hook_q"], cache[f"blocks.{layer}.attn.hook_k"]
    if swap:
        query, key = key, query
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / (query.shape[-1] ** 0.5 if scale is None else scale(query))
    n = scores.shape[-1]
    hidden = torch.ones(n, n).triu(1).bool() if later is None else later(n)
    return scores.masked_fill(hidden, float("-inf")).softmax(dim)


@recomputed.wrong(
    "no scaling",
    "Your scores are √d_head times too large, so your softmax is too sure. The cached queries are not scaled: divide by √d_head.",
)
def pattern_unscaled(cache, layer):
    return pattern_of(cache, layer, scale=lambda query: 1.0)


@recomputed.wrong("divides by d_head", "You divided by d_head. Divide by its square root.")
def pattern_by_d_head(cache, layer):
    return pattern_of(cache, layer, scale=lambda query: query.shape[-1])


@recomputed.wrong(
    "scales by √d_model",
    "You divided by the root of head × d_head, which is √d_model. A query and a key are vectors of d_head numbers: the last axis alone.",
)
def pattern_by_d_model(cache, layer):
    return pattern_of(cache, layer, scale=lambda query: (query.shape[-1] * query.shape[-2]) ** 0.5)


@recomputed.wrong(
    "no mask",
    "Your queries look at later keys: there is attention above the diagonal. Set those scores to minus infinity before the softmax.",
)
def pattern_unmasked(cache, layer):
    return pattern_of(cache, layer, later=lambda n: torch.zeros(n, n).bool())


@recomputed.wrong(
    "masks after the softmax",
    "Your rows sum to less than 1: the later keys took their share in the softmax, and were set to 0 afterwards. Hide their scores "
    "before it.",
)
def pattern_mask_late(cache, layer):
    return pattern_of(cache, layer, later=lambda n: torch.zeros(n, n).bool()).tril()


@recomputed.wrong(
    "hidden scores are 0",
    "You set the later scores to 0. A score of 0 counts in a softmax like any other: exp(0) is 1. It takes minus infinity to hide a key.",
)
def pattern_mask_zero(cache, layer):
    query, key = cache[f"blocks.{layer}.attn.hook_q"], cache[f"blocks.{layer}.attn.hook_k"]
    return (torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5).tril().softmax(-1)


@recomputed.wrong(
    "key and query swapped",
    "The keys do the looking: your row is the key's position. Each row of the pattern belongs to one query.",
)
def pattern_swapped(cache, layer):
    return pattern_of(cache, layer, swap=True)


@recomputed.wrong(
    "softmax over the queries",
    "Each of your columns sums to 1. The softmax runs over the keys, the last axis: each *row*, one query, sums to 1.",
)
def pattern_over_queries(cache, layer):
    return pattern_of(cache, layer, dim=-2)


@recomputed.wrong(
    "reshapes where axes should trade places",
    "You reshaped (batch, pos, head, d_head) to (batch, head, pos, d_head). That keeps the numbers in their old order and mixes heads with "
    "positions. To let two axes trade places: transpose(1, 2), or the letters of an einsum.",
)
def pattern_reshaped(cache, layer):
    def mixed(activation):
        batch, n, heads, d_head = activation.shape
        return activation.reshape(batch, heads, n, d_head).transpose(1, 2)

    return pattern_of({name: mixed(activation) for name, activation in cache.items()}, layer)


@recomputed.wrong("always block 0", "You read block 0, whatever `layer` is. Put the layer into the hook names.")
def pattern_block_0(cache, layer):
    known = f"blocks.{0 if 'blocks.0.attn.hook_q' in cache else layer}.attn.hook_"
    return one_head_at_a_time({f"blocks.0.attn.hook_{x}": cache[known + x] for x in "qk"}, 0)


@recomputed.variation("matmul, and a very negative number for the mask")
def pattern_matmul(cache, layer):
    query, key = (cache[f"blocks.{layer}.attn.hook_{x}"].permute(0, 2, 1, 3) for x in "qk")
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.size(-1))
    return torch.where(torch.ones_like(scores).tril() > 0, scores, torch.finfo(scores.dtype).min).softmax(-1)


@recomputed.variation("one query after the other, in float64")
def pattern_loop(cache, layer):
    query, key = (cache[f"blocks.{layer}.attn.hook_{x}"].double() for x in "qk")
    batch, n, heads, d_head = query.shape
    pattern = torch.zeros(batch, heads, n, n, dtype=torch.float64)
    for q in range(n):
        scores = (query[:, q : q + 1] * key[:, : q + 1]).sum(-1) * d_head**-0.5  # (batch, key, head)
        pattern[:, :, q, : q + 1] = torch.softmax(scores, 1).transpose(1, 2)
    return pattern.float()


# --- attention_roles ------------------------------------------------------------------------------------------------

roles_ = Exercise("attention_roles")
ROLES = ("current token", "previous token", "first token")


def looks_at(n, key_of):
    """A pattern of n positions in which query q gives all its attention to key key_of(q)."""
    pattern = torch.zeros(n, n)
    for q in range(n):
        pattern[q, key_of(q)] = 1.0
    return pattern


def uniform(n):
    return torch.ones(n, n).tril() / torch.arange(1, n + 1)[:, None]


PLANTED = {
    "current-token head": lambda q: q,
    "previous-token head": lambda q: max(q - 1, 0),
    "first-token head": lambda q: 0,
    "head that looks two back": lambda q: max(q - 2, 0),
}


def planted(n):
    """(head, query, key): four heads whose role is known, and a fifth that looks everywhere alike."""
    return torch.stack([looks_at(n, key_of) for key_of in PLANTED.values()] + [uniform(n)])


def expect_roles(got, head_count):
    expect.true(
        isinstance(got, dict), f"You returned {expect.describe(got)}; it should be a dictionary of three scores."
    )
    expect.equal(sorted(got), sorted(ROLES), "the names in your dictionary")
    for role in ROLES:
        expect.shape(got[role], (head_count,), f'the "{role}" score', axes="head")


def expect_score(got, role, head, want, whose, because=""):
    expect.close(got[role][head], want, f'the "{role}" score of a {whose}', because=because)


@roles_.check("a head that does one thing has score 1 for it; others get what overlaps")
def roles_planted(answer, draw):
    n = 6
    pattern = planted(n).expand(2, -1, -1, -1).contiguous()
    got = answer(pattern)
    expect_roles(got, 5)
    step = 1 / (n - 1)  # one query of five: query 1's previous token is the first one
    want = {
        "current token": [1.0, 0.0, 0.0, 0.0],
        "previous token": [0.0, 1.0, step, step],
        "first token": [0.0, step, 1.0, 2 * step],
    }
    overlap = "token 0 is both the first token and, for query 1, the previous one: queries 1 to 5 are five queries, so one is 0.2"
    for role in ROLES:
        for head, whose in enumerate(PLANTED):
            because = overlap if 0 < want[role][head] < 1 else ""
            expect_score(got, role, head, want[role][head], whose, because)


@roles_.check("a head that spreads its attention evenly scores the mean of 1/2, 1/3, … 1/n in all three")
def roles_uniform(answer, draw):
    for n in (4, 7):
        got = answer(uniform(n)[None, None])
        expect_roles(got, 1)
        want = sum(1 / (q + 1) for q in range(1, n)) / (n - 1)
        for role in ROLES:
            expect_score(got, role, 0, want, f"head that looks everywhere alike, {n} positions,")


@roles_.check("every text of the batch counts, and every head has its own score")
def roles_batch(answer, draw):
    n, order = 6, draw.permutation(5)
    one, other = planted(n), planted(n)[order]
    got = answer(torch.stack([one, other, other]))
    expect_roles(got, 5)
    for role, score in zip(ROLES, both_ways(torch.stack([one, other, other])), strict=True):
        expect.close(
            got[role], score, f'the "{role}" scores', because="two of three texts have the heads in another order"
        )


@roles_.check("random patterns: it equals the course's own scores, averaged over the texts")
def roles_random(answer, draw):
    pattern = draw.normal(3, 4, 7, 7, std=2).masked_fill(torch.ones(7, 7).triu(1).bool(), float("-inf")).softmax(-1)
    got = answer(pattern)
    expect_roles(got, 4)
    course = (attention.current_token_score, attention.previous_token_score, attention.first_token_score)
    for role, score in zip(ROLES, course, strict=True):
        expect.close(got[role], score(pattern).mean(0), f'the "{role}" scores')


@roles_.check("two positions: query 1 is the only one that counts", hidden=True)
def roles_two(answer, draw):
    share = draw.uniform(2, 3, low=0.1, high=0.9)  # what query 1 gives to key 0
    pattern = torch.zeros(2, 3, 2, 2)
    pattern[..., 0, 0], pattern[..., 1, 0], pattern[..., 1, 1] = 1.0, share, 1 - share
    got = answer(pattern)
    expect_roles(got, 3)
    for role, want in zip(ROLES, [1 - share, share, share], strict=True):
        expect.close(got[role], want.mean(0), f'the "{role}" scores for two positions')


def both_ways(pattern):
    """The three scores by a plain loop over texts and queries: current, previous, first."""
    batch, heads, n, _ = pattern.shape
    total = torch.zeros(3, heads)
    for text in pattern:
        for q in range(1, n):
            total += torch.stack([text[:, q, q], text[:, q, q - 1], text[:, q, 0]])
    return total / (batch * (n - 1))


def named(current, previous, first):
    return dict(zip(ROLES, (current, previous, first), strict=True))


@roles_.wrong(
    "divides by every query",
    "Your perfect heads score (n - 1)/n: you summed n - 1 entries and divided by n. Query 0 is left out, so divide by n - 1.",
)
def roles_all_queries(pattern):
    n = pattern.shape[-1]
    return {role: score * (n - 1) / n for role, score in zip(ROLES, both_ways(pattern), strict=True)}


@roles_.wrong(
    "counts query 0",
    "Query 0 is in your current-token and first-token scores. It can only look at itself, so it gives every head a free 1: leave it out.",
)
def roles_query_0(pattern):
    diagonal, column = pattern.diagonal(0, -2, -1).mean((0, 2)), pattern[..., 0].mean((0, 2))
    return named(diagonal, pattern.diagonal(-1, -2, -1).mean((0, 2)), column)


@roles_.wrong(
    "query 0 counted for the first token",
    "Query 0 is in your first-token score. Position 0 can look nowhere else, so it gives every head a free 1: take column 0 from query 1 on.",
)
def roles_query_0_first(pattern):
    current, previous, _ = both_ways(pattern)
    return named(current, previous, pattern[..., 0].mean((0, 2)))


@roles_.wrong(
    "query 0 counted for the current token",
    "Query 0 is in your current-token score. It can only look at itself, so it gives every head a free 1: leave the first entry of the diagonal out.",
)
def roles_query_0_current(pattern):
    _, previous, first = both_ways(pattern)
    return named(pattern.diagonal(0, -2, -1).mean((0, 2)), previous, first)


@roles_.wrong(
    "looks above the diagonal",
    "Your previous-token score is 0 for every head: you took the diagonal at offset +1, where the key comes *after* the query. Nobody sees "
    "that. The previous token is at offset -1.",
)
def roles_above(pattern):
    current, _, first = both_ways(pattern)
    return named(current, pattern.diagonal(1, -2, -1).mean((0, 2)), first)


@roles_.wrong(
    "row 0 for column 0",
    "Your first-token score reads row 0, where query 0 looks. The first token as a *key* is column 0: pattern[:, :, 1:, 0].",
)
def roles_row_0(pattern):
    current, previous, _ = both_ways(pattern)
    return named(current, previous, pattern[:, :, 0, 1:].mean((0, 2)))


@roles_.wrong(
    "counts winners",
    "You counted how often the place gets the most attention. The score is the mean attention itself: 0.4 counts 0.4, and a head that "
    "spreads out is not all or nothing.",
)
def roles_winners(pattern):
    return named(*both_ways(F.one_hot(pattern.argmax(-1), pattern.shape[-1]).float()))


@roles_.wrong("the first text only", "You looked at the first text of the batch. Average over all of them.")
def roles_first_text(pattern):
    return named(*both_ways(pattern[:1]))


@roles_.wrong(
    "one score a text",
    "You have one score for each text: the average ran over the heads. Average over the texts and the queries, and keep the heads.",
)
def roles_over_heads(pattern):
    return named(*both_ways(pattern.transpose(0, 1)))


@roles_.variation("a loop over texts and queries")
def roles_loop(pattern):
    return named(*both_ways(pattern))


@roles_.variation("masks and einsum, in float64")
def roles_masks(pattern):
    n = pattern.shape[-1]
    q, k = torch.arange(n)[:, None], torch.arange(n)[None]
    masks = torch.stack([(k == q), (k == q - 1), (k == 0).expand(n, n)]).double() * (q > 0)
    scores = torch.einsum("bhqk,rqk->rh", pattern.double(), masks) / (len(pattern) * (n - 1))
    return named(*scores.float())


@roles_.variation("fancy indices, the mean of means")
def roles_indices(pattern):
    q = torch.arange(1, pattern.shape[-1])
    return named(*(pattern[..., q, keys].mean(-1).mean(0) for keys in (q, q - 1, 0 * q)))


# --- zero_ablate_head -----------------------------------------------------------------------------------------------

zero_ = Exercise("zero_ablate_head")


@zero_.check("the logits equal those of a model whose W_O has no rows for that head")
def zero_surgery(answer, draw):
    tokens = draw_tokens(draw, "code-attn-2l", 2, 7)
    with fresh("code-attn-2l", "surgery") as model:
        got = answer(model, tokens, 1, 3)
    expect.shape(got, (2, 7, 1024), axes="batch pos d_vocab")
    expect.close(got, without_head("code-attn-2l", tokens, 1, 3), "the logits with head 1.3 off", atol=1e-3)


@zero_.check("in a model with MLPs and other sizes as well", hidden=True)
def zero_mlps(answer, draw):
    tokens = draw_tokens(draw, "code-2l", 3, 6)
    with fresh("code-2l", "surgery") as model:
        got = answer(model, tokens, 1, 5)
    expect.shape(got, (3, 6, 1024), axes="batch pos d_vocab")
    expect.close(got, without_head("code-2l", tokens, 1, 5), "the logits with head 1.5 off", atol=1e-3)


@zero_.check("afterwards the model is as it was, and the next ablation starts from the whole model")
def zero_clean(answer, draw):
    tokens = draw_tokens(draw, "code-attn-2l", 1, 6)
    with fresh("code-attn-2l", "twice", THEIRS) as model:
        both = [answer(model, tokens, 0, head) for head in (2, 0)]
        expect_unchanged(model, "code-attn-2l", THEIRS)
    for got, head in zip(both, (2, 0), strict=True):
        want = without_head("code-attn-2l", tokens, 0, head, THEIRS)
        expect.close(got, want, f"the logits with head 0.{head} off, and somebody's hook on the model,", atol=1e-3)


@zero_.check("a single token and a full context", hidden=True)
def zero_all(answer, draw):
    for pos in (1, 256):
        tokens = draw_tokens(draw, "code-attn-1l", 1, pos)
        head = draw.integer(0, 4)
        with fresh("code-attn-1l", pos) as model:
            got = answer(model, tokens, 0, head)
        want = without_head("code-attn-1l", tokens, 0, head)
        expect.close(got, want, f"the logits of {pos} tokens with head 0.{head} off", atol=1e-3)


@zero_.wrong(
    "zeroes a position",
    "You wrote z[:, head] = 0. Axis 1 of hook_z is the position: all heads were silenced at one place. The head is axis 2: z[:, :, head].",
)
def zero_position(model, tokens, layer, head):
    def switch_off(z, hook):
        z = z.clone()
        z[:, min(head, z.shape[1] - 1)] = 0
        return z

    return run(model, tokens, (f"blocks.{layer}.attn.hook_z", switch_off))


@zero_.wrong(
    "returns nothing from the hook",
    "Your logits are those of the whole model. The hook made a new z and did not return it: what a hook function returns is what the "
    "model goes on with.",
)
def zero_no_return(model, tokens, layer, head):
    return run(model, tokens, (f"blocks.{layer}.attn.hook_z", lambda z, hook: None))


@zero_.wrong(
    "silences the whole layer",
    "All heads of the block are at zero. Only one of them should be: copy z, and set [:, :, head] of the copy to 0.",
)
def zero_layer(model, tokens, layer, head):
    return run(model, tokens, (f"blocks.{layer}.attn.hook_z", lambda z, hook: 0 * z))


@zero_.wrong(
    "keeps this head and silences the others",
    "It is the other way round: your head is the only one left. Set its own entry to 0 and leave the others.",
)
def zero_others(model, tokens, layer, head):
    def switch_off(z, hook):
        only = torch.zeros_like(z)
        only[:, :, head] = z[:, :, head]
        return only

    return run(model, tokens, (f"blocks.{layer}.attn.hook_z", switch_off))


@zero_.wrong(
    "zeroes the queries",
    "With its queries at zero the head still speaks: all its scores are alike, and it hands over an even mixture. What it hands over is "
    "hook_z.",
)
def zero_queries(model, tokens, layer, head):
    return run(model, tokens, (f"blocks.{layer}.attn.hook_q", put(head, 0.0)))


@zero_.wrong(
    "the last position only",
    "You silenced the head at the last position. It speaks at every position, and the logits of all of them should change.",
)
def zero_last(model, tokens, layer, head):
    def switch_off(z, hook):
        z = z.clone()
        z[:, -1, head] = 0
        return z

    return run(model, tokens, (f"blocks.{layer}.attn.hook_z", switch_off))


@zero_.wrong("always block 0", "You edited block 0, whatever `layer` is. Put the layer into the hook's name.")
def zero_block_0(model, tokens, layer, head):
    return run(model, tokens, ("blocks.0.attn.hook_z", put(head, 0.0)))


@zero_.wrong(
    "leaves its hook on",
    "Your first ablation is right, and its hook stays on the model: from the second on, several heads are off at once. Use "
    "run_with_hooks, which cleans up behind itself, in place of add_hook.",
)
def zero_left_on(model, tokens, layer, head):
    return left_on(model, tokens, [(f"blocks.{layer}.attn.hook_z", put(head, 0.0))])


@zero_.variation("a mask, inside `with model.hooks`")
def zero_mask(model, tokens, layer, head):
    mask = torch.ones(model.cfg.n_heads, 1)
    mask[head] = 0
    with torch.no_grad(), model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", lambda z, hook: z * mask)]):
        return model(tokens)


@zero_.variation("in place, under no_grad")
def zero_in_place(model, tokens, layer, head):
    def switch_off(z, hook):
        z[:, :, head] = 0

    return run(model, tokens, (f"blocks.{layer}.attn.hook_z", switch_off))


@zero_.variation("its values are zero")
def zero_values(model, tokens, layer, head):
    return run(model, tokens, (f"blocks.{layer}.attn.hook_v", put(head, 0.0)))


@zero_.variation("its pattern is zero")
def zero_pattern(model, tokens, layer, head):
    def no_attention(pattern, hook):
        pattern = pattern.clone()
        pattern[:, head] = 0
        return pattern

    return model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_pattern", no_attention)]).detach()


# --- mean_ablate_head -----------------------------------------------------------------------------------------------

mean_ = Exercise("mean_ablate_head")


def reference_z(name, reference, layer, head):
    return cached(name, reference, f"blocks.{layer}.attn.hook_z")[0][:, :, head]


@mean_.check("the head hands over its mean over the reference texts, at each position its own")
def mean_surgery(answer, draw):
    expect_mean(answer, draw, "code-attn-2l", 0, 2, batch=2, texts=5, pos=7)


@mean_.check("in a model with MLPs, with fewer reference texts, and with one alone", hidden=True)
def mean_mlps(answer, draw):
    expect_mean(answer, draw, "code-2l", 1, 4, batch=3, texts=2, pos=6)
    expect_mean(answer, draw, "code-attn-2l", 1, 1, batch=3, texts=1, pos=5)


def expect_mean(answer, draw, name, layer, head, batch, texts, pos):
    tokens, reference = draw_tokens(draw, name, batch, pos), draw_tokens(draw, name, texts, pos)
    with fresh(name, f"{texts} texts of {pos}") as model:
        got = answer(model, tokens, layer, head, reference)
    expect.shape(got, (batch, pos, vocabulary(name)), axes="batch pos d_vocab")
    want = with_z(name, tokens, layer, head, reference_z(name, reference, layer, head).mean(0))
    expect.close(got, want, f"the logits with head {layer}.{head} at its mean", atol=1e-3)


@mean_.check("a text whose reference texts are copies of itself stays as it is")
def mean_of_itself(answer, draw):
    text = draw_tokens(draw, "code-attn-2l", 1, 6)
    with fresh("code-attn-2l", "itself") as model:
        same = answer(model, text, 0, 2, text.expand(4, -1).contiguous())
    with torch.no_grad():
        whole = loaded("code-attn-2l")(text)
    because = "a mean of equal numbers is that number"
    expect.close(same, whole, "the logits of a text with itself as reference", atol=1e-3, because=because)


@mean_.check("afterwards the model is as it was, and the next ablation starts from the whole model")
def mean_clean(answer, draw):
    text, reference = draw_tokens(draw, "code-attn-2l", 1, 6), draw_tokens(draw, "code-attn-2l", 4, 6)
    with fresh("code-attn-2l", "twice", THEIRS) as model:
        both = [answer(model, text, layer, head, reference) for layer, head in [(1, 3), (0, 1)]]
        expect_unchanged(model, "code-attn-2l", THEIRS)
    for got, (layer, head) in zip(both, [(1, 3), (0, 1)], strict=True):
        mean_z = reference_z("code-attn-2l", reference, layer, head).mean(0)
        want = with_z("code-attn-2l", text, layer, head, mean_z, THEIRS)
        what = f"the logits with head {layer}.{head} at its mean, and somebody's hook on the model,"
        expect.close(got, want, what, atol=1e-3)


@mean_.check("other lengths, other heads", hidden=True)
def mean_lengths(answer, draw):
    for texts, pos in [(3, 1), (6, 90)]:
        expect_mean(answer, draw, "code-attn-1l", 0, draw.integer(0, 4), 2, texts, pos)


def run_with_z(model, tokens, layer, head, value):
    """The model with `value(z)` in the place of one head's entry of its own z."""
    name = f"blocks.{layer}.attn.hook_z"
    return run(model, tokens, (name, lambda z, hook: put(head, value(z[:, :, head]))(z, hook)))


@torch.no_grad()
def z_on(model, reference, layer):
    name = f"blocks.{layer}.attn.hook_z"
    return model.run_with_cache(reference, names_filter=name, return_cache_object=False)[1][name]


@mean_.wrong(
    "one mean for all positions",
    "You averaged over the texts and the positions. Here each position keeps its own mean: what a head does at the beginning of a file "
    "differs from what it does later. Average over the batch alone.",
)
def mean_over_positions(model, tokens, layer, head, reference_tokens):
    z = z_on(model, reference_tokens, layer)[:, :, head].mean((0, 1))
    return run_with_z(model, tokens, layer, head, lambda own: z)


@mean_.wrong(
    "the mean of the texts that you edit",
    "You averaged over the texts that you edit, so each of them still has a share in its own replacement. Take the mean over the reference "
    "texts.",
)
def mean_of_own(model, tokens, layer, head, reference_tokens):
    return run_with_z(model, tokens, layer, head, lambda own: own.mean(0))


@mean_.wrong(
    "each text's mean over its positions",
    "You averaged over axis 1, the positions of each text itself. That mean still knows the text. Average over axis 0 of the reference texts.",
)
def mean_of_text(model, tokens, layer, head, reference_tokens):
    return run_with_z(model, tokens, layer, head, lambda own: own.mean(1, keepdim=True))


@mean_.wrong("zero in place of the mean", "That is zero ablation again: the head's entry is 0, and should be the mean.")
def mean_zero(model, tokens, layer, head, reference_tokens):
    return run_with_z(model, tokens, layer, head, lambda own: 0.0)


@mean_.wrong(
    "the mean of every head",
    "All heads of the block are at their means. Only one of them should be: put the mean into [:, :, head] of a copy of z.",
)
def mean_layer(model, tokens, layer, head, reference_tokens):
    mean_z = z_on(model, reference_tokens, layer).mean(0)
    return run(model, tokens, (f"blocks.{layer}.attn.hook_z", lambda z, hook: mean_z.expand_as(z).clone()))


@mean_.wrong(
    "the mean over the heads",
    "You averaged over the heads (axis 2 of hook_z). Pick your head first; what is averaged is its own output, over the reference texts.",
)
def mean_over_heads(model, tokens, layer, head, reference_tokens):
    z = z_on(model, reference_tokens, layer).mean((0, 2))
    return run_with_z(model, tokens, layer, head, lambda own: z)


@mean_.wrong(
    "returns nothing from the hook",
    "Your logits are those of the whole model. The hook made a new z and did not return it.",
)
def mean_no_return(model, tokens, layer, head, reference_tokens):
    return run(model, tokens)


@mean_.wrong(
    "leaves its hook on",
    "Your first result is right, and its hook stays on the model: everything after it is computed with that head's mean in place. Use "
    "run_with_hooks, which cleans up behind itself, in place of add_hook.",
)
def mean_left_on(model, tokens, layer, head, reference_tokens):
    mean_z = z_on(model, reference_tokens, layer)[:, :, head].mean(0)
    return left_on(model, tokens, [(f"blocks.{layer}.attn.hook_z", put(head, mean_z))])


@mean_.variation("the mean is collected by a hook of its own")
def mean_two_hooks(model, tokens, layer, head, reference_tokens):
    name, kept = f"blocks.{layer}.attn.hook_z", []
    run(model, reference_tokens, (name, lambda z, hook: kept.append(z[:, :, head].clone())))
    mean_z = kept[0].sum(0) / len(reference_tokens)
    with torch.no_grad(), model.hooks(fwd_hooks=[(name, put(head, mean_z))]):
        return model(tokens)


@mean_.variation("one text after the other, in float64")
def mean_loop(model, tokens, layer, head, reference_tokens):
    total = sum(z_on(model, text[None], layer)[0, :, head].double() for text in reference_tokens)
    return run_with_z(model, tokens, layer, head, lambda own: (total / len(reference_tokens)).float())


# --- loss_change ----------------------------------------------------------------------------------------------------

change_ = Exercise("loss_change")


@torch.no_grad()
def losses_of(logits, tokens):
    """-log p of each token but the first, by log_softmax and gather."""
    return -logits.log_softmax(-1)[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)


@torch.no_grad()
def whole_losses(name, tokens):
    return losses_of(loaded(name)(tokens), tokens)


@change_.check("a hook that sets all logits to 0: every token then has the loss log(d_vocab)")
def change_flat(answer, draw):
    tokens = draw_tokens(draw, "code-attn-2l", 3, 7)
    with fresh("code-attn-2l", "flat") as model:
        got = answer(model, tokens, [("hook_unembed", lambda logits, hook: 0 * logits)])
    expect.shape(got, (3, 6), axes="batch pos-1")
    want = math.log(1024) - whole_losses("code-attn-2l", tokens)
    expect.close(got, want, "the changes", atol=1e-3, because="log 1024 = 6.93 now, minus what the loss was")


@change_.check("a logit raised by 5 for the token that comes makes it easier, all else stays; no hook, no change")
def change_one(answer, draw):
    tokens = draw_tokens(draw, "code-attn-2l", 2, 6)

    def help_text_1_position_4(logits, hook):
        logits = logits.clone()
        logits[1, 3, tokens[1, 4]] += 5  # row 3 speaks about token 4
        return logits

    with fresh("code-attn-2l", "one") as model:
        got = answer(model, tokens, [("hook_unembed", help_text_1_position_4)])
        none = answer(model, tokens, [])
    with torch.no_grad():
        logits = loaded("code-attn-2l")(tokens)
    want = torch.zeros(2, 5)
    want[1, 3] = (losses_of(help_text_1_position_4(logits, None), tokens) - losses_of(logits, tokens))[1, 3]
    expect.shape(got, (2, 5), axes="batch pos-1")
    expect.close(got, want, "the changes", atol=1e-4, because="the row at position 3 is judged by token 4, entry 3")
    expect.close(none, torch.zeros(2, 5), "the changes without any hook", atol=1e-4)


@change_.check("hooks inside the model, one or several at once; somebody else's stay on in both runs")
def change_inside(answer, draw):
    name = "code-2l"
    tokens = draw_tokens(draw, name, 2, 8)
    pairs = [("blocks.0.attn.hook_z", put(0, 0.0)), ("blocks.1.attn.hook_z", put(3, 0.0))]
    edits = pairs, [("blocks.0.attn.hook_z", put(4, 0.0))]
    with fresh(name, "inside", THEIRS) as model:
        both = [answer(model, tokens, hooks) for hooks in edits]
        expect_unchanged(model, name, THEIRS)
    before, *after = (losses_of(run(loaded(name), tokens, *hooks, *THEIRS), tokens) for hooks in ([], *edits))
    for got, losses in zip(both, after, strict=True):
        expect.close(got, losses - before, "the changes, with somebody's hook on the model in both runs,", atol=1e-3)


@change_.check("a text of two tokens, and a full context", hidden=True)
def change_lengths(answer, draw):
    for pos in (2, 200):
        tokens = draw_tokens(draw, "code-attn-1l", 1, pos)
        pairs = [("blocks.0.attn.hook_z", put(draw.integer(0, 4), 0.0))]
        with fresh("code-attn-1l", pos) as model:
            got = answer(model, tokens, pairs)
        with torch.no_grad():
            edited = loaded("code-attn-1l").run_with_hooks(tokens, fwd_hooks=pairs)
        want = losses_of(edited, tokens) - whole_losses("code-attn-1l", tokens)
        expect.close(got, want, f"the changes in {pos} tokens", atol=1e-3)


def change_by(losses, model, tokens, fwd_hooks):
    with torch.no_grad():
        return losses(run(model, tokens, *fwd_hooks), tokens) - losses(model(tokens), tokens)


@change_.wrong(
    "the sign is reversed",
    "Your signs are the other way round: you took the loss without the hooks minus the loss with them. A token that got harder has a "
    "positive change.",
)
def change_sign(model, tokens, fwd_hooks):
    return -change_by(losses_of, model, tokens, fwd_hooks)


@change_.wrong(
    "no shift",
    "You judged each row by the token at its own position, which the model has just read. Row i speaks about token i + 1: tokens[:, 1:].",
)
def change_no_shift(model, tokens, fwd_hooks):
    def losses(logits, tokens):
        return F.cross_entropy(logits[:, :-1].mT, tokens[:, :-1], reduction="none")

    return change_by(losses, model, tokens, fwd_hooks)


@change_.wrong(
    "no shift, and the first row dropped",
    "You judged each row by the token at its own position, and dropped the first row. The row to drop is the last, logits[:, :-1]: row i "
    "speaks about token i + 1, tokens[:, 1:].",
)
def change_no_shift_late(model, tokens, fwd_hooks):
    return change_by(
        lambda logits, tokens: F.cross_entropy(logits.mT, tokens, reduction="none")[:, 1:], model, tokens, fwd_hooks
    )


@change_.wrong(
    "shifted the wrong way",
    "You judged each row by the token before it. The rows lose their last one, logits[:, :-1], and the tokens their first, tokens[:, 1:].",
)
def change_wrong_shift(model, tokens, fwd_hooks):
    def losses(logits, tokens):
        return F.cross_entropy(logits[:, 1:].mT, tokens[:, :-1], reduction="none")

    return change_by(losses, model, tokens, fwd_hooks)


@change_.wrong(
    "one number for all tokens",
    'You returned one mean. Which tokens it comes from is the question here: use reduction="none".',
)
def change_mean(model, tokens, fwd_hooks):
    return change_by(losses_of, model, tokens, fwd_hooks).mean()


@change_.wrong(
    "the change of the probability",
    "You compared probabilities. The loss is -log p: from 0.001 to 0.0001 is a small step in p and 2.3 nats of loss.",
)
def change_probability(model, tokens, fwd_hooks):
    def probability(logits, tokens):
        return -logits.softmax(-1)[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)

    return change_by(probability, model, tokens, fwd_hooks)


@change_.wrong(
    "the change of the logit",
    "You compared the logit of the token that came. A logit means something only beside the others: take cross-entropy, which compares it with "
    "all of them.",
)
def change_logit(model, tokens, fwd_hooks):
    def logit(logits, tokens):
        return -logits[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)

    return change_by(logit, model, tokens, fwd_hooks)


@change_.wrong(
    "only the size of the change",
    "Your changes have no sign. An edit makes some tokens easier: leave the absolute value out.",
)
def change_absolute(model, tokens, fwd_hooks):
    return change_by(losses_of, model, tokens, fwd_hooks).abs()


@change_.wrong(
    "the baseline runs with the hooks",
    "All your changes are 0: both runs had the hooks on. The run to compare with must stand outside of `with model.hooks(...)`.",
)
def change_baseline(model, tokens, fwd_hooks):
    return change_by(losses_of, model, tokens, []) * 0


@change_.wrong(
    "leaves its hooks on",
    "After your function the hooks are still on the model, and every later run has them. Use run_with_hooks, which takes them off, in "
    "place of add_hook.",
)
def change_left_on(model, tokens, fwd_hooks):
    with torch.no_grad():
        before = losses_of(model(tokens), tokens)
    edited = left_on(model, tokens, fwd_hooks)
    return losses_of(edited, tokens) - before


@change_.variation("log_softmax and gather, inside `with model.hooks`")
def change_gather(model, tokens, fwd_hooks):
    with torch.no_grad():
        before = model(tokens)
        with model.hooks(fwd_hooks=fwd_hooks):
            after = model(tokens)
    return losses_of(after.double(), tokens).float() - losses_of(before.double(), tokens).float()


@change_.variation("one text after the other")
def change_loop(model, tokens, fwd_hooks):
    with torch.no_grad():
        pair = run(model, tokens, *fwd_hooks), model(tokens)
    after, before = (
        torch.stack([F.cross_entropy(logits[i, :-1], tokens[i, 1:], reduction="none") for i in range(len(tokens))])
        for logits in pair
    )
    return after - before


# --- hook_effect ----------------------------------------------------------------------------------------------------

effect = Exercise("hook_effect")
NATIVE = "mod-add-53"


def expect_pair(got, ran, change, what, because=""):
    is_pair = isinstance(got, (tuple, list)) and len(got) == 2
    expect.true(is_pair, f"You returned {expect.describe(got)}; it should be a pair: number of calls, largest change.")
    expect.equal(got[0], ran, f"the number of calls, for {what},", because=because)
    expect.close(got[1], change, f"the largest change of a logit, for {what},", atol=1e-3, because=because)


@effect.check("an edit that lowers one logit by 3, and another by 1, changes a logit by 3 at most")
def effect_by_hand(answer, draw):
    tokens = draw_tokens(draw, "code-attn-2l", 3, 6)

    def lower_two(logits):
        logits = logits.clone()
        logits[1, 2, 700] -= 3.0
        logits[0, 4, 5] -= 1.0
        return logits

    with fresh("code-attn-2l", "by hand") as model:
        got = answer(model, tokens, "hook_unembed", lower_two)
    expect_pair(got, 1, 3.0, "an edit of the logits themselves")


@effect.check("a head that is switched off: the change is that of a model without the head", hidden=True)
def effect_live(answer, draw):
    tokens = draw_tokens(draw, "code-attn-2l", 2, 7)
    with fresh("code-attn-2l", "live") as model:
        got = answer(model, tokens, "blocks.1.attn.hook_z", lambda z: put(2, 0.0)(z, None))
    with torch.no_grad():
        want = (without_head("code-attn-2l", tokens, 1, 2) - loaded("code-attn-2l")(tokens)).abs().max()
    expect_pair(got, 1, float(want), "a live hook")


@effect.check("a dead hook runs once and changes nothing; one that is never reached does not run")
def effect_dead(answer, draw):
    tokens, sum_ = draw_tokens(draw, "code-attn-2l", 1, 5), draw_tokens(draw, NATIVE, 2, 3)
    with fresh("code-attn-2l", "dead") as model, fresh(NATIVE, "never") as native:
        dead = answer(model, tokens, "blocks.1.hook_resid_mid", lambda stream: stream + 1)
        never = answer(native, sum_, "blocks.0.attn.hook_hidden_states", lambda stream: 0 * stream)
    expect_pair(dead, 1, 0.0, "hook_resid_mid of code-attn-2l", because="its MLPs are zero, so nobody hears the edit")
    expect_pair(never, 0, 0.0, "hook_hidden_states of mod-add-53", because="this kind of model never runs through it")


@effect.check("afterwards the model is as it was, and the next proof starts from the whole model")
def effect_clean(answer, draw):
    tokens = draw_tokens(draw, "code-2l", 1, 5)
    places = ["blocks.0.attn.hook_pattern", "blocks.1.hook_mlp_out"]
    with fresh("code-2l", "twice", THEIRS) as model:
        both = [answer(model, tokens, place, lambda activation: 0.5 * activation) for place in places]
        expect_unchanged(model, "code-2l", THEIRS)
    whole = run(loaded("code-2l"), tokens, *THEIRS)
    for place, got in zip(places, both, strict=True):
        edited = run(loaded("code-2l"), tokens, (place, lambda activation, hook: 0.5 * activation), *THEIRS)
        expect_pair(
            got, 1, float((edited - whole).abs().max()), f"{place}, and somebody's hook on the model in both runs"
        )


@effect.check(
    "in a native model the scores are dead and the pattern is alive; an edit that changes nothing is told", hidden=True
)
def effect_native(answer, draw):
    tokens = draw_tokens(draw, NATIVE, 3, 3)
    with fresh(NATIVE, "native") as model:
        scores = answer(model, tokens, "blocks.0.attn.hook_attn_scores", lambda scores: 0 * scores)
        pattern = answer(model, tokens, "blocks.0.attn.hook_pattern", lambda pattern: 0 * pattern)
        same = answer(model, tokens, "blocks.0.attn.hook_z", lambda z: z.clone())
    with torch.no_grad():
        edited = loaded(NATIVE).run_with_hooks(
            tokens, fwd_hooks=[("blocks.0.attn.hook_pattern", lambda pattern, hook: 0 * pattern)]
        )
        want = (edited - loaded(NATIVE)(tokens)).abs().max()
    expect_pair(scores, 1, 0.0, "hook_attn_scores of mod-add-53")
    expect_pair(pattern, 1, float(want), "hook_pattern of mod-add-53")
    expect_pair(same, 1, 0.0, "an edit that returns a copy")


def effect_of(model, tokens, name, edit, measure, give_back=True):
    """The number of calls, and `measure(before, after)` of the logits; with `give_back` the edit reaches the model."""
    calls = []

    def replace(activation, hook):
        calls.append(1)
        edited = edit(activation)
        return edited if give_back else None

    with torch.no_grad():
        before = model(tokens)
        after = run(model, tokens, (name, replace))
    return len(calls), float(measure(before, after))


def largest(before, after):
    return (after - before).abs().max()


@effect.wrong(
    "the hook returns nothing",
    "Every hook looks dead to you, live ones too: your hook function calls edit and drops what comes back. Return it, or the model goes "
    "on with the old activation.",
)
def effect_no_return(model, tokens, name, edit):
    return effect_of(model, tokens, name, edit, largest, give_back=False)


@effect.wrong(
    "measures the activation",
    "You measured how far edit moved the activation. In a dead hook it moves just as far, and the model does not notice. Compare the logits.",
)
def effect_activation(model, tokens, name, edit):
    moved = [0.0]

    def replace(activation, hook):
        edited = edit(activation)
        moved.append(float((edited - activation).abs().max()))
        return edited

    run(model, tokens, (name, replace))
    return len(moved) - 1, max(moved)


@effect.wrong(
    "no absolute value",
    "You took the largest change with its sign. A logit that falls has changed too: take the absolute value before the maximum.",
)
def effect_signed(model, tokens, name, edit):
    return effect_of(model, tokens, name, edit, lambda before, after: (after - before).max())


@effect.wrong(
    "difference of the maxima",
    "You compared the largest logit of one run with the largest of the other; those may be logits of different tokens. Subtract first, then take the "
    "maximum.",
)
def effect_maxima(model, tokens, name, edit):
    return effect_of(model, tokens, name, edit, lambda before, after: (after.max() - before.max()).abs())


@effect.wrong(
    "the last position only",
    "You looked at the last position's logits. An edit may act at an earlier place and not there: look at all positions.",
)
def effect_last(model, tokens, name, edit):
    return effect_of(model, tokens, name, edit, lambda before, after: largest(before[:, -1], after[:, -1]))


@effect.wrong(
    "the first text only",
    "You looked at the logits of the first text. An edit may act on another one alone: take the maximum over all texts.",
)
def effect_first_text(model, tokens, name, edit):
    return effect_of(model, tokens, name, edit, lambda before, after: largest(before[0], after[0]))


@effect.wrong(
    "the mean change",
    "You took the mean over all logits. One logit of 1,024 that changes a lot nearly vanishes in it: take the maximum.",
)
def effect_mean(model, tokens, name, edit):
    return effect_of(model, tokens, name, edit, lambda before, after: (after - before).abs().mean())


@effect.wrong(
    "takes a name for a call",
    "You report a call wherever the hook's name exists. A hook can stand in hook_dict and never be reached: count inside your hook function.",
)
def effect_exists(model, tokens, name, edit):
    _, change = effect_of(model, tokens, name, edit, largest)
    return int(name in model.hook_dict), change


@effect.wrong(
    "leaves its hook on",
    "Your first proof is right, and its hook stays on the model: the next one is compared with an edited model. Use run_with_hooks, which "
    "takes its hooks off, in place of add_hook.",
)
def effect_left_on(model, tokens, name, edit):
    calls = []

    def replace(activation, hook):
        calls.append(1)
        return edit(activation)

    with torch.no_grad():
        before = model(tokens)
    calls.clear()
    after = left_on(model, tokens, [(name, replace)])
    return len(calls), float(largest(before, after))


@effect.variation("a list of calls, inside `with model.hooks`")
def effect_list(model, tokens, name, edit):
    calls = []

    def replace(activation, hook):
        calls.append(hook.name)
        return edit(activation)

    with torch.no_grad():
        with model.hooks(fwd_hooks=[(name, replace)]):
            after = model(tokens)
        difference = after - model(tokens)
    return len(calls), max(float(difference.max()), -float(difference.min()))


@effect.variation("a tensor for the change")
def effect_tensor(model, tokens, name, edit):
    ran, change = effect_of(model, tokens, name, edit, largest)
    return ran, torch.tensor(change)
