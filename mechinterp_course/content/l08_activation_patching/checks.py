"""How the exercises of lesson 08 are checked.

The truth comes from outside the lab: the model written out in plain torch (`attention_only.run`, which takes patches and knows no hooks),
finite differences in place of gradients, and causal graphs whose effects can be worked out on paper. Wherever a model is given it is
a copy of its own: a hook that is left behind harms no other check.
"""

import contextlib
import copy
import functools
import io
import warnings

import torch

from mechinterp_course.interp import attention_only, gates, models
from mechinterp_course.interp.causal import INPUT, Graph, Node
from mechinterp_course.tutor.checks import Exercise, expect

NAME = "code-attn-2l"
ONE_LAYER = "code-attn-1l"
LAYERS, HEADS = 2, 4

# --- swapped_pair ---------------------------------------------------------------------------------------------------

pair = Exercise("swapped_pair")


def distinct(draw, batch, length, low=5):
    """Different tokens in each row."""
    return torch.stack([low + draw.permutation(4 * length)[:length] for _ in range(batch)])


def expect_pair(out, batch, length):
    expect.true(
        isinstance(out, (tuple, list)) and len(out) == 4,
        f"Your result is {expect.describe(out)}; return four tensors: clean, corrupted, right, wrong.",
    )
    for prompts, name in zip(out, ("the clean prompts", "the corrupted prompts"), strict=False):
        expect.shape(prompts, (batch, length + 2), name, axes="batch pos")
    for answers, name in zip(out[2:], ("right", "wrong"), strict=True):
        expect.shape(answers, (batch,), name, axes="batch")


@pair.check("the example of the exercise, token by token")
def pair_example(answer, draw):
    copies = torch.tensor([[10, 1, 2, 13, 3, 4, 16]])  # x0 A B x3 C D x6
    out = answer(copies, 1, 4, 0)
    expect_pair(out, 1, 7)
    expect.equal(out[0], torch.tensor([[0, 10, 1, 2, 13, 3, 4, 16, 1]]), "the clean prompt")
    expect.equal(out[1], torch.tensor([[0, 10, 3, 2, 13, 1, 4, 16, 1]]), "the corrupted prompt")
    expect.equal(out[2], torch.tensor([2]), "right", because="B follows A in the clean prompt")
    expect.equal(out[3], torch.tensor([4]), "wrong", because="D follows A in the corrupted prompt")


@pair.check("in both prompts the answer follows the token that is asked for")
def pair_answers(answer, draw):
    for batch, length, asked, other, bos in ((3, 9, 6, 2, 1), (2, 5, 0, 3, 0)):
        copies = distinct(draw, batch, length)
        out = answer(copies, asked, other, bos)
        expect_pair(out, batch, length)
        for name, prompts, answers in (("clean", out[0], out[2]), ("corrupted", out[1], out[3])):
            expect.equal(prompts[:, 0], torch.full((batch,), bos), f"the first token of the {name} prompts")
            followers = []
            for row in prompts:
                places = (row[1:-1] == row[-1]).nonzero()
                expect.true(
                    len(places) == 1,
                    f"The last token of your {name} prompt stands {len(places)} times in the copy before it; once is right.",
                )
                followers.append(row[int(places[0]) + 2])
            expect.equal(answers, torch.stack(followers), f"what follows that token in the {name} prompts")
        expect.equal(out[0][:, -1], out[1][:, -1], "the last token of the clean prompts, compared with the corrupted,")
        expect.equal(out[0][:, -1], copies[:, asked], "the token that is asked for")


@pair.check("the prompts differ at two places, and hold the same tokens")
def pair_one_thing(answer, draw):
    copies = distinct(draw, 4, 11)
    out = answer(copies, 7, 3, 0)
    expect_pair(out, 4, 11)
    differ = (out[0] != out[1]).sum(1)
    expect.equal(differ, torch.full((4,), 2), "the number of places at which the prompts of each pair differ")
    expect.equal(out[1].sort(dim=1).values, out[0].sort(dim=1).values, "the tokens of the corrupted prompts, sorted")
    expect.equal(out[0][:, 1:-1], copies, "the copy in the clean prompts")


@pair.check("places close to each other, and a batch of one", hidden=True)
def pair_edges(answer, draw):
    copies = distinct(draw, 1, 6)
    out = answer(copies, 4, 2, 3)
    expect_pair(out, 1, 6)
    expect.equal([out[2].item(), out[3].item()], [copies[0, 5].item(), copies[0, 3].item()], "right and wrong")


def built(copies, changed, asked, other, bos, last=None, shift=1):
    """A pair with a given corrupted copy."""
    front, question = torch.full((len(copies), 1), bos), copies[:, asked : asked + 1]
    clean = torch.cat([front, copies, question], 1)
    corrupted = torch.cat([front, changed, question if last is None else last], 1)
    return clean, corrupted, copies[:, asked + shift], copies[:, other + shift]


def exchanged(copies, a, b):
    changed = copies.clone()
    changed[:, a], changed[:, b] = copies[:, b], copies[:, a]
    return changed


@pair.wrong(
    "the last token is exchanged too",
    "Your corrupted prompt ends in C. It asks for what follows C, which stands in A's old place: B is right again, and the answer has not changed. Leave the last token.",
)
def pair_last_too(copies, asked, other, bos):
    return built(copies, exchanged(copies, asked, other), asked, other, bos, copies[:, other : other + 1])


@pair.wrong(
    "one token is overwritten",
    "You put C into A's place and lost A: it stands nowhere in your corrupted copy. Both assignments read from the same tensor: read from `copies`, write into a clone.",
)
def pair_overwritten(copies, asked, other, bos):
    changed = copies.clone()
    changed[:, asked] = changed[:, other]
    changed[:, other] = changed[:, asked]
    return built(copies, changed, asked, other, bos)


@pair.wrong(
    "the answers are those asked for",
    "right and wrong are A and C themselves. The model has to say what comes *after* A: one place later.",
)
def pair_no_shift(copies, asked, other, bos):
    return built(copies, exchanged(copies, asked, other), asked, other, bos, shift=0)


@pair.wrong(
    "BOS is counted",
    "You exchanged the tokens one place too early: places count within the copy, and BOS stands in front of it. Exchange in the copy first, then put BOS in front.",
)
def pair_bos(copies, asked, other, bos):
    clean = built(copies, copies, asked, other, bos)[0]
    return clean, exchanged(clean, asked, other), copies[:, asked + 1], copies[:, other + 1]


@pair.wrong(
    "right and wrong are exchanged",
    "right and wrong have changed roles. right is what follows A in the *clean* prompt: B.",
)
def pair_answers_exchanged(copies, asked, other, bos):
    clean, corrupted, right, wrong = built(copies, exchanged(copies, asked, other), asked, other, bos)
    return clean, corrupted, wrong, right


@pair.wrong(
    "the followers are exchanged",
    "You exchanged B and D. The answers are exchanged by that as well, but it is another experiment: it asks what is copied, and this one asks who came before whom.",
)
def pair_followers(copies, asked, other, bos):
    return built(copies, exchanged(copies, asked + 1, other + 1), asked, other, bos)


@pair.variation("a permutation of the columns")
def pair_permutation(copies, asked, other, bos):
    order = list(range(copies.shape[1]))
    order[asked], order[other] = order[other], order[asked]
    front = copies.new_full((len(copies), 1), bos)
    clean = torch.hstack([front, copies, copies[:, [asked]]])
    return (
        clean,
        torch.hstack([front, copies[:, order], copies[:, [asked]]]),
        copies[:, asked + 1],
        copies[:, other + 1],
    )


@pair.variation("row by row")
def pair_rows(copies, asked, other, bos):
    clean, corrupted = [], []
    for row in copies.tolist():
        clean.append([bos, *row, row[asked]])
        row[asked], row[other] = row[other], row[asked]
        corrupted.append([bos, *row, clean[-1][-1]])
    return torch.tensor(clean), torch.tensor(corrupted), copies[:, asked + 1], copies[:, other + 1]


# --- restored_share -------------------------------------------------------------------------------------------------

restored = Exercise("restored_share")


def scene(draw, batch=5, pos=4, vocab=7):
    """Three sets of logits, and two different answers for each prompt."""
    runs = [draw.normal(batch, pos, vocab, std=2) for _ in range(3)]
    answers = torch.stack([draw.permutation(vocab)[:2] for _ in range(batch)])
    rows = torch.arange(batch)  # the ends lie well apart, so that every way to go wrong shows
    runs[1][rows, -1, answers[:, 0]] += 5
    runs[2][rows, -1, answers[:, 1]] += 4
    return (*runs, answers[:, 0], answers[:, 1])


def gaps(logits, right, wrong, pos=-1):
    rows = torch.arange(len(logits))
    return logits[rows, pos, right] - logits[rows, pos, wrong]


@restored.check("exactly 0 for the corrupted logits, and exactly 1 for the clean ones")
def restored_ends(answer, draw):
    _, clean, corrupted, right, wrong = scene(draw)
    for logits, want, name in ((corrupted, 0.0, "corrupted"), (clean, 1.0, "clean")):
        got = expect.number(answer(logits, clean, corrupted, right, wrong), f"the share of the {name} logits")
        expect.close(torch.tensor(got), torch.tensor(want), f"the share of the {name} logits")


