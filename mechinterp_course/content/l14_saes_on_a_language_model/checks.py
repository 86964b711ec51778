"""How the exercises of lesson 14 are checked.

The truth comes from outside the lab: a small bundled transformer, run by TransformerLens for the learner and written out in plain torch
here; latents, rules and directions that are planted; and figures that can be counted by hand. Nothing is trained.

What is passed to an answer is a value, a function or a bundled model: in a class the answer runs in a process of its own, and nothing
else travels there.
"""

import copy
import functools
import math

import numpy as np
import torch
import torch.nn.functional as F

from mechinterp_course.interp import labels, models, planted
from mechinterp_course.tutor.checks import Exercise, expect, reference

# --- a small model that is known inside out -------------------------------------------------------------------------

NAME, D_MODEL, N_LAYERS = "code-attn-2l", 96, 2
HOOKS = [f"blocks.{layer}.hook_resid_post" for layer in range(N_LAYERS)]


@functools.cache
def small_weights():
    return models.weights(NAME)


def plain(tokens, hook_name=None, edit=None):
    """Return (logits, activations) of the model, written out in plain torch; `edit` changes the stream at a hook."""
    logits, found = planted.run(small_weights(), tokens)
    if edit is not None:
        logits, _ = planted.run(small_weights(), tokens, {hook_name: edit(found[hook_name])})
    return logits, found


def stream_at(tokens, hook_name):
    return plain(tokens)[1][hook_name]


def behind_bos(replace):
    return lambda stream: torch.cat([stream[:, :1], replace(stream[:, 1:])], dim=1)


def plain_loss(tokens, hook_name, edit, first=1, shift=1):
    """The loss of predictions made from position `first` on, each of the token `shift` places later."""
    logp = plain(tokens, hook_name, edit)[0].log_softmax(-1)
    logp = logp[:, first : tokens.shape[1] - 1]
    wanted = tokens[:, first + shift : tokens.shape[1] - 1 + shift]
    return -logp.gather(2, wanted[..., None]).mean().item()


@functools.cache
def pristine():
    """The model in TransformerLens. It is only copied, never run."""
    return models.load(NAME)


def ask(answer, *questions):
    """Yield the answer to each question, one after the other on one copy of the model, which must come back as it was.

    A hook that stays on is told of after the second question, so that what it does to the next answer is on record. The copy is shared by
    no other check: naming a mistake runs wrong answers on it again, and some of them leave a hook.
    """
    model = copy.deepcopy(pristine(), {id(pristine().tokenizer): pristine().tokenizer})
    try:
        for i, question in enumerate(questions):
            result = answer(model, *question)
            if i > 0 or len(questions) == 1:
                expect_unchanged(model)
            yield result
    finally:
        model.reset_hooks()


def expect_unchanged(model):
    """Expect that no hook was left on the model and that it computes as before."""
    left = [place for place, point in model.hook_dict.items() if point.fwd_hooks][-1:]
    expect.true(
        not left,
        f"A hook is still on {left[0] if left else ''} after your function has returned, and works on in everything that the model does "
        "next. model.run_with_hooks takes its hooks off; what add_hook puts on stays.",
    )
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        expect.close(model(tokens), plain(tokens)[0], "the model's own logits after your function", atol=1e-3)


def draw_tokens(draw, windows=5, pos=7):
    """BOS, then tokens that are all different, so that no two activations are alike: (window, pos)."""
    return F.pad(1 + draw.permutation(1023)[: windows * (pos - 1)].view(windows, pos - 1), (1, 0))


@functools.cache
def text():
    """All tokens of the bundled sample of held-out files, one behind the other."""
    return torch.cat([torch.from_numpy(file.ids.astype("int64")) for file in labels.sample()])


def draw_text(draw, windows=5, pos=12):
    """BOS, then pieces of real source: (window, pos)."""
    starts = [draw.integer(0, len(text()) - pos) for _ in range(windows)]
    return F.pad(torch.stack([text()[start : start + pos - 1] for start in starts]), (1, 0))


def generator(draw):
    return torch.Generator().manual_seed(draw.seed())


# --- activation_buffer ----------------------------------------------------------------------------------------------

buffer_ = Exercise("activation_buffer")


def buffer_case(draw, windows=8, pos=7):
    """Windows of five files, of which two are held out; the files' numbers do not run from 0."""
    file = torch.tensor([4, 4, 9, 2, 2, 9, 7, 4, 5, 5])[:windows]
    return draw_tokens(draw, windows, pos), file, torch.tensor([9, 7])


