"""How the exercises of lesson 04 are checked.

The truth comes from outside the lab: a small transformer written here with torch's own operations, whose logits are computed
without any decomposition; invariants (parts sum to the stream, attributions to the logit difference); and the bundled weights,
run by the same small transformer. `reference` supplies inputs, and the parts that a wrong answer gets right.
"""

import torch
import torch.nn.functional as F

from mechinterp_course.interp import models, tasks
from mechinterp_course.tutor.checks import Exercise, expect, reference

# --- a transformer that keeps its activations -------------------------------------------------------------------------


def small_weights(draw, n_layers=2, d_model=7, n_heads=3, d_head=2, d_mlp=5, d_vocab=11, n_ctx=6):
    """Random weights under TransformerLens' names; no two sizes alike, no weight at a value that hides its absence."""
    weights = {"embed.W_E": draw.normal(d_vocab, d_model), "pos_embed.W_pos": draw.normal(n_ctx, d_model)}
    for layer in range(n_layers):
        block = {f"attn.W_{x}": draw.normal(n_heads, d_model, d_head, std=0.6) for x in "QKV"}
        block |= {f"attn.b_{x}": draw.normal(n_heads, d_head) for x in "QKV"}
        block |= {"attn.W_O": draw.normal(n_heads, d_head, d_model, std=0.8), "attn.b_O": draw.normal(d_model)}
        block |= {"mlp.W_in": draw.normal(d_model, d_mlp), "mlp.b_in": draw.normal(d_mlp)}
        block |= {"mlp.W_out": draw.normal(d_mlp, d_model), "mlp.b_out": draw.normal(d_model)}
        block |= {f"ln{i}.w": 1 + draw.normal(d_model, std=0.4) for i in (1, 2)}
        block |= {f"ln{i}.b": draw.normal(d_model, std=0.4) for i in (1, 2)}
        weights |= {f"blocks.{layer}.{name}": tensor for name, tensor in block.items()}
    weights |= {"ln_final.w": 1.3 + draw.normal(d_model, std=0.5), "ln_final.b": draw.normal(d_model)}
    return weights | {"unembed.W_U": draw.normal(d_model, d_vocab), "unembed.b_U": draw.normal(d_vocab)}


def run(weights, tokens, n_layers, eps):
    """Return (logits, cache) of the model with these weights; the cache has TransformerLens' names."""
    pos, d_model = tokens.shape[1], weights["embed.W_E"].shape[1]
    cache = {"hook_embed": F.embedding(tokens, weights["embed.W_E"])}
    cache["hook_pos_embed"] = weights["pos_embed.W_pos"][:pos].expand_as(cache["hook_embed"]).clone()
    stream = cache["hook_embed"] + cache["hook_pos_embed"]
    for layer in range(n_layers):
        own = {k.removeprefix(f"blocks.{layer}."): w for k, w in weights.items() if k.startswith(f"blocks.{layer}.")}
        at = f"blocks.{layer}."
        normed = F.layer_norm(stream, (d_model,), own["ln1.w"], own["ln1.b"], eps)
        query, key, value = (
            torch.stack(
                [F.linear(normed, W.T, b) for W, b in zip(own[f"attn.W_{x}"], own[f"attn.b_{x}"], strict=True)], 1
            )
            for x in "QKV"
        )
        z = F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).contiguous()
        cache[at + "hook_resid_pre"], cache[at + "attn.hook_z"] = stream, z
        # All heads side by side, times one large matrix: not head by head, as the lab does it.
        cache[at + "hook_attn_out"] = F.linear(z.flatten(2), own["attn.W_O"].flatten(0, 1).T, own["attn.b_O"])
        stream = stream + cache[at + "hook_attn_out"]
        cache[at + "hook_resid_mid"] = stream
        normed = F.layer_norm(stream, (d_model,), own["ln2.w"], own["ln2.b"], eps)
        neurons = F.gelu(F.linear(normed, own["mlp.W_in"].T, own["mlp.b_in"]), approximate="tanh")
        cache[at + "hook_mlp_out"] = F.linear(neurons, own["mlp.W_out"].T, own["mlp.b_out"])
        stream = stream + cache[at + "hook_mlp_out"]
        cache[at + "hook_resid_post"] = stream
    variance, mean = torch.var_mean(stream, -1, unbiased=False, keepdim=True)
    cache["ln_final.hook_scale"] = (variance + eps).sqrt()
    cache["ln_final.hook_normalized"] = (stream - mean) / cache["ln_final.hook_scale"]
    normed = F.layer_norm(stream, (d_model,), weights["ln_final.w"], weights["ln_final.b"], eps)
    return F.linear(normed, weights["unembed.W_U"].T, weights["unembed.b_U"]), cache


def small_run(draw, n_layers=2, batch=4, pos=5, eps=0.1, **sizes):
    """Return (weights, logits, cache, right, wrong) of a small random model; right and wrong differ everywhere."""
    weights = small_weights(draw, n_layers, n_ctx=pos + 1, **sizes)
    d_vocab = len(weights["unembed.b_U"])
    logits, cache = run(weights, draw.integers(0, d_vocab, batch, pos), n_layers, eps)
    right = draw.integers(0, d_vocab, batch, pos)
    wrong = (right + draw.integers(1, d_vocab, batch, pos)) % d_vocab
    return weights, logits, cache, right, wrong


def bundled_run(draw, name="code-2l", pos=24):
    """Return (weights, logits, cache, right, wrong) of a bundled model on the beginning of two held-out files."""
    config, tokenizer = models.config(name), models.tokenizer(name)
    weights = models.weights(name)
    weights["unembed.b_U"] = torch.zeros(config.d_vocab)
    texts = tasks.sample()
    files = [tokenizer.encode(texts[i][1][:600])[: pos + 1] for i in draw.permutation(len(texts))[:2].tolist()]
    tokens = torch.stack(files)
    logits, cache = run(weights, tokens[:, :-1], config.n_layers, config.eps)
    right = tokens[:, 1:]
    wrong = logits.scatter(-1, right[..., None], float("-inf")).argmax(-1)
    return weights, logits, cache, right, wrong


def logit_difference(logits, right, wrong):
    """The model's own logit difference, entry by entry."""
    return (logits.gather(-1, right[..., None]) - logits.gather(-1, wrong[..., None])).squeeze(-1)


def without(part, stream, cache, weights, right, wrong):
    """How much the logit difference falls when `part` is taken out of the final stream, with the scale held fixed: two full
    passes through the rest of the model, in float64."""

    def difference(x):
        x = x.double()
        normed = (x - x.mean(-1, keepdim=True)) / cache["ln_final.hook_scale"].double()
        normed = normed * weights["ln_final.w"].double() + weights["ln_final.b"].double()
        return logit_difference(normed @ weights["unembed.W_U"].double() + weights["unembed.b_U"], right, wrong)

    return (difference(stream) - difference(stream - part)).float()


def last(cache, n_layers):
    return cache[f"blocks.{n_layers - 1}.hook_resid_post"]


def weighted(right, wrong, weights):
    """W_U's column for right minus that for wrong."""
    columns = weights["unembed.W_U"].T
    return columns[right] - columns[wrong]


# --- head_outputs -----------------------------------------------------------------------------------------------------

heads_ = Exercise("head_outputs")


@heads_.check("one head, z = (1, 2), W_O = [[1, 0, 0], [0, 10, 100]]: it writes (1, 20, 200)")
def heads_by_hand(answer, draw):
    z = torch.tensor([[[[1.0, 2.0]]]])
    W_O = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 10.0, 100.0]]])
    expect.close(answer(z, W_O), torch.tensor([[[[1.0, 20.0, 200.0]]]]))


@heads_.check("each head's z goes through its own matrix, and the heads are kept apart")
def heads_apart(answer, draw):
    z, W_O = draw.normal(2, 4, 3, 5), draw.normal(3, 5, 6)
    out = answer(z, W_O)
    expect.shape(out, (2, 4, 3, 6), axes="batch pos head d_model")
    for head in range(3):
        expect.close(out[:, :, head], F.linear(z[:, :, head], W_O[head].T), f"the vectors of head {head}", atol=1e-4)