@restored.check("ends of −5 and +3, and a patched run with +1: 0.75")
def restored_example(answer, draw):
    def run(*differences):
        logits = draw.normal(len(differences), 3, 6)
        logits[:, -1, 4] = 0.5
        logits[:, -1, 2] = 0.5 + torch.tensor(differences)
        return logits

    right, wrong = torch.tensor([2, 2]), torch.tensor([4, 4])
    got = answer(run(1.0, 1.0), run(3.0, 3.0), run(-5.0, -5.0), right, wrong)
    expect.close(torch.as_tensor(expect.number(got)), torch.tensor(0.75), "the share")
    got = answer(run(0.0, 2.0), run(5.0, 1.0), run(-9.0, -1.0), right, wrong)
    because = "the means are 1, 3 and −5, although no single prompt has these"
    expect.close(
        torch.as_tensor(expect.number(got)), torch.tensor(0.75), "the share of two unlike prompts", because=because
    )


@restored.check("each prompt has its own answers, and the last position counts")
def restored_random(answer, draw):
    for batch, pos, vocab in ((5, 4, 7), (1, 6, 5), (3, 2, 11)):
        logits, clean, corrupted, right, wrong = scene(draw, batch, pos, vocab)
        m, high, low = (gaps(x, right, wrong).mean() for x in (logits, clean, corrupted))
        got = expect.number(answer(logits, clean, corrupted, right, wrong), "the share")
        expect.close(torch.tensor(got), (m - low) / (high - low), f"the share of {batch} prompts", atol=1e-4)


@restored.check("it is a tensor through which a gradient flows")
def restored_gradient(answer, draw):
    logits, clean, corrupted, right, wrong = scene(draw)
    got = answer(logits.requires_grad_(), clean, corrupted, right, wrong)
    says = "Your share does not know where it came from. Keep it a tensor, without .item(), .detach() or float(): its gradient is needed later."
    expect.true(isinstance(got, torch.Tensor) and got.requires_grad, says)


def scaled(of, logits, clean, corrupted):
    m, high, low = of(logits), of(clean), of(corrupted)
    return (m - low) / (high - low)


@restored.wrong(
    "upside down",
    "Your metric is 1 for the corrupted run and 0 for the clean one: it is upside down, and measures what is lost. Subtract the corrupted end, in numerator and denominator.",
)
def restored_upside_down(logits, clean, corrupted, right, wrong):
    return scaled(lambda x: gaps(x, right, wrong).mean(), logits, corrupted, clean)


@restored.wrong(
    "a mean of quotients",
    "You divided for each prompt and averaged the quotients. A prompt whose ends lie close together then outweighs all others. Average the logit differences first, and divide once.",
)
def restored_quotients(logits, clean, corrupted, right, wrong):
    return scaled(lambda x: gaps(x, right, wrong), logits, clean, corrupted).mean()


@restored.wrong(
    "all positions",
    "You averaged over all positions. The answer is asked for at the last one: logits[:, -1].",
)
def restored_everywhere(logits, clean, corrupted, right, wrong):
    def of(x):
        return torch.stack([gaps(x, right, wrong, pos) for pos in range(x.shape[1])]).mean()

    return scaled(of, logits, clean, corrupted)


@restored.wrong(
    "the right token alone",
    "You used the logit of the right token alone. It also rises when all logits rise together, which says nothing about the answer. Subtract the wrong token's.",
)
def restored_right_only(logits, clean, corrupted, right, wrong):
    def of(x):
        return x[torch.arange(len(x)), -1, right].mean()

    return scaled(of, logits, clean, corrupted)


@restored.wrong(
    "every answer in every prompt",
    "You took the logits of all right tokens in every prompt: logits[:, -1, right] has the shape (batch, batch). Each prompt has its own answer: index the batch with torch.arange(batch), or use gather.",
)
def restored_every_answer(logits, clean, corrupted, right, wrong):
    return scaled(lambda x: (x[:, -1, right] - x[:, -1, wrong]).mean(), logits, clean, corrupted)


@restored.wrong(
    "divided by the clean run",
    "You divided by the clean run's own logit difference. That scale has its 0 where the model is undecided, not at the corrupted run. Subtract the corrupted end, above and below.",
)
def restored_ratio(logits, clean, corrupted, right, wrong):
    return gaps(logits, right, wrong).mean() / gaps(clean, right, wrong).mean()


@restored.wrong(
    "probabilities",
    "You compared probabilities. They saturate: once the model is sure, a patch that changes much changes them little. Use the logits.",
)
def restored_probabilities(logits, clean, corrupted, right, wrong):
    return scaled(lambda x: gaps(x.softmax(-1), right, wrong).mean(), logits, clean, corrupted)


@restored.wrong(
    "not on a scale",
    "You returned the distance from the corrupted run in logits. Divide it by the distance between the two ends.",
)
def restored_no_scale(logits, clean, corrupted, right, wrong):
    return gaps(logits, right, wrong).mean() - gaps(corrupted, right, wrong).mean()


@restored.variation("gather, and wrong minus right throughout")
def restored_gather(logits, clean, corrupted, right, wrong):
    def of(x):
        last = x[:, -1]
        return (last.gather(1, wrong[:, None]) - last.gather(1, right[:, None])).mean()

    return scaled(of, logits, clean, corrupted)


@restored.variation("log-probabilities in float64")
def restored_log_probabilities(logits, clean, corrupted, right, wrong):
    return scaled(lambda x: gaps(x.double().log_softmax(-1), right, wrong).sum(), logits, clean, corrupted)


# --- a model to experiment on ---------------------------------------------------------------------------------------


@functools.cache
def pristine(name):
    """The bundled model as it was loaded. It never runs: a model that ran with gradients cannot be copied."""
    with contextlib.redirect_stdout(io.StringIO()):
        return models.load(name)


@functools.cache
def weights(of=NAME):
    return models.weights(of)


@contextlib.contextmanager
def fresh(name=NAME):
    """Give a copy of the model without hooks, and take off what was left on it afterwards."""
    model = pristine(name)
    model = copy.deepcopy(model, {id(model.tokenizer): model.tokenizer})  # most of the work, and nobody edits it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield model
    finally:
        model.reset_hooks()  # also where a check has failed: naming the mistake runs the wrong answers on this model again


def expect_unchanged(model):
    """Expect no hook left on the model, and no gradient in its weights."""
    points = {id(point): point for point in model.hook_dict.values()}.values()
    left = [point.name for point in points if point.fwd_hooks or point.bwd_hooks]
    what = "run_with_hooks and `with model.hooks(...)` take theirs off; what add_hook puts on stays."
    expect.true(not left, f"A hook is still on {left[0] if left else ''} after your function has returned. {what}")
    graded = any(weight.grad is not None for weight in model.parameters())
    says = "After your call the model's weights hold gradients, as after .backward(). Use torch.autograd.grad, which asks for those that you want."
    expect.true(not graded, says)


def prompts(draw, batch, pos):
    """Clean and corrupted prompts without a single token in common at any place but the first."""
    clean = 1 + draw.integers(0, 500, batch, pos)
    corrupted = 501 + draw.integers(0, 500, batch, pos)
    clean[:, 0] = corrupted[:, 0] = 0
    return clean, corrupted


@torch.no_grad()
def plain(tokens, patch=None, of=NAME):
    """The logits and all activations, in plain torch. of: the name of the model."""
    return attention_only.run(weights(of), tokens, patch)


def mixed(base, source, name, where, of=NAME):
    """The logits of the base prompts where `name` has the source's values at the index `where`; no hook has a part in it."""
    there, here = plain(source, of=of)[1][name], plain(base, of=of)[1][name].clone()
    here[where] = there[where]
    return plain(base, {name: here}, of)[0]


ALL = slice(None)
STREAM, Z = "blocks.{}.hook_resid_pre", "blocks.{}.attn.hook_z"

# --- denoise_position -----------------------------------------------------------------------------------------------

denoise = Exercise("denoise_position")


@denoise.check("one position of the stream: the logits of the corrupted run with that one change")
def denoise_stream(answer, draw):
    clean, corrupted = prompts(draw, 3, 6)
    with fresh() as model:
        for layer, pos in ((0, 2), (1, 4)):
            got = answer(model, clean, corrupted, STREAM.format(layer), pos)
            expect.shape(got, (3, 6, 1024), axes="batch pos d_vocab")
            want = mixed(corrupted, clean, STREAM.format(layer), (ALL, pos))
            expect.close(got, want, f"the logits with position {pos} before layer {layer} patched", atol=2e-3)
        expect_unchanged(model)


@denoise.check("the positions before the patch are those of the corrupted run")
def denoise_causal(answer, draw):
    clean, corrupted = prompts(draw, 2, 5)
    with fresh() as model:
        got = answer(model, clean, corrupted, STREAM.format(1), 3)
    expect.shape(got, (2, 5, 1024), axes="batch pos d_vocab")
    because = "attention looks back only, so a patch at position 3 cannot change what comes before it"
    expect.close(got[:, :3], plain(corrupted)[0][:, :3], "the logits before the patch", atol=2e-3, because=because)


@denoise.check("other activations, with and without a head axis")
def denoise_others(answer, draw):
    clean, corrupted = prompts(draw, 2, 4)
    with fresh() as model:
        for name, pos in (("blocks.0.attn.hook_z", 1), ("blocks.1.hook_attn_out", 3), ("hook_embed", 2)):
            got = answer(model, clean, corrupted, name, pos)
            expect.close(got, mixed(corrupted, clean, name, (ALL, pos)), f"the logits with {name} patched", atol=2e-3)