def named_rows(rows, all_rows, what):
    """The place (window, pos) of each row among all activations, found by its values."""
    expect.tensor(rows, what)
    expect.true(
        rows.dim() == 2 and rows.shape[1] == D_MODEL,
        f"{what[0].upper() + what[1:]} has the shape {tuple(rows.shape)}; it should be (row, d_model) with d_model = {D_MODEL}.",
    )
    expect.true(len(rows), f"{what[0].upper() + what[1:]} has no rows.")
    distance = torch.cdist(rows.detach().double(), all_rows.flatten(0, 1).double())
    expect.true(
        distance.min(1).values.max() < 1e-3,
        f"{what[0].upper() + what[1:]} has a row that is no activation of this model at {HOOKS[0]} or {HOOKS[1]}, whichever was asked for: "
        "values were changed, or another hook was read.",
    )
    at = distance.argmin(1)
    return torch.stack([at // all_rows.shape[1], at % all_rows.shape[1]], dim=1)


def pairs(places):
    return [tuple(pair) for pair in places.tolist()]


@buffer_.check("BOS is left out, and every other place of every window is there once")
def buffer_places(answer, draw):
    for hook_name in reversed(HOOKS):
        tokens, file, held_out = buffer_case(draw)
        for result in ask(answer, (hook_name, tokens, file, held_out, generator(draw))):
            expect.true(isinstance(result, tuple) and len(result) == 2, "Return two tensors: (buffer, judge).")
            streams = stream_at(tokens, hook_name)
            found = [
                named_rows(part, streams, what) for part, what in zip(result, ("the buffer", "judge"), strict=True)
            ]
            bos = sum(int((places[:, 1] == 0).sum()) for places in found)
            expect.true(not bos, f"{bos} of your rows are those of BOS, position 0 of a window. Leave position 0 out.")
            together = sorted(pairs(torch.cat(found)))
            wanted = [(w, p) for w in range(len(tokens)) for p in range(1, tokens.shape[1])]
            missing = sorted(set(wanted) - set(together))
            expect.true(
                not missing,
                f"{len(missing)} activations are in neither of your tensors, the first from window {missing[0][0] if missing else 0}, "
                f"position {missing[0][1] if missing else 0}. All places behind BOS belong to one of them.",
            )
            expect.true(together == wanted, "Some activations are in your tensors more than once.")


@buffer_.check("the held-out files, and they alone, are in `judge`")
def buffer_split(answer, draw):
    tokens, file, held_out = buffer_case(draw)
    for buffer, judge in ask(answer, (HOOKS[0], tokens, file, held_out, generator(draw))):
        streams = stream_at(tokens, HOOKS[0])
        for part, what, inside in ((buffer, "the buffer", False), (judge, "judge", True)):
            files = file[named_rows(part, streams, what)[:, 0]]
            wrong = files[torch.isin(files, held_out) != inside]
            expect.true(
                not len(wrong),
                f"Files {held_out.tolist()} are held out, and {what} has {len(wrong)} rows of file {int(wrong[0]) if len(wrong) else 0}. "
                "A file belongs to one side as a whole.",
            )


@buffer_.check("the buffer is mixed row by row; `judge` stays in the order of the text")
def buffer_order(answer, draw):
    tokens, file, held_out = buffer_case(draw, 10, 9)
    for buffer, judge in ask(answer, (HOOKS[1], tokens, file, held_out, generator(draw))):
        streams = stream_at(tokens, HOOKS[1])
        places = named_rows(buffer, streams, "the buffer")
        follows = ((places[1:] - places[:-1]) == torch.tensor([0, 1])).all(1).double().mean()
        expect.true(
            follows < 0.3,
            f"In {follows:.0%} of your buffer a row is followed by its neighbour in the text. Mix single rows, not windows.",
        )
        for axis, what in enumerate(("window", "position")):
            alike = (places[1:, axis] == places[:-1, axis]).double().mean()
            expect.true(
                alike < 0.5,
                f"In {alike:.0%} of your buffer the next row is of the same {what}. Mix single rows: flatten first, then one permutation.",
            )
        at = pairs(named_rows(judge, streams, "judge"))
        expect.true(
            at == sorted(at), "The rows of judge are not in the order of the text. Only the buffer is to be mixed."
        )


@buffer_.check("the generator decides on the order; nothing has a gradient")
def buffer_generator(answer, draw):
    tokens, file, held_out = buffer_case(draw)
    seed = draw.seed()
    questions = [(HOOKS[0], tokens, file, held_out, torch.Generator().manual_seed(s)) for s in (seed, seed, seed + 1)]
    one, again, other = (buffer for buffer, _ in ask(answer, *questions))
    expect.true(not one.requires_grad, "Your rows carry gradients: run the model under torch.no_grad().")
    expect.true(torch.equal(one, again), "The same generator gave another order: pass generator= to torch.randperm.")
    expect.true(
        not torch.equal(one, other), "Another generator gave the same order: pass generator= to torch.randperm."
    )


@buffer_.check("other sizes; one held-out file", hidden=True)
def buffer_sizes(answer, draw):
    tokens, file = draw_tokens(draw, 4, 10), torch.tensor([3, 1, 3, 8])
    for buffer, judge in ask(answer, (HOOKS[1], tokens, file, torch.tensor([3]), generator(draw))):
        streams = stream_at(tokens, HOOKS[1])
        expect.shape(buffer, (18, D_MODEL), "the buffer", axes="row d_model")
        expect.close(judge, streams[[0, 2], 1:].flatten(0, 1), "judge", atol=1e-3)
        wanted, got = streams[[1, 3], 1:].flatten(0, 1), buffer
        expect.close(got.sort(0).values, wanted.sort(0).values, "the buffer, each column in order", atol=1e-3)


def rows_of(tokens, hook_name, start=1, stop=None):
    return stream_at(tokens, hook_name)[:, start:stop]


def mixed(rows, generator):
    return rows[torch.randperm(len(rows), generator=generator)]


@buffer_.wrong(
    "BOS left in",
    "Position 0 of every window is in your rows. BOS is the same everywhere and very long: the SAE would spend itself on it. Take [:, 1:].",
)
def buffer_with_bos(model, hook_name, tokens, file, held_out, generator):
    rows, held = rows_of(tokens, hook_name, 0), torch.isin(file, held_out)
    return mixed(rows[~held].flatten(0, 1), generator), rows[held].flatten(0, 1)


@buffer_.wrong(
    "the model run without BOS",
    "You took BOS out of the tokens, and the model never saw it: every activation is another one. Run the whole windows, then leave out position 0.",
)
def buffer_ran_without_bos(model, hook_name, tokens, file, held_out, generator):
    rows, held = rows_of(tokens[:, 1:], hook_name, 0), torch.isin(file, held_out)
    return mixed(rows[~held].flatten(0, 1), generator), rows[held].flatten(0, 1)


@buffer_.wrong(
    "the last place left out",
    "You dropped the last position of each window and kept BOS. BOS is the first: [:, 1:], not [:, :-1].",
)
def buffer_without_last(model, hook_name, tokens, file, held_out, generator):
    rows, held = rows_of(tokens, hook_name, 0, -1), torch.isin(file, held_out)
    return mixed(rows[~held].flatten(0, 1), generator), rows[held].flatten(0, 1)


@buffer_.wrong(
    "held-out files in the buffer",
    "Your buffer holds all files, the held-out ones, too. What the SAE is judged by, it must never have seen.",
)
def buffer_leaks(model, hook_name, tokens, file, held_out, generator):
    rows, held = rows_of(tokens, hook_name), torch.isin(file, held_out)
    return mixed(rows.flatten(0, 1), generator), rows[held].flatten(0, 1)


@buffer_.wrong(
    "split by row",
    "You mixed all rows and then cut off a part. Rows of one file are then on both sides. Part the windows by their file first, and mix afterwards.",
)
def buffer_split_by_row(model, hook_name, tokens, file, held_out, generator):
    rows, held = mixed(rows_of(tokens, hook_name).flatten(0, 1), generator), torch.isin(file, held_out)
    count = int((~held).sum()) * (tokens.shape[1] - 1)
    return rows[:count], rows[count:]


@buffer_.wrong(
    "windows mixed, not rows",
    "You mixed the windows, so rows that stood side by side still do. A batch should hold many files: flatten first, then mix.",
)
def buffer_windows(model, hook_name, tokens, file, held_out, generator):
    rows, held = rows_of(tokens, hook_name), torch.isin(file, held_out)
    return mixed(rows[~held], generator).flatten(0, 1), rows[held].flatten(0, 1)


@buffer_.wrong(
    "nothing is mixed",
    "Your buffer is in the order of the text, so each batch comes from one file. Put it in the order of torch.randperm.",
)
def buffer_in_order(model, hook_name, tokens, file, held_out, generator):
    rows, held = rows_of(tokens, hook_name), torch.isin(file, held_out)
    return rows[~held].flatten(0, 1), rows[held].flatten(0, 1)


@buffer_.wrong(
    "both parts mixed",
    "You mixed the rows to judge by as well. They are to stay in the order of the text, so that a place can be found again.",
)
def buffer_both_mixed(model, hook_name, tokens, file, held_out, generator):
    rows, held = rows_of(tokens, hook_name), torch.isin(file, held_out)
    return mixed(rows[~held].flatten(0, 1), generator), mixed(rows[held].flatten(0, 1), generator)


@buffer_.wrong(
    "the two sides exchanged",
    "Your first tensor holds the held-out files, and the second one the rest. The files in held_out are those to judge by.",
)
def buffer_exchanged(model, hook_name, tokens, file, held_out, generator):
    rows, held = rows_of(tokens, hook_name), torch.isin(file, held_out)
    return mixed(rows[held].flatten(0, 1), generator), rows[~held].flatten(0, 1)


@buffer_.variation("a hook that catches, a loop over windows")
def buffer_loop(model, hook_name, tokens, file, held_out, generator):
    caught = []
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[(hook_name, lambda value, hook: caught.append(value))])
    buffer, judge = [], []
    for window, number in zip(caught[0], file.tolist(), strict=True):
        (judge if number in held_out.tolist() else buffer).append(window[1:])
    buffer = torch.cat(buffer)
    return buffer.index_select(0, torch.randperm(len(buffer), generator=generator)), torch.cat(judge)


@buffer_.variation("a mask over all rows")
def buffer_mask(model, hook_name, tokens, file, held_out, generator):
    with torch.no_grad():
        cache = model.run_with_cache(tokens)[1]
    rows = cache[hook_name][:, 1:].reshape(-1, cache[hook_name].shape[-1]).detach()
    held = (file[:, None] == held_out).any(1).repeat_interleave(tokens.shape[1] - 1)
    order = torch.argsort(torch.rand(int((~held).sum()), generator=generator))
    return rows[~held][order], rows[held]


# --- judge_sae ------------------------------------------------------------------------------------------------------

judged = Exercise("judge_sae")


def sparse(draw, *shape, share=0.2):
    """Feature activations: mostly 0, else between 0.5 and 3."""
    return draw.uniform(*shape, low=0.5, high=3.0) * (draw.uniform(*shape) < share)


class Planted:
    """A small SAE with random weights, and batches of unequal size whose rows differ in mean from batch to batch, as files do."""

    def __init__(self, draw, sizes=(3, 40, 9, 1, 25), d_in=5, d_sae=12):
        self.W, self.b = draw.normal(d_in, d_sae, std=0.6), draw.normal(d_sae) - 1.0
        self.b[[2, 7]] = -1000.0  # two that never fire
        self.W_dec, self.b_dec = draw.normal(d_sae, d_in, std=0.4), draw.normal(d_in)
        spread = torch.tensor([3.0, 1.5, 1.0, 0.5, 0.1])[:d_in]
        middle = 4 * draw.normal(d_in)
        self.batches = [draw.normal(n, d_in) * spread + middle + 2 * draw.normal(d_in) for n in sizes]

    def encode(self, rows):
        return (rows @ self.W + self.b).relu()

    def decode(self, f):
        return f @ self.W_dec + self.b_dec

    def asked(self):
        """What an answer is given: two functions, and the batches."""
        return (lambda rows: self.encode(rows)), (lambda f: self.decode(f)), self.batches

    def truth(self):
        """The three numbers from all rows at once, entry by entry, in float64."""
        x = torch.cat(self.batches)
        f, x_hat = self.encode(x).double(), self.decode(self.encode(x)).double()
        x = x.double()
        mean = [sum(column) / len(x) for column in x.T.tolist()]
        pairs = list(zip(x.tolist(), x_hat.tolist(), strict=True))
        error = sum((a - b) ** 2 for row, said in pairs for a, b in zip(row, said, strict=True))
        total = sum((a - m) ** 2 for row, _ in pairs for a, m in zip(row, mean, strict=True))
        active = sum(1 for value in f.flatten().tolist() if value)
        dead = sum(1 for column in f.T.tolist() if not any(column)) / f.shape[1]
        return active / len(x), 1 - error / total, dead


WHAT = ("L0", "variance explained", "the share of dead latents")


def expect_numbers(got, wanted, which=WHAT, because=""):
    is_three = isinstance(got, (tuple, list)) and len(got) == 3
    expect.true(is_three, "Return three numbers: (L0, variance explained, share of dead latents).")
    for value, right, what in zip(got, wanted, WHAT, strict=True):
        expect.number(value, what)
        if what in which:
            expect.close(float(value), float(right), what, atol=2e-4, rtol=1e-3, because=because)


@judged.check("by hand: two batches, five latents, of which one never fires")
def judged_by_hand(answer, draw):
    first = torch.tensor([[1.0, 0.0, 2.0, -1.0, 0.0], [0.0, 0.0, 1.0, 3.0, -2.0]])
    last = torch.tensor([[0.0, 0.0, 0.5, 0.0, 0.0], [0.0, -1.0, 0.0, 0.2, 0.0], [0.0, 2.0, 0.0, 0.0, 0.0]])
    got = answer(lambda x: x.relu(), lambda f: f, [first, last])
    x = torch.cat([first, last])
    explained = 1 - x.clamp(max=0).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    expect_numbers(
        got, (7 / 5, explained, 1 / 5), because="there are 7 active entries in 5 rows, and latent 4 never fires"
    )


@judged.check("the ends: x itself explains 1, the mean of all rows explains 0")
def judged_ends(answer, draw):
    planted_ = Planted(draw)
    encode, _, batches = planted_.asked()
    mean = torch.cat(batches).mean(0)
    got = answer(encode, lambda f: mean.expand(len(f), -1), batches)
    expect_numbers(got, (0, 0, 0), WHAT[1:2], "the mean of all rows, said each time, explains nothing")
    got = answer(lambda x: torch.cat([x, -x], 1).relu(), lambda f: f[:, :5] - f[:, 5:], batches)
    expect_numbers(
        got, (5, 1, 0), WHAT[:2], "this pair of functions gives x back exactly, with 5 active latents each time"
    )


@judged.check("five batches of unequal size: each number is one over all rows")
def judged_batches(answer, draw):
    for sizes in ((3, 40, 9, 1, 25), (30, 6)):
        planted_ = Planted(draw, sizes)
        expect_numbers(answer(*planted_.asked()), planted_.truth())


@judged.check("it does not matter how the rows are cut into batches")
def judged_cuts(answer, draw):
    planted_ = Planted(draw)
    encode, decode, batches = planted_.asked()
    for size in (100, 7, 2):
        got = answer(encode, decode, list(torch.cat(batches).split(size)))
        expect_numbers(got, planted_.truth(), because=f"these are the same rows, in batches of {size}")


@judged.check("rare latents: each fires in one row of one batch", hidden=True)
def judged_rare(answer, draw):
    batches = [-draw.uniform(n, 16, low=0.1) for n in (4, 90, 2, 50, 8, 1, 60)]
    for latent in draw.permutation(16)[:13].tolist():
        rows = batches[draw.integer(0, 7)]
        rows[draw.integer(0, len(rows)), latent] = 1.0
    got = answer(lambda x: x.relu(), lambda f: f, batches)
    expect_numbers(got, (13 / 215, 0, 3 / 16), (WHAT[0], WHAT[2]))


@judged.check("worse than the mean is below 0; a reconstruction that is off by one vector is not perfect", hidden=True)
def judged_offset(answer, draw):
    planted_ = Planted(draw, (12, 4))
    planted_.decode = lambda f: -10 * (f @ planted_.W_dec)
    expect_numbers(answer(*planted_.asked()), planted_.truth())
    x, off = torch.cat(planted_.batches), torch.tensor([1.0, 0.0, -2.0, 0.5, 0.3])
    explained = 1 - len(x) * off.pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    got = answer(lambda x: torch.cat([x, -x], 1).relu(), lambda f: f[:, :5] - f[:, 5:] + off, planted_.batches)
    expect_numbers(got, (5, explained, 0), WHAT[:2])


def three_numbers(encode, decode, batches):
    """The three right numbers, as parts for answers that get one of them wrong; and all rows, latents and reconstructions."""
    x = torch.cat(list(batches))
    f = encode(x)
    x_hat = decode(f)
    explained = 1 - (x - x_hat).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    return (f != 0).sum(-1).float().mean().item(), explained.item(), (f == 0).all(0).float().mean().item(), x, f, x_hat


@judged.wrong(
    "L0 as a sum over the batch",
    "Your L0 is a total: with more text it grows. It is a mean over rows, so divide by how many there are.",
)
def judged_l0_sum(encode, decode, batches):
    _, explained, dead, _, f, _ = three_numbers(encode, decode, batches)
    return float((f != 0).sum()), explained, dead


@judged.wrong(
    "L0 as a share of the latents",
    "You divided the count by the number of latents, too. That is their mean density; L0 is a count of latents in a row.",
)
def judged_l0_share(encode, decode, batches):
    _, explained, dead, _, f, _ = three_numbers(encode, decode, batches)
    return float((f != 0).float().mean()), explained, dead


@judged.wrong(
    "L1 in place of L0", "You added up the activations themselves: that is L1. L0 counts those that are not 0."
)
def judged_l1(encode, decode, batches):
    _, explained, dead, _, f, _ = three_numbers(encode, decode, batches)
    return float(f.sum(-1).mean()), explained, dead


@judged.wrong(
    "the mean of the batches' numbers",
    "You computed the numbers for each batch and averaged them. A batch of one row then counts as much as one of a thousand, and a latent that is silent in one batch "
    "counts as partly dead. Carry sums, and divide once at the end.",
)
def judged_mean(encode, decode, batches):
    each = []
    for x in batches:
        x_hat = decode(encode(x))
        spread = (x - x.mean(0)).pow(2).sum()
        explained = 1 - (x - x_hat).pow(2).sum() / spread if spread > 0 else torch.tensor(0.0)
        f = encode(x)
        each.append([(f != 0).sum(-1).float().mean(), explained, (f == 0).all(0).float().mean()])
    return tuple(torch.tensor(each).mean(0).tolist())


@judged.wrong(
    "variance explained without centring",
    "You divided by the squares of x, not by those of its distance from the mean. A reconstruction that knows nothing but the mean then looks good.",
)
def judged_uncentred(encode, decode, batches):
    l0, _, dead, x, _, x_hat = three_numbers(encode, decode, batches)
    return l0, float(1 - (x - x_hat).pow(2).sum() / x.pow(2).sum()), dead


@judged.wrong(
    "a mean of its own for each batch",
    "You took the mean activation of each batch by itself. What differs between batches then counts as nothing to be explained: take the mean of all rows first.",
)
def judged_own_means(encode, decode, batches):
    l0, _, dead, x, _, x_hat = three_numbers(encode, decode, batches)
    total = sum((rows - rows.mean(0)).pow(2).sum() for rows in batches)
    return l0, float(1 - (x - x_hat).pow(2).sum() / total), dead


@judged.wrong(
    "the mean of the dimensions' ratios",
    "You took a ratio for each dimension and averaged. A dimension with hardly any variance then counts as much as a large one: add up over both axes, then "
    "divide.",
)
def judged_dimensions(encode, decode, batches):
    l0, _, dead, x, _, x_hat = three_numbers(encode, decode, batches)
    return l0, float((1 - (x - x_hat).pow(2).sum(0) / (x - x.mean(0)).pow(2).sum(0).clamp(min=1e-9)).mean()), dead


@judged.wrong(
    "the error is centred, too",
    "You took the mean off the error as well (a variance of x − x̂). An error that is the same in every row then costs nothing: square x − x̂ as it is.",
)
def judged_centred_error(encode, decode, batches):
    l0, _, dead, x, _, x_hat = three_numbers(encode, decode, batches)
    return l0, float(1 - (x - x_hat).var(0).sum() / x.var(0).sum()), dead


@judged.wrong(
    "dead latents counted on one batch",
    "You looked at the last batch alone for dead latents: what fired before it is forgotten. A latent is dead if it fires in no batch.",
)
def judged_last(encode, decode, batches):
    l0, explained, _, _, _, _ = three_numbers(encode, decode, batches)
    return l0, explained, float((encode(batches[-1]) == 0).all(0).float().mean())


@judged.wrong(
    "dead if silent in some batch",
    "You count a latent as dead if it is silent in *some* batch. Join with or, not with and: one firing anywhere is enough.",
)
def judged_any(encode, decode, batches):
    l0, explained, _, _, _, _ = three_numbers(encode, decode, batches)
    silent = torch.stack([(encode(rows) == 0).all(0) for rows in batches]).any(0)
    return l0, explained, float(silent.float().mean())


@judged.wrong(
    "the living counted", "Your third number is the share of latents that fire. The dead ones are the others."
)
def judged_alive(encode, decode, batches):
    l0, explained, dead, _, _, _ = three_numbers(encode, decode, batches)
    return l0, explained, 1 - dead


@judged.variation("all rows at once, in float64")
def judged_at_once(encode, decode, batches):
    l0, _, dead, x, _, x_hat = three_numbers(encode, decode, batches)
    x, x_hat = x.double(), x_hat.double()
    return l0, 1 - F.mse_loss(x_hat, x) / x.var(0, unbiased=False).mean(), dead


@judged.variation("one pass, with sums of squares")
def judged_one_pass(encode, decode, batches):
    rows, active, error, squares, sums, largest = 0, 0, 0.0, 0.0, 0.0, 0.0
    for x in batches:
        f, wide = encode(x), x.double()
        rows, active = rows + len(x), active + f.count_nonzero()
        error = error + ((wide - decode(f).double()) ** 2).sum()
        squares, sums = squares + (wide**2).sum(), sums + wide.sum(0)
        largest = torch.maximum(f.amax(0), torch.as_tensor(largest))
    total = squares - (sums**2).sum() / rows
    return active / rows, 1 - error / total, (largest == 0).double().mean()


# --- loss_with ------------------------------------------------------------------------------------------------------

spliced = Exercise("loss_with")


class Twist:
    """A replacement that depends on what it gets: a turn and a shift. Twice is not the same as once."""

    def __init__(self, draw):
        self.matrix, self.shift = draw.normal(D_MODEL, D_MODEL, std=0.12), draw.normal(D_MODEL)

    def __call__(self, x):
        return x @ self.matrix + self.shift


@spliced.check("a replacement that changes nothing gives the model's own loss")
def spliced_clean(answer, draw):
    tokens = draw_text(draw)
    for hook_name, value in zip(
        HOOKS, ask(answer, *((tokens, hook_name, lambda x: x) for hook_name in HOOKS)), strict=True
    ):
        wanted = plain_loss(tokens, hook_name, lambda stream: stream)
        expect.close(
            expect.number(value),
            wanted,
            f"the loss with x itself at {hook_name}",
            atol=1e-3,
            because="it is the mean loss of the tokens from position 2 on",
        )


@spliced.check("behind BOS the stream is what `replace` returns, and BOS keeps its own")
def spliced_twist(answer, draw):
    tokens, twist = draw_text(draw), Twist(draw)
    questions = [(tokens, hook_name, twist) for hook_name in (HOOKS[0], HOOKS[1], HOOKS[0])]
    for (_, hook_name, _), value in zip(questions, ask(answer, *questions), strict=True):
        wanted = plain_loss(tokens, hook_name, behind_bos(twist))
        expect.close(expect.number(value), wanted, f"the loss with something else at {hook_name}", atol=1e-3)


@spliced.check("after the call the model is as it was")
def spliced_leaves(answer, draw):
    tokens, twist = draw_text(draw, 3, 8), Twist(draw)
    questions = [(tokens, HOOKS[1], twist), (tokens, HOOKS[0], lambda x: x), (tokens, HOOKS[0], twist)]
    for (_, hook_name, replace), value in zip(questions, ask(answer, *questions), strict=True):
        wanted = plain_loss(tokens, hook_name, behind_bos(replace))
        expect.close(expect.number(value), wanted, "the loss of one call after another", atol=1e-3)


@spliced.check("one window, the shortest that there is, a constant; a plain number comes back", hidden=True)
def spliced_sizes(answer, draw):
    vector = draw.normal(D_MODEL)
    for windows, pos in ((1, 9), (6, 3), (4, 4)):
        tokens = draw_text(draw, windows, pos)
        for value in ask(answer, (tokens, HOOKS[0], vector.expand_as)):
            expect.true(
                not getattr(value, "requires_grad", False),
                "Your loss carries gradients, and the memory of the whole run with it: work under torch.no_grad().",
            )
            expect.close(
                expect.number(value), plain_loss(tokens, HOOKS[0], behind_bos(vector.expand_as)), "the loss", atol=1e-3
            )


@spliced.wrong(
    "BOS replaced, too",
    "You replaced the activation at BOS as well. SAEs do not learn from it, and later positions look at it a lot: keep value[:, :1].",
)
def spliced_bos(model, tokens, hook_name, replace):
    return plain_loss(tokens, hook_name, replace)


@spliced.wrong(
    "the prediction at BOS is counted",
    "You averaged over the token at position 1 as well. It is predicted at BOS, where nothing was replaced: start with the logits at position 1.",
)
def spliced_first(model, tokens, hook_name, replace):
    return plain_loss(tokens, hook_name, behind_bos(replace), first=0)


@spliced.wrong(
    "not shifted",
    "You compared the logits at a position with the token at that same position. They predict the next one.",
)
def spliced_unshifted(model, tokens, hook_name, replace):
    return plain_loss(tokens, hook_name, behind_bos(replace), shift=0)


@spliced.wrong(
    "nothing is replaced",
    "Your loss is the model's own, whatever `replace` does. Does your hook *return* the new activation?",
)
def spliced_nothing(model, tokens, hook_name, replace):
    replace(stream_at(tokens, hook_name)[:, 1:])
    return plain_loss(tokens, hook_name, lambda stream: stream)


@spliced.wrong(
    "the replacement is added",
    "You added what `replace` returns to the activation. It stands in its place.",
)
def spliced_added(model, tokens, hook_name, replace):
    return plain_loss(tokens, hook_name, behind_bos(lambda x: x + replace(x)))


@spliced.wrong(
    "only the last prediction", "You took the last prediction of each window alone. All from position 1 on count."
)
def spliced_last(model, tokens, hook_name, replace):
    return plain_loss(tokens, hook_name, behind_bos(replace), first=tokens.shape[1] - 2)


@spliced.wrong(
    "hook left on the model",
    "Your first number is right, and your hook is still on the model: every later run is changed by it. Use model.run_with_hooks, which takes its hooks off "
    "again, in place of add_hook.",
)
def spliced_left_on(model, tokens, hook_name, replace):
    model.add_hook(hook_name, lambda value, hook: torch.cat([value[:, :1], replace(value[:, 1:])], dim=1))
    with torch.no_grad():
        logits = model(tokens)
    return float(F.cross_entropy(logits[:, 1:-1].flatten(0, 1), tokens[:, 2:].flatten()))


@spliced.variation("in place, in a `with model.hooks` block, log-softmax by hand")
def spliced_in_place(model, tokens, hook_name, replace):
    def splice(value, hook):
        value = value.clone()
        value[:, 1:] = replace(value[:, 1:])
        return value

    with torch.no_grad(), model.hooks(fwd_hooks=[(hook_name, splice)]):
        logp = model(tokens).log_softmax(-1)
    return -logp[:, 1:-1].gather(2, tokens[:, 2:, None]).mean()


@spliced.variation("window by window")
def spliced_loop(model, tokens, hook_name, replace):
    losses = []
    for row in tokens:
        hooks = [(hook_name, lambda value, hook: torch.cat([value[:, :1], replace(value[:, 1:])], 1))]
        with torch.no_grad():
            logits = model.run_with_hooks(row[None], fwd_hooks=hooks)
        losses.append(F.cross_entropy(logits[0, 1:-1].double(), row[2:]).item())
    return sum(losses) / len(losses)


# --- loss_recovered -------------------------------------------------------------------------------------------------

recovered = Exercise("loss_recovered")


class Blur:
    """A stand-in for an SAE: it keeps a part of each activation, and turns the rest."""

    def __init__(self, draw, keeps=0.8):
        self.keeps, self.matrix = keeps, draw.normal(D_MODEL, D_MODEL, std=0.1)

    def __call__(self, x):
        return self.keeps * x + (1 - self.keeps) * (x @ self.matrix)


def three_losses(tokens, hook_name, sae, stands_for):
    edits = (lambda x: x, sae, lambda x: stands_for.expand_as(x))
    return [plain_loss(tokens, hook_name, behind_bos(edit)) for edit in edits]


def mean_of(tokens, hook_name, start=1):
    return stream_at(tokens, hook_name)[:, start:].flatten(0, 1).mean(0)


def share(clean, with_sae, ablated):
    return (ablated - with_sae) / (ablated - clean)


@recovered.check("1 for an SAE that changes nothing, 0 for one that says what the ablation says")
def recovered_ends(answer, draw):
    tokens = draw_text(draw)
    mean = mean_of(tokens, HOOKS[0])
    questions = [
        (tokens, HOOKS[0], lambda x: x, "mean"),
        (tokens, HOOKS[0], mean.expand_as, "mean"),
        (tokens, HOOKS[1], torch.zeros_like, "zero"),
    ]
    said = ["x itself", "the mean activation, against mean ablation,", "zeros, against zero ablation,"]
    for value, wanted, what in zip(ask(answer, *questions), (1.0, 0.0, 0.0), said, strict=True):
        expect.close(expect.number(value), wanted, f"the loss recovered by {what}", atol=2e-3)


@recovered.check("against the mean: one mean vector, over all windows and all places behind BOS")
def recovered_mean(answer, draw):
    tokens, sae = draw_text(draw), Blur(draw)
    for hook_name, value in zip(HOOKS, ask(answer, *((tokens, h, sae, "mean") for h in HOOKS)), strict=True):
        wanted = share(*three_losses(tokens, hook_name, sae, mean_of(tokens, hook_name)))
        expect.close(expect.number(value), wanted, f"loss recovered at {hook_name}", atol=2e-3)


@recovered.check("against zero")
def recovered_zero(answer, draw):
    tokens, sae = draw_text(draw), Blur(draw)
    for hook_name, value in zip(HOOKS, ask(answer, *((tokens, h, sae, "zero") for h in HOOKS)), strict=True):
        wanted = share(*three_losses(tokens, hook_name, sae, torch.zeros(1)))
        expect.close(expect.number(value), wanted, f"loss recovered at {hook_name}, against zero", atol=2e-3)


@recovered.check("a poor SAE; mean ablation is what you get unasked", hidden=True)
def recovered_poor(answer, draw):
    tokens, sae = draw_text(draw, 3, 9), Blur(draw, keeps=0.1)
    for value in ask(answer, (tokens, HOOKS[0], sae), (tokens, HOOKS[0], sae, "mean")):
        wanted = share(*three_losses(tokens, HOOKS[0], sae, mean_of(tokens, HOOKS[0])))
        expect.close(expect.number(value), wanted, "loss recovered", atol=3e-3, rtol=2e-3)


def baseline(tokens, hook_name, ablation):
    return mean_of(tokens, hook_name) if ablation == "mean" else torch.zeros(1)


@recovered.wrong(
    "upside down",
    "Your number is 0 for a perfect SAE: you divided what the SAE loses by what the ablation loses. Loss recovered is what it *saves*.",
)
def recovered_upside_down(model, tokens, hook_name, sae, ablation="mean"):
    return 1 - share(*three_losses(tokens, hook_name, sae, baseline(tokens, hook_name, ablation)))


@recovered.wrong(
    "a ratio of losses",
    "You divided the clean loss by that with the SAE. A ratio of losses has no lower end: something useless would still get a good part. Measure "
    "from the ablated loss.",
)
def recovered_ratio(model, tokens, hook_name, sae, ablation="mean"):
    clean, with_sae, _ = three_losses(tokens, hook_name, sae, baseline(tokens, hook_name, ablation))
    return clean / with_sae


@recovered.wrong(
    "zero ablation whatever was asked",
    "Your lower end is zero ablation, also where mean ablation was asked for (or one number, the mean over d_model as well, which is near 0). That is another baseline, and gives another figure.",
)
def recovered_always_zero(model, tokens, hook_name, sae, ablation="mean"):
    return share(*three_losses(tokens, hook_name, sae, torch.zeros(1)))


@recovered.wrong(
    "mean ablation whatever was asked",
    "Your lower end is mean ablation, also where zero ablation was asked for. Look at `ablation`.",
)
def recovered_always_mean(model, tokens, hook_name, sae, ablation="mean"):
    return share(*three_losses(tokens, hook_name, sae, mean_of(tokens, hook_name)))


@recovered.wrong(
    "BOS in the mean",
    "Your mean activation has BOS in it, which is long and never ablated. Take the mean over positions 1 and later.",
)
def recovered_bos_mean(model, tokens, hook_name, sae, ablation="mean"):
    stands_for = mean_of(tokens, hook_name, 0) if ablation == "mean" else torch.zeros(1)
    return share(*three_losses(tokens, hook_name, sae, stands_for))


@recovered.wrong(
    "a mean for each place",
    "You put another mean at each position (a mean over windows alone). Here one vector stands for all places: mean over windows and positions.",
)
def recovered_by_place(model, tokens, hook_name, sae, ablation="mean"):
    stands_for = torch.zeros(1)
    if ablation == "mean":
        stands_for = stream_at(tokens, hook_name)[:, 1:].mean(0)
    return share(*three_losses(tokens, hook_name, sae, stands_for))


@recovered.wrong(
    "measured from nothing",
    "You divided by the whole ablated loss. What can be recovered is the difference between ablated and clean: divide by that.",
)
def recovered_whole(model, tokens, hook_name, sae, ablation="mean"):
    _, with_sae, ablated = three_losses(tokens, hook_name, sae, baseline(tokens, hook_name, ablation))
    return (ablated - with_sae) / ablated


@recovered.variation("1 minus what is lost; the mean by a hook")
def recovered_complement(model, tokens, hook_name, sae, ablation="mean"):
    caught, loss = [], reference("loss_with")

    def keep(x):
        caught.append(x)
        return x

    clean = loss(model, tokens, hook_name, keep)
    mean = caught[0].flatten(0, 1).double().mean(0).float() if ablation == "mean" else torch.zeros(D_MODEL)
    ablated = loss(model, tokens, hook_name, lambda x: torch.zeros_like(x) + mean)
    return 1 - (loss(model, tokens, hook_name, sae) - clean) / (ablated - clean)


@recovered.variation("a tensor with one number")
def recovered_tensor(model, tokens, hook_name, sae, ablation="mean"):
    return torch.tensor(share(*three_losses(tokens, hook_name, sae, baseline(tokens, hook_name, ablation))))


# --- top_contexts ---------------------------------------------------------------------------------------------------

contexts = Exercise("top_contexts")


def files_of(*lengths):
    """Files of these lengths, one behind the other, under numbers that are in no order: (token,)."""
    numbers = [7, 2, 9, 0, 5, 3][: len(lengths)]
    return torch.tensor(numbers).repeat_interleave(torch.tensor(lengths))


def planted_row(length, peaks):
    """Zeros, but for some activations: {token: value}."""
    row = torch.zeros(length)
    for at, value in peaks.items():
        row[at] = value
    return row


def walked(row, file, count, reach, one_each):
    """The contexts, found by walking to the left and to the right token by token."""
    found, seen, left = [], set(), dict(enumerate(row.tolist()))
    while left and len(found) < count:
        at = max(left, key=left.get)
        if left.pop(at) <= 0:
            break
        if one_each and int(file[at]) in seen:
            continue
        seen.add(int(file[at]))
        start = stop = at
        while start > 0 and at - start < reach and file[start - 1] == file[at]:
            start -= 1
        while stop + 1 < len(row) and stop - at < reach and file[stop + 1] == file[at]:
            stop += 1
        found.append((start, at, stop + 1))
    return found


def expect_contexts(got, wanted, file, because=""):
    """Expect these contexts; tell of one that crosses a file's end in words."""
    is_list = isinstance(got, (list, tuple)) and all(isinstance(one, (list, tuple)) and len(one) == 3 for one in got)
    expect.true(is_list, "Return a list of (start, at, stop), three whole numbers each.")
    got = [tuple(int(number) for number in one) for one in got]
    for start, at, stop in got:
        inside = 0 <= start <= at < max(stop, at + 1) and stop <= len(file)
        crossing = inside and len(set(file[start:stop].tolist())) > 1
        expect.true(
            not crossing,
            f"The context ({start}, {at}, {stop}) holds tokens of two files: file {int(file[at])} has tokens "
            f"{int((file == file[at]).nonzero()[0])} to {int((file == file[at]).nonzero()[-1])}. Cut it off at the file's ends.",
        )
    expect.equal(got, wanted, "the contexts", because=because)


@contexts.check("the two from the drawing")
def contexts_drawing(answer, draw):
    file = files_of(5, 5)
    row = planted_row(10, {3: 9.0, 6: 7.0})
    expect_contexts(answer(row, file, 2, 2), [(1, 3, 5), (5, 6, 9)], file)


@contexts.check("highest first, and never beyond a file's ends")
def contexts_ends(answer, draw):
    file = files_of(4, 6, 3, 7)
    row = planted_row(20, {0: 2.0, 3: 8.0, 4: 5.0, 9: 6.0, 10: 3.0, 12: 9.0, 19: 4.0, 15: 1.0})
    expect_contexts(answer(row, file, 7, 3), walked(row, file, 7, 3, False), file)
    expect_contexts(
        answer(row, file, 4, 30), walked(row, file, 4, 30, False), file, "a context is at most its whole file"
    )


@contexts.check("one of each file, where that is asked, and several where it is not")
def contexts_one_each(answer, draw):
    file = files_of(6, 5, 9)
    row = planted_row(20, {1: 9.0, 4: 8.0, 2: 7.0, 12: 6.0, 18: 5.0, 8: 1.0})
    for one_each in (True, False):
        got = answer(row, file, 3, 2, one_each)
        expect_contexts(got, walked(row, file, 3, 2, one_each), file, f"one_each is {one_each}")


@contexts.check("tokens where the latent is silent are no contexts, even if there are not enough others")
def contexts_silent(answer, draw):
    file = files_of(4, 4, 4)
    row = planted_row(12, {7: 3.0, 2: 1.0})
    expect_contexts(answer(row, file, 5, 1), [(6, 7, 8), (1, 2, 4)], file, "it is active on two tokens")
    expect_contexts(answer(row, file, 5, 1, True), [(6, 7, 8), (1, 2, 4)], file, "it is active on two tokens")


@contexts.check("random files; a reach of 0; a latent that is dead", hidden=True)
def contexts_random(answer, draw):
    file = files_of(*(draw.integer(1, 12) for _ in range(6)))
    row = sparse(draw, len(file), share=0.4)
    for one_each in (False, True):
        for reach in (0, 1, 5):
            got = answer(row, file, 6, reach, one_each)
            expect_contexts(got, walked(row, file, 6, reach, one_each), file)
    expect_contexts(answer(torch.zeros(9), files_of(4, 5), 3, 2), [], files_of(4, 5), "a dead latent has no contexts")


def chosen_places(row, file, count, one_each, silent=False, lowest=False):
    order = row.argsort(descending=not lowest, stable=True).tolist()
    found, seen = [], set()
    for at in order:
        if len(found) < count and (silent or row[at] > 0) and not (one_each and int(file[at]) in seen):
            found.append(at)
            seen.add(int(file[at]))
    return found


def cut_off(file, at, reach, behind=1):
    own = (file == file[at]).nonzero().flatten()
    return max(at - reach, int(own[0])), at, min(at + reach + behind, int(own[-1]) + 1)


@contexts.wrong(
    "contexts cross files",
    "Your contexts run on into the next file. The tokens beside each other in the row need not be of one text.",
)
def contexts_cross(activations, file, count, reach, one_each=False):
    return [
        (max(at - reach, 0), at, min(at + reach + 1, len(file)))
        for at in chosen_places(activations, file, count, one_each)
    ]


@contexts.wrong(
    "one token short on the right",
    "The last token of your contexts is missing: stop is the token *behind* the last, as in a slice. Add 1.",
)
def contexts_short(activations, file, count, reach, one_each=False):
    return [cut_off(file, at, reach, 0) for at in chosen_places(activations, file, count, one_each)]


@contexts.wrong(
    "one_each ignored",
    "Where one of each file was asked for, a file comes twice. Remember the files that you have taken.",
)
def contexts_several(activations, file, count, reach, one_each=False):
    return [cut_off(file, at, reach) for at in chosen_places(activations, file, count, False)]


@contexts.wrong(
    "always one of each file",
    "You take one place of each file even where that was not asked for. Look at one_each.",
)
def contexts_always_one(activations, file, count, reach, one_each=False):
    return [cut_off(file, at, reach) for at in chosen_places(activations, file, count, True)]


@contexts.wrong(
    "silent tokens shown",
    "You show tokens where the activation is 0, to have `count` of them. They say nothing about the latent: stop there.",
)
def contexts_with_silent(activations, file, count, reach, one_each=False):
    return [cut_off(file, at, reach) for at in chosen_places(activations, file, count, one_each, silent=True)]


@contexts.wrong(
    "weakest first",
    "You took the weakest activations. argsort goes up unless you ask it to go down: descending=True.",
)
def contexts_weakest(activations, file, count, reach, one_each=False):
    return [cut_off(file, at, reach) for at in chosen_places(activations, file, count, one_each, lowest=True)]


@contexts.wrong(
    "taken, then thinned out",
    "You took the `count` strongest places first and dropped those of one file afterwards, so fewer than `count` are left while other files have some. "
    "Skip while you go down.",
)
def contexts_thinned(activations, file, count, reach, one_each=False):
    places, seen = [], set()
    for at in chosen_places(activations, file, count, False):
        if not (one_each and int(file[at]) in seen):
            places.append(at)
            seen.add(int(file[at]))
    return [cut_off(file, at, reach) for at in places]


@contexts.variation("walking token by token")
def contexts_walk(activations, file, count, reach, one_each=False):
    return walked(activations, file, count, reach, one_each)


@contexts.variation("sorted pairs, and lists in place of tuples")
def contexts_sorted(activations, file, count, reach, one_each=False):
    numbers, found, seen = file.tolist(), [], set()
    for _, at in sorted(((v, i) for i, v in enumerate(activations.tolist()) if v > 0), reverse=True):
        if one_each and numbers[at] in seen:
            continue
        seen.add(numbers[at])
        first = numbers.index(numbers[at])
        last = first + numbers.count(numbers[at]) - 1
        found.append([max(first, at - reach), at, min(last, at + reach) + 1])
    return found[:count]


# --- feature_logits -------------------------------------------------------------------------------------------------

writes = Exercise("feature_logits")


def planted_sae(draw, d_in=6, d_sae=10):
    """The weights of an SAE: no row of its decoder has length 1, and encoder and decoder have nothing to do with each other."""
    shapes = {"W_enc": (d_in, d_sae), "b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    return {name: draw.normal(*shape) for name, shape in shapes.items()}


def head(draw, d_model=6, d_vocab=13):
    """The two raw weights behind the stream, none at a value that hides its absence."""
    return {"ln_final.w": 1.5 + draw.normal(d_model, std=0.5), "unembed.W_U": draw.normal(d_model, d_vocab)}


def decoded(sae, feature, strength):
    """What the SAE reconstructs where this latent alone is active."""
    f = torch.zeros(len(sae["W_dec"]))
    f[feature] = strength
    return f @ sae["W_dec"] + sae["b_dec"]


def frozen_difference(sae, feature, weights, scale, draw):
    """The change of the logits when one unit of a latent is added to a random stream, the LayerNorm's division held at `scale`."""
    d_model = len(weights["ln_final.w"])
    bias = draw.normal(d_model).double()

    def logits(stream):
        normed = (stream - stream.mean()) / scale * weights["ln_final.w"].double() + bias
        return normed @ weights["unembed.W_U"].double()

    stream = draw.normal(d_model, std=3).double()
    one, two = decoded(sae, feature, 1.0), decoded(sae, feature, 2.0)
    one_unit = (two - one).double()
    change = logits(stream + one_unit) - logits(stream)
    return change - change.mean()


@writes.check("the difference that one unit makes to the logits, with the division held fixed")
def writes_difference(answer, draw):
    sae, weights = planted_sae(draw), head(draw)
    for feature, scale in ((0, 1.0), (7, 2.5)):
        got = answer(sae, feature, weights, scale)
        expect.shape(got, (13,), axes="d_vocab")
        expect.close(
            got.float(),
            frozen_difference(sae, feature, weights, scale, draw).float(),
            f"the logit effect of latent {feature}",
            atol=1e-4,
        )


@writes.check("the mean over the vocabulary is 0")
def writes_centred(answer, draw):
    sae, weights = planted_sae(draw), head(draw)
    got = answer(sae, 3, weights, 1.7)
    expect.close(got.float().mean(), 0.0, "the mean of the logit effect over the vocabulary", atol=1e-5)


@writes.check("as many latents as dimensions: rows of W_dec, not its columns")
def writes_square(answer, draw):
    sae, weights = planted_sae(draw, 6, 6), head(draw)
    wanted = frozen_difference(sae, 4, weights, 1.2, draw).float()
    expect.close(answer(sae, 4, weights, 1.2).float(), wanted, "the logit effect of latent 4", atol=1e-4)


@writes.check("other sizes; the last latent; the same effect all along the vocabulary counts for nothing", hidden=True)
def writes_sizes(answer, draw):
    sae, weights = planted_sae(draw, 9, 4), head(draw, 9, 30)
    wanted = frozen_difference(sae, 3, weights, 0.6, draw).float()
    expect.close(answer(sae, 3, weights, 0.6).float(), wanted, "the logit effect", atol=1e-4)
    shifted = {**weights, "unembed.W_U": weights["unembed.W_U"] + draw.normal(9, 1)}
    expect.close(answer(sae, 3, shifted, 0.6).float(), wanted, "the logit effect", atol=1e-3)


def through(direction, weights, scale, w=True, centre=True):
    direction = (direction - direction.mean() if centre else direction) / scale
    logits = (direction * weights["ln_final.w"] if w else direction) @ weights["unembed.W_U"]
    return logits - logits.mean()


@writes.wrong(
    "through W_enc",
    "You took the latent's encoder direction, the one that it *looks for*. What it adds to the stream is its row of W_dec.",
)
def writes_encoder(sae, feature, weights, scale):
    return through(sae["W_enc"][:, feature], weights, scale)


@writes.wrong(
    "the LayerNorm's weight left out",
    "ln_final.w has no effect on your result. The weights are raw, so it still stands between the stream and W_U: multiply by it.",
)
def writes_no_w(sae, feature, weights, scale):
    return through(sae["W_dec"][feature], weights, scale, w=False)


@writes.wrong(
    "the direction keeps its mean",
    "LayerNorm takes the mean over d_model away from whatever is in the stream. Subtract the direction's own mean first.",
)
def writes_uncentred(sae, feature, weights, scale):
    return through(sae["W_dec"][feature], weights, scale, centre=False)


@writes.wrong(
    "the vocabulary's mean is left in",
    "Your result has a mean that is not 0. What all logits share, the softmax does not see: subtract the mean over the vocabulary.",
)
def writes_vocabulary_mean(sae, feature, weights, scale):
    direction = sae["W_dec"][feature]
    return (direction - direction.mean()) / scale * weights["ln_final.w"] @ weights["unembed.W_U"]


@writes.wrong(
    "the division left out",
    "`scale` has no effect on your result. The LayerNorm divides the stream by it, and so also what a latent adds to it.",
)
def writes_no_scale(sae, feature, weights, scale):
    return through(sae["W_dec"][feature], weights, 1.0)


@writes.wrong(
    "decoded with the bias",
    "You decoded one unit, and b_dec came along. It is there with and without the latent: take the row of W_dec alone.",
)
def writes_bias(sae, feature, weights, scale):
    return through(decoded(sae, feature, 1.0), weights, scale)


@writes.wrong(
    "brought to length 1",
    "You divided the decoder's row by its length. One unit of the latent adds the row as it is.",
)
def writes_unit(sae, feature, weights, scale):
    return through(F.normalize(sae["W_dec"][feature], dim=0), weights, scale)


@writes.variation("the weights multiplied first, in float64")
def writes_folded(sae, feature, weights, scale):
    W = weights["ln_final.w"].double()[:, None] * weights["unembed.W_U"].double()
    W = W - W.mean(0, keepdim=True)  # a direction's mean meets the column sums alone
    return (sae["W_dec"][feature].double() @ (W - W.mean(1, keepdim=True)) / scale).float()


@writes.variation("a difference of two decodings")
def writes_difference_of_two(sae, feature, weights, scale):
    return through(decoded(sae, feature, 3.0) - decoded(sae, feature, 2.0), weights, scale)


# --- precision_recall -----------------------------------------------------------------------------------------------

scored = Exercise("precision_recall")


def counted(said, truth):
    """Precision, recall and F1 by going through the tokens one by one."""
    yes = [i for i, value in enumerate(said.tolist()) if value]
    true = [i for i, value in enumerate(truth.tolist()) if value]
    both = len(set(yes) & set(true))
    f1 = 2 * both / (len(yes) + len(true)) if yes or true else 0.0
    return both / len(yes) if yes else 0.0, both / len(true) if true else 0.0, f1


def expect_scores(got, wanted, because=""):
    is_three = isinstance(got, (tuple, list)) and len(got) == 3
    expect.true(is_three, "Return three numbers: (precision, recall, f1).")
    for value, right, what in zip(got, wanted, ("the precision", "the recall", "F1"), strict=True):
        expect.close(expect.number(value, what), right, what, because=because)


def yes_no(draw, tokens, share):
    return draw.uniform(tokens) < share


@scored.check("by hand: 4 said, 6 true, 3 of them both")
def scored_by_hand(answer, draw):
    said = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0, 0]).bool()
    truth = torch.tensor([1, 1, 1, 0, 1, 1, 1, 0, 0]).bool()
    expect_scores(answer(said, truth), (0.75, 0.5, 0.6))