@heads_.check("summed over heads, it is all z side by side times one large matrix")
def heads_sum(answer, draw):
    z, W_O = draw.normal(1, 7, 4, 3), draw.normal(4, 3, 5)
    whole = F.linear(z.flatten(2), W_O.flatten(0, 1).T)
    expect.close(answer(z, W_O).sum(2), whole, "the sum over heads", atol=1e-4)


@heads_.check("where all sizes are alike, the axes keep their meaning", hidden=True)
def heads_square(answer, draw):
    z, W_O = draw.normal(3, 3, 3, 3), draw.normal(3, 3, 3)
    want = torch.stack([F.linear(z[:, :, head], W_O[head].T) for head in range(3)], 2)
    expect.close(answer(z, W_O), want, atol=1e-4)


@heads_.wrong(
    "sums over the heads",
    "The heads are added up already: that is what the layer writes. Keep the head axis; sum over d_head alone.",
)
def heads_summed(z, W_O):
    return torch.einsum("bphd,hdm->bpm", z, W_O)


@heads_.wrong(
    "every head through every matrix",
    "Each z met all the W_O, not only its own: in your einsum, z's head axis and W_O's need the same letter.",
)
def heads_crossed(z, W_O):
    return torch.einsum("bphd,gdm->bphm", z, W_O)


@heads_.wrong(
    "one matrix for all heads", "All heads went through W_O[0]. Each head has a matrix of its own: W_O[head]."
)
def heads_first_matrix(z, W_O):
    return z @ W_O[0]


@heads_.wrong(
    "head before pos",
    "Your axes are (batch, head, pos, d_model). TransformerLens keeps the order of z: (batch, pos, head, d_model).",
)
def heads_swapped(z, W_O):
    return z.transpose(1, 2) @ W_O


@heads_.wrong(
    "divides by the number of heads",
    "Your vectors are too short by the number of heads. Heads are added, not averaged.",
)
def heads_averaged(z, W_O):
    return torch.einsum("bphd,hdm->bphm", z, W_O) / z.shape[2]


@heads_.variation("a loop over heads")
def heads_loop(z, W_O):
    return torch.stack([z[:, :, head] @ W_O[head] for head in range(W_O.shape[0])], dim=2)


@heads_.variation("broadcasting, in float64")
def heads_broadcast(z, W_O):
    return (z.double()[..., None, :] @ W_O.double())[..., 0, :].float()


# --- stream_parts -----------------------------------------------------------------------------------------------------

parts_ = Exercise("stream_parts")


def part_names(n_layers, n_heads):
    names = ["embed", "pos_embed"]
    for layer in range(n_layers):
        names += [f"head {layer}.{head}" for head in range(n_heads)] + [f"b_O {layer}", f"mlp {layer}"]
    return names


def expect_names(got, want):
    expect.true(isinstance(got, dict), f"The result is {expect.describe(got)}; it should be a dictionary.")
    missing, extra = [n for n in want if n not in got], [n for n in got if n not in want]
    says = f"Missing: {missing}. " if missing else ""
    says += f"Not asked for: {extra}. " if extra else ""
    expect.true(not says, f"The names are not the right ones. {says}".strip())


@parts_.check("all parts are there, each with the shape of the stream")
def parts_complete(answer, draw):
    weights, _, cache, _, _ = small_run(draw)
    found = answer(cache, weights, 2)
    expect_names(found, part_names(2, 3))
    for name, part in found.items():
        expect.shape(part, (4, 5, 7), f"the part {name!r}", axes="batch pos d_model")


@parts_.check("they sum to the final stream")
def parts_sum(answer, draw):
    for n_layers, n_heads in ((2, 3), (3, 2), (1, 1), (1, 12)):
        weights, _, cache, _, _ = small_run(draw, n_layers, n_heads=n_heads)
        found = answer(cache, weights, n_layers)
        expect_names(found, part_names(n_layers, n_heads))
        what = f"the sum of the parts of a model of {n_layers} layer{'s' * (n_layers > 1)}"
        expect.close(sum(found.values()), last(cache, n_layers), what, atol=1e-4)


@parts_.check("each part is what was written by it alone")
def parts_each(answer, draw):
    weights, _, cache, _, _ = small_run(draw)
    found = answer(cache, weights, 2)
    expect_names(found, part_names(2, 3))
    expect.close(found["embed"], cache["hook_embed"], "the part 'embed'")
    expect.close(found["pos_embed"], cache["hook_pos_embed"], "the part 'pos_embed'")
    for layer in range(2):
        z, W_O = cache[f"blocks.{layer}.attn.hook_z"], weights[f"blocks.{layer}.attn.W_O"]
        for head in range(3):
            only = torch.zeros_like(z)
            only[:, :, head] = z[:, :, head]  # the layer with one head at work
            want = F.linear(only.flatten(2), W_O.flatten(0, 1).T)
            expect.close(found[f"head {layer}.{head}"], want, f"the part 'head {layer}.{head}'", atol=1e-4)
        b_O = weights[f"blocks.{layer}.attn.b_O"].expand(4, 5, 7)
        expect.close(found[f"b_O {layer}"], b_O, f"the part 'b_O {layer}'")
        expect.close(found[f"mlp {layer}"], cache[f"blocks.{layer}.hook_mlp_out"], f"the part 'mlp {layer}'")


@parts_.check("on code-2l and held-out Python they sum to the final stream", hidden=True)
def parts_bundled(answer, draw):
    weights, _, cache, _, _ = bundled_run(draw)
    found = answer(cache, weights, 2)
    expect_names(found, part_names(2, 6))
    expect.close(sum(found.values()), last(cache, 2), "the sum of the parts", atol=1e-4)


def right_parts(cache, weights, n_layers):
    return reference("stream_parts")(cache, weights, n_layers)


@parts_.wrong(
    "forgets b_O",
    "The sum lacks b_O: attention adds a bias to every position, and it belongs to no head. Give it a part of its own.",
)
def parts_no_bias(cache, weights, n_layers):
    return {k: v for k, v in right_parts(cache, weights, n_layers).items() if not k.startswith("b_O")}


@parts_.wrong(
    "b_O in every head",
    "You added b_O to each head as well, so it is counted several times. The layer adds it once.",
)
def parts_bias_in_heads(cache, weights, n_layers):
    found = right_parts(cache, weights, n_layers)
    for name in found:
        if name.startswith("head"):
            found[name] = found[name] + found[f"b_O {name[5:].split('.')[0]}"]
    return found


@parts_.wrong(
    "positions counted twice",
    "blocks.0.hook_resid_pre is the sum of both embeddings, so the positions are in your list twice. The tokens alone are hook_embed.",
)
def parts_resid_pre(cache, weights, n_layers):
    return right_parts(cache, weights, n_layers) | {"embed": cache["blocks.0.hook_resid_pre"]}


@parts_.wrong(
    "attention counted twice",
    "hook_attn_out is the sum of the heads and b_O. With the heads in the list already, everything that attention wrote is there twice.",
)
def parts_attention_twice(cache, weights, n_layers):
    whole = {f"attn {layer}": cache[f"blocks.{layer}.hook_attn_out"] for layer in range(n_layers)}
    return right_parts(cache, weights, n_layers) | whole


@parts_.wrong(
    "the stream for the MLP",
    "hook_resid_post is the whole stream after the MLP has added to it. What the MLP itself adds is hook_mlp_out.",
)
def parts_stream_for_mlp(cache, weights, n_layers):
    streams = {f"mlp {layer}": cache[f"blocks.{layer}.hook_resid_post"] for layer in range(n_layers)}
    return right_parts(cache, weights, n_layers) | streams


@parts_.wrong(
    "forgets the positions", "The sum lacks hook_pos_embed: the stream starts as two rows, token and position."
)
def parts_no_positions(cache, weights, n_layers):
    found = right_parts(cache, weights, n_layers)
    return {name: part for name, part in found.items() if name != "pos_embed"}


@parts_.wrong(
    "the first block's b_O everywhere", "Every layer has a b_O of its own: blocks.0.attn.b_O, blocks.1.attn.b_O, …"
)
def parts_same_bias(cache, weights, n_layers):
    found = right_parts(cache, weights, n_layers)
    return found | {f"b_O {layer}": found["b_O 0"] for layer in range(n_layers)}