@denoise.check("prompts of another length, and a batch of one", hidden=True)
def denoise_shapes(answer, draw):
    for batch, length in ((1, 9), (4, 2)):
        clean, corrupted = prompts(draw, batch, length)
        name, pos = STREAM.format(draw.integer(0, 2)), draw.integer(1, length)
        with fresh() as model:
            got = answer(model, clean, corrupted, name, pos)
            expect_unchanged(model)
        expect.close(got, mixed(corrupted, clean, name, (ALL, pos)), f"the logits of {batch} prompts", atol=2e-3)


@denoise.wrong(
    "clean into clean",
    "Your logits are those of the clean run: you put clean activations into the clean prompts, where they were already. The base is the *corrupted* prompt.",
)
def denoise_clean_clean(model, clean, corrupted, name, pos):
    return plain(clean)[0]


@denoise.wrong(
    "noising",
    "You ran the clean prompts with a corrupted activation. That is noising. Here the base is the corrupted prompt, and the activation comes from the clean one.",
)
def denoise_noise(model, clean, corrupted, name, pos):
    return mixed(clean, corrupted, name, (ALL, pos))


@denoise.wrong(
    "the whole tensor",
    "You replaced the whole activation, at all positions. Then everything behind it is the clean run, and nothing is learned about one place. Replace [:, pos] alone.",
)
def denoise_whole(model, clean, corrupted, name, pos):
    return mixed(corrupted, clean, name, ALL)


@denoise.wrong(
    "the prompt axis",
    "You wrote activation[pos]. The first axis counts prompts: one prompt was replaced as a whole. Positions are the second axis: [:, pos].",
)
def denoise_batch(model, clean, corrupted, name, pos):
    return mixed(corrupted, clean, name, min(pos, len(clean) - 1))


@denoise.wrong(
    "one position off",
    "You patched position pos − 1. Positions count from 0, and BOS is position 0: there is nothing to add or subtract.",
)
def denoise_off_by_one(model, clean, corrupted, name, pos):
    return mixed(corrupted, clean, name, (ALL, pos - 1))


@denoise.wrong(
    "nothing returned from the hook",
    "Your logits are those of the corrupted run, unpatched. The hook made a new tensor and did not return it: what a hook function returns is what the model goes on with.",
)
def denoise_no_return(model, clean, corrupted, name, pos):
    return plain(corrupted)[0]


@denoise.wrong(
    "the first prompt for all",
    "Every prompt got the activation of the first clean prompt. Each has a counterpart of its own: keep the batch axis.",
)
def denoise_first(model, clean, corrupted, name, pos):
    there = plain(clean)[1][name]
    here = plain(corrupted)[1][name].clone()
    here[:, pos] = there[0, pos]
    return plain(corrupted, {name: here})[0]


@denoise.wrong(
    "never takes its hook off",
    "Your first patch is right, and its hook stays on the model: from the second call on, every run is patched by the earlier ones as well, the clean one too. Use run_with_hooks in place of add_hook.",
)
def denoise_left_on(model, clean, corrupted, name, pos):
    with torch.no_grad():
        _, cache = model.run_with_cache(clean, names_filter=name)
        model.add_hook(name, hook_that_puts(cache[name], (ALL, pos)))
        return model(corrupted)


def hook_that_puts(values, where):
    def put(activation, hook):
        activation = activation.clone()
        activation[where] = values[where]
        return activation

    return put


@denoise.variation("a mask, inside `with model.hooks`")
def denoise_mask(model, clean, corrupted, name, pos):
    with torch.no_grad():
        cache = model.run_with_cache(clean)[1]

        def put(activation, hook):
            mask = torch.zeros_like(activation)
            mask[:, pos] = 1
            return torch.where(mask > 0, cache[name], activation)

        with model.hooks(fwd_hooks=[(name, put)]):
            return model(corrupted)


@denoise.variation("in place, the cache filled by a hook of its own")
def denoise_in_place(model, clean, corrupted, name, pos):
    kept = {}

    def keep(activation, hook):
        kept["value"] = activation[:, pos].clone()

    def put(activation, hook):
        activation[:, pos] = kept["value"]

    with torch.no_grad():
        model.run_with_hooks(clean, fwd_hooks=[(name, keep)])
        return model.run_with_hooks(corrupted, fwd_hooks=[(name, put)])


# --- noise_head -----------------------------------------------------------------------------------------------------

noise = Exercise("noise_head")


@noise.check("one head, at all positions: the logits of the clean run with that one change")
def noise_heads(answer, draw):
    clean, corrupted = prompts(draw, 3, 6)
    with fresh() as model:
        for layer, head in ((0, 1), (1, 3)):
            got = answer(model, clean, corrupted, layer, head)
            expect.shape(got, (3, 6, 1024), axes="batch pos d_vocab")
            want = mixed(clean, corrupted, Z.format(layer), (ALL, ALL, head))
            expect.close(got, want, f"the logits with head {layer}.{head} noised", atol=2e-3)
        expect_unchanged(model)


@noise.check("a head that says the same on both prompts changes nothing")
def noise_same(answer, draw):
    clean, _ = prompts(draw, 2, 5)
    with fresh() as model:
        got = answer(model, clean, clean.clone(), 1, 2)
    because = "clean and corrupted prompts are equal here"
    expect.close(got, plain(clean)[0], "the logits", atol=2e-3, because=because)


@noise.check("prompts of another length, and a batch of one", hidden=True)
def noise_shapes(answer, draw):
    for batch, length in ((1, 8), (5, 2)):
        clean, corrupted = prompts(draw, batch, length)
        layer, head = draw.integer(0, 2), draw.integer(0, 4)
        with fresh() as model:
            got = answer(model, clean, corrupted, layer, head)
            expect_unchanged(model)
        want = mixed(clean, corrupted, Z.format(layer), (ALL, ALL, head))
        expect.close(got, want, f"the logits with head {layer}.{head} noised", atol=2e-3)


@noise.wrong(
    "denoising",
    "You ran the corrupted prompts with a clean head. That is denoising. Here the base is the clean prompt, and the head's output comes from the corrupted one.",
)
def noise_denoise(model, clean, corrupted, layer, head):
    return mixed(corrupted, clean, Z.format(layer), (ALL, ALL, head))


@noise.wrong(
    "zero ablation",
    "You set the head's output to zero. A head that is silent is something that the model has never met. Noising lets it say what it says on the corrupted prompt.",
)
def noise_zero(model, clean, corrupted, layer, head):
    z = plain(clean)[1][Z.format(layer)].clone()
    z[:, :, head] = 0
    return plain(clean, {Z.format(layer): z})[0]


@noise.wrong(
    "a position, not a head",
    "You wrote z[:, head]. Axis 1 of hook_z is the position, so all heads were patched at one place. The head is axis 2: z[:, :, head].",
)
def noise_position(model, clean, corrupted, layer, head):
    return mixed(clean, corrupted, Z.format(layer), (ALL, min(head, clean.shape[1] - 1)))


@noise.wrong(
    "the whole layer",
    "All heads of the layer speak as on the corrupted prompt. Replace one of them: [:, :, head].",
)
def noise_layer(model, clean, corrupted, layer, head):
    return mixed(clean, corrupted, Z.format(layer), ALL)


@noise.wrong(
    "the last position only",
    "You patched the head at the last position alone. It speaks at every position, and what it says there may be read later.",
)
def noise_last(model, clean, corrupted, layer, head):
    return mixed(clean, corrupted, Z.format(layer), (ALL, -1, head))


@noise.wrong(
    "corrupted into corrupted",
    "Your logits are those of the corrupted run: you put corrupted activations into the corrupted prompts. The base is the *clean* prompt.",
)
def noise_same_run(model, clean, corrupted, layer, head):
    return plain(corrupted)[0]


@noise.wrong(
    "never takes its hook off",
    "Your first patch is right, and its hook stays on the model: from the second call on, several heads are noised at once. Use run_with_hooks in place of add_hook.",
)
def noise_left_on(model, clean, corrupted, layer, head):
    name = Z.format(layer)
    with torch.no_grad():
        _, cache = model.run_with_cache(corrupted, names_filter=name)
        model.add_hook(name, hook_that_puts(cache[name], (ALL, ALL, head)))
        return model(clean)


@noise.variation("by its values and its pattern: z recomputed")
def noise_recomputed(model, clean, corrupted, layer, head):
    at = f"blocks.{layer}.attn"
    with torch.no_grad():
        cache = model.run_with_cache(corrupted)[1]
        z = torch.einsum("bqk,bkd->bqd", cache[f"{at}.hook_pattern"][:, head], cache[f"{at}.hook_v"][:, :, head])

        def put(own, hook):
            own[:, :, head] = z
            return own

        return model.run_with_hooks(clean, fwd_hooks=[(f"{at}.hook_z", put)])


@noise.variation("the change goes through W_O into attn_out")
def noise_through_output(model, clean, corrupted, layer, head):
    name = Z.format(layer)
    with torch.no_grad():
        z, own = (model.run_with_cache(tokens, names_filter=name)[1][name][:, :, head] for tokens in (corrupted, clean))
        more = (z - own) @ weights()[f"blocks.{layer}.attn.W_O"][head]
        hooks = [(f"blocks.{layer}.hook_attn_out", lambda out, hook: out + more)]
        return model.run_with_hooks(clean, fwd_hooks=hooks)


# --- stream_sweep ---------------------------------------------------------------------------------------------------