@scored.check("random answers, a rule that rarely holds")
def scored_random(answer, draw):
    for share in (0.1, 0.4):
        said, truth = yes_no(draw, 200, 0.3), yes_no(draw, 200, share)
        expect_scores(answer(said, truth), counted(said, truth))


@scored.check("nothing said, nothing true, nothing in common: a share of nothing is 0")
def scored_nothing(answer, draw):
    none, some = torch.zeros(6).bool(), torch.tensor([1, 0, 1, 0, 0, 0]).bool()
    for said, truth in (
        (none, some),
        (some, none),
        (none, none),
        (some, ~some & torch.tensor([0, 1, 0, 0, 0, 0]).bool()),
    ):
        expect_scores(answer(said, truth), (0.0, 0.0, 0.0), "there is no token where both are true")


@scored.check("all said; exactly right; one token", hidden=True)
def scored_ends(answer, draw):
    truth = yes_no(draw, 50, 0.3)
    truth[0], truth[1] = True, False
    everything = torch.ones(50).bool()
    expect_scores(answer(everything, truth), counted(everything, truth))
    expect_scores(answer(truth, truth), (1.0, 1.0, 1.0))
    expect_scores(answer(torch.tensor([True]), torch.tensor([True])), (1.0, 1.0, 1.0))


