"""How the exercises of lesson 06 are checked.

The truth comes from outside the lab: heads that were planted by hand, closed forms, and `plain`, the bundled models written out
in torch without a hook. `reference` only supplies the parts that a wrong answer gets right.
"""

import copy
import functools
import math

import torch
import torch.nn.functional as F

from mechinterp_course.interp import models, planted
from mechinterp_course.tutor.checks import Exercise, expect, reference

ROLES = ["previous token", "duplicate token", "induction"]


def repeats(draw, length, batch=1):
    """BOS, then different tokens (so that nothing matches by chance), written twice."""
    once = torch.stack([1 + draw.permutation(3 * length)[:length] for _ in range(batch)])
    return torch.cat([torch.zeros(batch, 1, dtype=torch.long), once, once], dim=1)


def heads(roles, tokens, back=9, sharpness=30.0, noise=0.0, seed=0):
    """The patterns of planted heads with these roles: (batch, head, query, key)."""
    return planted.patterns(tokens, [roles], back, sharpness, noise, seed)[0]


def random_pattern(draw, *shape):
    """A causal pattern of no particular role: (*shape[:-1], query, key), where shape ends in the number of positions."""
    scores = draw.normal(*shape, shape[-1], std=2)
    return scores.masked_fill(torch.ones(shape[-1], shape[-1], dtype=torch.bool).triu(1), -torch.inf).softmax(-1)


# --- repeated_prompts -----------------------------------------------------------------------------------------------

prompts_ = Exercise("repeated_prompts")


def generator(draw):
    return torch.Generator().manual_seed(draw.seed())


@prompts_.check("BOS once in front, then a copy, then the same copy again")
def prompts_form(answer, draw):
    for vocabulary, length, batch, bos in ((range(1, 1000), 7, 3, 0), (range(17, 500), 4, 2, 5)):
        out = answer(vocabulary, length, batch, bos, generator(draw))
        expect.shape(out, (batch, 1 + 2 * length), axes="batch pos")
        expect.dtype(out, torch.long)
        expect.equal(
            out[:, 0], torch.full((batch,), bos), "the first token of each prompt", because="BOS stands in front"
        )
        expect.equal(
            out[:, 1 + length :], out[:, 1 : 1 + length], "the second copy", because="it repeats the first copy"
        )


@prompts_.check("every prompt is drawn anew")
def prompts_differ(answer, draw):
    out = answer(range(1, 10_000), 12, 6, 0, generator(draw))
    expect.shape(out, (6, 25), axes="batch pos")
    different = len(out[:, 1:13].unique(dim=0))
    expect.true(
        different == 6,
        f"Of 6 prompts, {different} {'is' if different == 1 else 'are'} different: each should have random tokens of its own.",
    )
    for row in out:
        kinds = len(row[1:13].unique())
        expect.true(
            kinds > 6,
            f"One of your copies has only {kinds} different tokens of 12; each token should be drawn on its own.",
        )


@prompts_.check("tokens come from the whole vocabulary, and from nowhere else")
def prompts_range(answer, draw):
    for vocabulary in (range(3, 9), range(1, 4)):
        out = answer(vocabulary, 60, 5, 0, generator(draw))
        expect.shape(out, (5, 121), axes="batch pos")
        expect.equal(
            sorted(set(out[:, 1:].flatten().tolist())),
            list(vocabulary),
            f"the token ids that come up, for {vocabulary},",
        )


@prompts_.check("the generator decides: the same seed gives the same prompts, another seed others")
def prompts_seed(answer, draw):
    seed = draw.seed()
    a, b, c = (answer(range(1, 999), 9, 2, 0, torch.Generator().manual_seed(s)) for s in (seed, seed, seed + 1))
    expect.shape(c, (2, 19), axes="batch pos")
    expect.true(
        torch.equal(a, b),
        "Two generators with the same seed gave different prompts: draw with the generator that you are given.",
    )
    expect.true(
        not torch.equal(a, c),
        "Two generators with different seeds gave the same prompts: draw with the generator that you are given, and do not seed it.",
    )


@prompts_.check("a copy of one token, and a batch of one", hidden=True)
def prompts_small(answer, draw):
    out = answer(range(1, 50), 1, 4, 0, generator(draw))
    expect.shape(out, (4, 3), axes="batch pos")
    expect.equal(out[:, 2], out[:, 1], "the second copy")
    expect.shape(answer(range(1, 50), 30, 1, 0, generator(draw)), (1, 61), axes="batch pos")


def draw_prompts(vocabulary, length, batch, bos, generator, low=None, high=None, rows=None):
    low, high = vocabulary.start if low is None else low, vocabulary.stop if high is None else high
    once = torch.randint(low, high, (rows or batch, length), generator=generator).expand(batch, length)
    return torch.full((batch, 1), bos), once


@prompts_.wrong(
    "one row for all prompts",
    "All your prompts are the same. A mean over them is a measurement of one prompt: draw (batch, length) tokens.",
)
def prompts_same_rows(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, bos, generator, rows=1)
    return torch.cat([front, once, once], 1)


@prompts_.wrong(
    "each token twice in a row",
    "You wrote a a b b c c. A model can predict that from the token before alone; write the whole copy, then the whole copy again.",
)
def prompts_interleaved(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, bos, generator)
    return torch.cat([front, once.repeat_interleave(2, 1)], 1)


@prompts_.wrong(
    "two copies drawn apart",
    "You drew twice, so the second copy has other tokens than the first. Draw once, and write the same tensor twice.",
)
def prompts_two_draws(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, bos, generator)
    return torch.cat([front, once, draw_prompts(vocabulary, length, batch, bos, generator)[1]], 1)


@prompts_.wrong(
    "draws from 0",
    "Your tokens begin at 0, so special tokens such as BOS stand in the middle of the copies. Draw from vocabulary.start on.",
)
def prompts_from_zero(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, bos, generator, low=0)
    return torch.cat([front, once, once], 1)


@prompts_.wrong(
    "the last token never comes up",
    "The highest token of the vocabulary never comes up. torch.randint leaves its upper end out by itself: give it vocabulary.stop.",
)
def prompts_short_range(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, bos, generator, high=vocabulary.stop - 1)
    return torch.cat([front, once, once], 1)


@prompts_.wrong(
    "one token too many",
    "Your highest token is vocabulary.stop, which is no longer in the range. torch.randint leaves its upper end out by itself, like range.",
)
def prompts_long_range(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, bos, generator, high=vocabulary.stop + 1)
    return torch.cat([front, once, once], 1)


@prompts_.wrong(
    "BOS in front of both copies",
    "There is a second BOS between the copies. BOS stands once, in front: otherwise the copies are not L apart, and BOS itself repeats.",
)
def prompts_two_bos(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, bos, generator)
    return torch.cat([front, once, front, once], 1)


@prompts_.wrong("no BOS", "BOS is missing: the prompts start with the first copy. Put a column of bos in front.")
def prompts_no_bos(vocabulary, length, batch, bos, generator):
    once = draw_prompts(vocabulary, length, batch, bos, generator)[1]
    return torch.cat([once, once], 1)


@prompts_.wrong(
    "a BOS of its own",
    "Your BOS is 0, whatever is given. That is code-attn-2l's; another model has another. Use the argument bos.",
)
def prompts_fixed_bos(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, 0, generator)
    return torch.cat([front, once, once], 1)


@prompts_.wrong(
    "ignores the generator",
    "The generator has no effect on your prompts: pass generator=generator to torch.randint, so that whoever calls can draw the same or others.",
)
def prompts_own_seed(vocabulary, length, batch, bos, generator):
    front, once = draw_prompts(vocabulary, length, batch, bos, torch.Generator().manual_seed(0))
    return torch.cat([front, once, once], 1)


@prompts_.variation("row by row, by index into the range")
def prompts_rows(vocabulary, length, batch, bos, generator):
    rows = []
    for _ in range(batch):
        once = [vocabulary[i] for i in torch.randint(len(vocabulary), (length,), generator=generator).tolist()]
        rows.append([bos, *once, *once])
    return torch.tensor(rows)


@prompts_.variation("repeat, and padding in front")
def prompts_padded(vocabulary, length, batch, bos, generator):
    once = (torch.rand(batch, length, generator=generator) * len(vocabulary)).long() + vocabulary.start
    return F.pad(once.repeat(1, 2), (1, 0), value=bos)


# --- repeat_losses --------------------------------------------------------------------------------------------------

losses_ = Exercise("repeat_losses")


def loss_inputs(draw, length=5, batch=3, d_vocab=17):
    return draw.normal(batch, 1 + 2 * length, d_vocab, std=2), draw.integers(0, d_vocab, batch, 1 + 2 * length), length


@losses_.check("a model that is sure of the right token at one place has a loss near 0 there, and nowhere else")
def losses_planted(answer, draw):
    tokens, d_vocab = repeats(draw, 4, batch=2), 13
    for position in (1, 4, 5, 8):
        logits = torch.zeros(2, 9, d_vocab)
        logits[torch.arange(2), position - 1, tokens[:, position]] = 30.0
        want = torch.full((8,), math.log(d_vocab))
        want[position - 1] = 0
        out = answer(logits, tokens, 4)
        expect.shape(out, (2, 4), axes="copy place")
        because = f"only position {position - 1} knows its next token, and that is place {(position - 1) % 4} of copy {(position - 1) // 4}"
        expect.close(
            out,
            want.reshape(2, 4),
            f"the losses when the token at position {position} is known",
            atol=1e-4,
            because=because,
        )


@losses_.check("it is torch's cross-entropy, averaged over the prompts")
def losses_like_torch(answer, draw):
    for inputs in (loss_inputs(draw), loss_inputs(draw, length=7, batch=2, d_vocab=5)):
        expect.close(answer(*inputs), torch_losses(*inputs), "the losses", atol=1e-4)


@losses_.check("a model that is sure of a wrong token has a large loss, and not an infinite one")
def losses_sure(answer, draw):
    tokens = repeats(draw, 3, batch=1)
    logits = torch.zeros(1, 7, 11)
    logits[0, 1, (tokens[0, 2] + 1) % 11] = 150.0
    want = torch.full((2, 3), math.log(11))
    want[0, 1] = 150.0
    because = "the right token lies 150 below the one that the model is sure of"
    expect.close(answer(logits, tokens, 3), want, "the losses", atol=1e-3, because=because)


@losses_.check("adding a constant to all logits of a position changes nothing", hidden=True)
def losses_shift(answer, draw):
    logits, tokens, length = loss_inputs(draw, length=3, batch=4)
    moved = logits + draw.normal(4, 7, 1, std=30)
    expect.close(answer(moved, tokens, length), torch_losses(logits, tokens, length), "the losses", atol=1e-3)


@losses_.check("one prompt, one token a copy", hidden=True)
def losses_small(answer, draw):
    inputs = loss_inputs(draw, length=1, batch=1)
    expect.close(answer(*inputs), torch_losses(*inputs), "the losses", atol=1e-4)


def torch_losses(logits, tokens, length):
    each = F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
    return each.mean(0).reshape(2, length)