stream = Exercise("stream_sweep")


def readout(draw):
    """A metric without symmetries: a weighted sum of a few logits, at the last position and at the one before."""
    tokens, share = 1 + draw.integers(0, 1000, 4), draw.uniform(4, low=0.5, high=1.5)

    def metric(logits):
        return (logits[:, -1, tokens] @ share).mean() - logits[:, -2, tokens[:2]].mean()

    return metric


def named(model):
    """The name of the model that a sweep was given: a named wrong answer has to fit every call that it is compared with."""
    return ONE_LAYER if model.cfg.n_layers == 1 else NAME


def sweep_of(model, base, source, name, axes, metric):
    """The metric of every patch, one at a time, in plain torch. axes: (count, index of the i-th place)."""
    (count, where), of = axes, named(model)
    rows = [
        [metric(mixed(base, source, name.format(layer), where(i), of)) for i in range(count)]
        for layer in range(model.cfg.n_layers)
    ]
    return torch.tensor(rows)


def positions(tokens):
    return tokens.shape[1], lambda pos: (ALL, pos)


BY_HEAD = (HEADS, lambda head: (ALL, ALL, head))


@stream.check("every layer and every position, one at a time: the metric of a plain run with that one change")
def stream_truth(answer, draw):
    clean, corrupted = prompts(draw, 2, 3)
    metric = readout(draw)
    with fresh() as model:
        got = answer(model, clean, corrupted, metric)
        expect_unchanged(model)
    expect.shape(got, (LAYERS, 3), axes="layer pos")
    want = sweep_of(model, corrupted, clean, STREAM, positions(clean), metric)
    expect.close(got, want, "the metric after each patch", atol=2e-3)


@stream.check("TransformerLens' get_act_patch_resid_pre, on longer prompts", hidden=True)
def stream_lens(answer, draw):
    from transformer_lens import patching as lens

    clean, corrupted = prompts(draw, 3, 7)
    metric = readout(draw)
    with fresh() as model, contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        got = answer(model, clean, corrupted, metric)
        cache = model.run_with_cache(clean)[1]
        want = lens.get_act_patch_resid_pre(model, corrupted, cache, metric)
    expect.shape(got, (LAYERS, 7), axes="layer pos")
    expect.close(got, want, "the metric after each patch", atol=2e-3)


@stream.check("a model with one layer works as well: model.cfg says how many there are")
def stream_one_layer(answer, draw):
    from transformer_lens import patching as lens

    clean, corrupted = prompts(draw, 2, 3)
    metric = readout(draw)
    with fresh(ONE_LAYER) as model, contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        got = answer(model, clean, corrupted, metric)
        want = lens.get_act_patch_resid_pre(model, corrupted, model.run_with_cache(clean)[1], metric)
    expect.shape(got, (1, 3), axes="layer pos")
    expect.close(got, want, "the metric after each patch of a model with one layer", atol=2e-3)


@stream.wrong(
    "clean into clean",
    "All your values are the same: that of the clean run. The base of your runs is the clean prompt, so clean activations change nothing. Run `corrupted` with the hooks.",
)
def stream_clean(model, clean, corrupted, metric):
    return metric(plain(clean, of=named(model))[0]).expand(model.cfg.n_layers, clean.shape[1]).clone()


@stream.wrong(
    "noising",
    "You ran the clean prompts with corrupted activations. That is noising. The exercise asks for denoising: base corrupted, source clean.",
)
def stream_noise(model, clean, corrupted, metric):
    return sweep_of(model, clean, corrupted, STREAM, positions(clean), metric)


@stream.wrong(
    "behind the layer",
    "You patched hook_resid_post, the stream *behind* each layer: your rows are one layer late. Take hook_resid_pre.",
)
def stream_post(model, clean, corrupted, metric):
    return sweep_of(model, corrupted, clean, "blocks.{}.hook_resid_post", positions(clean), metric)


@stream.wrong(
    "patches pile up",
    "Your patches pile up: a position stays patched while the next ones are, so the last value of each row is the clean run. Each run should have one patch alone.",
)
def stream_pile(model, clean, corrupted, metric):
    return sweep_of(model, corrupted, clean, STREAM, (clean.shape[1], lambda pos: (ALL, slice(0, pos + 1))), metric)


@stream.wrong(
    "all hooks patch the last position",
    "All columns are the same. Your hook functions look up `pos` only when they run, and find its last value. Bind it when you make the function: def put(stream, hook, pos=pos).",
)
def stream_late(model, clean, corrupted, metric):
    last = clean.shape[1] - 1
    return sweep_of(model, corrupted, clean, STREAM, (clean.shape[1], lambda pos: (ALL, last)), metric)


@stream.wrong(
    "what attention adds",
    "You patched hook_attn_out, which is what a layer adds to the stream. The stream itself is hook_resid_pre.",
)
def stream_attention(model, clean, corrupted, metric):
    return sweep_of(model, corrupted, clean, "blocks.{}.hook_attn_out", positions(clean), metric)


@stream.wrong("positions in rows", "Your result is (pos, layer). The axes are (layer, pos).")
def stream_transposed(model, clean, corrupted, metric):
    return sweep_of(model, corrupted, clean, STREAM, positions(clean), metric).T.contiguous()


@stream.variation("a cache of everything, hooks in a with-block, a list of lists")
def stream_with(model, clean, corrupted, metric):
    with torch.no_grad():
        cache = model.run_with_cache(clean)[1]
        rows = []
        for layer in range(model.cfg.n_layers):
            name, row = STREAM.format(layer), []
            for pos in range(clean.shape[1]):
                with model.hooks(fwd_hooks=[(name, hook_that_puts(cache[name], (ALL, pos)))]):
                    row.append(metric(model(corrupted)).item())
            rows.append(row)
    return torch.tensor(rows)


# --- head_sweep -----------------------------------------------------------------------------------------------------

heads = Exercise("head_sweep")


def heads_of(model, clean, corrupted, metric, direction):
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    return sweep_of(model, base, source, Z, BY_HEAD, metric)


@heads.check("both directions, every head: the metric of a plain run with that one change")
def heads_truth(answer, draw):
    clean, corrupted = prompts(draw, 2, 5)
    metric = readout(draw)
    with fresh() as model:
        for direction in ("denoising", "noising"):
            got = answer(model, clean, corrupted, metric, direction)
            expect.shape(got, (LAYERS, HEADS), axes="layer head")
            want = heads_of(model, clean, corrupted, metric, direction)
            expect.close(got, want, f"the metric after {direction} each head", atol=2e-3)
        expect_unchanged(model)


@heads.check("TransformerLens' get_act_patch_attn_head_out_all_pos, prompts exchanged for noising", hidden=True)
def heads_lens(answer, draw):
    from transformer_lens import patching as lens

    clean, corrupted = prompts(draw, 3, 7)
    metric = readout(draw)
    for direction, base, source in (("denoising", corrupted, clean), ("noising", clean, corrupted)):
        with fresh() as model, contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
            got = answer(model, clean, corrupted, metric, direction)
            cache = model.run_with_cache(source)[1]
            want = lens.get_act_patch_attn_head_out_all_pos(model, base, cache, metric)
        expect.close(got, want, f"the metric after {direction} each head", atol=2e-3)


@heads.check("a model with one layer works as well: model.cfg says how many there are")
def heads_one_layer(answer, draw):
    from transformer_lens import patching as lens

    clean, corrupted = prompts(draw, 2, 3)
    metric = readout(draw)
    with fresh(ONE_LAYER) as model, contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        got = answer(model, clean, corrupted, metric, "noising")
        want = lens.get_act_patch_attn_head_out_all_pos(model, clean, model.run_with_cache(corrupted)[1], metric)
    expect.shape(got, (1, HEADS), axes="layer head")
    expect.close(got, want, "the metric after noising each head of a model with one layer", atol=2e-3)


@heads.wrong(
    "one direction for both",
    "Your two directions give the same values: those of denoising. For noising the base is the clean prompt and the source the corrupted one.",
)
def heads_one_way(model, clean, corrupted, metric, direction):
    return heads_of(model, clean, corrupted, metric, "denoising")


@heads.wrong(
    "the directions are exchanged",
    "You exchanged the words. Denoising: the corrupted run gets clean activations. Noising: the clean run gets corrupted ones.",
)
def heads_exchanged(model, clean, corrupted, metric, direction):
    return heads_of(model, clean, corrupted, metric, "noising" if direction == "denoising" else "denoising")


@heads.wrong(
    "noising as what is lost",
    "For noising you returned 1 minus the metric. What is lost is a good thing to look at, but return the metric itself, so that both directions stand on one scale.",
)
def heads_lost(model, clean, corrupted, metric, direction):
    found = heads_of(model, clean, corrupted, metric, direction)
    return found if direction == "denoising" else 1 - found


@heads.wrong(
    "clean into clean",
    "For denoising all your values are those of the clean run: the base has to be the corrupted prompt. (For noising it is the clean one.)",
)
def heads_same_run(model, clean, corrupted, metric, direction):
    base = clean if direction == "denoising" else corrupted
    return metric(plain(base, of=named(model))[0]).expand(model.cfg.n_layers, HEADS).clone()


@heads.wrong(
    "the last position only",
    "You patched each head at the last position alone. Head 0.1 does its work at earlier ones: patch all positions, [:, :, head].",
)
def heads_last(model, clean, corrupted, metric, direction):
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    return sweep_of(model, base, source, Z, (HEADS, lambda head: (ALL, -1, head)), metric)