def shares(said, truth):
    return counted(said, truth)


@scored.wrong(
    "precision and recall exchanged",
    "Your precision is the recall, and the other way round. Precision is divided by what was *said*, recall by what is *true*.",
)
def scored_swapped(said, truth):
    precision, recall, f1 = shares(said, truth)
    return recall, precision, f1


@scored.wrong(
    "F1 as the plain mean",
    "Your F1 is the plain mean of precision and recall. Then saying yes to everything would get more than a half: take the harmonic mean.",
)
def scored_mean(said, truth):
    precision, recall, _ = shares(said, truth)
    return precision, recall, (precision + recall) / 2


@scored.wrong(
    "accuracy as precision",
    "Your precision counts the tokens where both say no. A rule that holds for one token in a hundred would get 99 % by silence.",
)
def scored_accuracy(said, truth):
    _, recall, f1 = shares(said, truth)
    return float((said == truth).float().mean()), recall, f1


@scored.wrong(
    "divided by all tokens",
    "You divided by the number of all tokens. Precision is a share of the tokens said yes to, recall of those where the rule holds.",
)
def scored_all(said, truth):
    both = float((said & truth).sum()) / len(said)
    return both, both, shares(said, truth)[2]


@scored.wrong("the product as F1", "Your F1 is the product of the two. The harmonic mean is 2 · p · r / (p + r).")
def scored_product(said, truth):
    precision, recall, _ = shares(said, truth)
    return precision, recall, precision * recall