@losses_.wrong(
    "no shift",
    "You compared the logits at each position with the token at the same position, which the model has already read. "
    "The logits at p predict the token at p + 1.",
)
def losses_unshifted(logits, tokens, length):
    each = F.cross_entropy(logits.mT, tokens, reduction="none")
    return each.mean(0)[1:].reshape(2, length)


@losses_.wrong(
    "shifted the wrong way",
    "You compared the logits at p with the token *before*, at p − 1. They predict the token after: drop the last logits and the first token.",
)
def losses_backwards(logits, tokens, length):
    each = F.cross_entropy(logits[:, 1:].mT, tokens[:, :-1], reduction="none")
    return each.mean(0).reshape(2, length)


@losses_.wrong(
    "softmax, then cross-entropy",
    "You took a softmax and gave its probabilities to a function that takes another one inside. F.cross_entropy wants logits.",
)
def losses_double_softmax(logits, tokens, length):
    return torch_losses(logits.softmax(-1), tokens, length)


@losses_.wrong(
    "the logit itself",
    "You took minus the logit of the right token. A logit is a score without a unit: take log_softmax over the vocabulary first.",
)
def losses_logits(logits, tokens, length):
    return -logits[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0].mean(0).reshape(2, length)


@losses_.wrong(
    "probabilities, not losses",
    "Your numbers lie between 0 and 1 and are large where the model is right: these are probabilities. The loss is minus their logarithm.",
)
def losses_probabilities(logits, tokens, length):
    p = logits[:, :-1].softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return p.mean(0).reshape(2, length)


@losses_.wrong(
    "the logarithm of the mean",
    "You averaged probabilities over the prompts and took the logarithm afterwards. The mean loss is a mean of logarithms: log first.",
)
def losses_log_of_mean(logits, tokens, length):
    return -losses_probabilities(logits, tokens, length).log()


@losses_.wrong(
    "softmax first, logarithm later",
    "A probability below about 1e-45 is rounded to 0, and its logarithm is −∞. Take F.log_softmax of the logits: it never holds the small number itself.",
)
def losses_two_steps(logits, tokens, length):
    return -logits.softmax(-1)[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0].log().mean(0).reshape(2, length)


@losses_.wrong(
    "the copies in the wrong shape",
    "Your numbers are right, but not where they belong: you cut them into rows as (length, 2) and transposed. Row 0 is the whole first copy.",
)
def losses_interleaved(logits, tokens, length):
    return torch_losses(logits, tokens, length).flatten().reshape(length, 2).T


@losses_.wrong(
    "bits",
    "Your losses are 1.44 times too large: you used the logarithm to the base 2, which gives bits. Nats use the natural logarithm.",
)
def losses_bits(logits, tokens, length):
    return torch_losses(logits, tokens, length) / math.log(2)


@losses_.wrong(
    "the sum over the prompts",
    "You added the prompts up. Take their mean, so that the number does not grow with the batch.",
)
def losses_sum(logits, tokens, length):
    return torch_losses(logits, tokens, length) * len(tokens)


@losses_.variation("copy by copy, with cross_entropy")
def losses_by_copy(logits, tokens, length):
    rows = []
    for start in (0, length):
        now = logits[:, start : start + length]
        then = tokens[:, start + 1 : start + 1 + length]
        each = F.cross_entropy(now.flatten(0, 1), then.flatten(), reduction="none")
        rows.append(each.view(-1, length).mean(0))
    return torch.stack(rows)


@losses_.variation("logsumexp minus the logit, in float64")
def losses_logsumexp(logits, tokens, length):
    logits = logits.double()[:, :-1]
    each = logits.logsumexp(-1) - logits.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)
    return torch.stack(each.mean(0).split(length))


# --- stripe_score ---------------------------------------------------------------------------------------------------

stripe = Exercise("stripe_score")


@stripe.check("the example above: 0.65 for back = 2 and the last 2 queries")
def stripe_by_hand(answer, draw):
    pattern = torch.tensor(
        [
            [1.0, 0, 0, 0, 0],
            [0.1, 0.9, 0, 0, 0],
            [0.7, 0.2, 0.1, 0, 0],
            [0, 0.8, 0.1, 0.1, 0],
            [0.1, 0.1, 0.5, 0.1, 0.2],
        ]
    )
    expect.close(answer(pattern, 2, 2), 0.65, "the score for back = 2, queries = 2")
    expect.close(answer(pattern, 2, 3), 2.0 / 3, "the score for back = 2, queries = 3")
    expect.close(answer(pattern, 1, 4), 0.5 / 4, "the score for back = 1, queries = 4")
    expect.close(answer(pattern, 0, 2), 0.15, "the score for back = 0, queries = 2")


@stripe.check("all axes in front of query and key are kept")
def stripe_axes(answer, draw):
    pattern = random_pattern(draw, 2, 3, 4, 11)
    out = answer(pattern, 3, 5)
    expect.shape(out, (2, 3, 4), axes="layer batch head")
    expect.close(out, by_entry(pattern, 3, 5))
    flat = random_pattern(draw, 6, 8)
    expect.close(answer(flat, 1, 7), by_entry(flat, 1, 7), "the scores of six heads")


@stripe.check("a planted induction head scores 1 on its stripe and 0 one place beside it")
def stripe_planted(answer, draw):
    pattern = heads(["induction", "previous token"], repeats(draw, 6, batch=3))
    for back, want in ((5, [1.0, 0.0]), (6, [0.0, 0.0]), (4, [0.0, 0.0]), (1, [0.0, 1.0])):
        expect.close(answer(pattern, back, 6), torch.tensor([want] * 3), f"the scores for back = {back}", atol=1e-3)


@stripe.check("one query, and as many as there are", hidden=True)
def stripe_ends(answer, draw):
    pattern = random_pattern(draw, 2, 5, 11)
    for back in (0, 4, 10):
        for queries in {1, 11 - back}:
            what = f"the scores for back = {back}, queries = {queries}"
            expect.close(answer(pattern, back, queries), by_entry(pattern, back, queries), what)


def by_entry(pattern, back, queries):
    """Entry by entry: the definition."""
    n = pattern.shape[-1]
    return sum(pattern[..., q, q - back] for q in range(n - queries, n)) / queries


@stripe.wrong(
    "divides by every query",
    "Your scores are too small: you added up the right entries and divided by the number of all queries. Divide by the number that count.",
)
def stripe_all_queries(pattern, back, queries):
    return by_entry(pattern, back, queries) * queries / pattern.shape[-1]


@stripe.wrong(
    "the mean over the whole stripe",
    "You averaged over the whole diagonal. Only the last `queries` queries count: on the first copy there is nothing to look back to.",
)
def stripe_whole(pattern, back, queries):
    return pattern.diagonal(-back, -2, -1).mean(-1)


@stripe.wrong(
    "above the diagonal",
    "You read the diagonal `back` places *above* the main one: keys that come after the query, where a causal pattern is 0. "
    "The offset is -back.",
)
def stripe_above(pattern, back, queries):
    return pattern.diagonal(back, -2, -1)[..., -queries:].mean(-1)


@stripe.wrong(
    "off-by-one diagonal",
    "You read the stripe back − 1. back = 0 is the main diagonal, where each query looks at itself; back = 1 is one below it.",
)
def stripe_off_by_one(pattern, back, queries):
    return pattern.diagonal(1 - back, -2, -1)[..., -queries:].mean(-1)


@stripe.wrong(
    "the first queries",
    "You took the stripe's first entries: the queries of the first copy. The last `queries` ones count.",
)
def stripe_first(pattern, back, queries):
    return pattern.diagonal(-back, -2, -1)[..., :queries].mean(-1)


@stripe.wrong(
    "one number for everything",
    "You averaged over the heads and prompts as well. Average over the stripe alone (dim=-1), and keep the axes in front.",
)
def stripe_one_number(pattern, back, queries):
    return by_entry(pattern, back, queries).mean()


@stripe.wrong(
    "the brightest entry",
    "You took the maximum over the stripe. One bright query would make a head look like it always does this: take the mean.",
)
def stripe_max(pattern, back, queries):
    return pattern.diagonal(-back, -2, -1)[..., -queries:].amax(-1)


@stripe.wrong("the sum", "You added the entries up. Divide by how many they are, so that a perfect head scores 1.")
def stripe_sum(pattern, back, queries):
    return by_entry(pattern, back, queries) * queries


@stripe.variation("the last rows of the pattern, then gather")
def stripe_gather(pattern, back, queries):
    n = pattern.shape[-1]
    query = torch.arange(n - queries, n)
    keys = (query - back).expand(*pattern.shape[:-2], queries)
    return pattern[..., n - queries :, :].gather(-1, keys[..., None])[..., 0].mean(-1)


@stripe.variation("a mask of 0 and 1, in float64")
def stripe_mask(pattern, back, queries):
    n = pattern.shape[-1]
    mask = torch.diag(torch.ones(n - back), -back).double()
    mask[: n - queries] = 0
    return torch.einsum("...qk,qk->...", pattern.double(), mask) / queries


@stripe.variation("index by two aranges")
def stripe_index(pattern, back, queries):
    query = torch.arange(pattern.shape[-1])[-queries:]
    return pattern[..., query, query - back].sum(-1) / queries


# --- repeat_scores --------------------------------------------------------------------------------------------------

three = Exercise("repeat_scores")


@three.check("planted heads: 1 for their own role, 0 for the others (and 1/(2 L) where a head rests on BOS once)")
def three_planted(answer, draw):
    for length, batch in ((6, 3), (9, 2)):
        pattern = heads(ROLES, repeats(draw, length, batch), sharpness=40)
        out = answer(pattern, length)
        expect.shape(out, (batch, 3, 3), axes="batch head role")
        for i, role in enumerate(ROLES):
            want = torch.eye(3)[i]
            if (
                i > 0
            ):  # before it has anything to find, this head rests on BOS, which is the first token's previous token
                want[0] = 1 / (2 * length)
            what = f"the scores of a planted {role} head, copies of {length} tokens,"
            expect.close(
                out[0, i],
                want,
                what,
                atol=1e-3,
                because=f"they are previous token {want[0]:.3f}, duplicate token {want[1]:.0f}, induction {want[2]:.0f}",
            )


@three.check("each score is a mean over the queries that count: heads that look there half of the time have 0.5")
def three_exact(answer, draw):
    length = 5
    pattern = random_pattern(draw, 2, 4, 1 + 2 * length)
    out = answer(pattern, length)
    expect.shape(out, (2, 4, 3), axes="batch head role")
    n = 1 + 2 * length
    for i, (name, back, queries) in enumerate(stripes(length)):
        want = sum(pattern[..., q, q - back] for q in range(n - queries, n)) / queries
        expect.close(out[..., i], want, f"the {name} scores of random heads")