@heads.wrong(
    "heads pile up",
    "Your patches pile up: a head stays patched while the next ones are. Each run should have one patched head alone.",
)
def heads_pile(model, clean, corrupted, metric, direction):
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    return sweep_of(model, base, source, Z, (HEADS, lambda head: (ALL, ALL, slice(0, head + 1))), metric)


@heads.variation("inside `with model.hooks`, by a mask")
def heads_mask(model, clean, corrupted, metric, direction):
    base, source = {"denoising": (corrupted, clean), "noising": (clean, corrupted)}[direction]
    result = torch.empty(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        cache = model.run_with_cache(source)[1]
        for layer, head in torch.cartesian_prod(*map(torch.arange, result.shape)).tolist():
            only, there = torch.eye(model.cfg.n_heads)[head][:, None], cache[Z.format(layer)]

            def put(z, hook, there=there, only=only):
                return z + only * (there - z)

            with model.hooks(fwd_hooks=[(Z.format(layer), put)]):
                result[layer, head] = metric(model(base))
    return result


@heads.variation("the change goes through W_O into attn_out")
def heads_through_output(model, clean, corrupted, metric, direction):
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    rows = []
    with torch.no_grad():
        there, here = (model.run_with_cache(tokens)[1] for tokens in (source, base))
        for layer in range(model.cfg.n_layers):
            change = there[Z.format(layer)] - here[Z.format(layer)]
            added = torch.einsum("bphd,hdm->hbpm", change, model.blocks[layer].attn.W_O)
            place = f"blocks.{layer}.hook_attn_out"
            rows.append(
                [metric(model.run_with_hooks(base, fwd_hooks=[(place, lambda out, hook, m=m: out + m)])) for m in added]
            )
    return torch.tensor(rows, dtype=torch.float64)


# --- graph_patch ----------------------------------------------------------------------------------------------------

patching = Exercise("graph_patch")
DIRECTIONS = ("denoising", "noising")

# out = 2 + 3 min(1, 2p) + q - r / 2, with p = 2a - 1, q = max(0, a + b - 1), r = 4b: from -4 to 4, and hardly a node is 0 and 1.
UNEVEN = Graph(
    {
        "a": INPUT,
        "b": INPUT,
        "p": Node({"a": 2}, -1),
        "q": Node({"a": 1, "b": 1}, -1, "relu"),
        "r": Node({"b": 4}),
        "c": Node({"p": 2}, 0, "cap"),
        "out": Node({"c": 3, "q": 1, "r": -0.5}, 2),
    }
)
# By hand. Corrupted: p -1, q 0, r 0, c -2, out -4. Clean: p 1, q 1, r 4, c 1, out 4.
UNEVEN_TRUTH = {
    "denoising": {("a",): 9 / 8, ("b",): -2 / 8, ("p",): 9 / 8, ("q",): 1 / 8, ("r",): -2 / 8, ("q", "c"): 10 / 8},
    "noising": {("a",): -2 / 8, ("b",): 9 / 8, ("p",): -1 / 8, ("q",): 7 / 8, ("r",): 10 / 8, ("q", "c"): -2 / 8},
}
# What `gates` states of its networks, in `.about`.
SINGLES = {
    "AND": {"a": (0, 0), "b": (0, 0)},
    "OR": {"a": (1, 1), "b": (1, 1)},
    "BACKUP": {"x": (1, 0), "main": (1, 1), "backup": (0, 1)},
    "SATURATING": {"a": (1, 0)},
}


BY_HAND = {"linear": lambda x: x, "relu": lambda x: max(0.0, x), "cap": lambda x: min(1.0, x)}


def evaluate(graph, inputs, patch):
    """Every node's value, in plain Python numbers."""
    values = {}
    for name, node in graph.nodes.items():
        read = (weight * values[sender] for sender, weight in node.reads.items())
        values[name] = (
            patch[name] if name in patch else BY_HAND[node.act](node.bias + sum(read)) if node.reads else inputs[name]
        )
    return values


def share_by_hand(graph, direction, names, towards=1.0):
    """The share after moving these nodes `towards` their values in the source run, each from its value in the base run."""
    low, high = (evaluate(graph, inputs, {})[graph.output] for inputs in (graph.corrupted, graph.clean))
    base, source = (graph.corrupted, graph.clean) if direction == "denoising" else (graph.clean, graph.corrupted)
    here, there = evaluate(graph, base, {}), evaluate(graph, source, {})
    patch = {name: here[name] + towards * (there[name] - here[name]) for name in names}
    return (evaluate(graph, base, patch)[graph.output] - low) / (high - low)


def slope_by_hand(graph, direction, name, step=2**-7):
    """By how much the share changes along the way to the source's value, at the base run; None beside a kink."""
    wide, near = (
        (share_by_hand(graph, direction, [name], h) - share_by_hand(graph, direction, [name], -h)) / (2 * h)
        for h in (step, step / 16)
    )
    return near if abs(wide - near) < 1e-9 else None


def drawn_graph(draw):
    """A network of random weights whose two runs differ, no node at a kink, and no effect near a boundary that a check draws."""
    while True:
        w, b = draw.uniform(12, low=-2, high=2).tolist(), draw.uniform(5, low=-1, high=1).tolist()
        graph = Graph(
            {
                "a": INPUT,
                "b": INPUT,
                "p": Node({"a": w[0], "b": w[1]}, b[0], "relu"),
                "q": Node({"a": w[2], "p": w[3]}, b[1], "cap"),
                "r": Node({"b": w[4], "q": w[5]}, b[2], "relu"),
                "s": Node({"p": w[6], "r": w[7]}, b[3]),
                "out": Node({"q": w[8], "r": w[9], "s": w[10], "a": w[11]}, b[4]),
            }
        )
        ends = [evaluate(graph, inputs, {})["out"] for inputs in (graph.corrupted, graph.clean)]
        if abs(ends[1] - ends[0]) < 0.5:
            continue
        slopes = {d: {n: slope_by_hand(graph, d, n) for n in graph.components} for d in DIRECTIONS}
        if any(slope is None for by_node in slopes.values() for slope in by_node.values()):
            continue
        singles = {d: {n: share_by_hand(graph, d, [n]) for n in graph.components} for d in DIRECTIONS}
        starts = {"denoising": 0.0, "noising": 1.0}
        off = [abs(starts[d] + slopes[d][n] - singles[d][n]) for d in DIRECTIONS for n in graph.components]
        effects = [abs(abs(singles[d][n] - starts[d]) - 0.3) for d in DIRECTIONS for n in graph.components]
        if min(effects) > 0.01 and not any(0.03 < each < 0.07 for each in off):
            return graph, singles, slopes


@patching.check("single nodes of an AND, an OR, a back-up and a saturating node")
def patching_gates(answer, draw):
    for gate, truth in SINGLES.items():
        for node, values in truth.items():
            for direction, want in zip(DIRECTIONS, values, strict=True):
                got = expect.number(answer(getattr(gates, gate), [node], direction), "the share")
                expect.close(
                    torch.tensor(got), torch.tensor(float(want)), f"the share after {direction} {node} of {gate}"
                )


@patching.check("several nodes together")
def patching_sets(answer, draw):
    cases = [("AND", ["a", "b"], (1, 0)), ("OR", ["a", "b"], (1, 0)), ("BACKUP", ["main", "backup"], (1, 0))]
    cases += [("CIRCUIT", ["c", "s"], (0.5, 0.75)), ("CIRCUIT", ["main", "backup", "or"], (0.5, 0.5))]
    cases += [("CIRCUIT", [], (0, 1))]
    for gate, nodes, values in cases:
        for direction, want in zip(DIRECTIONS, values, strict=True):
            got = expect.number(answer(getattr(gates, gate), nodes, direction), "the share")
            expect.close(
                torch.tensor(got), torch.tensor(float(want)), f"the share after {direction} {nodes} of {gate} together"
            )


@patching.check("a network whose nodes are not 0 and 1, and whose output does not start at 0")
def patching_uneven(answer, draw):
    for direction, truth in UNEVEN_TRUTH.items():
        for nodes, want in truth.items():
            got = expect.number(answer(UNEVEN, list(nodes), direction), "the share")
            expect.close(torch.tensor(got), torch.tensor(want), f"the share after {direction} {list(nodes)} there")


@patching.check("networks with random weights", hidden=True)
def patching_random(answer, draw):
    for _ in range(3):
        graph, singles, _ = drawn_graph(draw)
        for direction in DIRECTIONS:
            for node, want in singles[direction].items():
                got = expect.number(answer(graph, [node], direction), "the share")
                expect.close(torch.tensor(got), torch.tensor(want), f"the share after {direction} {node}", atol=1e-4)
            got = expect.number(answer(graph, ["q", "b"], direction), "the share")
            want = share_by_hand(graph, direction, ["q", "b"])
            expect.close(torch.tensor(got), torch.tensor(want), f"the share after {direction} q and b", atol=1e-4)


def patch_by_hand(graph, names, direction, values=None, scale=True):
    base, source = (graph.corrupted, graph.clean) if direction == "denoising" else (graph.clean, graph.corrupted)
    taken = graph.run(source)[1] if values is None else values
    output = graph.run(base, {name: taken[name] for name in names})[0]
    low, high = graph.run(graph.corrupted)[0], graph.run(graph.clean)[0]
    return ((output - low) / (high - low)).item() if scale else output.item()


@patching.wrong(
    "the directions are exchanged",
    "You exchanged the words. Denoising runs graph.corrupted with values of the clean run; noising runs graph.clean with values of the corrupted one.",
)
def patching_exchanged(graph, names, direction):
    return patch_by_hand(graph, names, "noising" if direction == "denoising" else "denoising")


@patching.wrong(
    "the output itself",
    "You returned the output as it is. Put it on the scale: 0 for the corrupted run's output, 1 for the clean run's.",
)
def patching_raw(graph, names, direction):
    return patch_by_hand(graph, names, direction, scale=False)


@patching.wrong(
    "values of the base run",
    "You put in the values that the base run has anyway, so nothing changes (clean into clean). Take them from the other run.",
)
def patching_base(graph, names, direction):
    return 0.0 if direction == "denoising" else 1.0


@patching.wrong(
    "ones and zeros",
    "You patched in 1 or 0. The inputs have these values; other nodes have what the source run gives them: graph.run(source)[1].",
)
def patching_ones(graph, names, direction):
    value = 1.0 if direction == "denoising" else 0.0
    return patch_by_hand(graph, names, direction, dict.fromkeys(graph.nodes, value))


@patching.wrong(
    "noising as what is lost",
    "For noising you returned what is lost. Return what is left: 1 for the clean run, in both directions.",
)
def patching_lost(graph, names, direction):
    share = patch_by_hand(graph, names, direction)
    return share if direction == "denoising" else 1 - share


@patching.wrong(
    "one node of several",
    "You patched the first of the nodes alone. Put all of them into one patch, and run once.",
)
def patching_first(graph, names, direction):
    return patch_by_hand(graph, names[:1], direction)


@patching.wrong(
    "single effects added up",
    "You patched the nodes one by one and added the effects. Patched together they may do more than that, or less: an AND, an OR. Put all of them into one patch.",
)
def patching_added(graph, names, direction):
    start = 0.0 if direction == "denoising" else 1.0
    return start + sum(patch_by_hand(graph, [name], direction) - start for name in names)


@patching.variation("the runs in one batch, in float64")
def patching_batch(graph, names, direction):
    base, source = (graph.corrupted, graph.clean) if direction == "denoising" else (graph.clean, graph.corrupted)
    both = {name: torch.tensor([base[name], source[name]], dtype=torch.float64) for name in base}
    output, values = graph.run(both)
    patched = graph.run(base, {name: values[name][1:] for name in names})[0]
    low, high = output if direction == "denoising" else output.flip(0)
    return (patched - low) / (high - low)


@patching.variation("names as a loop")
def patching_loop(graph, names, direction):
    patch = {}
    for name in names:
        patch[name] = graph.run(graph.clean if direction == "denoising" else graph.corrupted)[1][name].item()
    start, end = graph.run(graph.corrupted)[0].item(), graph.run(graph.clean)[0].item()
    out = graph.run(graph.corrupted if direction == "denoising" else graph.clean, patch)[0].item()
    return (out - start) / (end - start)


# --- node_roles -----------------------------------------------------------------------------------------------------

roles = Exercise("node_roles")
BOTH, SUFFICIENT, NECESSARY, NEITHER = "necessary and sufficient", "sufficient", "necessary", "neither"


def expect_roles(out, want, name):
    expect.true(isinstance(out, dict), f"Your result is {expect.describe(out)}; return a dict from node to word.")
    expect.equal(sorted(out), sorted(want), f"the nodes of {name} that you give a word")
    for node, word in want.items():
        expect.equal(out[node], word, f"the word for {node} in {name}")


@roles.check("single gates, where all of the answer counts")
def roles_gates(answer, draw):
    expect_roles(answer(gates.AND, 1.0), {"a": NECESSARY, "b": NECESSARY}, "AND")
    expect_roles(answer(gates.OR, 1.0), {"a": SUFFICIENT, "b": SUFFICIENT}, "OR")
    expect_roles(answer(gates.BACKUP, 1.0), {"x": BOTH, "main": SUFFICIENT, "backup": NEITHER}, "BACKUP")
    expect_roles(answer(gates.SATURATING, 1.0), {"a": BOTH}, "SATURATING")


@roles.check("the circuit, where a quarter counts")
def roles_circuit(answer, draw):
    want = dict.fromkeys("ab", NECESSARY) | dict.fromkeys("cd", SUFFICIENT)
    want |= dict.fromkeys(["x", "s", "and", "or", "saturated"], BOTH)
    want |= {"main": SUFFICIENT, "backup": NEITHER, "bystander": NEITHER}
    expect_roles(answer(gates.CIRCUIT, 0.25), want, "CIRCUIT")
    expect_roles(answer(gates.CIRCUIT, 0.5), dict.fromkeys(want, NEITHER), "CIRCUIT with share 0.5")


@roles.check("a network where a patch can do harm, and more than restore everything")
def roles_uneven(answer, draw):
    want = {"a": BOTH, "b": NEITHER, "p": BOTH, "q": NEITHER, "r": NEITHER, "c": BOTH}
    expect_roles(answer(UNEVEN, 0.25), want, "a network of six nodes with share 0.25")
    expect_roles(answer(UNEVEN, 0.125), want | {"q": BOTH}, "a network of six nodes with share 0.125")


@roles.check("networks with random weights", hidden=True)
def roles_random(answer, draw):
    for _ in range(4):
        graph, singles, _ = drawn_graph(draw)
        words = {(True, True): BOTH, (True, False): SUFFICIENT, (False, True): NECESSARY, (False, False): NEITHER}
        want = {
            node: words[singles["denoising"][node] >= 0.3, 1 - singles["noising"][node] >= 0.3]
            for node in graph.components
        }
        expect_roles(answer(graph, 0.3), want, "a network of random weights")


def words_of(graph, sufficient, necessary, names=None):
    words = {(True, True): BOTH, (True, False): SUFFICIENT, (False, True): NECESSARY, (False, False): NEITHER}
    found = {}
    for name in names or graph.components:
        denoised, noised = (patch_by_hand(graph, [name], direction) for direction in DIRECTIONS)
        found[name] = words[sufficient(denoised, noised), necessary(denoised, noised)]
    return found


@roles.wrong(
    "the words are exchanged",
    "You exchanged the words. What restores the answer on its own is *sufficient* (denoising); what destroys it when it is missing is *necessary* (noising).",
)
def roles_exchanged(graph, share):
    return words_of(graph, lambda d, n: 1 - n >= share, lambda d, n: d >= share)


@roles.wrong(
    "what is left counts as what is lost",
    "You call a node necessary when much is *left* after noising it. Noising is read from 1 downwards: what is lost is 1 minus the value.",
)
def roles_left(graph, share):
    return words_of(graph, lambda d, n: d >= share, lambda d, n: n >= share)


@roles.wrong(
    "the boundary is left out",
    "You compare with > where the exercise says at least: a node that restores exactly `share` counts.",
)
def roles_strict(graph, share):
    return words_of(graph, lambda d, n: d > share, lambda d, n: 1 - n > share)


@roles.wrong(
    "harm counts as help",
    "You compare absolute values. A patch that moves the answer away from the clean run restores nothing, however far it moves it.",
)
def roles_absolute(graph, share):
    return words_of(graph, lambda d, n: abs(d) >= share, lambda d, n: abs(1 - n) >= share)


@roles.wrong(
    "one direction for both words",
    "You derived both words from denoising: what is not sufficient you call necessary. Necessary is a statement of its own, and needs noising.",
)
def roles_one_direction(graph, share):
    return words_of(graph, lambda d, n: d >= share, lambda d, n: d < share)


@roles.variation("words put together")
def roles_joined(graph, share):
    found = {}
    for name in graph.components:
        words = []
        if patch_by_hand(graph, [name], "noising") <= 1 - share:
            words.append("necessary")
        if patch_by_hand(graph, [name], "denoising") >= share:
            words.append("sufficient")
        found[name] = " and ".join(words) or "neither"
    return found


# --- attribute_heads ------------------------------------------------------------------------------------------------

attribute = Exercise("attribute_heads")


@functools.cache
def double(name=NAME):
    return {key: value.double() for key, value in models.weights(name).items()}


def finite_difference(clean, corrupted, metric, model=NAME, step=1e-4):
    """By how much the metric changes along (clean z − corrupted z) of each head, as a difference quotient; no gradient has a part in it."""
    rows = []
    with torch.no_grad():
        here, there = (attention_only.run(double(model), tokens)[1] for tokens in (corrupted, clean))
        for layer in range(models.config(model).n_layers):
            name, row = Z.format(layer), []
            for head in range(HEADS):
                ends = []
                for sign in (1, -1):
                    z = here[name].clone()
                    z[:, :, head] += sign * step * (there[name] - here[name])[:, :, head]
                    ends.append(metric(attention_only.run(double(model), corrupted, {name: z})[0]))
                row.append((ends[0] - ends[1]) / (2 * step))
            rows.append(row)
    return torch.tensor(rows)


def smooth(draw):
    """A differentiable metric that is no straight line, and not 0 for any run."""
    tokens = 1 + draw.integers(0, 1000, 3)

    def metric(logits):
        return (
            logits.log_softmax(-1)[:, -1, tokens].to(logits.dtype).sum(-1).mean() + 0.1 * logits[:, 1, tokens[0]].sum()
        )

    return metric


@attribute.check("the slope along the way to the clean z, as a difference quotient gives it")
def attribute_truth(answer, draw):
    clean, corrupted = prompts(draw, 3, 6)
    metric = smooth(draw)
    with fresh() as model:
        got = answer(model, clean, corrupted, metric)
        expect_unchanged(model)
    expect.shape(got, (LAYERS, HEADS), axes="layer head")
    says = "Your result still hangs on the graph of its computation: .detach() it, so that plots and copies work."
    expect.true(not got.requires_grad, says)
    want = finite_difference(clean, corrupted, metric)
    expect.close(
        got, want, "the estimate", atol=2e-3, rtol=2e-3, because="it is the slope at the corrupted run times the step"
    )


@attribute.check("a head whose output is the same in both runs gets 0, and equal prompts give 0 everywhere")
def attribute_zero(answer, draw):
    clean, _ = prompts(draw, 2, 4)
    with fresh() as model:
        got = answer(model, clean, clean.clone(), smooth(draw))
    expect.close(got, torch.zeros(LAYERS, HEADS), "the estimate between equal prompts", atol=1e-4)


@attribute.check("a batch of one, and longer prompts", hidden=True)
def attribute_shapes(answer, draw):
    for batch, length in ((1, 9), (4, 3)):
        clean, corrupted = prompts(draw, batch, length)
        metric = smooth(draw)
        with fresh() as model:
            got = answer(model, clean, corrupted, metric)
        want = finite_difference(clean, corrupted, metric)
        expect.close(got, want, f"the estimate for {batch} prompts", atol=2e-3, rtol=2e-3)


def with_slopes(tokens, metric):
    """z of each layer, and the slope of the metric there, in plain torch."""
    leaf = weights()["embed.W_E"][tokens].clone().requires_grad_()
    with torch.enable_grad():
        logits, acts = attention_only.run(weights(), tokens, {"hook_embed": leaf})
        zs = [acts[Z.format(layer)] for layer in range(LAYERS)]
        slopes = torch.autograd.grad(metric(logits), zs)
    return torch.stack([z.detach() for z in zs]), torch.stack(slopes)  # (layer, batch, pos, head, d_head)


def attribute_by_hand(clean, corrupted, metric, at="corrupted", combine=None, reduce=None):
    there, there_slope = with_slopes(clean, metric)
    here, here_slope = with_slopes(corrupted, metric)
    slope = here_slope if at == "corrupted" else there_slope
    product = (there - here) * slope if combine is None else combine(there, here, slope)
    return product.sum((1, 2, 4)) if reduce is None else reduce(product)


@attribute.check("a model with one layer", hidden=True)
def attribute_one_layer(answer, draw):
    clean, corrupted = prompts(draw, 2, 5)
    metric = smooth(draw)
    with fresh(ONE_LAYER) as model:
        got = answer(model, clean, corrupted, metric)
    expect.shape(got, (1, HEADS), axes="layer head")
    want = finite_difference(clean, corrupted, metric, ONE_LAYER)
    expect.close(got, want, "the estimate for a model with one layer", atol=2e-3, rtol=2e-3)


@attribute.wrong(
    "slope at the clean run",
    "You took the gradient in the clean run. That is where noising starts. Denoising starts at the corrupted run: take the slope there.",
)
def attribute_clean_slope(model, clean, corrupted, metric):
    return attribute_by_hand(clean, corrupted, metric, at="clean")


@attribute.wrong(
    "the step points back",
    "All your signs are reversed: the step goes from the corrupted z to the clean one, clean − corrupted.",
)
def attribute_reversed(model, clean, corrupted, metric):
    return -attribute_by_hand(clean, corrupted, metric)


@attribute.wrong(
    "activation times gradient",
    "You multiplied the gradient by the clean z itself, not by its difference from the corrupted one. That estimates a step from zero, which is no patch.",
)
def attribute_no_difference(model, clean, corrupted, metric):
    return attribute_by_hand(clean, corrupted, metric, combine=lambda there, here, slope: there * slope)


@attribute.wrong(
    "a mean in place of the sum",
    "You averaged. A patch replaces all these numbers at once, so their effects add up: sum over batch, position and d_head.",
)
def attribute_mean(model, clean, corrupted, metric):
    return attribute_by_hand(clean, corrupted, metric, reduce=lambda product: product.mean((1, 2, 4)))


@attribute.wrong(
    "no signs",
    "You took absolute values before the sum. What raises the metric at one place and lowers it at another then counts twice, in place of not at all.",
)
def attribute_absolute(model, clean, corrupted, metric):
    return attribute_by_hand(clean, corrupted, metric, reduce=lambda product: product.abs().sum((1, 2, 4)))


@attribute.wrong(
    "the last position only",
    "You summed at the last position alone. A patch of a head replaces its output at all positions.",
)
def attribute_last(model, clean, corrupted, metric):
    return attribute_by_hand(clean, corrupted, metric, reduce=lambda product: product[:, :, -1].sum((1, 3)))


@attribute.variation("both runs kept by hooks, all layers in one einsum")
def attribute_einsum(model, clean, corrupted, metric):
    kept = {}
    places = [Z.format(layer) for layer in range(model.cfg.n_layers)]
    hooks = [(place, lambda z, hook, place=place: kept.setdefault(place, z)) for place in places]
    slopes = torch.autograd.grad(metric(model.run_with_hooks(corrupted, fwd_hooks=hooks)), [kept[p] for p in places])
    here = torch.stack([kept.pop(place).detach() for place in places])
    with torch.no_grad():
        model.run_with_hooks(clean, fwd_hooks=hooks)
    there = torch.stack([kept[place] for place in places])
    return torch.einsum("lbphd,lbphd->lh", there - here, torch.stack(slopes))


@attribute.variation("one layer at a time, the gradient of a step that is added")
def attribute_by_step(model, clean, corrupted, metric):
    rows = []
    for layer in range(model.cfg.n_layers):
        name, kept = Z.format(layer), {}
        with torch.no_grad():
            there, here = (model.run_with_cache(tokens, names_filter=name)[1][name] for tokens in (clean, corrupted))
        part = torch.zeros(here.shape[2], requires_grad=True)

        def move(z, hook, change=there - here, part=part, kept=kept):
            kept["moved"] = z + part[:, None] * change
            return kept["moved"]

        logits = model.run_with_hooks(corrupted, fwd_hooks=[(name, move)])
        rows.append(torch.autograd.grad(metric(logits), part)[0])
    return torch.stack(rows)


# --- along_the_way --------------------------------------------------------------------------------------------------

walk = Exercise("along_the_way")


def walked(clean, corrupted, metric, layer, parts, move, where=ALL):
    """The metric for each part, where z of `where` is `move(corrupted z, clean z, part)`."""
    name, values = Z.format(layer), []
    here, there = (plain(tokens)[1][name] for tokens in (corrupted, clean))
    for part in parts:
        z = here.clone()
        z[where] = move(here[where], there[where], part)
        values.append(metric(plain(corrupted, {name: z})[0]))
    return torch.tensor(values)


def straight(here, there, part):
    return here + part * (there - here)


@walk.check("none, a part and all of the way, for a head of each layer")
def walk_truth(answer, draw):
    clean, corrupted = prompts(draw, 3, 5)
    metric, parts = readout(draw), [0.0, 0.3, 1.0]
    with fresh() as model:
        for layer, head in ((0, 1), (1, 2)):
            got = answer(model, clean, corrupted, metric, layer, head, parts)
            expect.shape(got, (3,), axes="part")
            want = walked(clean, corrupted, metric, layer, parts, straight, (ALL, ALL, head))
            expect.close(got, want, f"the metric along the way of head {layer}.{head}", atol=2e-3)
        expect_unchanged(model)


@walk.check("parts in any order, also before 0 and beyond 1")
def walk_beyond(answer, draw):
    clean, corrupted = prompts(draw, 2, 4)
    metric, parts = readout(draw), [1.5, -0.5, 0.9, 0.1]
    with fresh() as model:
        got = answer(model, clean, corrupted, metric, 0, 3, parts)
    want = walked(clean, corrupted, metric, 0, parts, straight, (ALL, ALL, 3))
    expect.close(got, want, "the metric along the way of head 0.3", atol=2e-3)


@walk.wrong(
    "the other way round",
    "You walked from the clean z to the corrupted one. Part 0 is the corrupted run, part 1 the clean head.",
)
def walk_back(model, clean, corrupted, metric, layer, head, parts):
    return walked(clean, corrupted, metric, layer, parts, lambda h, t, part: straight(t, h, part), (ALL, ALL, head))


@walk.wrong(
    "the clean z is added",
    "You added part × clean on top of the corrupted z. At part 1 the head then says both at once. Add part × (clean − corrupted).",
)
def walk_added(model, clean, corrupted, metric, layer, head, parts):
    return walked(clean, corrupted, metric, layer, parts, lambda h, t, part: h + part * t, (ALL, ALL, head))


@walk.wrong(
    "a straight line between the ends",
    "Your values lie on a straight line: you mixed the metric, or the logits, of the two ends. Mix z, and let the model run on from there.",
)
def walk_line(model, clean, corrupted, metric, layer, head, parts):
    ends = walked(clean, corrupted, metric, layer, [0.0, 1.0], straight, (ALL, ALL, head))
    return ends[0] + torch.tensor(parts) * (ends[1] - ends[0])


@walk.wrong(
    "the parts are cut off",
    "You kept the parts between 0 and 1. The walk may begin before the corrupted z and go on behind the clean one: take each part as it is.",
)
def walk_cut(model, clean, corrupted, metric, layer, head, parts):
    within = [min(max(part, 0.0), 1.0) for part in parts]
    return walked(clean, corrupted, metric, layer, within, straight, (ALL, ALL, head))


@walk.wrong(
    "all heads walk",
    "All heads of the layer walk together. Move one of them, [:, :, head], and leave the others.",
)
def walk_layer(model, clean, corrupted, metric, layer, head, parts):
    return walked(clean, corrupted, metric, layer, parts, straight)


@walk.wrong(
    "in the clean run",
    "You moved the head within the *clean* run. The base is the corrupted run, and all other heads stay with it.",
)
def walk_in_clean(model, clean, corrupted, metric, layer, head, parts):
    name, values = Z.format(layer), []
    here, there = (plain(tokens)[1][name] for tokens in (corrupted, clean))
    for part in parts:
        z = there.clone()
        z[:, :, head] = straight(here, there, part)[:, :, head]
        values.append(metric(plain(clean, {name: z})[0]))
    return torch.tensor(values)


@walk.variation("torch.lerp, both runs cached")
def walk_lerp(model, clean, corrupted, metric, layer, head, parts):
    name, values = Z.format(layer), []
    with torch.no_grad():
        there, here = (model.run_with_cache(tokens)[1][name].clone() for tokens in (clean, corrupted))
        for part in parts:
            z = here.clone()
            z[:, :, head] = torch.lerp(here[:, :, head], there[:, :, head], part)
            values.append(metric(model.run_with_hooks(corrupted, fwd_hooks=[(name, lambda _, hook, z=z: z)])))
    return torch.stack(values)


@walk.variation("in plain torch, as a weighted mean")
def walk_plain(model, clean, corrupted, metric, layer, head, parts):
    def move(here, there, part):
        return (1 - part) * here.double() + part * there.double()

    return walked(clean, corrupted, metric, layer, parts, move, (ALL, ALL, head)).double()


# --- misjudged_nodes ------------------------------------------------------------------------------------------------

misjudged = Exercise("misjudged_nodes")

# (estimate, truth), worked out on paper from the formulas in `gates`, and from UNEVEN's.
FAILURES = {
    ("AND", "denoising"): {},
    ("AND", "noising"): {},
    ("OR", "denoising"): {},
    ("OR", "noising"): {},
    ("BACKUP", "denoising"): {},
    ("BACKUP", "noising"): {"main": (0.0, 1.0)},
    ("SATURATING", "denoising"): {"a": (3.0, 1.0)},
    ("SATURATING", "noising"): {"a": (1.0, 0.0)},
    ("CIRCUIT", "denoising"): {"s": (0.75, 0.25)},
    ("CIRCUIT", "noising"): {"s": (1.0, 0.75), "main": (0.75, 1.0)},
    ("UNEVEN", "denoising"): {"a": (1.5, 1.125), "p": (1.5, 1.125)},
    ("UNEVEN", "noising"): {"a": (0.875, -0.25), "p": (1.0, -0.125)},
}


def expect_failures(out, want, what):
    expect.true(isinstance(out, dict), f"Your result is {expect.describe(out)}; return a dict.")
    expect.equal(sorted(out), sorted(want), f"the misjudged nodes for {what}")
    for node, values in want.items():
        expect.true(
            isinstance(out[node], (tuple, list)) and len(out[node]) == 2,
            f"For {node} you gave {expect.describe(out[node])}; give (estimate, truth).",
        )
        for got, value, name in zip(out[node], values, ("estimate", "truth"), strict=True):
            got = expect.number(got, f"the {name} for {node}")
            expect.close(torch.tensor(got), torch.tensor(value), f"the {name} for {node}, {what}", atol=1e-3)


@misjudged.check("every node that is misjudged, and no other, in six networks and both directions")
def misjudged_all(answer, draw):
    for (name, direction), want in FAILURES.items():
        graph = UNEVEN if name == "UNEVEN" else getattr(gates, name)
        expect_failures(
            answer(graph, direction), want, f"{direction} {name if name != 'UNEVEN' else 'a sixth network'}"
        )


@misjudged.check("the tolerance decides what counts")
def misjudged_tolerance(answer, draw):
    expect_failures(answer(gates.CIRCUIT, "denoising", 0.6), {}, "denoising CIRCUIT, tolerance 0.6")
    expect_failures(answer(gates.CIRCUIT, "denoising", 0.4), {"s": (0.75, 0.25)}, "denoising CIRCUIT, tolerance 0.4")
    expect_failures(
        answer(gates.SATURATING, "denoising", 1.5), {"a": (3.0, 1.0)}, "denoising SATURATING, tolerance 1.5"
    )


@misjudged.check("networks with random weights", hidden=True)
def misjudged_random(answer, draw):
    for _ in range(4):
        graph, singles, slopes = drawn_graph(draw)
        for direction, start in (("denoising", 0.0), ("noising", 1.0)):
            both = {node: (start + slopes[direction][node], truth) for node, truth in singles[direction].items()}
            want = {node: values for node, values in both.items() if abs(values[0] - values[1]) > 0.05}
            expect_failures(answer(graph, direction, 0.05), want, f"{direction} a network of random weights")


def judged(graph, direction, tolerance, at=None, shape=lambda e, t, b: (e, t), keep=None, scale=True):
    """All steps of a right answer, each of which can go wrong."""
    base, source = (graph.corrupted, graph.clean) if direction == "denoising" else (graph.clean, graph.corrupted)
    low, high = graph.run(graph.corrupted)[0], graph.run(graph.clean)[0]
    if not scale:
        low, high = torch.zeros(1), torch.ones(1)

    def slopes_at(start):
        inputs = {name: torch.tensor(float(value), requires_grad=True) for name, value in start.items()}
        output, here = graph.run(inputs)
        nodes = [here[name] for name in graph.components]
        slopes = torch.autograd.grad(((output - low) / (high - low)).sum(), nodes, allow_unused=True)
        return [0.0 if slope is None else slope.sum().item() for slope in slopes]

    with torch.no_grad():
        output, here = graph.run(base)
        there = graph.run(source)[1]
        start = ((output - low) / (high - low)).item()
    found = {}
    for name, slope in zip(graph.components, slopes_at(base if at is None else source), strict=True):
        estimate = start + (there[name] - here[name]).item() * slope
        truth = patch_by_hand(graph, [name], direction)
        wrong = abs(estimate - truth) > tolerance if keep is None else keep(estimate, truth)
        if wrong:
            found[name] = shape(estimate, truth, start)
    return found


@misjudged.wrong(
    "slope at the source run",
    "Your slopes are those of the run that the values come from. The estimate starts at the base run: graph.corrupted for denoising, graph.clean for noising.",
)
def misjudged_source(graph, direction, tolerance=0.01):
    return judged(graph, direction, tolerance, at="source")


@misjudged.wrong(
    "the change alone",
    "For noising your estimate lacks the base run's own share, which is 1 there: estimate = 1 + step × slope. For denoising it is 0, and cannot be missed.",
)
def misjudged_change(graph, direction, tolerance=0.01):
    start = 0.0 if direction == "denoising" else 1.0
    found = judged(graph, direction, tolerance, keep=lambda e, t: abs(e - start - t) > tolerance)
    return {name: (estimate - start, truth) for name, (estimate, truth) in found.items()}


@misjudged.wrong(
    "truth first",
    "You put the truth first. Each entry is (estimate, truth).",
)
def misjudged_order(graph, direction, tolerance=0.01):
    return judged(graph, direction, tolerance, shape=lambda e, t, b: (t, e))


@misjudged.wrong(
    "overestimates only",
    "You listed only estimates that are too high. One that is too low is as wrong: compare the absolute difference.",
)
def misjudged_high(graph, direction, tolerance=0.01):
    return judged(graph, direction, tolerance, keep=lambda e, t: e - t > tolerance)


@misjudged.wrong(
    "not on the scale",
    "Your estimates are in units of the output, and the truth is on the scale from 0 to 1. Differentiate (output − corrupted) / (clean − corrupted).",
)
def misjudged_raw(graph, direction, tolerance=0.01):
    return judged(graph, direction, tolerance, scale=False)


@misjudged.wrong(
    "every node",
    "You listed every node. Keep those whose estimate is off by more than the tolerance.",
)
def misjudged_every(graph, direction, tolerance=0.01):
    return judged(graph, direction, tolerance, keep=lambda e, t: True)


@misjudged.variation("backward, node by node")
def misjudged_backward(graph, direction, tolerance=0.01):
    return judged(graph, direction, tolerance)


@misjudged.variation("a difference quotient in place of the gradient")
def misjudged_quotient(graph, direction, tolerance=0.01):
    base, source = (graph.corrupted, graph.clean) if direction == "denoising" else (graph.clean, graph.corrupted)
    low, high = graph.run(graph.corrupted)[0].item(), graph.run(graph.clean)[0].item()
    (output, here), there = graph.run(base), graph.run(source)[1]
    found = {}
    for name in graph.components:
        step, own = 2**-9, here[name].double()
        ends = [graph.run(base, {name: own + sign * step})[0].double().item() for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step) / (high - low)
        estimate = (output.item() - low) / (high - low) + (there[name] - here[name]).item() * slope
        truth = patch_by_hand(graph, [name], direction)
        if abs(estimate - truth) > tolerance:
            found[name] = (estimate, truth)
    return found