@scored.variation("means over masked tokens, in float64")
def scored_masked(said, truth):
    precision = truth[said].double().mean() if said.any() else torch.tensor(0.0)
    recall = said[truth].double().mean() if truth.any() else torch.tensor(0.0)
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total > 0 else torch.tensor(0.0)


@scored.variation("counts, and F1 from them")
def scored_counts(said, truth):
    right = sum(1 for a, b in zip(said.tolist(), truth.tolist(), strict=True) if a and b)
    alarm, missed = int((said & ~truth).sum()), int((truth & ~said).sum())
    return (
        right / max(right + alarm, 1),
        right / max(right + missed, 1),
        2 * right / max(2 * right + alarm + missed, 1),
    )


# --- precision_by_strength ------------------------------------------------------------------------------------------

strength = Exercise("precision_by_strength")


def climbing(draw, tokens=300, share=0.4):
    """A latent whose activation is more likely to meet the rule the stronger it is. No two active ones are equally strong."""
    active = draw.uniform(tokens) < share
    active[: tokens // 5] = True
    activations = (0.1 + draw.permutation(tokens) / tokens) ** 3 * active
    truth = draw.uniform(tokens) < 0.15 + 0.6 * (activations > 0) * activations / activations.max()
    return activations, truth


def by_band(activations, truth, bands):
    """Each band by hand: a sorted list, cut so that the first bands have one token more where it does not come out even."""
    tokens = sorted((value, yes) for value, yes in zip(activations.tolist(), truth.tolist(), strict=True) if value > 0)
    size, more = divmod(len(tokens), bands)
    found, at = [], 0
    for band in range(bands):
        step = size + (band < more)
        found.append(sum(yes for _, yes in tokens[at : at + step]) / step)
        at += step
    return torch.tensor(found)


@strength.check("the three bands of the drawing")
def strength_drawing(answer, draw):
    activations = torch.tensor([0.1, 1.1, 0.0, 0.12, 0.4, 0.2, 0.22, 0.0, 0.5, 3.8, 0.52, 0.7, 1.9, 2.4, 0.0])
    truth = torch.tensor([0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1]).bool()
    got = answer(activations, truth, 3)
    expect.shape(got, (3,), axes="bands")
    expect.close(got.float(), torch.tensor([0.25, 0.75, 1.0]), "the precision of the three bands")


@strength.check("a rule that holds the more, the stronger the latent is")
def strength_climbing(answer, draw):
    for bands in (4, 10):
        activations, truth = climbing(draw)
        expect.close(answer(activations, truth, bands).float(), by_band(activations, truth, bands), "the precision")


@strength.check("silent tokens are in no band, whatever the rule says of them")
def strength_silent(answer, draw):
    activations, truth = climbing(draw, share=0.1)
    for said in (truth | (activations == 0), truth & (activations > 0)):
        expect.close(answer(activations, said, 5).float(), by_band(activations, said, 5), "the precision")


@strength.check("one band; as many bands as active tokens; lengths that do not come out even", hidden=True)
def strength_sizes(answer, draw):
    activations, truth = climbing(draw, 83)
    active = int((activations > 0).sum())
    for bands in (1, 7, active):
        expect.close(answer(activations, truth, bands).float(), by_band(activations, truth, bands), "the precision")


@strength.wrong(
    "silent tokens counted",
    "Your first bands are full of tokens where the latent is 0. It says nothing there: keep the active tokens first.",
)
def strength_all(activations, truth, bands):
    return torch.stack([part.mean() for part in truth[activations.argsort(stable=True)].float().tensor_split(bands)])


@strength.wrong(
    "strongest first",
    "Your first band holds the strongest activations. It should be the weakest: argsort goes up by itself.",
)
def strength_reversed(activations, truth, bands):
    return by_band(activations, truth, bands).flip(0)


@strength.wrong(
    "bands of equal width",
    "You cut the range of activations into equal steps. Nearly all tokens are then in the first step, and hardly any in the last: cut the sorted tokens into equal "
    "numbers.",
)
def strength_width(activations, truth, bands):
    active = activations > 0
    values, said = activations[active], truth[active].float()
    band = (values / values.max() * bands).long().clamp(max=bands - 1)
    return torch.stack([said[band == i].mean() if (band == i).any() else torch.tensor(0.0) for i in range(bands)])


@strength.wrong(
    "a share of the rule's tokens",
    "Your bands add up to what the latent finds of the rule: you divided by the tokens where the rule holds. Precision is a share of the band.",
)
def strength_recall(activations, truth, bands):
    active = activations > 0
    parts = truth[active][activations[active].argsort()].float().tensor_split(bands)
    return torch.stack([part.sum() for part in parts]) / truth.sum().clamp(min=1)


@strength.wrong(
    "not sorted",
    "Your bands are stretches of the text, not of strength. Put the active tokens in the order of their activations first.",
)
def strength_unsorted(activations, truth, bands):
    return torch.stack([part.mean() for part in truth[activations > 0].float().tensor_split(bands)])


@strength.wrong(
    "from here upwards",
    "Each of your bands holds all that is stronger, too. A band begins where the one before ends, and ends where the next begins.",
)
def strength_upwards(activations, truth, bands):
    active = activations > 0
    said = truth[active][activations[active].argsort()].float()
    starts = [int(part[0]) for part in torch.arange(len(said)).tensor_split(bands)]
    return torch.stack([said[start:].mean() for start in starts])


@strength.variation("sorted pairs by hand")
def strength_by_hand(activations, truth, bands):
    return by_band(activations, truth, bands)


@strength.variation("sort, and numpy's array_split, in float64")
def strength_numpy(activations, truth, bands):
    values, order = activations.sort()
    said = truth[order][values > 0].double().numpy()
    return torch.tensor([part.mean() for part in np.array_split(said, bands)])


# --- score_label ----------------------------------------------------------------------------------------------------

label = Exercise("score_label")
LEVELS = torch.tensor([0.0, 0.3, 0.6, 0.9, 1.2, 1.8, 2.5, 3.5])


def label_case(draw, tokens=400, shift=0.0):
    """A unit that is higher where the rule holds, on files of two kinds: on those to choose on, another threshold is best."""
    chosen = torch.arange(tokens) % 40 < 16  # stretches, as files are
    truth = yes_no(draw, tokens, 0.25)
    activations = (draw.normal(tokens, std=0.6) + 1.1 * truth + 0.5).clamp(min=0)
    activations = activations + (~chosen) * shift * (activations > 0)
    return activations, truth, chosen


def clear_winner(activations, truth, chosen, thresholds):
    """Whether the best F1 on the chosen tokens is that of one cut alone. Where two cuts tie, rounding would decide, and not the answer."""
    cuts = {tuple((activations[chosen] > t).tolist()) for t in thresholds.tolist()}
    f1 = sorted(counted(torch.tensor(cut), truth[chosen])[2] for cut in cuts)
    return len(f1) == 1 or f1[-1] - f1[-2] > 1e-6


def clear_case(draw, thresholds, **how):
    """A case of `label_case` that has one best cut."""
    while not clear_winner(*(case := label_case(draw, **how)), thresholds):
        pass
    return case


def best_level(activations, truth, chosen, on):
    """The number of the level with the highest F1 on some tokens."""
    f1 = [counted(activations[on] > t, truth[on])[2] for t in LEVELS.tolist()]
    return f1.index(max(f1))


def label_by_hand(activations, truth, chosen, thresholds, choose=None, score=None):
    choose, score = chosen if choose is None else choose, ~chosen if score is None else score
    f1 = [counted(activations[choose] > t, truth[choose])[2] for t in thresholds.tolist()]
    return counted(activations[score] > thresholds[f1.index(max(f1))], truth[score])


@label.check("by hand: the threshold 2 is best on the chosen tokens; scored on the others")
def label_hand(answer, draw):
    activations = torch.tensor([3.0, 3.0, 1.5, 0.0, 5.0, 2.0, 2.5, 2.2])
    truth = torch.tensor([1, 1, 0, 0, 1, 1, 0, 0]).bool()
    chosen = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0]).bool()
    got = answer(activations, truth, chosen, torch.tensor([0.5, 2.0, 4.0]))
    expect_scores(got, (1 / 3, 1 / 2, 2 / 5), "of the four other tokens, three are above 2, and one of these is true")