@three.check("a head that attends evenly has the scores that fractions give", hidden=True)
def three_even(answer, draw):
    for length in (3, 8):
        n = 1 + 2 * length
        pattern = torch.ones(n, n).tril() / torch.arange(1, n + 1)[:, None]
        late = sum(1 / q for q in range(length + 2, n + 1)) / length  # query q (from 1) gives 1/q to each of q keys
        want = torch.tensor([sum(1 / q for q in range(2, n + 1)) / (2 * length), late, late])
        expect.close(answer(pattern, length), want, f"the scores of an even head, copies of {length} tokens,")


@three.check("(layer, batch, head) in, (layer, batch, head, 3) out", hidden=True)
def three_axes(answer, draw):
    tokens = repeats(draw, 7, batch=4)
    pattern = planted.patterns(tokens, [["induction", "even"], ["duplicate token", "previous token"]], sharpness=40)
    out = answer(pattern, 7)
    expect.shape(out, (2, 4, 2, 3), axes="layer batch head role")
    expect.close(out[1, :, 1], torch.tensor([[1.0, 0, 0]] * 4), "the scores of a previous-token head", atol=1e-3)
    expect.close(out[0, :, 0], torch.tensor([[1 / 14, 0, 1]] * 4), "the scores of an induction head", atol=1e-3)


def stripes(length):
    return [("previous token", 1, 2 * length), ("duplicate token", length, length), ("induction", length - 1, length)]


def scored(pattern, *which):
    """The means along stripes given as (back, queries), side by side."""
    return torch.stack([by_entry(pattern, back, queries) for back, queries in which], -1)


@three.wrong(
    "off-by-one diagonal",
    "Your induction score reads the stripe L + 1 back: what stood *before* the earlier copy of the token. What came after it stands one place "
    "nearer to you, L − 1 back.",
)
def three_before(pattern, length):
    return torch.stack(
        [by_entry(pattern, 1, 2 * length), by_entry(pattern, length, length), _stripe(pattern, length + 1, length)], -1
    )


def _stripe(pattern, back, queries):
    """As by_entry, for stripes that may be shorter than `queries`: the mean over what there is."""
    return pattern.diagonal(-back, -2, -1)[..., -queries:].mean(-1)


@three.wrong(
    "duplicate for induction",
    "Duplicate token and induction are exchanged. The same token stands L places back; what came *after* it, which induction looks at, stands L − 1 back.",
)
def three_swapped(pattern, length):
    return scored(pattern, (1, 2 * length), (length - 1, length), (length, length))


@three.wrong(
    "the BOS token counted",
    "You made the distance longer by one for BOS. BOS moves both copies, so the distance between them stays L.",
)
def three_bos(pattern, length):
    return torch.stack(
        [by_entry(pattern, 1, 2 * length), _stripe(pattern, length + 1, length), by_entry(pattern, length, length)], -1
    )


@three.wrong(
    "every query counts",
    "Duplicate and induction scores are averaged over the whole stripe, or nearly. For induction that includes a query of the first copy, where there is "
    "nothing to find: only the L queries of the second copy count.",
)
def three_whole(pattern, length):
    return torch.stack([_stripe(pattern, back, 2 * length) for back in (1, length, length - 1)], -1)


@three.wrong(
    "divides by every query",
    "A perfect induction head gets 0.5 from you: you divide by 2 L. Only the L queries of the second copy can look back to an earlier one.",
)
def three_by_all(pattern, length):
    return scored(pattern, (1, 2 * length), (length, length), (length - 1, length)) * torch.tensor([1, 0.5, 0.5])


@three.wrong(
    "previous token on the second copy alone",
    "Your previous-token score leaves the first copy out. Every query but the first has a previous token: 2 L of them count.",
)
def three_late_previous(pattern, length):
    return scored(pattern, (1, length), (length, length), (length - 1, length))


@three.wrong(
    "roles in front",
    "You stacked the three scores on a new *first* axis. Put them last: (..., 3), so that out[..., 2] is induction.",
)
def three_first_axis(pattern, length):
    return scored(pattern, *[(back, queries) for _, back, queries in stripes(length)]).movedim(-1, 0)


@three.variation("entry by entry")
def three_entries(pattern, length):
    return scored(pattern, *[(back, queries) for _, back, queries in stripes(length)])


@three.variation("from the rows of the second copy, in float64")
def three_rows(pattern, length):
    late = pattern[..., 1 + length :, :].double()
    previous = pattern[..., 1:, :].double().diagonal(0, -2, -1).mean(-1)
    duplicate, induction = (late.diagonal(offset, -2, -1)[..., :length].mean(-1) for offset in (1, 2))
    return torch.stack([previous, duplicate, induction], -1)


# --- name_heads -----------------------------------------------------------------------------------------------------

names_ = Exercise("name_heads")


@names_.check("planted heads get their own names, in any order")
def names_planted(answer, draw):
    truth = ["even", "induction", "first token", "previous token", "current token", "duplicate token", "induction"]
    for length, noise in ((8, 0.0), (12, 1.0)):
        order = draw.permutation(len(truth)).tolist()
        roles = [truth[i] for i in order]
        pattern = heads(roles, repeats(draw, length, batch=4), sharpness=8, noise=noise, seed=draw.seed() % 1000)
        want = [role if role in ROLES else "other" for role in roles]
        expect.equal(listed(answer(pattern, length)), want, f"the names of the heads {roles}")


@names_.check('a head below the threshold is "other", and one at or above it is not')
def names_threshold(answer, draw):
    tokens = repeats(draw, 9, batch=2)
    rests = heads(["first token"], tokens)
    mixed = torch.cat(
        [
            w * heads([role], tokens) + (1 - w) * rests
            for role, w in (("induction", 0.55), ("duplicate token", 0.3), ("previous token", 0.45))
        ],
        1,
    )
    for threshold, want in (
        (0.4, ["induction", "other", "previous token"]),
        (0.5, ["induction", "other", "other"]),
        (0.2, ["induction", "duplicate token", "previous token"]),
    ):
        expect.equal(
            listed(answer(mixed, 9, threshold)),
            want,
            f"the names for threshold {threshold} of heads with scores 0.55, 0.30 and 0.45",
        )
    expect.equal(
        listed(answer(mixed, 9)),
        ["induction", "other", "previous token"],
        "the names without a threshold given (then it is 0.4)",
    )
    half = torch.zeros(2, 1, 17, 17)
    half[:, :, range(9, 17), range(2, 10)] = 0.5  # the induction stripe of copies of 8 tokens
    half[..., 0] = 1 - half.sum(-1)
    expect.equal(listed(answer(half, 8, 0.5)), ["induction"], "the name of a head whose score is the threshold, 0.5,")


@names_.check("of two roles that both reach the threshold, the stronger one names the head")
def names_two_roles(answer, draw):
    tokens = repeats(draw, 8, batch=3)
    parts = {role: heads([role], tokens) for role in ("previous token", "duplicate token", "induction")}
    for weak, strong in (
        ("previous token", "induction"),
        ("duplicate token", "previous token"),
        ("induction", "duplicate token"),
    ):
        mixed = 0.55 * parts[strong] + 0.45 * parts[weak]
        expect.equal(
            listed(answer(mixed, 8)), [strong], f"the name of a head with 0.55 for {strong} and 0.45 for {weak}"
        )
    spread = sum(parts.values()) / 3
    expect.equal(listed(answer(spread, 8)), ["other"], "the name of a head with a third for each role")


@names_.check("the mean over the prompts decides, not one of them")
def names_batch(answer, draw):
    tokens = repeats(draw, 7, batch=5)
    pattern = heads(["induction", "previous token"], tokens)
    rests = heads(["first token", "first token"], tokens)
    pattern[1:, 0] = rests[1:, 0]  # induction on the first prompt alone: mean 0.2
    rests[1:, 1] = pattern[1:, 1]  # a previous-token head on all prompts but the first: mean 0.8
    both = torch.stack([pattern[:, 0], rests[:, 1]], 1)
    expect.equal(
        listed(answer(both, 7)),
        ["other", "previous token"],
        "the names of heads that keep to their role on 1 and on 4 of 5 prompts",
    )
    strength = torch.tensor([[1.0, 1, 0.3, 0.3, 0.3], [0.5, 0.5, 0.5, 0, 0]]).T[..., None, None]
    full, resting = heads(["induction"] * 2, tokens), heads(["first token"] * 2, tokens)
    expect.equal(
        listed(answer(strength * full + (1 - strength) * resting, 7)),
        ["induction", "other"],
        "the names of heads with induction scores of 1, 1, 0.3, 0.3, 0.3 and of 0.5, 0.5, 0.5, 0, 0 on five prompts",
        because="their means are 0.58 and 0.30",
    )


@names_.check("one head, one prompt", hidden=True)
def names_single(answer, draw):
    for role in ROLES:
        expect.equal(listed(answer(heads([role], repeats(draw, 11)), 11)), [role], f"the name of a planted {role} head")


@names_.check("a previous-token head that stops after the first queries is none", hidden=True)
def names_early(answer, draw):
    pattern = heads(["early previous token", "previous token"], repeats(draw, 40, batch=2))
    expect.equal(listed(answer(pattern, 40)), ["other", "previous token"], "the names on copies of 40 tokens")


def listed(names):
    return list(names) if isinstance(names, tuple) else names


def name_by(scores, threshold, roles=ROLES):
    return [roles[int(row.argmax())] if row.max() >= threshold else "other" for row in scores]


def true_scores(pattern, length):
    return scored(pattern, *[(back, queries) for _, back, queries in stripes(length)])


@names_.wrong(
    "no threshold",
    'Every head gets a role from you, also one with no role at all. Where the best score is below the threshold, the name is "other".',
)
def names_no_threshold(pattern, length, threshold=0.4):
    return name_by(true_scores(pattern, length).mean(0), -1.0)


@names_.wrong(
    "one prompt",
    "You named the heads after their scores on one prompt. Average over the batch first.",
)
def names_one_prompt(pattern, length, threshold=0.4):
    return name_by(true_scores(pattern, length)[0], threshold)


@names_.wrong(
    "the best prompt",
    "You took each head's highest score over the prompts. A head that does something once does not do it always: take the mean over the batch.",
)
def names_best_prompt(pattern, length, threshold=0.4):
    return name_by(true_scores(pattern, length).amax(0), threshold)


@names_.wrong(
    "a threshold of its own",
    "Your threshold is 0.4, whatever is given. Use the argument.",
)
def names_fixed_threshold(pattern, length, threshold=0.4):
    return name_by(true_scores(pattern, length).mean(0), 0.4)


@names_.wrong(
    "one name for all heads",
    "You averaged over the heads as well, and gave every head the same name. Average over axis 0, the prompts, alone.",
)
def names_all_alike(pattern, length, threshold=0.4):
    return name_by(true_scores(pattern, length).mean((0, 1))[None], threshold) * pattern.shape[1]


@names_.wrong(
    "a name for each prompt",
    "You return one name for each prompt: you averaged over the heads. The batch is axis 0; average over it, and name the heads.",
)
def names_of_prompts(pattern, length, threshold=0.4):
    return name_by(true_scores(pattern, length).mean(1), threshold)