@parts_.variation("one head at a time, b_O by broadcasting, MLPs first")
def parts_loop(cache, weights, n_layers):
    found = {f"mlp {layer}": cache[f"blocks.{layer}.hook_mlp_out"] for layer in range(n_layers)}
    for layer in range(n_layers):
        z, W_O = cache[f"blocks.{layer}.attn.hook_z"], weights[f"blocks.{layer}.attn.W_O"]
        for head in range(z.shape[2]):
            found[f"head {layer}.{head}"] = z[:, :, head] @ W_O[head]
        found[f"b_O {layer}"] = torch.zeros_like(cache["hook_embed"]) + weights[f"blocks.{layer}.attn.b_O"]
    return found | {"embed": cache["hook_embed"], "pos_embed": cache["hook_pos_embed"]}


# --- logit_lens -------------------------------------------------------------------------------------------------------

lens_ = Exercise("logit_lens")


def streams_of(cache, n_layers):
    names = ["blocks.0.hook_resid_pre", *(f"blocks.{layer}.hook_resid_post" for layer in range(n_layers))]
    return torch.stack([cache[name] for name in names])


def torch_lens(streams, weights, eps):
    """The end of the model made of torch's own layers."""
    norm = torch.nn.LayerNorm(streams.shape[-1], eps=eps)
    norm.load_state_dict({"weight": weights["ln_final.w"], "bias": weights["ln_final.b"]})
    with torch.no_grad():
        return F.linear(norm(streams), weights["unembed.W_U"].T, weights["unembed.b_U"])


@lens_.check("at the last stream it gives the model's own logits")
def lens_last(answer, draw):
    weights, logits, cache, _, _ = small_run(draw)
    out = answer(streams_of(cache, 2), weights, 0.1)
    expect.shape(out, (3, 4, 5, 11), axes="point batch pos d_vocab")
    expect.close(out[-1], logits, "the logits of the last stream", atol=1e-4)


@lens_.check("at an earlier stream it gives the logits of the model with the later layers removed")
def lens_early(answer, draw):
    weights = small_weights(draw, 3)
    tokens = draw.integers(0, 11, 4, 5)
    _, cache = run(weights, tokens, 3, 0.1)
    out = answer(streams_of(cache, 3), weights, 0.1)
    expect.shape(out, (4, 4, 5, 11), axes="point batch pos d_vocab")
    for layers in range(3):
        shorter, _ = run(weights, tokens, layers, 0.1)
        what = f"the logits of the stream after {layers} of 3 blocks"
        expect.close(out[layers], shorter, what, atol=1e-4)


@lens_.check("each stream is normalised by itself: one alone gives the same logits, whatever axes stand in front")
def lens_alone(answer, draw):
    weights, eps = small_weights(draw), 0.5
    streams = draw.normal(2, 3, 4, 7) * draw.uniform(2, 3, 4, 1, low=0.1, high=5)
    for some in (streams, streams[0, 0, 0], streams[1]):
        expect.close(answer(some, weights, eps), torch_lens(some, weights, eps), atol=1e-4)


@lens_.check("on code-attn-2l the last stream gives its logits, for an eps of 0.00001", hidden=True)
def lens_bundled(answer, draw):
    weights, logits, cache, _, _ = bundled_run(draw, "code-attn-2l")
    out = answer(streams_of(cache, 2), weights, models.config("code-attn-2l").eps)
    expect.close(out[-1], logits, "the logits of the last stream", atol=2e-3)


def centred_scaled(streams, eps):
    variance, mean = torch.var_mean(streams, -1, unbiased=False, keepdim=True)
    return (streams - mean) / (variance + eps).sqrt()


def to_logits(normed, weights):
    return normed @ weights["unembed.W_U"] + weights["unembed.b_U"]


@lens_.wrong(
    "leaves out ln_final",
    "You multiplied the stream itself by W_U. The model never does that: its last LayerNorm comes in between.",
)
def lens_no_norm(streams, weights, eps):
    return to_logits(streams, weights)


@lens_.wrong(
    "forgets the weight and the bias",
    "Centred and scaled, and there you stopped: ln_final also multiplies by its w and adds its b.",
)
def lens_plain_norm(streams, weights, eps):
    return to_logits(centred_scaled(streams, eps), weights)


@lens_.wrong("forgets ln_final.b", "Your answer lacks ln_final.b. It is added before W_U, so it moves every logit.")
def lens_no_bias(streams, weights, eps):
    return to_logits(centred_scaled(streams, eps) * weights["ln_final.w"], weights)


@lens_.wrong("forgets ln_final.w", "Your answer lacks ln_final.w: multiply by it after the division, before adding b.")
def lens_no_weight(streams, weights, eps):
    return to_logits(centred_scaled(streams, eps) + weights["ln_final.b"], weights)


@lens_.wrong(
    "forgets b_U",
    "Your logits lack b_U. In our raw models it is zero, which hides the mistake; the model of this check has one.",
)
def lens_no_b_u(streams, weights, eps):
    return torch_lens(streams, weights, eps) - weights["unembed.b_U"]