@label.check("files where the unit is stronger than on those that the threshold comes from")
def label_shifted(answer, draw):
    for shift in (0.8, -0.4):
        case = clear_case(draw, LEVELS, shift=shift)
        while shift > 0 and len({best_level(*case, on) for on in (case[2], ~case[2], case[2] | True)}) < 3:
            case = clear_case(
                draw, LEVELS, shift=shift
            )  # chosen on all tokens, or on the others, is another threshold each
        expect_scores(answer(*case, LEVELS), label_by_hand(*case, LEVELS))


@label.check("every threshold counts, the last and the first, too")
def label_ends(answer, draw):
    for levels in (torch.tensor([0.9]), torch.tensor([2.0, 0.9]), torch.tensor([0.2, 0.5, 0.9]), LEVELS.flip(0)):
        activations, truth, chosen = clear_case(draw, levels)
        got = answer(activations, truth, chosen, levels)
        expect_scores(got, label_by_hand(activations, truth, chosen, levels), f"the candidates are {levels.tolist()}")


@label.check("above, not at, the threshold; of equal ones the first", hidden=True)
def label_ties(answer, draw):
    chosen, levels = torch.arange(300) < 140, torch.arange(5).float()
    whole = truth = torch.zeros(300)
    while not truth.any() or not clear_winner(whole, truth, chosen, levels):
        whole = draw.integers(0, 5, 300).float()
        truth = (whole + draw.normal(300) > 2.5).bool()
    for some in (levels, levels[2:3]):
        expect_scores(answer(whole, truth, chosen, some), label_by_hand(whole, truth, chosen, some))
    levels = torch.tensor([2.4, 2.0, 2.9, 2.7])  # on whole numbers all the same; each cuts the others at another place
    activations = torch.where(chosen, whole, whole - draw.uniform(300))
    got = answer(activations, truth, chosen, levels)
    expect_scores(got, label_by_hand(activations, truth, chosen, levels), "equal F1: the first threshold counts")
    never, levels = truth & ~chosen, torch.arange(5).float()
    got = answer(activations, never, chosen, levels)
    expect_scores(got, label_by_hand(activations, never, chosen, levels), "every F1 is 0: the first threshold counts")