@names_.wrong(
    "the first role that reaches the threshold",
    "You gave the first role whose score reaches the threshold, in the order of ROLES. A head may reach it in two: the highest score names it.",
)
def names_first_reached(pattern, length, threshold=0.4):
    rows = true_scores(pattern, length).mean(0).tolist()
    reached = [[role for role, score in zip(ROLES, row, strict=True) if score >= threshold] for row in rows]
    return [roles[0] if roles else "other" for roles in reached]


@names_.wrong(
    "above the threshold only",
    'A head whose score is exactly the threshold reaches it. Only below the threshold is the name "other": write >= where you have >.',
)
def names_above_only(pattern, length, threshold=0.4):
    scores = true_scores(pattern, length).mean(0)
    return [ROLES[int(row.argmax())] if row.max() > threshold else "other" for row in scores]


@names_.wrong(
    "a vote of the prompts",
    "You named the head on each prompt and took the most frequent name. Average the scores over the batch first, and name the head once.",
)
def names_vote(pattern, length, threshold=0.4):
    votes = [name_by(scores, threshold) for scores in true_scores(pattern, length)]
    return [max(set(of_head), key=of_head.count) for of_head in zip(*votes, strict=True)]


@names_.variation("if after if")
def names_ifs(pattern, length, threshold=0.4):
    names = []
    for head in range(pattern.shape[1]):
        previous, duplicate, induction = true_scores(pattern[:, head], length).mean(0).tolist()
        name, best = "previous token", previous
        if duplicate > best:
            name, best = "duplicate token", duplicate
        if induction > best:
            name, best = "induction", induction
        names.append(name if best >= threshold else "other")
    return names


@names_.variation("the mean of the patterns first, then the scores")
def names_mean_pattern(pattern, length, threshold=0.4):
    return name_by(true_scores(pattern.mean(0), length), threshold)


# --- worst_induction_score ------------------------------------------------------------------------------------------

worst = Exercise("worst_induction_score")
VOCABULARY = range(1, 1_000_000)  # so large that a token hardly ever comes up twice by chance


@worst.check("a planted induction head passes at every length; the shortcut to one of them scores 0")
def worst_shortcut(answer, draw):
    lengths = [10, 13, 24]
    for trained in (13, 10, 24):

        def planted_heads(tokens, back=trained - 1):
            return torch.cat([all_heads(["shortcut", "duplicate token"], back)(tokens), stripe_head(tokens)], 1)

        out = answer(planted_heads, VOCABULARY, lengths, generator(draw))
        expect.shape(out, (3,), axes="head")
        because = f"the shortcut looks {trained - 1} back, which is induction on copies of {trained} tokens only"
        expect.close(
            out,
            torch.tensor([0.0, 0.0, 1.0]),
            f"the scores of a shortcut to length {trained}, a duplicate-token and an induction head",
            atol=2e-3,
            because=because,
        )


@worst.check("the score is the lowest, not some other one")
def worst_is_lowest(answer, draw):
    # Induction up to copies of 9 tokens with weight 0.9, of 17 with 0.5, above with 0.7; the rest of it rests on BOS.
    for lengths, want in (([6, 12, 30], 0.5), ([6, 30], 0.7), ([30, 6, 7], 0.7), ([5, 8], 0.9), ([12], 0.5)):
        out = answer(fading, VOCABULARY, lengths, generator(draw))
        expect.close(
            out,
            torch.tensor([want]),
            f"the score over lengths {lengths} of a head with 0.9 up to length 9, 0.5 up to 17, 0.7 above",
            atol=2e-3,
        )


@worst.check("at each length, the mean over the prompts counts")
def worst_of_means(answer, draw):
    out = answer(every_other(), VOCABULARY, [6, 9, 14], generator(draw))
    expect.close(
        out,
        torch.tensor([0.5]),
        "the score of a head that does induction on every other prompt and rests on the others",
        atol=2e-3,
    )


@worst.check("eight new prompts at each length, as repeated_prompts makes them with your generator")
def worst_prompts(answer, draw):
    seen, others = [], []

    def watched(tokens, into=seen):
        into.extend(tokens.clone())
        return stripe_head(tokens)

    lengths, seed = [5, 8, 11], draw.seed()
    for number, into in enumerate((seen, others)):
        generator = torch.Generator().manual_seed(seed + number)
        answer(functools.partial(watched, into=into), range(2000, 2400), lengths, generator)
    expect.true(
        any(not torch.equal(a, b) for a, b in zip(seen, others, strict=False)),
        "Two generators with different seeds gave the same prompts: hand the generator that you are given on to repeated_prompts.",
    )
    many = {size: sum(len(prompt) == size for prompt in seen) for size in sorted({len(prompt) for prompt in seen})}
    expect.equal(
        many,
        {1 + 2 * length: 8 for length in lengths},
        f"how many prompts of how many positions you asked patterns for, with lengths {lengths},",
    )
    different = len({tuple(prompt.tolist()) for prompt in seen})
    expect.true(
        different == len(seen),
        f"Of the {len(seen)} prompts that you asked patterns for, {different} are different: draw eight at each length.",
    )
    for prompt in seen:
        low, high = int(prompt[1:].min()), int(prompt[1:].max())
        expect.true(
            int(prompt[0]) == 0 and low >= 2000 and high < 2400,
            "Your prompts should begin with BOS, 0, and hold tokens of the vocabulary range(2000, 2400) behind it; one begins with "
            f"{int(prompt[0])} and has tokens from {low} to {high} behind.",
        )


@worst.check("two shortcuts that each know one length, and an even head", hidden=True)
def worst_many(answer, draw):
    def both(tokens):
        return torch.cat(
            [all_heads(["shortcut", "even"], 11)(tokens), all_heads(["shortcut"], 18)(tokens), stripe_head(tokens)], 1
        )

    out = answer(both, VOCABULARY, [19, 12], generator(draw))
    even = sum(1 / q for q in range(21, 40)) / 19
    expect.close(
        out,
        torch.tensor([0.0, even, 0.0, 1.0]),
        "the scores of a shortcut, an even head, another shortcut and an induction head",
        atol=2e-3,
    )


def all_heads(roles, back=9):
    return lambda tokens: heads(roles, tokens, back, sharpness=40)