@lens_.wrong(
    "does not centre",
    "You divided by the root of the mean square without subtracting the mean. That is RMSNorm; this model has a LayerNorm.",
)
def lens_rms(streams, weights, eps):
    normed = streams / (streams.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return to_logits(normed * weights["ln_final.w"] + weights["ln_final.b"], weights)


@lens_.wrong(
    "divides by n - 1",
    "Your scale is a little too large: torch's .var() and .std() divide by n - 1 unless you pass unbiased=False. LayerNorm divides by n.",
)
def lens_unbiased(streams, weights, eps):
    centred = streams - streams.mean(-1, keepdim=True)
    normed = centred / (streams.var(-1, keepdim=True) + eps).sqrt()
    return to_logits(normed * weights["ln_final.w"] + weights["ln_final.b"], weights)


@lens_.wrong(
    "the last stream's scale for all",
    "Every stream was divided by the scale of the last one. The lens asks what the model would say if it stopped *here*: normalise "
    "each stream by its own mean and variance.",
)
def lens_last_scale(streams, weights, eps):
    centred = streams - streams.mean(-1, keepdim=True)
    end = centred[-1:] if centred.ndim > 1 else centred
    scale = (end.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return to_logits(centred / scale * weights["ln_final.w"] + weights["ln_final.b"], weights)


@lens_.wrong(
    "eps outside the root",
    "You added eps to the standard deviation. It belongs under the root: divide by the root of (variance + eps).",
)
def lens_eps_outside(streams, weights, eps):
    centred = streams - streams.mean(-1, keepdim=True)
    normed = centred / (streams.std(-1, unbiased=False, keepdim=True) + eps)
    return to_logits(normed * weights["ln_final.w"] + weights["ln_final.b"], weights)


@lens_.wrong("returns probabilities", "Each row sums to 1: you took a softmax. The lens returns logits.")
def lens_softmax(streams, weights, eps):
    return torch_lens(streams, weights, eps).softmax(-1)


@lens_.wrong(
    "an eps of its own", "Your eps is 1e-5, whatever is given. That is the bundled models'; use the argument eps."
)
def lens_fixed_eps(streams, weights, eps):
    return torch_lens(streams, weights, 1e-5)


@lens_.variation("F.layer_norm")
def lens_functional(streams, weights, eps):
    normed = F.layer_norm(streams, streams.shape[-1:], weights["ln_final.w"], weights["ln_final.b"], eps)
    return torch.matmul(normed, weights["unembed.W_U"]) + weights["unembed.b_U"]


@lens_.variation("weight and bias folded into W_U first, in float64")
def lens_folded(streams, weights, eps):
    w, b, W_U, b_U = (weights[n].double() for n in ("ln_final.w", "ln_final.b", "unembed.W_U", "unembed.b_U"))
    return (centred_scaled(streams.double(), eps) @ (w[:, None] * W_U) + (b @ W_U + b_U)).float()


# --- answer_rank ------------------------------------------------------------------------------------------------------

rank_ = Exercise("answer_rank")


@rank_.check("logits [0.1, 2.0, 0.7, 1.2]: answer 2 has rank 2, answer 1 rank 0, answer 0 rank 3")
def rank_by_hand(answer, draw):
    logits = torch.tensor([0.1, 2.0, 0.7, 1.2]).expand(1, 1, 3, 4).clone()
    got = answer(logits, torch.tensor([[2, 1, 0]]))
    expect.equal(got, torch.tensor([[[2, 0, 3]]]), "the ranks")


@rank_.check("it is the answer's place in the sorted list, at each point, text and position")
def rank_sorted(answer, draw):
    logits, answers = draw.normal(3, 2, 4, 9), draw.integers(0, 9, 2, 4)
    out = answer(logits, answers)
    expect.shape(out, (3, 2, 4), axes="point batch pos")
    expect.equal(out, sorted_place(logits, answers), "the ranks")


@rank_.check("logits far apart, [300, 0, 150, 20]: answer 1 has rank 3, answer 3 rank 2, answer 2 rank 1")
def rank_far_apart(answer, draw):
    logits = torch.tensor([300.0, 0.0, 150.0, 20.0]).expand(1, 1, 3, 4).clone()
    expect.equal(answer(logits, torch.tensor([[1, 3, 2]])), torch.tensor([[[3, 2, 1]]]), "the ranks")


@rank_.check("one point, one text, one position; and points, texts and positions of one size", hidden=True)
def rank_sizes(answer, draw):
    for sizes in ((1, 1, 1, 6), (4, 4, 4, 7), (2, 1, 30, 50), (1, 2, 20, 1024)):
        logits, answers = draw.normal(*sizes), draw.integers(0, sizes[-1], sizes[1], sizes[2])
        expect.equal(answer(logits, answers), sorted_place(logits, answers), "the ranks")


def sorted_place(logits, answers):
    order = logits.argsort(-1, descending=True)
    return (order == answers[..., None]).int().argmax(-1)


@rank_.wrong(
    "counts from 1",
    "Your ranks are one too high: the answer itself was counted. Nothing is ahead of the best token: its rank is 0.",
)
def rank_from_one(logits, answers):
    return (logits >= logits.gather(-1, answers.expand(logits.shape[:-1])[..., None])).sum(-1)


@rank_.wrong(
    "counts the tokens behind",
    "You counted the tokens with a *smaller* logit, so the best answer has the highest number. Count the larger ones.",
)
def rank_behind(logits, answers):
    return (logits < logits.gather(-1, answers.expand(logits.shape[:-1])[..., None])).sum(-1)


@rank_.wrong(
    "argsort once",
    "You looked the answer up in argsort. argsort tells which *token* is at each place; you want the place of a token (argsort twice, or count).",
)
def rank_argsort(logits, answers):
    return logits.argsort(-1, descending=True).gather(-1, answers.expand(logits.shape[:-1])[..., None])[..., 0]


@rank_.wrong(
    "ranks probabilities",
    "You took a softmax first. A token far behind gets a probability too small for float32, 0, like all others far behind, and "
    "its place among them is lost. Compare the logits themselves.",
)
def rank_softmax(logits, answers):
    return sorted_count(logits.softmax(-1), answers)


@rank_.wrong(
    "shifts the answers once more",
    "Each position was given the answer of the next one. answers[b, i] is already the token that came after position i: nothing needs to be shifted.",
)
def rank_shifted(logits, answers):
    return sorted_count(logits, answers.roll(-1, dims=1))


@rank_.wrong(
    "mean over positions",
    "One number for each point is left: you averaged. Return the rank at each point, text and position; averages come later.",
)
def rank_averaged(logits, answers):
    return sorted_count(logits, answers).float().mean((1, 2))


def sorted_count(logits, answers):
    return (logits > logits.gather(-1, answers.expand(logits.shape[:-1])[..., None])).sum(-1)


@rank_.variation("a loop over points")
def rank_loop(logits, answers):
    return torch.stack([(point > point.gather(-1, answers[..., None])).sum(-1) for point in logits])


@rank_.variation("argsort twice")
def rank_argsort_twice(logits, answers):
    places = logits.argsort(-1, descending=True).argsort(-1)
    return places.gather(-1, answers.expand(logits.shape[:-1])[..., None]).squeeze(-1)


@rank_.variation("one-hot answers")
def rank_one_hot(logits, answers):
    own = (logits * F.one_hot(answers, logits.shape[-1])).sum(-1, keepdim=True)
    return (logits - own > 0).sum(-1)


# --- logit_direction --------------------------------------------------------------------------------------------------

direction_ = Exercise("logit_direction")


def expect_pair(got, sizes, d_model):
    expect.true(
        isinstance(got, (tuple, list)) and len(got) == 2,
        f"The result is {expect.describe(got)}; it should be two tensors: direction, constant.",
    )
    expect.shape(got[0], (*sizes, d_model), "the direction", axes="batch pos d_model")
    expect.shape(got[1], sizes, "the constant", axes="batch pos")


@direction_.check("final stream · direction / scale + constant is the model's logit difference")
def direction_exact(answer, draw):
    weights, logits, cache, right, wrong = small_run(draw)
    got = answer(right, wrong, weights)
    expect_pair(got, (4, 5), 7)
    read = (last(cache, 2) * got[0]).sum(-1) / cache["ln_final.hook_scale"][..., 0] + got[1]
    expect.close(read, logit_difference(logits, right, wrong), "stream · direction / scale + constant", atol=1e-4)


@direction_.check("a stream of zeros leaves the biases alone: that is the constant")
def direction_constant(answer, draw):
    weights, _, _, right, wrong = small_run(draw, batch=3, pos=2)
    got = answer(right, wrong, weights)
    expect_pair(got, (3, 2), 7)
    nothing = zero_stream_logits(weights)
    want = nothing[right] - nothing[wrong]
    expect.close(got[1], want, "the constant", because="it is what the biases give when the stream is zero", atol=1e-4)


@direction_.check("adding the same number to every dimension of the stream changes nothing: the direction sums to 0")
def direction_centred(answer, draw):
    weights, _, _, right, wrong = small_run(draw, d_model=9, n_heads=2)
    got = answer(right, wrong, weights)
    expect_pair(got, (4, 5), 9)
    expect.close(got[0].sum(-1), torch.zeros(4, 5), "the sum of each direction over d_model", atol=1e-4)


@direction_.check("right and wrong exchanged: both change sign")
def direction_sign(answer, draw):
    weights, _, _, right, wrong = small_run(draw, batch=1, pos=6)
    there, back = answer(right, wrong, weights), answer(wrong, right, weights)
    expect_pair(there, (1, 6), 7)
    expect_pair(back, (1, 6), 7)
    expect.close(there[0], -back[0], "the direction", atol=1e-4)
    expect.close(there[1], -back[1], "the constant", atol=1e-4)


@direction_.check("the same vector, number by number, from the gradient of the logit difference", hidden=True)
def direction_gradient(answer, draw):
    weights, _, _, right, wrong = small_run(draw)
    got = answer(right, wrong, weights)
    expect_pair(got, (4, 5), 7)
    stream = draw.normal(4, 5, 7).requires_grad_()
    with torch.enable_grad():
        normed = (stream - stream.mean(-1, keepdim=True)) * weights["ln_final.w"] + weights["ln_final.b"]
        logits = normed @ weights["unembed.W_U"] + weights["unembed.b_U"]
        (gradient,) = torch.autograd.grad(logit_difference(logits, right, wrong).sum(), stream)
    expect.close(got[0], gradient, "the direction", atol=1e-4)


@direction_.check("on code-2l and held-out Python it gives the model's logit differences", hidden=True)
def direction_bundled(answer, draw):
    weights, logits, cache, right, wrong = bundled_run(draw)
    direction, constant = answer(right, wrong, weights)
    read = (last(cache, 2) * direction).sum(-1) / cache["ln_final.hook_scale"][..., 0] + constant
    expect.close(read, logit_difference(logits, right, wrong), "stream · direction / scale + constant", atol=1e-3)


def zero_stream_logits(weights):
    zeros = torch.zeros(1, len(weights["ln_final.w"]))
    return torch_lens(zeros, weights, 0.1)[0]


def right_direction(right, wrong, weights):
    """(W_U difference, direction, constant): what the wrong answers change one thing of."""
    u = weighted(right, wrong, weights)
    v = u * weights["ln_final.w"]
    constant = u @ weights["ln_final.b"] + weights["unembed.b_U"][right] - weights["unembed.b_U"][wrong]
    return u, v - v.mean(-1, keepdim=True), constant


@direction_.wrong(
    "forgets the weight",
    "The direction lacks ln_final.w: it is W_U's difference, centred. Each dimension of the stream is multiplied by its w before "
    "W_U reads it, so the direction is too.",
)
def direction_no_weight(right, wrong, weights):
    u, _, constant = right_direction(right, wrong, weights)
    return u - u.mean(-1, keepdim=True), constant


@direction_.wrong(
    "not centred",
    "Your direction does not sum to 0. LayerNorm takes the mean out of the stream; here that is done by taking the mean out of "
    "the direction.",
)
def direction_not_centred(right, wrong, weights):
    u, _, constant = right_direction(right, wrong, weights)
    return u * weights["ln_final.w"], constant


@direction_.wrong(
    "W_U alone",
    "That is the plain difference of W_U's columns. The stream meets ln_final first: its weight and its centring belong into the direction.",
)
def direction_raw(right, wrong, weights):
    u, _, constant = right_direction(right, wrong, weights)
    return u, constant


@direction_.wrong(
    "centres before the weight",
    "You took the mean out and then multiplied by w. The stream is centred first and weighted second, so on the other side of "
    "the dot product it is the other way round: multiply by w, then take the mean out.",
)
def direction_wrong_order(right, wrong, weights):
    u, _, constant = right_direction(right, wrong, weights)
    return (u - u.mean(-1, keepdim=True)) * weights["ln_final.w"], constant


@direction_.wrong(
    "no bias of ln_final",
    "Your constant holds b_U alone. ln_final.b goes through W_U as well: add its dot product with the difference.",
)
def direction_no_bias(right, wrong, weights):
    _, v, _ = right_direction(right, wrong, weights)
    return v, weights["unembed.b_U"][right] - weights["unembed.b_U"][wrong]


@direction_.wrong(
    "no b_U", "Your constant lacks b_U[right] - b_U[wrong]. In our raw models it is zero; after folding it is not."
)
def direction_no_b_u(right, wrong, weights):
    u, v, _ = right_direction(right, wrong, weights)
    return v, u @ weights["ln_final.b"]


@direction_.wrong(
    "weights the bias",
    "Your constant is ln_final.b times the *weighted* difference. The bias is added after the weight: it meets W_U's difference as it is.",
)
def direction_weighted_bias(right, wrong, weights):
    u, v, _ = right_direction(right, wrong, weights)
    bias = (u * weights["ln_final.w"]) @ weights["ln_final.b"]
    return v, bias + weights["unembed.b_U"][right] - weights["unembed.b_U"][wrong]


@direction_.wrong(
    "the bias meets the direction",
    "Your constant is ln_final.b times the finished direction. The bias is added after the centring and the weight, so neither "
    "touches it: it meets the plain difference of W_U's columns.",
)
def direction_times_bias(right, wrong, weights):
    _, v, _ = right_direction(right, wrong, weights)
    return v, v @ weights["ln_final.b"] + weights["unembed.b_U"][right] - weights["unembed.b_U"][wrong]


@direction_.wrong("upside down", "Everything has the wrong sign: right minus wrong, not wrong minus right.")
def direction_upside_down(right, wrong, weights):
    _, v, constant = right_direction(wrong, right, weights)
    return v, constant


@direction_.wrong(
    "the right token alone",
    "That is the direction of one logit. A logit difference takes the wrong token's column, and its b_U, away.",
)
def direction_single(right, wrong, weights):
    columns = weights["unembed.W_U"].T[right]
    v = columns * weights["ln_final.w"]
    return v - v.mean(-1, keepdim=True), columns @ weights["ln_final.b"] + weights["unembed.b_U"][right]


@direction_.variation("W_U folded and centred as a whole, then two columns of it")
def direction_folded(right, wrong, weights):
    W_U = weights["ln_final.w"][:, None] * weights["unembed.W_U"]
    W_U = W_U - W_U.mean(0, keepdim=True)
    b_U = weights["ln_final.b"] @ weights["unembed.W_U"] + weights["unembed.b_U"]
    return (W_U[:, right] - W_U[:, wrong]).permute(1, 2, 0), b_U[right] - b_U[wrong]


@direction_.variation("through the centring matrix, in float64")
def direction_matrix(right, wrong, weights):
    w, b, W_U, b_U = (weights[n].double() for n in ("ln_final.w", "ln_final.b", "unembed.W_U", "unembed.b_U"))
    centring = torch.eye(len(w), dtype=torch.float64) - 1 / len(w)
    u = torch.nn.functional.embedding(right, W_U.T) - torch.nn.functional.embedding(wrong, W_U.T)
    constant = torch.einsum("bpm,m->bp", u, b) + b_U[right] - b_U[wrong]
    return (torch.einsum("bpm,m,mn->bpn", u, w, centring).float(), constant.float())


# --- attribute_by_layer -------------------------------------------------------------------------------------------------

layers_ = Exercise("attribute_by_layer")


def layer_places(n_layers):
    places = {"embed": "hook_embed", "pos_embed": "hook_pos_embed"}
    for layer in range(n_layers):
        places |= {f"attn {layer}": f"blocks.{layer}.hook_attn_out", f"mlp {layer}": f"blocks.{layer}.hook_mlp_out"}
    return places


@layers_.check("the parts sum to the model's logit difference, at every position")
def layers_sum(answer, draw):
    for n_layers in (2, 3, 1):
        weights, logits, cache, right, wrong = small_run(draw, n_layers)
        found = answer(cache, weights, right, wrong, n_layers)
        expect_names(found, [*layer_places(n_layers), "constant"])
        for name, values in found.items():
            expect.shape(values, (4, 5), f"the part {name!r}", axes="batch pos")
        want = logit_difference(logits, right, wrong)
        expect.close(sum(found.values()), want, f"the sum of the parts ({n_layers} blocks)", atol=2e-4)


@layers_.check("a part's number is what the logit difference loses when the part is taken out, the scale held fixed")
def layers_each(answer, draw):
    weights, _, cache, right, wrong = small_run(draw)
    found = answer(cache, weights, right, wrong, 2)
    expect_names(found, [*layer_places(2), "constant"])
    for name, place in layer_places(2).items():
        want = without(cache[place], last(cache, 2), cache, weights, right, wrong)
        expect.close(found[name], want, f"the part {name!r}", atol=2e-4)


@layers_.check("the constant is what the biases give, whatever the stream holds")
def layers_constant(answer, draw):
    weights, _, cache, right, wrong = small_run(draw, batch=1, pos=3)
    found = answer(cache, weights, right, wrong, 2)
    expect_names(found, [*layer_places(2), "constant"])
    nothing = zero_stream_logits(weights)
    expect.close(found["constant"], nothing[right] - nothing[wrong], "the part 'constant'", atol=1e-4)


@layers_.check("on code-2l and held-out Python the parts sum to the model's logit difference", hidden=True)
def layers_bundled(answer, draw):
    weights, logits, cache, right, wrong = bundled_run(draw)
    found = answer(cache, weights, right, wrong, 2)
    expect.close(sum(found.values()), logit_difference(logits, right, wrong), "the sum of the parts", atol=1e-3)


def layers_with(read, cache, weights, right, wrong, n_layers):
    """The parts read by `read(part, direction, scale)`, and the right constant."""
    _, direction, constant = right_direction(right, wrong, weights)
    scale = cache["ln_final.hook_scale"][..., 0]
    found = {name: read(cache[place], direction, scale) for name, place in layer_places(n_layers).items()}
    return found | {"constant": constant}


@layers_.wrong(
    "each part by its own scale",
    "You normalised each part by itself. No LayerNorm ever saw a part alone: the model divides the whole stream, by one scale, "
    "ln_final.hook_scale, and that is what every part is divided by.",
)
def layers_own_scale(cache, weights, right, wrong, n_layers):
    def read(part, direction, scale):
        return (part * direction).sum(-1) / (part.var(-1, unbiased=False) + 1e-5).sqrt()

    return layers_with(read, cache, weights, right, wrong, n_layers)


@layers_.wrong(
    "forgets the scale",
    "Your parts are not divided by anything. The model divides the final stream by ln_final.hook_scale before W_U: so is each of its terms.",
)
def layers_no_scale(cache, weights, right, wrong, n_layers):
    return layers_with(
        lambda part, direction, scale: (part * direction).sum(-1), cache, weights, right, wrong, n_layers
    )


@layers_.wrong(
    "divides the constant as well",
    "Your constant was divided by the scale, like the parts. The biases are added after the division: the constant stays as it is.",
)
def layers_scaled_constant(cache, weights, right, wrong, n_layers):
    found = reference("attribute_by_layer")(cache, weights, right, wrong, n_layers)
    return found | {"constant": found["constant"] / cache["ln_final.hook_scale"][..., 0]}


@layers_.wrong(
    "leaves the constant out",
    "The parts of the stream are there, but the constant is not: ln_final.b and b_U add to the logit difference, too. Without it the sum is off.",
)
def layers_no_constant(cache, weights, right, wrong, n_layers):
    found = reference("attribute_by_layer")(cache, weights, right, wrong, n_layers)
    return {name: values for name, values in found.items() if name != "constant"}


@layers_.wrong(
    "the constant in every part",
    "You added the constant to each part, so it is counted once for each. It is a part of its own: the biases belong to nobody.",
)
def layers_constant_everywhere(cache, weights, right, wrong, n_layers):
    found = reference("attribute_by_layer")(cache, weights, right, wrong, n_layers)
    return {name: v if name == "constant" else v + found["constant"] for name, v in found.items()}


@layers_.wrong(
    "the stream after each layer",
    "You attributed the stream *after* each layer, which holds all earlier parts as well. A layer's own part is what it adds: hook_attn_out, hook_mlp_out.",
)
def layers_cumulative(cache, weights, right, wrong, n_layers):
    _, direction, constant = right_direction(right, wrong, weights)
    scale = cache["ln_final.hook_scale"][..., 0]
    places = {"embed": "hook_embed", "pos_embed": "blocks.0.hook_resid_pre"}
    for layer in range(n_layers):
        places |= {f"attn {layer}": f"blocks.{layer}.hook_resid_mid", f"mlp {layer}": f"blocks.{layer}.hook_resid_post"}
    return {name: (cache[at] * direction).sum(-1) / scale for name, at in places.items()} | {"constant": constant}


@layers_.wrong(
    "forgets the weight of ln_final",
    "Your parts were read in the direction of W_U's difference alone. ln_final.w comes in between: use the direction of logit_direction.",
)
def layers_raw_direction(cache, weights, right, wrong, n_layers):
    u, _, constant = right_direction(right, wrong, weights)
    v = u - u.mean(-1, keepdim=True)
    return layers_with(lambda part, _, scale: (part * v).sum(-1) / scale, cache, weights, right, wrong, n_layers)


@layers_.wrong(
    "mean over positions",
    "Your values were averaged over the positions. Keep (batch, pos): the sum has to be right at every one.",
)
def layers_averaged(cache, weights, right, wrong, n_layers):
    found = reference("attribute_by_layer")(cache, weights, right, wrong, n_layers)
    return {name: values.mean(1, keepdim=True).expand_as(values).clone() for name, values in found.items()}


@layers_.variation("normalises each part with the final scale, then takes two logits")
def layers_by_logits(cache, weights, right, wrong, n_layers):
    W_U, b_U = weights["unembed.W_U"], weights["unembed.b_U"]
    found = {}
    for name, place in layer_places(n_layers).items():
        part = cache[place] - cache[place].mean(-1, keepdim=True)
        part_logits = part / cache["ln_final.hook_scale"] * weights["ln_final.w"] @ W_U
        found[name] = logit_difference(part_logits, right, wrong)
    biases = weights["ln_final.b"] @ W_U + b_U
    return found | {"constant": biases[right] - biases[wrong]}


@layers_.variation("einsum over stacked parts, in float64")
def layers_stacked(cache, weights, right, wrong, n_layers):
    direction, constant = reference("logit_direction")(right, wrong, weights)
    places = layer_places(n_layers)
    stacked = torch.stack([cache[place] for place in places.values()]).double()
    values = torch.einsum("nbpm,bpm->nbp", stacked, direction.double()) / cache["ln_final.hook_scale"].squeeze(-1)
    return dict(zip(places, values.float(), strict=True)) | {"constant": constant}


# --- attribute_by_head --------------------------------------------------------------------------------------------------

by_head = Exercise("attribute_by_head")


def one_head(cache, weights, layer, head):
    """What a head writes, with all others' z at zero."""
    z, W_O = cache[f"blocks.{layer}.attn.hook_z"], weights[f"blocks.{layer}.attn.W_O"]
    only = torch.zeros_like(z)
    only[:, :, head] = z[:, :, head]
    return F.linear(only.flatten(2), W_O.flatten(0, 1).T)


@by_head.check(
    "a head's number is what the logit difference loses when the head's output is taken out, the scale held fixed"
)
def by_head_each(answer, draw):
    weights, _, cache, right, wrong = small_run(draw)
    found = answer(cache, weights, right, wrong, 2)
    expect.shape(found, (2, 3, 4, 5), axes="layer head batch pos")
    for layer in range(2):
        for head in range(3):
            part = one_head(cache, weights, layer, head)
            want = without(part, last(cache, 2), cache, weights, right, wrong)
            expect.close(found[layer, head], want, f"the values of head {layer}.{head}", atol=2e-4)


@by_head.check("heads, b_O, embeddings, MLPs and the constant sum to the model's logit difference")
def by_head_sum(answer, draw):
    for n_layers, n_heads in ((2, 4), (3, 2), (1, 1)):
        weights, logits, cache, right, wrong = small_run(draw, n_layers, n_heads=n_heads)
        found = answer(cache, weights, right, wrong, n_layers)
        expect.shape(found, (n_layers, n_heads, 4, 5), axes="layer head batch pos")
        nothing = zero_stream_logits(weights)
        total = found.sum((0, 1)) + nothing[right] - nothing[wrong]
        others = cache["hook_embed"] + cache["hook_pos_embed"]
        for layer in range(n_layers):
            others = others + cache[f"blocks.{layer}.hook_mlp_out"] + weights[f"blocks.{layer}.attn.b_O"]
        total = total + without(others, last(cache, n_layers), cache, weights, right, wrong)
        what = f"the sum of everything ({n_layers} blocks of {n_heads} heads)"
        expect.close(total, logit_difference(logits, right, wrong), what, atol=3e-4)


@by_head.check("a head that gathered nothing (z = 0) adds nothing", hidden=True)
def by_head_silent(answer, draw):
    weights, _, cache, right, wrong = small_run(draw)
    cache["blocks.1.attn.hook_z"][:, :, 2] = 0
    found = answer(cache, weights, right, wrong, 2)
    expect.close(found[1, 2], torch.zeros(4, 5), "the values of the silent head 1.2")


@by_head.check("on code-attn-2l and held-out Python each head's number is right", hidden=True)
def by_head_bundled(answer, draw):
    weights, _, cache, right, wrong = bundled_run(draw, "code-attn-2l")
    found = answer(cache, weights, right, wrong, 2)
    for layer, head in ((0, 1), (1, 0), (1, 3)):
        want = without(one_head(cache, weights, layer, head), last(cache, 2), cache, weights, right, wrong)
        expect.close(found[layer, head], want, f"the values of head {layer}.{head}", atol=2e-3)


def heads_with(read, cache, weights, right, wrong, n_layers):
    """(layer, head, batch, pos), each head's vectors read by `read(outputs, direction, scale)`; heads stand third."""
    _, direction, _ = right_direction(right, wrong, weights)
    scale = cache["ln_final.hook_scale"]
    values = []
    for layer in range(n_layers):
        outputs = cache[f"blocks.{layer}.attn.hook_z"][..., None, :] @ weights[f"blocks.{layer}.attn.W_O"]
        values.append(read(outputs[..., 0, :], direction[:, :, None], scale, layer).permute(2, 0, 1))
    return torch.stack(values)


@by_head.wrong(
    "each head by its own scale",
    "You normalised each head's vector by itself, which makes all of them equally loud. Divide by the scale of the final stream, ln_final.hook_scale.",
)
def by_head_own_scale(cache, weights, right, wrong, n_layers):
    def read(outputs, direction, scale, layer):
        return (outputs * direction).sum(-1) / (outputs.var(-1, unbiased=False) + 1e-5).sqrt()

    return heads_with(read, cache, weights, right, wrong, n_layers)


@by_head.wrong("forgets the scale", 'Your values are not divided by the final scale: cache["ln_final.hook_scale"].')
def by_head_no_scale(cache, weights, right, wrong, n_layers):
    def read(outputs, direction, scale, layer):
        return (outputs * direction).sum(-1)

    return heads_with(read, cache, weights, right, wrong, n_layers)


@by_head.wrong(
    "shares b_O out among the heads",
    "A part of b_O is in each of your heads. It makes them sum to the layer, but the bias is there whatever a head does: leave it out.",
)
def by_head_bias(cache, weights, right, wrong, n_layers):
    def read(outputs, direction, scale, layer):
        shared = weights[f"blocks.{layer}.attn.b_O"] / outputs.shape[2]
        return ((outputs + shared) * direction).sum(-1) / scale

    return heads_with(read, cache, weights, right, wrong, n_layers)


@by_head.wrong(
    "adds the constant to each head",
    "The constant of logit_direction is in every one of your heads. It comes from the biases at the end and belongs to no head.",
)
def by_head_constant(cache, weights, right, wrong, n_layers):
    _, _, constant = right_direction(right, wrong, weights)
    return reference("attribute_by_head")(cache, weights, right, wrong, n_layers) + constant


@by_head.wrong(
    "the scale of the block's own LayerNorm",
    "You divided by ln1's scale, by which the block divides what it *reads*. What it writes is divided by the last LayerNorm: ln_final.hook_scale.",
)
def by_head_block_scale(cache, weights, right, wrong, n_layers):
    def read(outputs, direction, scale, layer):
        stream = cache[f"blocks.{layer}.hook_resid_pre"]
        return (outputs * direction).sum(-1) / (stream.var(-1, unbiased=False, keepdim=True) + 0.1).sqrt()

    return heads_with(read, cache, weights, right, wrong, n_layers)


@by_head.wrong(
    "forgets the weight of ln_final",
    "Your heads were read in the direction of W_U's difference alone. ln_final.w comes in between: use the direction of logit_direction.",
)
def by_head_raw(cache, weights, right, wrong, n_layers):
    u, _, _ = right_direction(right, wrong, weights)
    v = (u - u.mean(-1, keepdim=True))[:, :, None]

    def read(outputs, direction, scale, layer):
        return (outputs * v).sum(-1) / scale

    return heads_with(read, cache, weights, right, wrong, n_layers)


@by_head.wrong("upside down", "Every value has the wrong sign: right minus wrong, not wrong minus right.")
def by_head_upside_down(cache, weights, right, wrong, n_layers):
    return reference("attribute_by_head")(cache, weights, wrong, right, n_layers)


@by_head.wrong(
    "batch first",
    "Your axes are (batch, pos, layer, head). Stack the layers in front, with the heads second: (layer, head, batch, pos).",
)
def by_head_batch_first(cache, weights, right, wrong, n_layers):
    return reference("attribute_by_head")(cache, weights, right, wrong, n_layers).permute(2, 3, 0, 1)


@by_head.wrong(
    "reshapes in place of moving axes",
    "The numbers are right and stand at the wrong places: .reshape and .view cut the same list anew, they move no axis. Use "
    ".permute, or an einsum that ends in the axes you want.",
)
def by_head_reshaped(cache, weights, right, wrong, n_layers):
    found = reference("attribute_by_head")(cache, weights, right, wrong, n_layers)
    return found.permute(0, 2, 3, 1).reshape(found.shape)


@by_head.variation("W_O takes the direction into the head: z · (W_O direction)")
def by_head_projected(cache, weights, right, wrong, n_layers):
    direction, _ = reference("logit_direction")(right, wrong, weights)
    scaled = direction / cache["ln_final.hook_scale"]
    values = []
    for layer in range(n_layers):
        reads = torch.einsum("hdm,bpm->bphd", weights[f"blocks.{layer}.attn.W_O"], scaled)
        values.append((cache[f"blocks.{layer}.attn.hook_z"] * reads).sum(-1).permute(2, 0, 1))
    return torch.stack(values)


@by_head.variation("two loops, in float64")
def by_head_loops(cache, weights, right, wrong, n_layers):
    direction, _ = reference("logit_direction")(right, wrong, weights)
    scale = cache["ln_final.hook_scale"].squeeze(-1).double()
    layers = []
    for layer in range(n_layers):
        z, W_O = cache[f"blocks.{layer}.attn.hook_z"].double(), weights[f"blocks.{layer}.attn.W_O"].double()
        heads = [((z[:, :, h] @ W_O[h]) * direction).sum(-1) / scale for h in range(len(W_O))]
        layers.append(torch.stack(heads))
    return torch.stack(layers).float()


# --- missing_share ----------------------------------------------------------------------------------------------------

share_ = Exercise("missing_share")
PIECES = ["centring", "scale", "weight", "bias"]


def share_inputs(draw, pos=5, d_model=6, d_vocab=9):
    """A final stream whose mean is far from 0, its scale (by a LayerNorm), answers, and the weights at the end of a model."""
    stream = 1 + draw.normal(3, pos, d_model, std=2)
    scale = (stream.var(-1, unbiased=False, keepdim=True) + 0.1).sqrt()
    right = draw.integers(0, d_vocab, 3, pos)
    wrong = (right + draw.integers(1, d_vocab, 3, pos)) % d_vocab
    weights = {"ln_final.w": 1.3 + draw.normal(d_model, std=0.5), "ln_final.b": draw.normal(d_model, std=0.5)}
    weights |= {"unembed.W_U": draw.normal(d_model, d_vocab), "unembed.b_U": draw.normal(d_vocab)}
    return stream, scale, right, wrong, weights


def expect_shares(got):
    expect_names(got, PIECES)
    for name in PIECES:
        expect.number(got[name], f"the share of {name!r}")
    return got


@share_.check("truths 2 and -2, and 1 and -3 without the bias: the bias's share is 0.5, and errors do not cancel")
def share_by_hand(answer, draw):
    # Two dimensions, two tokens. W_U picks dimension 0 for token 0 and nothing for token 1; b_U gives token 0 one more.
    weights = {"ln_final.w": torch.ones(2), "ln_final.b": torch.zeros(2)}
    weights |= {"unembed.W_U": torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "unembed.b_U": torch.tensor([1.0, 0.0])}
    stream = torch.tensor([[[1.0, -1.0], [-3.0, 3.0]]])
    right, wrong = torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.long)
    found = answer(stream, torch.ones(1, 2, 1), right, wrong, weights)
    expect_names(found, PIECES)
    lost = [name for name in PIECES if not torch.as_tensor(found[name], dtype=torch.float64).isfinite().all()]
    expect.true(
        not lost,
        f"The shares of {lost} are not finite. The truths here are 2 and -2, which sum to 0: divide by the sum of their sizes, 4.",
    )
    expect_shares(found)
    expect.close(found["bias"], 0.5, "the share of 'bias'")
    for name in ("centring", "scale", "weight"):
        expect.close(found[name], 0.0, f"the share of {name!r}", because="here the mean is 0, and scale and w are 1")


@share_.check("without a bias, leaving out a scale of 4 makes the result 4 times too large: the share is 3")
def share_scale(answer, draw):
    stream, _, right, wrong, weights = share_inputs(draw)
    weights |= {"ln_final.b": torch.zeros(6), "unembed.b_U": torch.zeros(9)}
    found = expect_shares(answer(stream, torch.full((3, 5, 1), 4.0), right, wrong, weights))
    expect.close(found["scale"], 3.0, "the share of 'scale'", atol=1e-3)
    expect.close(found["bias"], 0.0, "the share of 'bias'")


@share_.check("a weight of 2 in every dimension and no bias: half of the result goes missing without it")
def share_weight(answer, draw):
    stream, scale, right, wrong, weights = share_inputs(draw, pos=4)
    weights |= {"ln_final.w": torch.full((6,), 2.0), "ln_final.b": torch.zeros(6), "unembed.b_U": torch.zeros(9)}
    found = expect_shares(answer(stream, scale, right, wrong, weights))
    expect.close(found["weight"], 0.5, "the share of 'weight'", atol=1e-3)


@share_.check("in general, each share is that of two whole passes, one with and one without the piece")
def share_general(answer, draw):
    inputs = share_inputs(draw)
    found = expect_shares(answer(*inputs))
    for name, want in shares_by_passes(*inputs).items():
        expect.close(found[name], want, f"the share of {name!r}", atol=1e-3, rtol=1e-3)


@share_.check("on code-2l and held-out Python", hidden=True)
def share_bundled(answer, draw):
    weights, _, cache, right, wrong = bundled_run(draw)
    inputs = (last(cache, 2), cache["ln_final.hook_scale"], right, wrong, weights)
    found = expect_shares(answer(*inputs))
    for name, want in shares_by_passes(*inputs).items():
        expect.close(found[name], want, f"the share of {name!r}", atol=1e-3, rtol=1e-3)


@share_.check("one text of one position", hidden=True)
def share_single(answer, draw):
    stream, scale, right, wrong, weights = share_inputs(draw)
    inputs = (stream[:1, :1], scale[:1, :1], right[:1, :1], wrong[:1, :1], weights)
    found = expect_shares(answer(*inputs))
    for name, want in shares_by_passes(*inputs).items():
        expect.close(found[name], want, f"the share of {name!r}", atol=1e-3, rtol=1e-3)


def passes(stream, scale, right, wrong, weights):
    """The logit difference as it is and with each piece left out, by the whole vocabulary's logits in float64."""
    mean, w, b = stream.mean(-1, keepdim=True), weights["ln_final.w"], weights["ln_final.b"]
    W_U, b_U = weights["unembed.W_U"], weights["unembed.b_U"]

    def difference(mean, scale, w, b, b_U):
        return logit_difference(((stream - mean) / scale * w + b).double() @ W_U.double() + b_U, right, wrong)

    truth = difference(mean, scale, w, b, b_U)
    left_out = {
        "centring": difference(0 * mean, scale, w, b, b_U),
        "scale": difference(mean, torch.ones_like(scale), w, b, b_U),
        "weight": difference(mean, scale, torch.ones_like(w), b, b_U),
        "bias": difference(mean, scale, w, 0 * b, 0 * b_U),
    }
    return truth, left_out


def shares_by_passes(*inputs):
    truth, left_out = passes(*inputs)
    return {name: float((one - truth).abs().sum() / truth.abs().sum()) for name, one in left_out.items()}


@share_.wrong(
    "errors cancel",
    "You compared the averages, so an error upwards at one place paid for an error downwards at another. Take the size of the error at each place first, then sum.",
)
def share_cancelling(*inputs):
    truth, left_out = passes(*inputs)
    return {name: float((one.sum() - truth.sum()).abs() / truth.abs().sum()) for name, one in left_out.items()}


@share_.wrong(
    "the mean of the ratios",
    "You divided at each place and then averaged. Where the truth is near 0, such a ratio is enormous and drowns the rest: sum the errors, sum the truths, divide once.",
)
def share_mean_of_ratios(*inputs):
    truth, left_out = passes(*inputs)
    return {name: float(((one - truth).abs() / truth.abs()).mean()) for name, one in left_out.items()}


@share_.wrong(
    "divides by the shortcut",
    "You divided by the size of the shortcut. The share is of the truth: divide by the sum of |truth|.",
)
def share_of_shortcut(*inputs):
    truth, left_out = passes(*inputs)
    return {name: float((one - truth).abs().sum() / one.abs().sum()) for name, one in left_out.items()}


@share_.wrong(
    "leaves out everything so far",
    "Your second shortcut also lacks the first's piece, and so on. Each leaves out *one* piece and keeps the other three.",
)
def share_cumulative(stream, scale, right, wrong, weights):
    truth, _ = passes(stream, scale, right, wrong, weights)
    u, b_U = weighted(right, wrong, weights), weights["unembed.b_U"]
    biases = (weights["ln_final.b"] * u).sum(-1) + b_U[right] - b_U[wrong]
    read = {
        "centring": (stream / scale * weights["ln_final.w"] * u).sum(-1) + biases,
        "scale": (stream * weights["ln_final.w"] * u).sum(-1) + biases,
        "weight": (stream * u).sum(-1) + biases,
        "bias": (stream * u).sum(-1),
    }
    return {name: float((one - truth).abs().sum() / truth.abs().sum()) for name, one in read.items()}


@share_.wrong(
    "keeps b_U",
    'Your "bias" leaves out ln_final.b alone. b_U is a bias as well: set its difference to 0, too.',
)
def share_keeps_b_u(*inputs):
    truth, _ = passes(*inputs)
    _, _, right, wrong, weights = inputs
    error = (weighted(right, wrong, weights) @ weights["ln_final.b"]).abs()
    return shares_by_passes(*inputs) | {"bias": float(error.sum() / truth.abs().sum())}


@share_.wrong(
    "the share that stays",
    "Your numbers are 1 minus the share. What is asked for is the error: 0 where leaving the piece out changes nothing.",
)
def share_kept(*inputs):
    return {name: 1 - share for name, share in shares_by_passes(*inputs).items()}


@share_.wrong(
    "a scale of its own for the uncentred stream",
    "Without the centring you also took a new scale, that of the uncentred stream. Only one piece is left out at a time: divide by the scale that is given.",
)
def share_new_scale(stream, scale, right, wrong, weights):
    found = shares_by_passes(stream, scale, right, wrong, weights)
    truth, _ = passes(stream, scale, right, wrong, weights)
    rms = (stream.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    u, b_U = weighted(right, wrong, weights), weights["unembed.b_U"]
    one = ((stream / rms * weights["ln_final.w"] + weights["ln_final.b"]) * u).sum(-1) + b_U[right] - b_U[wrong]
    return found | {"centring": float((one - truth).abs().sum() / truth.abs().sum())}


@share_.wrong(
    "computes the scale itself",
    "You computed the scale from the stream. Use the one that is given: the model has its own eps in it, and the checks other scales.",
)
def share_own_scale(stream, scale, right, wrong, weights):
    return shares_by_passes(stream, stream.std(-1, unbiased=False, keepdim=True), right, wrong, weights)


@share_.wrong(
    "each text by itself",
    "You took the share of each text and averaged these. A text of small truths then counts as much as one of large: sum over "
    "all texts and positions first, divide once.",
)
def share_each_text(*inputs):
    truth, left_out = passes(*inputs)
    size = truth.abs().sum(1)
    return {name: float(((one - truth).abs().sum(1) / size).mean()) for name, one in left_out.items()}


@share_.variation("from the direction: the error of each shortcut, written out")
def share_errors(stream, scale, right, wrong, weights):
    w, b, b_U = weights["ln_final.w"], weights["ln_final.b"], weights["unembed.b_U"]
    u = weighted(right, wrong, weights)
    mean = stream.mean(-1, keepdim=True)
    normed = (stream - mean) / scale
    biases = (u * b).sum(-1) + b_U[right] - b_U[wrong]
    size = ((normed * w * u).sum(-1) + biases).abs().sum()
    errors = {
        "centring": (mean / scale * w * u).sum(-1),
        "scale": (normed * (scale - 1) * w * u).sum(-1),
        "weight": (normed * (1 - w) * u).sum(-1),
        "bias": biases,
    }
    return {name: (error.abs().sum() / size).item() for name, error in errors.items()}


@share_.variation("whole logits, means instead of sums, in float64")
def share_logits(*inputs):
    truth, left_out = passes(*inputs)
    return {name: float((one - truth).abs().mean() / truth.abs().mean()) for name, one in left_out.items()}