@label.wrong(
    "threshold chosen on the scoring half",
    "You chose the threshold on the tokens that you then score. It fits them too well, by as much as you had thresholds to choose from.",
)
def label_peeks(activations, truth, chosen, thresholds):
    return label_by_hand(activations, truth, chosen, thresholds, choose=~chosen)


@label.wrong(
    "threshold chosen on all tokens",
    "You chose the threshold on all tokens, those that are scored among them. Choose on `chosen` alone.",
)
def label_all(activations, truth, chosen, thresholds):
    return label_by_hand(activations, truth, chosen, thresholds, choose=torch.ones_like(chosen))


@label.wrong(
    "scored on the chosen tokens",
    "Your scores are those of the tokens that the threshold was chosen on. They are what a label promises, not what it holds.",
)
def label_same(activations, truth, chosen, thresholds):
    return label_by_hand(activations, truth, chosen, thresholds, score=chosen)


@label.wrong(
    "scored on all tokens",
    "You scored on all tokens, those that the threshold was chosen on among them. Score on ~chosen alone.",
)
def label_everywhere(activations, truth, chosen, thresholds):
    return label_by_hand(activations, truth, chosen, thresholds, score=torch.ones_like(chosen))


@label.wrong(
    "the first threshold for all",
    "You did not choose a threshold: your scores are those of the first. Try all of them on the chosen tokens.",
)
def label_first(activations, truth, chosen, thresholds):
    return label_by_hand(activations, truth, chosen, thresholds[:1])


@label.wrong(
    "chosen by precision",
    "You chose the threshold of highest precision. That is nearly always a very high one, which misses most tokens: choose by F1.",
)
def label_by_precision(activations, truth, chosen, thresholds):
    precision = [counted(activations[chosen] > t, truth[chosen])[0] for t in thresholds.tolist()]
    return counted(activations[~chosen] > thresholds[precision.index(max(precision))], truth[~chosen])


@label.wrong(
    "chosen by accuracy",
    "You chose the threshold where most tokens are right, those where both say no among them. For a rare rule silence wins: choose by F1.",
)
def label_by_accuracy(activations, truth, chosen, thresholds):
    right = [float(((activations > t) == truth)[chosen].float().mean()) for t in thresholds.tolist()]
    return counted(activations[~chosen] > thresholds[right.index(max(right))], truth[~chosen])


@label.variation("all thresholds at once")
def label_at_once(activations, truth, chosen, thresholds):
    said = activations[chosen][None] > thresholds[:, None]
    both = (said & truth[chosen]).sum(1).double()
    f1 = 2 * both / (said.sum(1) + truth[chosen].sum()).clamp(min=1)
    best = thresholds[int((f1 == f1.max()).nonzero()[0])]
    return reference("precision_recall")((activations > best)[~chosen], truth[~chosen])


@label.variation("a running best")
def label_running(activations, truth, chosen, thresholds):
    best, kept = -1.0, None
    for threshold in thresholds.tolist():
        f1 = counted(activations[chosen] > threshold, truth[chosen])[2]
        if f1 > best:
            best, kept = f1, threshold
    return tuple(torch.tensor(value) for value in counted(activations[~chosen] > kept, truth[~chosen]))


# --- parent_features ------------------------------------------------------------------------------------------------

parents = Exercise("parent_features")


def families(draw, n=6, d_model=16, children=(3, 0, 1, 2, 0, 4), strangers=3):
    """Narrow directions at right angles, children near them, and strangers. Returns (narrow, wide, parents), rows of any length."""
    narrow = torch.linalg.qr(draw.normal(d_model, d_model)).Q[:n]
    parent = torch.cat([torch.arange(n).repeat_interleave(torch.tensor(children)), torch.full((strangers,), -1)])
    rest = torch.linalg.qr(draw.normal(d_model, d_model)).Q
    wide = []
    for i, number in enumerate(parent.tolist()):
        noise = rest[i % d_model] - narrow.T @ (narrow @ rest[i % d_model])  # outside the narrow directions
        noise = F.normalize(noise, dim=0)
        wide.append(0.9 * narrow[number] + math.sqrt(1 - 0.81) * noise if number >= 0 else noise)
    order = draw.permutation(len(parent))
    wide = torch.stack(wide)[order] * draw.uniform(len(parent), 1, low=0.2, high=5.0)
    return narrow * draw.uniform(n, 1, low=0.2, high=5.0), wide, parent[order]


@parents.check("planted families: children at a cosine of 0.9, strangers at right angles, rows of any length")
def parents_planted(answer, draw):
    narrow, wide, truth = families(draw)
    got = answer(narrow, wide, 0.85)
    expect.shape(got, (13,), axes="m")
    expect.equal(got, truth, "the parents")


@parents.check("the limit: at 0.95 nobody is near enough; at −1 everybody has a parent")
def parents_limit(answer, draw):
    narrow, wide, _ = families(draw)
    expect.equal(answer(narrow, wide, 0.95), torch.full((13,), -1), "the parents at a limit of 0.95")
    narrow, wide = draw.normal(5, 7), draw.normal(9, 7) * draw.uniform(9, 1, low=0.1, high=6)
    cosine = torch.tensor([[float(F.cosine_similarity(w, n, dim=0)) for n in narrow] for w in wide])
    expect.equal(answer(narrow, wide, -1.0), cosine.argmax(1), "the parents at a limit of −1")
    narrow, wide = torch.tensor([[0.0, 3.0], [-1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 4.0]])
    expect.equal(
        answer(narrow, wide, 0.0),
        torch.tensor([0, 0]),
        "the parents of (2, 0) and (0, 4) among (0, 3) and (−1, 0), limit 0",
    )


@parents.check("a direction that points the other way is no parent")
def parents_sign(answer, draw):
    narrow, wide, truth = families(draw)
    flipped = truth == 5
    wide = torch.where(flipped[:, None], -wide, wide)
    expect.equal(answer(narrow, wide, 0.7), torch.where(flipped, -1, truth), "the parents")


@parents.check("random directions of very unequal length", hidden=True)
def parents_random(answer, draw):
    narrow = draw.normal(8, 5) * draw.uniform(8, 1, low=0.01, high=20)
    wide = draw.normal(30, 5) * draw.uniform(30, 1, low=0.01, high=20)
    cosine = F.cosine_similarity(wide[:, None], narrow[None], dim=-1)
    wanted = torch.where(cosine.max(1).values >= 0.6, cosine.argmax(1), -1)
    clear = (cosine.max(1).values - 0.6).abs() > 1e-4
    expect.equal(answer(narrow, wide, 0.6)[clear], wanted[clear], "the parents")


def nearest(table, least):
    best = table.max(1)
    return torch.where(best.values >= least, best.indices, -1)


@parents.wrong(
    "directions not normalised",
    "You compared dot products. A long row then is near to everything: divide each row by its length first.",
)
def parents_dot(narrow, wide, least):
    return nearest(wide @ narrow.T, least)


@parents.wrong(
    "only one side normalised",
    "You divided the narrow rows by their lengths and not the wide ones. A cosine needs both, or the limit means something else in each row.",
)
def parents_half(narrow, wide, least):
    return nearest(wide @ F.normalize(narrow, dim=1).T, least)


@parents.wrong(
    "the absolute cosine",
    "You took the cosine without its sign. A latent only adds its direction: one that points the other way does the opposite.",
)
def parents_absolute(narrow, wide, least):
    return nearest((F.normalize(wide, dim=1) @ F.normalize(narrow, dim=1).T).abs(), least)


@parents.wrong(
    "the limit ignored",
    "Every wide latent has a parent in your answer, however far away. Below `least` there is none: −1.",
)
def parents_no_limit(narrow, wide, least):
    return (F.normalize(wide, dim=1) @ F.normalize(narrow, dim=1).T).argmax(1)


@parents.wrong(
    "the nearest wide one for each narrow one",
    "You searched the other way: one entry for each narrow latent. A narrow latent may have many children; a wide one has one parent.",
)
def parents_other_way(narrow, wide, least):
    return nearest(F.normalize(narrow, dim=1) @ F.normalize(wide, dim=1).T, least)


@parents.wrong(
    "each parent taken once",
    "A narrow latent has at most one child in your answer, its nearest. Splitting means that several may share a parent.",
)
def parents_once(narrow, wide, least):
    table = F.normalize(wide, dim=1) @ F.normalize(narrow, dim=1).T
    found = torch.full((len(wide),), -1)
    for column in range(len(narrow)):
        row = int(table[:, column].argmax())
        if table[row, column] >= least:
            found[row] = column
    return found


@parents.variation("torch's cosine, wide row by wide row")
def parents_loop(narrow, wide, least):
    found = []
    for row in wide.double():
        cosine = F.cosine_similarity(row[None], narrow.double(), dim=1)
        found.append(int(cosine.argmax()) if cosine.max() >= least else -1)
    return torch.tensor(found)


@parents.variation("dot products divided by both lengths")
def parents_divided(narrow, wide, least):
    cosine = torch.einsum("md,nd->mn", wide, narrow) / (wide.norm(dim=1)[:, None] * narrow.norm(dim=1))
    found = cosine.argmax(1)
    found[cosine.amax(1) < least] = -1
    return found


# --- absorbed_share -------------------------------------------------------------------------------------------------

absorbed = Exercise("absorbed_share")