def stripe_head(tokens):
    """An induction head by place: the right stripe at every length, also where a token happens to come up twice in a copy."""
    return heads(["shortcut"], tokens, back=tokens.shape[1] // 2 - 1, sharpness=40)


def fading(tokens):
    length = tokens.shape[1] // 2
    share = 0.9 if length <= 9 else 0.5 if length <= 17 else 0.7
    return share * stripe_head(tokens) + (1 - share) * heads(["first token"], tokens)


def every_other():
    """The patterns of a head that does induction on every other prompt, however many prompts a call holds."""
    before = 0

    def patterns_of(tokens):
        nonlocal before
        turn = (before + torch.arange(len(tokens))) % 2 == 0
        before += len(tokens)
        return torch.where(turn[:, None, None, None], stripe_head(tokens), heads(["first token"], tokens))

    return patterns_of


def by_length(patterns_of, vocabulary, lengths, generator, stripe_of=lambda length, lengths: length - 1):
    """The mean induction scores, (length, head), along the stripe that `stripe_of` names."""
    scores = []
    for length in lengths:
        tokens = reference("repeated_prompts")(vocabulary, length, 8, 0, generator)
        scores.append(_stripe(patterns_of(tokens), stripe_of(length, lengths), length).mean(0))
    return torch.stack(scores)


@worst.wrong(
    "the mean over the lengths",
    "You averaged over the lengths, so a shortcut keeps a share of its score. One length at which a head fails is enough: take the minimum.",
)
def worst_mean(patterns_of, vocabulary, lengths, generator):
    return by_length(patterns_of, vocabulary, lengths, generator).mean(0)


@worst.wrong(
    "the best length",
    "You took the highest score over the lengths: a shortcut has its perfect score there. Take the lowest.",
)
def worst_max(patterns_of, vocabulary, lengths, generator):
    return by_length(patterns_of, vocabulary, lengths, generator).amax(0)


@worst.wrong(
    "fixed positional offset",
    "You read the stripe of the first length at every length. So only a head that looks back by that distance passes, the impostor. Each length has its own stripe, L − 1.",
)
def worst_fixed(patterns_of, vocabulary, lengths, generator):
    return by_length(patterns_of, vocabulary, lengths, generator, lambda length, lengths: lengths[0] - 1).amin(0)


@worst.wrong(
    "the first length only",
    "Your score is that of the first length. A shortcut to that length passes: go through all lengths.",
)
def worst_first(patterns_of, vocabulary, lengths, generator):
    return by_length(patterns_of, vocabulary, lengths, generator)[0]


@worst.wrong(
    "the last length only",
    "Your score is that of the last length. Did each turn of the loop overwrite the one before? Keep all scores in a list.",
)
def worst_last(patterns_of, vocabulary, lengths, generator):
    return by_length(patterns_of, vocabulary, lengths, generator)[-1]


@worst.wrong(
    "duplicate for induction",
    "Your score is high for a head that looks at the earlier copy of the same token. Of the three scores, induction is the last: [..., 2].",
)
def worst_duplicate(patterns_of, vocabulary, lengths, generator):
    return by_length(patterns_of, vocabulary, lengths, generator, lambda length, lengths: length).amin(0)


@worst.wrong(
    "the worst prompt",
    "You took the lowest score over the single prompts. One unlucky prompt then decides: average over the prompts of a length, and take the minimum over the lengths.",
)
def worst_prompt(patterns_of, vocabulary, lengths, generator):
    scores = []
    for length in lengths:
        tokens = reference("repeated_prompts")(vocabulary, length, 8, 0, generator)
        scores.append(_stripe(patterns_of(tokens), length - 1, length).amin(0))
    return torch.stack(scores).amin(0)


@worst.wrong(
    "one number for all heads",
    "You took the minimum over the heads as well. Each head has a score of its own: (head,).",
)
def worst_of_all(patterns_of, vocabulary, lengths, generator):
    return by_length(patterns_of, vocabulary, lengths, generator).amin()


@worst.variation("prompt by prompt, and the longest copies first")
def worst_by_prompt(patterns_of, vocabulary, lengths, generator):
    lowest = []
    for length in sorted(lengths, reverse=True):
        each = [reference("repeated_prompts")(vocabulary, length, 1, 0, generator) for _ in range(8)]
        lowest.append(torch.stack([true_scores(patterns_of(one), length)[0, :, 2] for one in each]).mean(0))
    return torch.stack(lowest).amin(0)


@worst.variation("a running minimum")
def worst_running(patterns_of, vocabulary, lengths, generator):
    lowest = None
    for length in lengths:
        tokens = reference("repeated_prompts")(vocabulary, length, 8, 0, generator)
        now = true_scores(patterns_of(tokens), length)[:, :, 2].mean(0)
        lowest = now if lowest is None else torch.minimum(lowest, now)
    return lowest


@worst.variation("the mean of the pattern first, in float64")
def worst_double(patterns_of, vocabulary, lengths, generator):
    tokens = [reference("repeated_prompts")(vocabulary, length, 8, 0, generator) for length in lengths]
    means = [patterns_of(prompts).double().mean(0) for prompts in tokens]
    return torch.stack([by_entry(p, length - 1, length) for p, length in zip(means, lengths, strict=True)]).amin(0)


# --- the bundled models, in plain torch -----------------------------------------------------------------------------


@functools.cache
def pristine(name):
    """A model that is only copied, never run: the hooks of a copy of a model that has run are still those of its original."""
    return models.load(name)


def copied(name):
    model = pristine(name)
    model = copy.deepcopy(model, {id(model.tokenizer): model.tokenizer})  # copying the tokenizer would take longest
    model.set_use_split_qkv_input(True)
    return model


@functools.cache
def ours(name):
    """A copy that the checks compute their own numbers with; no answer ever touches it."""
    return copied(name)


def ask(answer, name, *questions):
    """Yield the answer to each question, one after the other on one copy of a model, which must come back as it was.

    A hook that stays on is told of after the second question, so that what it does to the next answer is on record. The copy is
    shared by no other check: naming a mistake runs wrong answers on it again, and some of them leave a hook.
    """
    model = copied(name)
    try:
        for i, question in enumerate(questions):
            result = answer(model, *question)
            if i > 0 or len(questions) == 1:
                expect_unchanged(model, name)
            yield result
    finally:
        model.reset_hooks()


def expect_unchanged(model, name):
    """Expect that no hook was left on a model, and that its settings and weights are as before."""
    # A point may have several names, and the one that answers know comes last.
    left = [place for place, point in model.hook_dict.items() if point.fwd_hooks][-1:]
    expect.true(
        not left,
        f"A hook is still on {left[0] if left else ''} after your function has returned, and works on in everything that the model does next. "
        "model.run_with_hooks and `with model.hooks(...):` take theirs off; what add_hook puts on stays.",
    )
    expect.true(
        model.cfg.use_split_qkv_input,
        "Your function has switched use_split_qkv_input off, and the last exercise needs it: leave the model's settings as they are.",
    )
    with torch.no_grad():
        after, before = (one(torch.arange(9)[None]) for one in (model, ours(name)))
    expect.close(after, before, "the model's own logits after your function", atol=1e-3)


@functools.cache
def plain_weights(name="code-attn-2l"):
    return models.weights(name)


def normalised(x, w, b, eps):
    return F.layer_norm(x, (x.shape[-1],), w, b, eps)


def plain(name, tokens, z_edit=None, stream_edit=None):
    """The logits and the patterns (layer, batch, head, query, key) of a model without MLPs, written out without hooks.

    z_edit(layer, z) returns another z, (batch, pos, head, d_head). stream_edit(layer, letter, stream, parts) returns another stream for
    the queries, keys or values ("q", "k", "v") of all heads of that layer; parts: what each head of the layer before added.
    """
    weights, config = plain_weights(name), models.config(name)
    stream = weights["embed.W_E"][tokens] + weights["pos_embed.W_pos"][: tokens.shape[1]]
    later = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
    patterns, parts = [], None
    for layer in range(config.n_layers):
        w = {
            key.removeprefix(f"blocks.{layer}."): value
            for key, value in weights.items()
            if key.startswith(f"blocks.{layer}.")
        }
        read = {}
        for letter in "qkv":
            copy = stream if stream_edit is None else stream_edit(layer, letter, stream, parts)
            x, up = normalised(copy, w["ln1.w"], w["ln1.b"], config.eps), letter.upper()
            read[letter] = torch.einsum("bpm,hmd->bhpd", x, w[f"attn.W_{up}"]) + w[f"attn.b_{up}"][:, None]
        scores = read["q"] @ read["k"].mT / config.d_head**0.5
        patterns.append(scores.masked_fill(later, -torch.inf).softmax(-1))
        z = (patterns[-1] @ read["v"]).transpose(1, 2)
        z = z if z_edit is None else z_edit(layer, z)
        parts = torch.einsum("bphd,hdm->bphm", z, w["attn.W_O"])
        stream = stream + parts.sum(2) + w["attn.b_O"]
    logits = normalised(stream, weights["ln_final.w"], weights["ln_final.b"], config.eps) @ weights["unembed.W_U"]
    return logits, torch.stack(patterns)


def model_repeats(draw, length, batch):
    """Prompts for a bundled model, whose vocabulary has 1,024 tokens."""
    once = 1 + draw.integers(0, 1023, batch, length)
    return torch.cat([torch.zeros(batch, 1, dtype=torch.long), once, once], 1)


# --- scores_of_model ------------------------------------------------------------------------------------------------

found = Exercise("scores_of_model")


@found.check("the scores of a two-layer and of a one-layer model are those of their patterns")
def found_models(answer, draw):
    for name, length in (("code-attn-2l", 9), ("code-attn-1l", 6)):
        tokens = model_repeats(draw, length, 3)
        (out,) = ask(answer, name, (tokens, length))
        expect.shape(out, (models.config(name).n_layers, 4, 3), axes="layer head role")
        want = true_scores(plain(name, tokens)[1], length).mean(1)
        expect.close(out, want, f"the scores of {name}", atol=2e-3)


@found.check("it keeps no gradients, and leaves the model as it was")
def found_clean(answer, draw):
    (out,) = ask(answer, "code-attn-2l", (model_repeats(draw, 5, 2), 5))
    expect.tensor(out)
    expect.true(
        not out.requires_grad,
        "Your result carries gradients: run the model inside `with torch.no_grad():`, or a large model fills the memory.",
    )


@found.check("six heads a layer, and MLPs", hidden=True)
def found_other_model(answer, draw):
    tokens = model_repeats(draw, 8, 2)
    (out,) = ask(answer, "code-2l", (tokens, 8))
    expect.shape(out, (2, 6, 3), axes="layer head role")
    want = true_scores(cached(ours("code-2l"), tokens), 8).mean(1)
    expect.close(out, want, "the scores of code-2l", atol=1e-3)


@found.check("twenty tokens a copy, one prompt", hidden=True)
def found_single(answer, draw):
    tokens = model_repeats(draw, 20, 1)
    want = true_scores(plain("code-attn-2l", tokens)[1], 20).mean(1)
    (out,) = ask(answer, "code-attn-2l", (tokens, 20))
    expect.close(out, want, "the scores of code-attn-2l", atol=2e-3)


def cached(model, tokens, kind="pattern"):
    with torch.no_grad():
        cache = model.run_with_cache(tokens)[1]
    return torch.stack([cache[f"blocks.{layer}.attn.hook_{kind}"] for layer in range(model.cfg.n_layers)])


@found.wrong(
    "scores, not pattern",
    "You read hook_attn_scores: query times key, before the softmax. They are not shares of attention. The pattern is in hook_pattern.",
)
def found_attn_scores(model, tokens, length):
    return true_scores(cached(model, tokens, "attn_scores"), length).mean(1)


@found.wrong(
    "heads before layers",
    "Your first axis is the head. Put the layers first: out[layer, head].",
)
def found_transposed(model, tokens, length):
    return true_scores(cached(model, tokens), length).mean(1).transpose(0, 1)


@found.wrong(
    "every prompt apart",
    "You kept the prompts: average over the batch, so that each head has one number for each role.",
)
def found_batch(model, tokens, length):
    return true_scores(cached(model, tokens), length)


@found.wrong("the first prompt alone", "You scored the first prompt alone. Average over the batch.")
def found_first(model, tokens, length):
    return true_scores(cached(model, tokens), length)[:, 0]


@found.wrong(
    "the last layer only",
    "There is one layer in your result. Stack the scores of every layer, from 0 to model.cfg.n_layers - 1.",
)
def found_last_layer(model, tokens, length):
    return true_scores(cached(model, tokens)[-1:], length).mean(1)


@found.wrong(
    "the last layer twice",
    "Every layer has the scores of the last one. Does the loop look up blocks.{layer} with its own layer?",
)
def found_layer_repeated(model, tokens, length):
    pattern = cached(model, tokens)
    return true_scores(pattern[-1:].expand_as(pattern), length).mean(1)


@found.wrong(
    "a mean over the heads",
    "You averaged over the heads and kept the prompts. In hook_pattern the batch is axis 0 and the head axis 1.",
)
def found_heads_averaged(model, tokens, length):
    return true_scores(cached(model, tokens), length).mean(2)


@found.variation("one hook a layer, and no cache")
def found_hooks(model, tokens, length):
    scores = {}

    def keep(pattern, hook, layer):
        scores[layer] = true_scores(pattern, length).mean(0)

    layers = range(model.cfg.n_layers)
    hooks = [(f"blocks.{layer}.attn.hook_pattern", functools.partial(keep, layer=layer)) for layer in layers]
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=hooks)
    return torch.stack([scores[layer] for layer in layers])


@found.variation("prompt by prompt, with a full cache")
def found_prompts(model, tokens, length):
    with torch.inference_mode():
        each = [true_scores(cached(model, prompt[None]), length)[:, 0] for prompt in tokens]
    return torch.stack(each).mean(0).clone()


# --- repeat_loss_without --------------------------------------------------------------------------------------------

without = Exercise("repeat_loss_without")


@without.check("with nothing cut, it is the loss on the second copy from its second token on")
def without_nothing(answer, draw):
    for length, batch in ((12, 4), (7, 3)):
        tokens = model_repeats(draw, length, batch)
        (got,) = ask(answer, "code-attn-2l", (tokens, length, []))
        expect.close(expect.number(got), loss_by_hand(tokens, length, []), "the loss with no head cut", atol=2e-3)


@without.check("one head: its z is its mean over prompts and positions; the next call starts from the whole model")
def without_one(answer, draw):
    tokens, heads = model_repeats(draw, 14, 3), ((0, 1), (0, 2), (1, 3))
    results = ask(answer, "code-attn-2l", *[(tokens, 14, [head]) for head in heads])
    for head, got in zip(heads, results, strict=True):
        want = loss_by_hand(tokens, 14, [head])
        expect.close(expect.number(got), want, f"the loss without head {head[0]}.{head[1]}", atol=2e-3)


@without.check("several heads, of one layer and of both")
def without_several(answer, draw):
    tokens = model_repeats(draw, 11, 3)
    cuts = ([(1, 0), (1, 2)], [(0, 0), (0, 3), (0, 2)], [(1, 1), (0, 0)])
    for cut, got in zip(cuts, ask(answer, "code-attn-2l", *[(tokens, 11, cut) for cut in cuts]), strict=True):
        # With heads of two layers a mean may be that of this pass or of a pass with nothing cut: both are sound.
        wants = [loss_by_hand(tokens, 11, cut), loss_by_hand(tokens, 11, cut, clean_means=True)]
        want = min(wants, key=lambda value: abs(value - expect.number(got)))
        expect.close(expect.number(got), want, f"the loss without the heads {cut}", atol=2e-3)


@without.check("the order of the heads does not matter, nor that one is named twice", hidden=True)
def without_order(answer, draw):
    tokens = model_repeats(draw, 9, 2)
    want = loss_by_hand(tokens, 9, [(1, 1), (1, 2)])
    cuts = ([(1, 2), (1, 1)], [(1, 1), (1, 2), (1, 1)])
    for cut, got in zip(cuts, ask(answer, "code-attn-2l", *[(tokens, 9, cut) for cut in cuts]), strict=True):
        expect.close(expect.number(got), want, f"the loss without the heads {cut}", atol=2e-3)


@without.check("a model of one layer", hidden=True)
def without_one_layer(answer, draw):
    tokens = model_repeats(draw, 10, 3)
    want = loss_by_hand(tokens, 10, [(0, 2)], name="code-attn-1l")
    (got,) = ask(answer, "code-attn-1l", (tokens, 10, [(0, 2)]))
    expect.close(expect.number(got), want, "the loss without head 0.2", atol=2e-3)


MEANS = {
    "mean": lambda z, h: z[:, :, h].mean((0, 1)),
    "zero": lambda z, h: torch.zeros(()),
    "prompt": lambda z, h: z[:, :, h].mean(1, keepdim=True),
    "place": lambda z, h: z[:, :, h].mean(0, keepdim=True),
    "head": lambda z, h: z.mean(2),
    "number": lambda z, h: z[:, :, h].mean(),
}


def cut_z(z, chosen, how="mean"):
    new = z.clone()
    for h in chosen:
        new[:, :, h] = MEANS[how](z, h)
    return new


def loss_by_hand(tokens, length, cut, name="code-attn-2l", how="mean", clean_means=False, start=1, edit=None):
    clean = {}
    if clean_means:
        plain(name, tokens, lambda layer, z: clean.setdefault(layer, z))

    def z_edit(layer, z):
        chosen = [h for other, h in cut if other == layer]
        if clean_means:
            z = z.clone()
            z[:, :, chosen] = clean[layer][:, :, chosen].mean((0, 1))
            return z
        return cut_z(z, chosen, how) if edit is None else edit(layer, z, chosen)

    logits, _ = plain(name, tokens, z_edit)
    return torch_losses(logits, tokens, length)[1, start:].mean().item()


def name_of(model):
    """Which bundled model this is: the plain form needs its weights."""
    return next(name for name in ("code-attn-2l", "code-attn-1l") if model.cfg.n_layers == models.config(name).n_layers)


@without.wrong(
    "zero ablation",
    "You set the heads' z to zero. That also takes away their constant part, on which later layers count. Put their mean over batch and positions there.",
)
def without_zero(model, tokens, length, heads):
    return loss_by_hand(tokens, length, heads, name_of(model), "zero")


@without.wrong(
    "a mean over the heads",
    "You averaged over axis 2, the heads: the cut head now holds a mixture of all heads of its layer, news included. The mean runs over batch and positions, axes 0 and 1.",
)
def without_mean_of_heads(model, tokens, length, heads):
    return loss_by_hand(tokens, length, heads, name_of(model), "head")


@without.wrong(
    "a mean for each position",
    "You averaged over the batch alone. Each position then keeps a mean of its own; the mean runs over batch and positions, axes 0 and 1.",
)
def without_mean_of_place(model, tokens, length, heads):
    return loss_by_hand(tokens, length, heads, name_of(model), "place")


@without.wrong(
    "a mean for each prompt",
    "You averaged over the positions alone. Each prompt then keeps a mean of its own, which still tells something about its tokens; average over the batch as well.",
)
def without_mean_of_prompt(model, tokens, length, heads):
    return loss_by_hand(tokens, length, heads, name_of(model), "prompt")


@without.wrong(
    "one number for a head",
    "You replaced all d_head numbers of the head by one mean. Each of them keeps a mean of its own: average over batch and positions only.",
)
def without_one_mean(model, tokens, length, heads):
    return loss_by_hand(tokens, length, heads, name_of(model), "number")


@without.wrong(
    "cuts a position",
    "You wrote z[:, head]: that is a position. hook_z is (batch, pos, head, d_head), so a head is z[:, :, head].",
)
def without_position(model, tokens, length, heads):
    def edit(layer, z, chosen):
        z = z.clone()
        for h in chosen:
            z[:, h] = z[:, h].mean((0, 1))
        return z

    return loss_by_hand(tokens, length, heads, name_of(model), edit=edit)


@without.wrong(
    "only one head of a layer",
    "Of several heads in one layer you cut only the last. A dictionary, or a function in a loop, keeps the last value that it was given: gather all "
    "heads of a layer first.",
)
def without_last_head(model, tokens, length, heads):
    last = {layer: head for layer, head in heads}
    return loss_by_hand(tokens, length, list(last.items()), name_of(model))


@without.wrong(
    "the first token counted",
    "You averaged over the whole second copy. Its first token cannot be known by anybody, so it is left out: [1, 1:].",
)
def without_first_token(model, tokens, length, heads):
    return loss_by_hand(tokens, length, heads, name_of(model), start=0)


@without.wrong(
    "the loss on the whole prompt",
    "You averaged over both copies. On the first copy nothing can be predicted; the question is what is lost on the second.",
)
def without_whole_prompt(model, tokens, length, heads):
    def edit(layer, z):
        return cut_z(z, [h for other, h in heads if other == layer])

    return torch_losses(plain(name_of(model), tokens, edit)[0], tokens, length).mean().item()


@without.wrong(
    "nothing is cut",
    "Your loss is that of the whole model, whatever you cut. Does the hook function return the edited z, and is the hook's name blocks.{layer}.attn.hook_z?",
)
def without_no_effect(model, tokens, length, heads):
    return loss_by_hand(tokens, length, [], name_of(model))


@without.wrong(
    "keeps only these heads",
    "You cut all heads but those in the list. Cut the ones in the list.",
)
def without_others(model, tokens, length, heads):
    all_of_them = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    return loss_by_hand(tokens, length, [head for head in all_of_them if head not in heads], name_of(model))


@without.wrong(
    "leaves its hook on",
    "Your first number is right, and your hooks stay on the model: from the second call on, the heads of earlier calls are cut as well. Use "
    "model.run_with_hooks, which takes its hooks off again, in place of add_hook.",
)
def without_left_on(model, tokens, length, heads):
    for layer, head in heads:
        model.add_hook(f"blocks.{layer}.attn.hook_z", lambda z, hook, head=head: cut_z(z, [head]))
    with torch.no_grad():
        return torch_losses(model(tokens), tokens, length)[1, 1:].mean().item()


@without.variation("a mask, in a `with model.hooks` block")
def without_mask(model, tokens, length, heads):
    def hook_of(layer):
        mask = torch.zeros(model.cfg.n_heads, 1)
        mask[[h for other, h in heads if other == layer]] = 1
        return lambda z, hook: z * (1 - mask) + z.mean((0, 1), keepdim=True) * mask

    hooks = [(f"blocks.{layer}.attn.hook_z", hook_of(layer)) for layer in range(model.cfg.n_layers)]
    with torch.no_grad(), model.hooks(fwd_hooks=hooks):
        logits = model(tokens)
    return torch_losses(logits, tokens, length)[1, 1:].mean()


@without.variation("means from a clean pass")
def without_clean_means(model, tokens, length, heads):
    with torch.no_grad():
        cache = model.run_with_cache(tokens)[1]
    hooks = []
    for layer, head in heads:
        name = f"blocks.{layer}.attn.hook_z"
        mean = cache[name][:, :, head].mean((0, 1))

        def cut(z, hook, head=head, mean=mean):
            z[:, :, head] = mean
            return z

        hooks.append((name, cut))
    with torch.no_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
    return float(torch_losses(logits, tokens, length)[1, 1:].mean())


# --- k_composition --------------------------------------------------------------------------------------------------

kcomp = Exercise("k_composition")


@kcomp.check(
    "head size 1: the score is the cosine between what the early head writes and what the late head's keys read"
)
def kcomp_by_hand(answer, draw):
    writes, reads = torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.8])
    out = answer(draw.normal(1, 2, 1), writes.reshape(1, 1, 2), draw.normal(1, 2, 1), reads.reshape(1, 2, 1))
    expect.shape(out, (1, 1), axes="early late")
    expect.close(
        out, torch.tensor([[0.6]]), "the score of a head that writes (1, 0) and one whose keys read (0.6, 0.8)"
    )
    W_V, W_O, W_Q, W_K = draw.normal(3, 7, 1), draw.normal(3, 1, 7), draw.normal(4, 7, 1), draw.normal(4, 7, 1)
    want = F.cosine_similarity(W_O[:, None, 0], W_K[None, :, :, 0], dim=-1).abs()
    got = answer(W_V, W_O, W_Q, W_K)
    expect.shape(got, (3, 4), axes="early late")
    expect.close(got, want, "the scores of three early and four late heads of size 1")


@kcomp.check("a late head that reads where the early head writes scores high; one that reads elsewhere, 0")
def kcomp_rooms(answer, draw):
    # The early head writes to dimensions 0 to 2 of 9. Late heads read there with their keys, with their queries, nowhere.
    there, elsewhere = torch.zeros(9, 3), torch.zeros(9, 3)
    there[:3], elsewhere[6:] = torch.eye(3), torch.eye(3)
    W_V = torch.zeros(1, 9, 3)
    W_V[0, 3:6] = torch.eye(3)
    W_Q, W_K = torch.stack([elsewhere, there, elsewhere]), torch.stack([there, elsewhere, elsewhere])
    out = answer(W_V, there.T[None].contiguous(), W_Q, W_K)
    expect.shape(out, (1, 3), axes="early late")
    because = "here both products have three singular values of 1, so a full match gives √3 / (√3 · √3)"
    expect.close(
        out,
        torch.tensor([[3**-0.5, 0.0, 0.0]]),
        "the scores of late heads that read there with their keys, with their queries, and not at all",
        because=because,
    )


@kcomp.check("the size of the weights does not matter")
def kcomp_scale(answer, draw):
    inputs = kcomp_inputs(draw)
    before = answer(*inputs)
    for i in range(4):
        scaled = [3.0 * w if i == j else w for j, w in enumerate(inputs)]
        expect.close(
            answer(*scaled), before, f"the scores when {('W_V', 'W_O', 'W_Q', 'W_K')[i]} is three times as large"
        )


@kcomp.check("every pair, written out")
def kcomp_pairs(answer, draw):
    inputs = kcomp_inputs(draw)
    out = answer(*inputs)
    expect.shape(out, (2, 3), axes="early late")
    expect.close(out, kcomp_by_pairs(*inputs), "the scores")


@kcomp.check("code-attn-2l: the previous-token head stands out with every head of layer 1", hidden=True)
def kcomp_real(answer, draw):
    w = plain_weights()
    out = answer(w["blocks.0.attn.W_V"], w["blocks.0.attn.W_O"], w["blocks.1.attn.W_Q"], w["blocks.1.attn.W_K"])
    others = out[[0, 2, 3]].max()
    expect.true(
        out[1].min() > 1.2 * others,
        f"Head 0.1's lowest score is {float(out[1].min()):.3f}, and the highest of the other heads of layer 0 {float(others):.3f}; hers should be far above.",
    )