def absorption_case(draw, tokens=600, filled=0.4, leaks=0.0, dense=True):
    """(f, truth): latent 2 fires where the rule holds, but for holes; 1 and 5 share some of these; 0 is on everywhere; 7 is dead.

    Latents 1 and 5 have some holes in common, and as many tokens again where 2 fires, too. Latent 3 fires in the rest of the holes, and as
    often elsewhere. Latent 6 is another specialist, which fires where 2 does. dense: whether 0 is on everywhere, or on half of the tokens.
    leaks: the share of 1's and 5's active tokens that lie outside the rule; they are weaker there.
    """
    truth = yes_no(draw, tokens, 0.4)
    f = torch.zeros(tokens, 8)
    where = truth.nonzero().flatten()[draw.permutation(int(truth.sum()))]
    holes = where[: len(where) // 3]
    f[:, 0] = 1.0 if dense else yes_no(draw, tokens, 0.5).float()
    f[truth, 2] = draw.uniform(int(truth.sum()), low=0.5)
    f[holes, 2] = 0.0
    inside = holes[: int(filled * len(holes))]
    outside, beside = (~truth).nonzero().flatten(), where[len(holes) + 20 :]
    for latent, filled_here in ((1, inside[len(inside) // 2 :]), (5, inside[: 2 * len(inside) // 3])):
        f[filled_here, latent] = f[beside[: len(filled_here)], latent] = 2.0
        f[outside[: round(2 * len(filled_here) * leaks / (1 - leaks))], latent] = 0.2
    f[holes[len(inside) :], 3] = 1.5
    f[outside[: len(holes)], 3] = 1.5
    f[where[len(holes) : len(holes) + 20], 6] = 1.0
    return f, truth, len(inside) / len(holes)


@absorbed.check("by hand: the four tokens of the drawing")
def absorbed_by_hand(answer, draw):
    f = torch.tensor([[2.1, 0.0, 1.0], [0.0, 3.4, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    truth = torch.tensor([True, True, True, False])
    value = expect.number(answer(f, 0, truth))
    expect.close(
        value, 0.5, "the absorbed share", because="of two holes, latent 1 fills one; latent 2 is on everywhere"
    )


@absorbed.check(
    "planted: two fifths of the holes are filled by a specialist, the rest by latents that fire elsewhere, too"
)
def absorbed_planted(answer, draw):
    for dense in (False, True):
        f, truth, share_filled = absorption_case(draw, dense=dense)
        expect.close(expect.number(answer(f, 2, truth)), share_filled, "the absorbed share", atol=1e-4)


@absorbed.check("the limit decides who is a specialist")
def absorbed_limit(answer, draw):
    f, truth, share_filled = absorption_case(draw, leaks=0.25)
    expect.close(expect.number(answer(f, 2, truth, 0.9)), 0.0, "the absorbed share at a limit of 0.9", atol=1e-4)
    expect.close(
        expect.number(answer(f, 2, truth, 0.7)), share_filled, "the absorbed share at a limit of 0.7", atol=1e-4
    )
    f = torch.tensor([[1.0, 2.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
    value = expect.number(answer(f, 0, torch.tensor([True, True, True, False]), 0.75))
    expect.close(
        value, 1.0, "the absorbed share", because="latent 1 has a precision of 0.75, and that is at least 0.75"
    )


@absorbed.check("no holes, no share; nobody there to fill them; all filled", hidden=True)
def absorbed_ends(answer, draw):
    f, truth, _ = absorption_case(draw)
    everywhere = f.clone()
    everywhere[:, 2] = 1.0
    expect.close(expect.number(answer(everywhere, 2, truth)), 0.0, "the absorbed share without holes")
    alone = torch.zeros_like(f)
    alone[:, 2] = f[:, 2]
    expect.close(expect.number(answer(alone, 2, truth)), 0.0, "the absorbed share without any other latent")
    f, truth, _ = absorption_case(draw, filled=1.0)
    expect.close(expect.number(answer(f, 2, truth)), 1.0, "the absorbed share", atol=1e-4)


def filled_by(f, feature, truth, who, holes=None):
    active = f > 0
    holes = truth & ~active[:, feature] if holes is None else holes
    others = torch.arange(f.shape[1]) != feature
    return float(active[holes][:, who & others].any(1).float().mean()) if holes.any() else 0.0


def precise_ones(f, truth, precise):
    active = f > 0
    return active[truth].sum(0) / active.sum(0).clamp(min=1) >= precise


@absorbed.wrong(
    "any latent fills a hole",
    "You counted holes where any other latent is active: that is nearly all of them, for some latent always is. Only specialists count.",
)
def absorbed_any(f, feature, truth, precise=0.9):
    return filled_by(f, feature, truth, torch.ones(f.shape[1]).bool())


@absorbed.wrong(
    "a share of all tokens of the rule",
    "You divided by all tokens where the rule holds. The question is what share of the *holes* is filled.",
)
def absorbed_of_rule(f, feature, truth, precise=0.9):
    active = f > 0
    holes = truth & ~active[:, feature]
    return filled_by(f, feature, truth, precise_ones(f, truth, precise)) * float(holes.sum() / truth.sum().clamp(min=1))


@absorbed.wrong(
    "recall in place of precision",
    "Your specialists are latents that fire on most tokens of the rule. A specialist fires on few of them, and hardly anywhere else: that is precision.",
)
def absorbed_recall(f, feature, truth, precise=0.9):
    return filled_by(f, feature, truth, (f[truth] > 0).float().mean(0) >= precise)


@absorbed.wrong(
    "silent tokens outside the rule counted",
    "Your holes include tokens where the rule does not hold. There the latent is right to be silent.",
)
def absorbed_outside(f, feature, truth, precise=0.9):
    return filled_by(f, feature, truth, precise_ones(f, truth, precise), f[:, feature] == 0)


@absorbed.wrong(
    "precision in the holes alone",
    "You asked whether a latent fires in the holes, and took every one that does for a specialist. Its precision is over all tokens where it is active.",
)
def absorbed_in_holes(f, feature, truth, precise=0.9):
    holes = truth & (f[:, feature] == 0)
    mostly = (f[holes] > 0).float().mean(0)
    return filled_by(f, feature, truth, (mostly > 0) & (mostly < 1))


@absorbed.wrong(
    "specialists counted wherever the rule holds",
    "You took all tokens of the rule, not its holes. Where the latent itself is active, nothing has been absorbed.",
)
def absorbed_everywhere(f, feature, truth, precise=0.9):
    return filled_by(f, feature, truth, precise_ones(f, truth, precise), truth)


@absorbed.variation("a loop over the holes")
def absorbed_loop(f, feature, truth, precise=0.9):
    specialists = []
    for latent in range(f.shape[1]):
        tokens = (f[:, latent] != 0).nonzero().flatten()
        if latent != feature and len(tokens) and truth[tokens].double().mean() >= precise:
            specialists.append(latent)
    holes = [i for i in truth.nonzero().flatten().tolist() if f[i, feature] == 0]
    return sum(any(f[i, j] > 0 for j in specialists) for i in holes) / len(holes) if holes else 0.0


@absorbed.variation("matrix products")
def absorbed_matrix(f, feature, truth, precise=0.9):
    active = (f > 0).double()
    precision = (truth.double() @ active) / active.sum(0).clamp(min=1)
    who = (precision >= precise).double()
    who[feature] = 0
    holes = truth & (f[:, feature] == 0)
    return ((active[holes] @ who) > 0).double().mean() if holes.any() else torch.tensor(0.0)


# --- count_explained ------------------------------------------------------------------------------------------------

honest = Exercise("count_explained")


def rule_tables(draw, latents=40, rules=25):
    """F1 of each rule on both halves: a true score, and noise of its own in each; some latents are dead."""
    true = draw.uniform(latents, rules, high=0.75)
    noisy = [(true + draw.normal(latents, rules, std=0.2)).abs() for _ in range(2)]
    halves = [torch.where(f1 > 1, 2 - f1, f1) for f1 in noisy]  # turned back at the ends, not cut off: no two rules tie
    alive = draw.uniform(latents) > 0.25
    return halves[0] * alive[:, None], halves[1] * alive[:, None], alive


def groups(chosen, held, alive, enough):
    """The three counts, latent by latent."""
    counts = [0, 0, 0]
    for first, second, lives in zip(chosen.tolist(), held.tolist(), alive.tolist(), strict=True):
        rule = first.index(max(first))
        counts[2 if not lives else 0 if second[rule] >= enough else 1] += 1
    return counts


def expect_groups(got, wanted, because=""):
    is_three = isinstance(got, (tuple, list)) and len(got) == 3
    expect.true(is_three, "Return three numbers: (explained, unexplained, dead).")
    for value, right, what in zip(got, wanted, ("explained", "unexplained", "dead"), strict=True):
        expect.close(expect.number(value), float(right), f"the number of {what} latents", because=because)


@honest.check("by hand: one explained, two not, one dead")
def honest_by_hand(answer, draw):
    chosen = torch.tensor([[0.9, 0.2, 0.1], [0.6, 0.7, 0.0], [0.3, 0.4, 0.2], [0.0, 0.0, 0.0]])
    held = torch.tensor([[0.8, 0.1, 0.3], [0.9, 0.3, 0.1], [0.6, 0.45, 0.9], [0.0, 0.0, 0.0]])
    alive = torch.tensor([True, True, True, False])
    expect_groups(
        answer(chosen, held, alive, 0.5),
        (1, 2, 1),
        "latent 1 has rule 1 by the chosen files, and that holds at 0.3 on the others",
    )


@honest.check("forty latents, noisy scores: a rule chosen on one half, judged on the other")
def honest_noisy(answer, draw):
    for enough in (0.4, 0.6):
        chosen, held, alive = rule_tables(draw)
        expect_groups(answer(chosen, held, alive, enough), groups(chosen, held, alive, enough))


@honest.check("the three numbers add up to all latents; at the limit counts as explained")
def honest_sum(answer, draw):
    chosen, held, alive = rule_tables(draw, 30, 7)
    got = answer(chosen, held, alive, 0.5)
    expect_groups(got, groups(chosen, held, alive, 0.5))
    expect.close(float(sum(got)), 30.0, "the sum of the three numbers")
    flat = torch.full((6, 2), 0.5)
    expect_groups(answer(flat, flat, torch.tensor([True] * 5 + [False]), 0.5), (5, 0, 1), "0.5 is at least 0.5")


@honest.check("the limit is a half unless it is given; one rule; all dead", hidden=True)
def honest_ends(answer, draw):
    chosen, held, alive = rule_tables(draw, 50, 12)
    expect_groups(answer(chosen, held, alive), groups(chosen, held, alive, 0.5))
    chosen, held, alive = rule_tables(draw, 12, 1)
    expect_groups(answer(chosen, held, alive, 0.3), groups(chosen, held, alive, 0.3))
    expect_groups(answer(chosen * 0, held * 0, torch.zeros(12).bool(), 0.5), (0, 0, 12))


def by_f1(f1, alive, enough):
    holds = f1 >= enough
    return int((alive & holds).sum()), int((alive & ~holds).sum()), int((~alive).sum())


@honest.wrong(
    "the best rule on the scored files",
    "You gave each latent the rule that is best on the held-out files. With many rules, one of them fits by luck: choose on the chosen files.",
)
def honest_peek(f1_chosen, f1_held, alive, enough=0.5):
    return by_f1(f1_held.max(1).values, alive, enough)


@honest.wrong(
    "scored on the files that it was chosen on",
    "You compared the F1 of the chosen files with the limit. The rule was picked to be high there: look it up in f1_held.",
)
def honest_same(f1_chosen, f1_held, alive, enough=0.5):
    return by_f1(f1_chosen.max(1).values, alive, enough)


@honest.wrong(
    "dead latents counted as unexplained",
    "Your dead latents are among the unexplained. Nothing is there to explain: count them on their own, and once.",
)
def honest_dead(f1_chosen, f1_held, alive, enough=0.5):
    explained, unexplained, dead_ones = by_f1(f1_held.gather(1, f1_chosen.argmax(1, keepdim=True))[:, 0], alive, enough)
    return explained, unexplained + dead_ones, dead_ones


@honest.wrong(
    "dead latents left out",
    "Your third number is 0: dead latents are in none of the groups, and the share of explained ones looks larger than it is.",
)
def honest_no_dead(f1_chosen, f1_held, alive, enough=0.5):
    explained, unexplained, _ = by_f1(f1_held.gather(1, f1_chosen.argmax(1, keepdim=True))[:, 0], alive, enough)
    return explained, unexplained, 0


@honest.wrong(
    "pairs counted",
    "You counted pairs of a latent and a rule. A latent that five rules fit is one explained latent.",
)
def honest_pairs(f1_chosen, f1_held, alive, enough=0.5):
    holds = (f1_held >= enough) & alive[:, None]
    return int(holds.sum()), int((~holds & alive[:, None]).sum()), int((~alive).sum())


@honest.wrong(
    "the mean over rules",
    "You averaged a latent's F1 over all rules. One rule that fits explains a latent, whatever the others do.",
)
def honest_mean(f1_chosen, f1_held, alive, enough=0.5):
    return by_f1(f1_held.mean(1), alive, enough)


@honest.variation("a loop over latents")
def honest_loop(f1_chosen, f1_held, alive, enough=0.5):
    return groups(f1_chosen, f1_held, alive, enough)


@honest.variation("fancy indexing, tensors in place of numbers")
def honest_indexing(f1_chosen, f1_held, alive, enough=0.5):
    found = f1_held.double()[torch.arange(len(alive)), f1_chosen.max(1).indices][alive]
    return (found >= enough - 1e-12).sum(), (found < enough - 1e-12).sum(), len(alive) - alive.sum()