@kcomp.check("it does not change when the stream is rotated", hidden=True)
def kcomp_rotation(answer, draw):
    W_V, W_O, W_Q, W_K = inputs = kcomp_inputs(draw, d_model=8)
    R = torch.linalg.qr(draw.normal(8, 8)).Q
    expect.close(answer(R @ W_V, W_O @ R.T, R @ W_Q, R @ W_K), kcomp_by_pairs(*inputs), "the scores after a rotation")


def kcomp_inputs(draw, early=2, late=3, d_model=6, d_early=4, d_late=5):
    return (
        draw.normal(early, d_model, d_early),
        draw.normal(early, d_early, d_model),
        draw.normal(late, d_model, d_late),
        draw.normal(late, d_model, d_late),
    )


def kcomp_by_pairs(W_V, W_O, W_Q, W_K, product=None, norm=torch.linalg.matrix_norm, divide=True):
    """Pair by pair; `product` says what is multiplied, from W_OV and W_QK of one pair."""
    product = product or (lambda OV, QK: QK @ OV.T)
    out = torch.empty(len(W_V), len(W_Q))
    for i in range(len(W_V)):
        for j in range(len(W_Q)):
            OV, QK = W_V[i] @ W_O[i], W_Q[j] @ W_K[j].T
            out[i, j] = norm(product(OV, QK)) / (norm(OV) * norm(QK) if divide else 1)
    return out


@kcomp.wrong(
    "Q-composition",
    "You let the early head write into the late head's *queries*: W_OV W_QK. For K-composition it writes what the keys read: that is the second "
    "side of W_QK, so W_QK W_OVᵀ.",
)
def kcomp_queries(W_V, W_O, W_Q, W_K):
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K, lambda OV, QK: OV @ QK)


@kcomp.wrong(
    "the transpose forgotten",
    "You took W_QK W_OV: it joins what the keys read to what the early head *reads*. Its output is the second side of W_OV, so transpose it: W_QK W_OVᵀ.",
)
def kcomp_untransposed(W_V, W_O, W_Q, W_K):
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K, lambda OV, QK: QK @ OV)


@kcomp.wrong(
    "query's side and early input",
    "You took W_QKᵀ W_OVᵀ, which joins what the late head's *queries* read to what the early head writes (Q-composition). The keys' side of W_QK is "
    "its second axis: W_QK W_OVᵀ.",
)
def kcomp_both_transposed(W_V, W_O, W_Q, W_K):
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K, lambda OV, QK: QK.T @ OV)


@kcomp.wrong(
    "not normalised",
    "Your score grows with the weights. Divide by the norm of W_QK and by the norm of W_OV: a loud head is not a well-matched one.",
)
def kcomp_unnormalised(W_V, W_O, W_Q, W_K):
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K, divide=False)


@kcomp.wrong(
    "the wrong norm",
    "You used the largest singular value as norm (the 2-norm of a matrix). The Frobenius norm is the root of the sum of the squares of all entries.",
)
def kcomp_spectral(W_V, W_O, W_Q, W_K):
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K, norm=lambda A: torch.linalg.matrix_norm(A, 2))


@kcomp.wrong("late heads in rows", "Your table is transposed: early heads are the rows, late heads the columns.")
def kcomp_swapped(W_V, W_O, W_Q, W_K):
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K).T.contiguous()


@kcomp.wrong(
    "the squares",
    "You divided squares by squares and forgot the root at the end: your scores are the squares of the right ones.",
)
def kcomp_squared(W_V, W_O, W_Q, W_K):
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K) ** 2


@kcomp.wrong(
    "divides by four norms",
    "You divided by the norms of the four single matrices. A product may be smaller than its factors: divide by the norms of W_OV and W_QK themselves.",
)
def kcomp_four_norms(W_V, W_O, W_Q, W_K):
    sizes = [W.flatten(1).norm(dim=1) for W in (W_V, W_O, W_Q, W_K)]
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K, divide=False) / torch.outer(sizes[0] * sizes[1], sizes[2] * sizes[3])


@kcomp.wrong(
    "the value's side",
    "You multiplied W_O by the late head's W_K alone. The score needs the whole of both circuits: W_V W_O and W_Q W_Kᵀ.",
)
def kcomp_half(W_V, W_O, W_Q, W_K):
    out = torch.empty(len(W_V), len(W_Q))
    for i in range(len(W_V)):
        for j in range(len(W_Q)):
            out[i, j] = (W_O[i] @ W_K[j]).norm() / (W_O[i].norm() * W_K[j].norm())
    return out


@kcomp.variation("pair by pair")
def kcomp_loop(W_V, W_O, W_Q, W_K):
    return kcomp_by_pairs(W_V, W_O, W_Q, W_K)


@kcomp.variation("in float64, the transposed product")
def kcomp_float64(W_V, W_O, W_Q, W_K):
    OV, QK = (W_V @ W_O).double()[:, None], (W_Q @ W_K.mT).double()[None]
    return (OV @ QK.mT).norm(dim=(-2, -1)) / (OV.norm(dim=(-2, -1)) * QK.norm(dim=(-2, -1)))


@kcomp.variation("without building a large matrix")
def kcomp_low_rank(W_V, W_O, W_Q, W_K):
    gram_v, gram_q = W_V.mT @ W_V, W_Q.mT @ W_Q
    between = torch.einsum("eam,lmb->elab", W_O, W_K)
    squares = torch.einsum("elab,eac,elcd,lbd->el", between, gram_v, between, gram_q)
    ov = torch.einsum("eab,eab->e", gram_v, W_O @ W_O.mT)
    qk = torch.einsum("lab,lab->l", gram_q, W_K.mT @ W_K)
    return (squares / (ov[:, None] * qk)).sqrt()


# --- random_composition ---------------------------------------------------------------------------------------------

chance = Exercise("random_composition")


@chance.check("one score for each sample, decided by the generator")
def chance_form(answer, draw):
    seed = draw.seed()
    a, b, c = (answer(12, 3, 9, torch.Generator().manual_seed(s)) for s in (seed, seed, seed + 1))
    expect.shape(a, (9,), axes="sample")
    expect.true(
        torch.equal(a, b),
        "Two generators with the same seed gave different scores: draw with the generator that you are given.",
    )
    expect.true(
        not torch.equal(a, c),
        "Two generators with different seeds gave the same scores: draw with the generator that you are given, and do not seed it.",
    )
    expect.true(len(a.unique()) > 6, f"Of 9 samples only {len(a.unique())} are different: draw new matrices for each.")


@chance.check("head size 1: the mean is that of |cos| between random directions")
def chance_rank_one(answer, draw):
    chance_cosine(answer, draw, d_model=25, samples=150)


@chance.check("the matrices are drawn apart from each other, and anew for each sample")
def chance_apart(answer, draw):
    # With d_model = 2 a head is described by one number, how far it favours a direction. Samples that share a head share
    # it, and so differ less within a call than between calls. W_Q W_Kᵀ favours none where W_Q = W_K is as wide as here.
    calls, samples = 24, 25
    scores = torch.stack([expect_samples(answer(2, 24, samples, generator(draw)), samples) for _ in range(calls)])
    favour = (2 * scores**2 - 1) ** 2
    ratio = samples * favour.mean(1).var() / favour.var(1).mean().clamp(min=1e-9)
    expect.true(
        ratio < 2.8,
        "The samples of one call resemble each other more than those of another call: do they share a head? Draw all four matrices anew for each sample.",
    )
    expect.between(
        scores.std(),
        0.155,
        0.225,
        "the standard deviation of the scores for d_model = 2, d_head = 24",
        because="four independent matrices give that; fewer random numbers, used twice, do not",
    )


@chance.check("the mean square is 1 / d_model, whatever the head size", hidden=True)
def chance_mean_square(answer, draw):
    for d_model, d_head in ((20, 5), (12, 3)):
        out = answer(d_model, d_head, 400, generator(draw))
        because = "a random rotation between two heads leaves this much of the product on average"
        expect.between(
            d_model * out.pow(2).mean(),
            0.9,
            1.1,
            f"d_model times the mean square for d_model = {d_model}, d_head = {d_head}",
            because=because,
        )


@chance.check("head size 1, in a small stream", hidden=True)
def chance_small_stream(answer, draw):
    chance_cosine(answer, draw, d_model=4, samples=600)


@chance.check("large heads spread less", hidden=True)
def chance_spread(answer, draw):
    small, large = (answer(16, d_head, 300, generator(draw)) for d_head in (1, 8))
    expect.true(
        small.std() > 3 * large.std(),
        f"For heads of size 1 your scores have a standard deviation of {float(small.std()):.3f}, for size 8 of {float(large.std()):.3f}; small heads should spread far more.",
    )


def expect_samples(out, samples):
    expect.shape(out, (samples,), axes="sample")
    return out.detach().float()


def chance_cosine(answer, draw, d_model, samples):
    want = math.gamma(d_model / 2) / (math.sqrt(math.pi) * math.gamma((d_model + 1) / 2))
    spread = math.sqrt(1 / d_model - want**2)
    out = expect_samples(answer(d_model, 1, samples, generator(draw)), samples)
    near = 5 * spread / math.sqrt(samples)
    expect.between(
        out.mean(),
        want - near,
        want + near,
        f"the mean score for d_model = {d_model}, d_head = 1",
        because="two random directions have that mean |cosine|; there is a closed form for it",
    )
    expect.between(
        out.std(), 0.65 * spread, 1.35 * spread, f"the standard deviation for d_model = {d_model}, d_head = 1"
    )


def chance_of(make):
    """The scores of samples made by `make(generator)`, which returns W_V, W_O, W_Q, W_K of one head."""
    return lambda samples, generator: torch.stack(
        [kcomp_by_pairs(*(w[None] for w in make(generator)))[0, 0] for _ in range(samples)]
    )


@chance.wrong(
    "full matrices",
    "Your scores spread too little: your matrices have full rank. A head has d_head in the middle, so draw W_V, W_O, W_Q and W_K in their own shapes.",
)
def chance_full(d_model, d_head, samples, generator):
    A, B = torch.randn(2, samples, d_model, d_model, generator=generator)
    return (A @ B).flatten(1).norm(dim=1) / (A.flatten(1).norm(dim=1) * B.flatten(1).norm(dim=1))


@chance.wrong(
    "all entries positive",
    "torch.rand draws between 0 and 1, so all your directions point into one corner and match far too well. Draw from a normal distribution: torch.randn.",
)
def chance_positive(d_model, d_head, samples, generator):
    def make(generator):
        W = torch.rand(4, d_model, d_head, generator=generator)
        return W[0], W[1].T, W[2], W[3]

    return chance_of(make)(samples, generator)


@chance.wrong(
    "one draw for two matrices",
    "Your late head reads with the very matrix that the early head writes with, so the two know each other. Draw all four matrices independently.",
)
def chance_shared(d_model, d_head, samples, generator):
    def make(generator):
        W = torch.randn(3, d_model, d_head, generator=generator)
        return W[0], W[1].T, W[2], W[1]

    return chance_of(make)(samples, generator)


@chance.wrong(
    "one matrix for queries and keys",
    "Your W_Q and W_K are the same matrix, so W_QK is symmetric and treats all its directions nearly alike. A head has two: draw them apart.",
)
def chance_same_query_key(d_model, d_head, samples, generator):
    def make(generator):
        W_V = torch.randn(d_model, d_head, generator=generator)
        W_O = torch.randn(d_head, d_model, generator=generator)
        W_Q = torch.randn(d_model, d_head, generator=generator)
        return W_V, W_O, W_Q, W_Q

    return chance_of(make)(samples, generator)


@chance.wrong(
    "the early head drawn once",
    "You drew W_V and W_O once, before the loop, so all your samples share one early head. Draw all four matrices for each sample.",
)
def chance_one_early(d_model, d_head, samples, generator):
    W_V = torch.randn(d_model, d_head, generator=generator)
    W_O = torch.randn(d_head, d_model, generator=generator)

    def make(generator):
        W_Q = torch.randn(d_model, d_head, generator=generator)
        return W_V, W_O, W_Q, torch.randn(d_model, d_head, generator=generator)

    return chance_of(make)(samples, generator)


@chance.wrong(
    "one sample, many times",
    "All your samples are the same number: the matrices were drawn once, before the loop. Draw new ones for each sample.",
)
def chance_repeated(d_model, d_head, samples, generator):
    def make(generator):
        W = torch.randn(4, d_model, d_head, generator=generator)
        return W[0], W[1].T, W[2], W[3]

    return chance_of(make)(1, generator).repeat(samples)


@chance.wrong(
    "the mean of the samples",
    "You returned one number, the mean. Return all the scores: their spread says how surprising a score is.",
)
def chance_mean(d_model, d_head, samples, generator):
    return chance_independent(d_model, d_head, samples, generator).mean()


@chance.wrong(
    "ignores the generator",
    "The generator has no effect on your scores: pass generator=generator to torch.randn.",
)
def chance_own_seed(d_model, d_head, samples, generator):
    return chance_independent(d_model, d_head, samples, torch.Generator().manual_seed(0))


@chance.variation("all samples at once")
def chance_independent(d_model, d_head, samples, generator):
    W_V, W_Q, W_K = torch.randn(3, samples, d_model, d_head, generator=generator)
    W_O = torch.randn(samples, d_head, d_model, generator=generator)
    OV, QK = W_V @ W_O, W_Q @ W_K.mT
    return (QK @ OV.mT).flatten(1).norm(dim=1) / (OV.flatten(1).norm(dim=1) * QK.flatten(1).norm(dim=1))


@chance.variation("other scales, one matrix after the other")
def chance_scaled(d_model, d_head, samples, generator):
    def make(generator):
        shapes = [(d_model, d_head), (d_head, d_model), (d_model, d_head), (d_model, d_head)]
        return [torch.randn(*shape, generator=generator) / shape[0] ** 0.5 for shape in shapes]

    return chance_of(make)(samples, generator)


# --- pattern_without_edge -------------------------------------------------------------------------------------------

edge = Exercise("pattern_without_edge")


@edge.check("the pattern of layer 1, with one of twelve connections cut")
def edge_each(answer, draw):
    tokens, cuts = model_repeats(draw, 8, 3), ((1, "k"), (2, "q"), (0, "k"), (1, "q"))
    for (sender, into), out in zip(cuts, ask(answer, "code-attn-2l", *[(tokens, *cut) for cut in cuts]), strict=True):
        expect.shape(out, (3, 4, 17, 17), axes="batch head query key")
        want = edge_by_hand(tokens, sender, into)
        expect.close(
            out, want, f"layer 1's pattern without the way from head 0.{sender} into its input {into!r}", atol=2e-3
        )


@edge.check("cut from the values, no pattern changes")
def edge_values(answer, draw):
    tokens = model_repeats(draw, 7, 2)
    (out,) = ask(answer, "code-attn-2l", (tokens, 1, "v"))
    because = "a pattern is made of queries and keys; values come into play behind it"
    expect.close(
        out, plain("code-attn-2l", tokens)[1][1], "layer 1's pattern with the values cut", atol=2e-3, because=because
    )


@edge.check("it keeps no gradients, and leaves the model as it was")
def edge_clean(answer, draw):
    tokens = model_repeats(draw, 6, 2)
    for out in ask(answer, "code-attn-2l", (tokens, 3, "k"), (tokens, 3, "q")):
        expect.tensor(out)
        expect.true(
            not out.requires_grad, "Your result carries gradients: run the model inside `with torch.no_grad():`."
        )


@edge.check(
    "longer copies: without 0.1 into the keys no induction is left, with another connection cut it stays", hidden=True
)
def edge_effect(answer, draw):
    tokens, cuts = model_repeats(draw, 40, 3), ((1, "k"), (1, "q"), (2, "k"), (3, "q"))
    for (sender, into), out in zip(cuts, ask(answer, "code-attn-2l", *[(tokens, *cut) for cut in cuts]), strict=True):
        expect.shape(out, (3, 4, 81, 81), axes="batch head query key")
        band = (0, 0.15) if (sender, into) == (1, "k") else (0.5, 1)
        what = f"the induction score of layer 1 with 0.{sender} cut from {into!r}"
        expect.between(true_scores(out, 40)[..., 2].mean(), *band, what)


def edge_by_hand(tokens, sender, into, news=None, receivers=slice(None)):
    """The pattern of layer 1 in plain torch. news: what is taken out, made from what the sender adds."""
    news = news or (lambda part: part - part.mean((0, 1)))

    def stream_edit(layer, letter, stream, parts):
        return stream - news(parts[:, :, sender]) if layer == 1 and letter in into else stream

    cut = plain("code-attn-2l", tokens, stream_edit=stream_edit)[1][1]
    if receivers == slice(None):
        return cut
    whole = plain("code-attn-2l", tokens)[1][1].clone()
    whole[:, receivers] = cut[:, receivers]
    return whole


@edge.wrong(
    "cuts the whole head",
    "Your cut reaches queries, keys and values at once: the head is gone from the stream (hook_z, or hook_resid_pre). Change one input only: blocks.1.hook_{into}_input.",
)
def edge_whole_head(model, tokens, sender, into):
    return edge_by_hand(tokens, sender, "qkv")


@edge.wrong(
    "everything but the mean",
    "You subtracted all that the sender adds, its constant part too. Subtract the news alone: what it adds, less its mean over batch and positions.",
)
def edge_zero(model, tokens, sender, into):
    return edge_by_hand(tokens, sender, into, lambda part: part)


@edge.wrong(
    "only the mean",
    "You subtracted the mean and left the news in. It is the other way round: subtract what the sender adds, and put its mean back.",
)
def edge_only_mean(model, tokens, sender, into):
    return edge_by_hand(tokens, sender, into, lambda part: part.mean((0, 1)))


@edge.wrong(
    "the clean pattern",
    "Your pattern is that of the whole model. Did you take it from the first pass, before the cut, or did the hook return nothing?",
)
def edge_clean_pattern(model, tokens, sender, into):
    return plain("code-attn-2l", tokens)[1][1]


@edge.wrong(
    "the pattern of layer 0",
    "You returned layer 0's pattern. The cut lies behind layer 0 and changes layer 1: blocks.1.attn.hook_pattern.",
)
def edge_layer_zero(model, tokens, sender, into):
    return plain("code-attn-2l", tokens)[1][0]


@edge.wrong(
    "one receiver",
    "You changed the input of one head of layer 1, the one with the sender's number. The head axis of hook_k_input counts the *receiving* heads: change all of them.",
)
def edge_one_receiver(model, tokens, sender, into):
    return edge_by_hand(tokens, sender, into, receivers=[sender])


@edge.wrong(
    "the mean of each prompt",
    "Your mean runs over the positions of each prompt alone. Take it over batch and positions, dim=(0, 1).",
)
def edge_prompt_mean(model, tokens, sender, into):
    return edge_by_hand(tokens, sender, into, lambda part: part - part.mean(1, keepdim=True))


@edge.wrong(
    "the mean of each position",
    "Your mean runs over the prompts alone, and each position keeps its own. Take it over batch and positions, dim=(0, 1).",
)
def edge_place_mean(model, tokens, sender, into):
    return edge_by_hand(tokens, sender, into, lambda part: part - part.mean(0, keepdim=True))


@edge.wrong(
    "always the keys",
    "You cut the keys whatever `into` says. Put it into the hook's name.",
)
def edge_always_keys(model, tokens, sender, into):
    return edge_by_hand(tokens, sender, "k")


@edge.wrong(
    "leaves its hook on",
    "Your first pattern is right, and your hook stays on the model: from the second call on, earlier connections are cut as well. Use "
    "`with model.hooks(fwd_hooks=[...]):` in place of add_hook.",
)
def edge_left_on(model, tokens, sender, into):
    with torch.no_grad():
        z = model.run_with_cache(tokens)[1]["blocks.0.attn.hook_z"][:, :, sender]
        news = (z - z.mean((0, 1))) @ plain_weights()["blocks.0.attn.W_O"][sender]
        model.add_hook(f"blocks.1.hook_{into}_input", lambda stream, hook: stream - news[:, :, None])
        return model.run_with_cache(tokens)[1]["blocks.1.attn.hook_pattern"]


@edge.variation("the stream is rebuilt with the sender's z replaced by its mean")
def edge_rebuilt(model, tokens, sender, into):
    with torch.no_grad():
        cache = model.run_with_cache(tokens)[1]
        z = cache["blocks.0.attn.hook_z"].clone()
        z[:, :, sender] = z[:, :, sender].mean((0, 1), keepdim=True)
        weights = plain_weights()
        added = torch.einsum("bphd,hdm->bpm", z, weights["blocks.0.attn.W_O"]) + weights["blocks.0.attn.b_O"]
        stream = cache["blocks.0.hook_resid_pre"] + added

        def replace(copy, hook):
            return stream[:, :, None].expand_as(copy)

        keep = {}

        def look(pattern, hook):
            keep["pattern"] = pattern.clone()

        hooks = [(f"blocks.1.hook_{into}_input", replace), ("blocks.1.attn.hook_pattern", look)]
        model.run_with_hooks(tokens, fwd_hooks=hooks)
    return keep["pattern"]


@edge.variation("a loop over the receiving heads, changed in place")
def edge_in_place(model, tokens, sender, into):
    with torch.no_grad():
        z = model.run_with_cache(tokens)[1]["blocks.0.attn.hook_z"][:, :, sender]
        z = z - z.mean(0).mean(0)
        part = torch.einsum("bpd,dm->bpm", z, plain_weights()["blocks.0.attn.W_O"][sender])

        def cut(stream, hook):
            stream = stream.clone()
            for receiver in range(stream.shape[2]):
                stream[:, :, receiver] -= part
            return stream

        with model.hooks(fwd_hooks=[(f"blocks.1.hook_{into}_input", cut)]):
            return model.run_with_cache(tokens)[1]["blocks.1.attn.hook_pattern"]
