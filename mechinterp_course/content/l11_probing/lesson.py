# %% [markdown]
# # Probing
#
# Somewhere in a model there are 240 numbers for each token. Do they say that the token is part of a comment? Train a small classifier on them and see: that is a
# [[term:probe]]. It takes a second, and it nearly always works. This lesson is about what you may say afterwards.
#
# You probe `code-4l`, a four-layer model of Python source, with labels that are exact: Python's own `tokenize` and `ast` say what each token is. You meet five
# ways to fool yourself (leakage, rare labels, a forgotten midpoint, a list of tokens learned by heart, tokens taken as independent), and then the largest one: to take
# *it can be read* for *the model reads it*.

# %%
import torch

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import models, plots, probe_data, probes, views

model = models.load("code-4l")  # raw weights: a probe reads what the next layer reads
tokenizer = models.tokenizer("code-4l")
# "train", "validation", "test": different files, and the model was trained on none of them
parts = probe_data.split(seed=0)
train, validation, test = parts.values()
for name, tokens in parts.items():
    print(f"{name:11} {int(tokens.file.max()) + 1:3} files, {len(tokens.ids):6,} tokens")

# %% [markdown]
# ## Core Learning
#
# ### The picture: a label, read off an arrow
#
# Here is a piece of a file, coloured by a label: is the token part of a comment? The label comes from Python, not from the model.

# %%
# A part is cut into windows of BOS and 255 tokens. Labels have no row for BOS; view(-1, 255) puts them back into windows.
# This takes the window in whose first 90 tokens about 35 are in a comment.
where = int(test.answers["in_comment"].view(-1, 255)[:, :90].float().sum(1).sub(35).abs().argmin())
window = test.windows[where, 1:91]
label = test.answers["in_comment"].view(-1, 255)[where, :90]
views.tokens(
    label.float(),
    tokenizer.str_tokens(window),
    title="The label: in a comment",
    alt="Ninety tokens of Python source; those from a # to the end of its line are coloured.",
    zlabel="in a comment, yes = 1",
)

# %% [markdown]
# The model has seen the tokens up to here, one vector each. TransformerLens hands out the vectors after each layer under the names `blocks.0.hook_resid_post` to
# `blocks.3.hook_resid_post`, and the embedding of the token alone, without its position, as `hook_embed`:

# %%
_, cache = model.run_with_cache(test.windows[:1], names_filter=["blocks.2.hook_resid_post", "hook_embed"])
print("one window, after layer 2:", tuple(cache["blocks.2.hook_resid_post"].shape), "(batch, pos, d_model)")

# The course's helper does this for all windows, leaves BOS out and joins them: (token, d_model).
streams = {part: probe_data.streams(model, tokens.windows) for part, tokens in parts.items()}
print("all training tokens, after layer 2:", tuple(streams["train"]["layer 2"].shape))

# %% [markdown]
# A linear probe is a direction $v$ and an offset $c$. Its score for a vector $x$ is $x \cdot v + c$, and above 0 it says yes. *Logistic regression* finds a direction from examples; you
# write its loss in the lab. Trained on the training files, after layer 2, it colours the same text like this:

# %%
probe = probes.logistic(streams["train"]["layer 2"], train.answers["in_comment"])
scores = probe.scores(streams["test"]["layer 2"])
views.tokens(
    scores.view(-1, 255)[where, :90],
    tokenizer.str_tokens(window),
    title="What the probe says: its score",
    alt="The same tokens coloured by the probe's score: mostly high, red, in the comments and low, blue, elsewhere, with some mistakes.",
    zlabel="score, above 0 is yes",
    zmid=0,
)

# %% [markdown]
# The file is new to the probe and to the model. So the vectors do say something about comments, in a form that a straight cut can read. How well?
#
# **Change this and see.** Put `"in_brackets"` or `"in_docstring"` in place of `"in_comment"`: twice in the cell of the label, once in that of the probe. Then put it back: the cells
# below go on with comments.
#
# ### A figure, and what it is worth
#
# Most tokens are not in a comment. So count first what *always no* gets.

# %%
truth = test.answers["in_comment"]
print(f"always no:  accuracy {probes.majority(truth):.3f}   balanced accuracy 0.500   AUC 0.500")
print(
    f"the probe:  accuracy {probes.accuracy(scores > 0, truth):.3f}   balanced accuracy {probes.balanced_accuracy(scores > 0, truth):.3f}"
    f"   AUC {probes.auc(scores, truth):.3f}"
)

# %% [markdown]
# Accuracy makes the two look like neighbours. *Balanced accuracy* averages the shares answered rightly among yeses and among nos. [[term:AUC]] is the chance that a token with
# the label scores higher than one without: it needs no cut, and a guess has 0.5 however rare the label is. From here on, figures are AUCs unless they say otherwise.
#
# ### Layer by layer
#
# [[paper:alain2016]] put a probe on every layer of a network and watched the figure rise. Two labels first: *in a comment*, and *is a keyword of Python* (`def`, `if`, `not`, …).

# %% [raw] predict="probing-keyword"
# question = "A probe tells keywords after layer 2 with an AUC of about 0.99. What does a probe on the embedding alone reach, before the model has computed anything?"
# choices = ["about 0.5: nothing has been computed yet", "about 0.75: some of it", "about as much, 0.97 or more"]
# answer = 2
# why = [
#   "That would be so if being a keyword depended on the context. It nearly never does.",
#   "Where the context decides half of the cases this would be about right. For keywords it decides next to none.",
#   "Right. A keyword is a list of 35 tokens, and the embedding says which token it is. So the figure after layer 2 is no discovery about layers 0 to 2.",
# ]

# %%
questions = ["keyword", "in_comment", "in_brackets", "in_docstring"]
places = list(streams["train"])
fitted = {(q, p): probes.logistic(streams["train"][p], train.answers[q]) for q in questions for p in places}


def figures(part):
    """AUC of every question (rows) at every place (columns) on one part of the files."""
    return torch.tensor(
        [[probes.auc(fitted[q, p].scores(streams[part][p]), parts[part].answers[q]) for p in places] for q in questions]
    )


on_validation = figures("validation")
plots.lines(
    dict(zip(questions, on_validation, strict=True)),
    x=places,
    title="AUC by layer, on the validation files",
    xlabel="where the probe reads",
    ylabel="AUC (a guess: 0.5)",
    alt="Four lines. Keyword is near 1 everywhere, the embedding included. The other three start near 0.7 and end near 0.95; comments and brackets jump from 0.81 to about 0.95 between layer 1 and layer 2.",
)

# %%
reveal("probing-keyword")

# %% [markdown]
# *In a comment* is different: a weak guess from the token alone, still weak after layer 1, and good after layer 2. Something has carried the `#` to the tokens behind it; which heads, a probe does
# not say. The embedding is the baseline that every such claim needs: what counts is the rise above it.
#
# Which layer do you report? If you take the layer that is best *on the test files*, you report the luck of the best of five. So the validation files choose and the test files report:

# %%
on_test = figures("test")
for question, choose, report in zip(questions, on_validation, on_test, strict=True):
    best = int(choose.argmax())
    print(
        f"{question:13} chosen: {places[best]:9}  test AUC there {report[best]:.3f}   embedding alone {report[0]:.3f}"
    )

# %% [markdown]
# With five layers and large parts the luck is small. With hundreds of heads, or few files, it is not: the lab has 500 probes of pure noise that report 0.55.
#
# *What this does not show*: that the label is computed at the layer where a probe peaks. A later layer may hold it in a form that only a curve could cut.
#
# ### Files, not tokens
#
# We split by file. Why not deal out tokens? Because two tokens of one docstring share its subject, its words and its style. Here is the same probe, with the same number of tokens of the same files,
# split in both ways:

# %%
both = torch.cat([streams["train"]["layer 2"], streams["test"]["layer 2"]])
n, mixed = len(train.ids), torch.randperm(len(both), generator=torch.Generator().manual_seed(0))
y = torch.cat([train.answers["in_docstring"], test.answers["in_docstring"]])
leaky = probes.logistic(both[mixed[:n]], y[mixed[:n]])
leaks = {
    "files apart": on_test[questions.index("in_docstring"), places.index("layer 2")],
    "tokens dealt out": probes.auc(leaky.scores(both[mixed[n:]]), y[mixed[n:]]),
}
plots.bars(
    list(leaks.values()),
    list(leaks),
    title="in_docstring after layer 2, tested on other files and on other tokens of the same files",
    ylabel="AUC",
    alt="Two bars: the one for tokens dealt out is a little higher than the one for files kept apart.",
).update_yaxes(range=[0.5, 1])

# %% [markdown]
# The difference is [[term:leakage]]: knowledge of the file, which the test was meant to exclude. It is small here, because 240 weights have little room to recognise a file by; over five splits it
# was 0.01 to 0.07, and never in the other direction. With more weights, fewer files or longer files it grows: in the lab it makes 1.00 out of nothing.
#
# It comes back in the error bar. 15,000 test tokens look like a great many. But they come from ten files:

# %%
right = (fitted["in_brackets", "layer 2"].scores(streams["test"]["layer 2"]) > 0) == test.answers["in_brackets"]
by_file, by_token = probes.interval_by_file(right, test.file), probes.wilson(int(right.sum()), len(right))
print(
    f"in_brackets, accuracy {right.double().mean():.3f} (always no: {probes.majority(test.answers['in_brackets']):.3f})"
)
print(f"95 % interval, files drawn anew:              {by_file[0]:.3f} to {by_file[1]:.3f}")
print(f"95 % interval, tokens taken as independent:   {by_token[0]:.3f} to {by_token[1]:.3f}")

# %% [markdown]
# The first is a [[term:bootstrap]] over files, which you write in the lab. The second, Wilson's formula, is for answers that are independent of each other. It is several times too narrow (4 to 17 times, over five splits).
# Ten files are few, though: from so few groups the bootstrap, too, comes out somewhat narrow (Cameron, Gelbach and Miller 2008). Read it as the least that the uncertainty can be.
#
# ### Without training: the arrow between two means
#
# There is a probe that needs no training. Take the mean vector of the yeses and that of the nos; the arrow from one to the other is the direction. It is called *difference of means*, and is popular because it is
# hard to overfit. One thing is often forgotten: where to cut.

# %% [raw] quiz="probing-midpoint"
# question = "You compute x · direction for each token and say yes where it is above 0. When is that the right place to cut?"
# choices = ["always: the direction points from no to yes", "only if the midpoint between the two means happens to lie at 0 along the direction", "if there are as many yeses as nos"]
# answer = 1
# why = [
#   "The direction tells which way is yes, and nothing about where yes begins. Activations are not centred: both means may lie on the same side of 0.",
#   "Right. Subtract the midpoint first, or add the offset −midpoint · direction. On a data set of true and false statements a replication found an accuracy of 0.743 without and 0.953 with it, along the same direction.",
#   "The number of tokens moves the mean of *all* tokens, not the two means. Zero has nothing to do with either.",
# ]

# %%
x, unseen = streams["train"]["layer 2"], streams["test"]["layer 2"]
kinds = {kind.__name__: kind(x, train.answers["in_comment"]) for kind in (probes.difference_of_means, probes.lda)}
kinds["logistic"] = fitted["in_comment", "layer 2"]
arrow = kinds["difference_of_means"].direction
kinds = {"difference of means, cut at 0": probes.Probe(arrow, 0.0)} | kinds
print(f"{'in_comment, after layer 2':32}balanced accuracy     AUC")
for name, each in kinds.items():
    told = each.scores(unseen)
    print(f"{name.replace('_', ' '):32}{probes.balanced_accuracy(told > 0, truth):17.3f}{probes.auc(told, truth):8.3f}")

# %%
reach, cut = unseen @ arrow, -kinds["difference_of_means"].offset
edges = torch.linspace(float(reach.min()), float(reach.max()), 71)
humps = {"in a comment": reach[truth], "elsewhere": reach[~truth]}
figure = plots.lines(
    {name: torch.histogram(values, edges).hist / len(values) for name, values in humps.items()},
    x=(edges[:-1] + edges[1:]) / 2,
    title="Test tokens along the difference of means: 0 is dotted, the midpoint solid",
    xlabel="x · direction",
    ylabel="share of the tokens of each kind",
    alt="Two overlapping humps. The solid line at the midpoint separates them better than the dotted line at 0.",
)
figure.add_vline(x=0, line=dict(color=plots.INK, dash="dot"))
figure.add_vline(x=cut, line=dict(color=plots.INK)).show()

# %% [markdown]
# The three directions differ, too. The arrow between the means ignores that some coordinates are noisy and that many move together. *Linear discriminant analysis* (LDA) divides by the covariance
# $\Sigma$ within the two kinds: $\Sigma^{-1}\delta$, with $\delta$ the arrow. For two Gaussian clouds that is the best direction there is, and its accuracy has a closed form, $\Phi(\Delta/2)$ with
# $\Delta^2 = \delta^T\Sigma^{-1}\delta$. Does the formula hold for a model's vectors?

# %%
y = train.answers["in_comment"]
difference = x[y].mean(0) - x[~y].mean(0)
inside = x - torch.where(y[:, None], x[y].mean(0), x[~y].mean(0))
covariance = inside.T @ inside / len(x)
for name in ("difference_of_means", "lda"):
    on_paper = probes.gaussian_accuracy(kinds[name].direction, difference, covariance)
    counted = probes.balanced_accuracy(kinds[name].scores(unseen) > 0, truth)
    print(f"{name.replace('_', ' '):20} on paper {on_paper:.3f}   counted on test files {counted:.3f}")

# %% [markdown]
# Near, not equal: the clouds are not Gaussian, their spreads differ, and the covariance was estimated on other files. On planted Gaussians formula and count agree, as the lab shows.
#
# *What this does not show*: that a bad straight cut means that the information is missing. In Othello-GPT, a model that plays a board game, a linear probe for *black or white* errs on 20.4 % of the squares, and a
# non-linear one on 1.7 % ([[paper:li2023_othello]]). Asked for *mine or theirs* instead, a linear probe is right on about 99.5 % ([[paper:nanda2023_othello]]). The label was wrong, not the model.
#
# ### What a list of tokens can do
#
# A probe after layer 2 has 240 weights, and the vector still says which token it is. So the probe could learn a list by heart: this token yes, that one no. How good is a probe at that?
#
# [[paper:hewitt2019]] measure it with a [[term:control task]]: every *type* of token (every number in the vocabulary) gets a label by the toss of a coin, once, and keeps it wherever it stands. There is no meaning in
# it, so whatever a probe reaches there, it has learned as a list.

# %% [raw] predict="probing-control"
# question = "Each of the 1,024 types gets a random label, yes with probability 0.3. A probe is trained on it after layer 2, and tested on other files. What AUC does it reach?"
# choices = ["about 0.5: there is nothing to learn", "about 0.6", "0.75 or more"]
# answer = 2
# why = [
#   "The labels mean nothing, but they can be learned: a token that was a yes in training is a yes in the test.",
#   "It would be so if the 240 weights were far too few for the list, or the vectors had lost which token they stand for. Neither is the case.",
#   "Right. Frequent tokens make up most of the text, and 240 weights learn a list of those rather well.",
# ]

# %%
controls = {}
for place in ("embedding", "layer 2"):
    found = []
    for seed in range(2):
        labels = probes.control_labels(torch.cat([train.ids, test.ids]), 0.3, seed)
        control = probes.logistic(streams["train"][place], labels[:n])
        found.append(probes.auc(control.scores(streams["test"][place]), labels[n:]))
    controls[place] = sum(found) / 2
    print(f"control task, {place:9}: AUC {found[0]:.3f} and {found[1]:.3f}")

# %%
reveal("probing-control")

# %% [markdown]
# The [[term:selectivity]] of a probe is its figure on the label minus its figure on a control task. (The paper subtracts accuracies. Our labels are rare, so AUCs are compared.)

# %%
at = places.index("layer 2")
figure = plots.bars(
    on_test[:, at],
    questions,
    title="Probes after layer 2, on test files",
    xlabel="label",
    ylabel="AUC, or difference of AUCs",
    alt="Three bars for each of four labels: the AUC after layer 2, the part of it above the embedding alone, and the selectivity. Keyword has the highest AUC and next to nothing above the embedding.",
)
figure.data[0].name = "AUC"
above = {
    "above the embedding alone": on_test[:, at] - on_test[:, 0],
    "selectivity": on_test[:, at] - controls["layer 2"],
}
for shade, (name, values) in enumerate(above.items(), start=1):
    figure.add_bar(x=questions, y=values, name=name, marker_color=plots.COLOURS[shade])
figure.update_layout(barmode="group", showlegend=True).show()

# %% [markdown]
# *Keyword* has the highest figure, even the highest selectivity, and nothing above the embedding: high figure, no discovery. Selectivity alone would have misled you, because keywords are a *short* list, easier to learn than a random one.
# *In a comment* has a lower figure and a real rise. Use both baselines.
#
# *What this does not show*: that a selective probe found something that the model made for its own use. For that you have to touch the model.
#
# ### Read, but used?
#
# Take a direction $u$ of length 1 and replace what each vector has along it by the mean: $x' = x - ((x - \text{mean}) \cdot u)\,u$. That is [[term:erasing]]. If the rest of the model reads
# this direction, its [[term:loss]] must rise. Layer 3 and the unembedding stand behind layer 2, so we erase there, with a hook:
#
# ```python
# model.run_with_hooks(tokens, fwd_hooks=[("blocks.2.hook_resid_post", erase)])    # erase(stream, hook) returns the edited stream
# ```
#
# Three probes. One tells whether the token stands in the second half of the window. One tells comments. And one tells whether the token's *number in the vocabulary* is even, which nothing in Python depends on.

# %% [raw] predict="probing-used"
# question = "All three are read well, with AUCs from about 0.8 to nearly 1. Whose direction does the model miss when it is erased after layer 2?"
# choices = ["all three, in the order of their AUCs", "the position's by far; the other two cost little more than a random direction", "none: one direction of 240 is nothing"]
# answer = 1
# why = [
#   "It is the natural inference from a probe, and it is the one that this lesson wants to take from you. The AUC says what *can* be read.",
#   "Right. Layer 3 reads the position along this direction. Even numbers are an accident of the tokenizer. And comments have more to say: read on.",
#   "One direction in 240 is little of the vector, but not little of what a reader of that direction sees.",
# ]

# %%
labels = {
    "second half": lambda tokens: torch.arange(255).repeat(len(tokens.windows)) >= 128,
    "in a comment": lambda tokens: tokens.answers["in_comment"],
    "even number": lambda tokens: tokens.ids % 2 == 0,
}
windows, centre = test.windows[:24], x.mean(0)
untouched = probes.token_losses(model, windows)


def rise(direction):
    """How much the loss rises, token by token, when a direction is erased after layer 2."""
    hooks = [("blocks.2.hook_resid_post", probes.eraser(direction, centre))]
    return probes.token_losses(model, windows, hooks) - untouched


# %%
read = {name: probes.logistic(x, label(train)) for name, label in labels.items() if name != "in a comment"}
read["in a comment"] = fitted["in_comment", "layer 2"]
costs = {}
for name, label in labels.items():
    figure_read = probes.auc(read[name].scores(unseen), label(test))
    costs[f"{name} (AUC {figure_read:.2f})"] = rise(read[name].direction).mean()
draws = torch.randn(8, 240, generator=torch.Generator().manual_seed(0))
random_rises = [rise(direction) for direction in draws]
random = torch.stack([r.mean() for r in random_rises])
costs["random, mean of 8"], costs["random, largest of 8"] = random.mean(), random.max()
plots.bars(
    list(costs.values()),
    list(costs),
    title=f"The rise of the loss, from {untouched.mean():.2f} nats a token, when a direction is erased",
    ylabel="rise, nats a token",
    alt="Five bars: the second half of the window stands far above the rest; comments, even numbers and random directions are all near 0.",
)

# %%
reveal("probing-used")

# %% [markdown]
# So here is a probe that reads something which the model does not use: the parity of a token's number. It is in the vector because the vector says which token it is, and from that *any* property of tokens can be read, sensible or not.
#
# And comments? Does the model not care? Two more looks before you say so. First, train a *new* probe on what is left after erasing.

# %%
for name, label in list(labels.items())[1:]:
    before, after = (probes.erase(streams[part]["layer 2"], read[name].direction, centre) for part in ("train", "test"))
    again = probes.auc(probes.logistic(before, label(train)).scores(after), label(test))
    print(
        f"{name:13} AUC {probes.auc(read[name].scores(unseen), label(test)):.3f}   of a new probe after erasing: {again:.3f}"
    )

# %% [markdown]
# The label is still there, along another direction. Logistic regression picks *one* direction that separates well; a reader inside the model may use another. So a small effect speaks about this direction, not about the
# label.
#
# Second, a mean over all tokens hides what happens at a few: one of eight tokens is in a comment. So look at those alone. And take a second direction, the difference of means, with controls *of its own
# kind*: the differences of means of five random labels, a coin for each type.

# %%
mine = truth.view(-1, 255)[: len(windows), :-1]  # the last token of a window has no next one
coins = [probes.difference_of_means(x, probes.control_labels(train.ids, 0.5, seed)) for seed in range(5)]
rises = {
    "comments, logistic": [rise(read["in a comment"].direction)],
    "random directions": random_rises,
    "comments, difference of means": [rise(arrow)],
    "coins, difference of means": [rise(coin.direction) for coin in coins],
}
print(f"{'rise of the loss, mean (largest)':33}{'all tokens':>18}{'tokens in comments':>22}")
for name, some in rises.items():
    told = [torch.stack([r[where].mean() for r in some]) for where in (torch.ones_like(mine), mine)]
    print(f"{name:33}" + "".join(f"{t.mean():12.4f} ({t.max():.4f})" for t in told))

# %% [markdown]
# Read the columns one by one. Over *all* tokens the comments' directions cost about as much as the largest of their controls. Note how much the arrows of meaningless coins cost: the arrow between two means lies where
# the vectors vary most, and erasing what varies most hurts, whatever it is. Without coins you would have called 0.05 nats a proof.
#
# At the tokens *in comments* both directions cost more than any of their controls, the logistic one about twice as much as the largest random one (1.7 to 3.8 times, over five splits). So the model does use them there, a little. Three answers, then: the position's direction is used; that of even numbers is not; that of comments is, where
# comments are. The AUCs were 1.00, 0.82 and 0.96, and said none of this.
#
# *What this does not show*: how much the model depends on knowing that it is in a comment. Other directions tell it as well, as the new probe showed, and we erased one. [[paper:belinkov2022]] has the whole discussion.
#
# **Change this and see.** Erase after layer 1, where more of the model stands behind. And is the even-number probe still at the level of chance when you count only the even tokens?
#
# ## Watch
#
# There is no film for this lesson. Look once more at the pictures of the erased directions, and say of each bar what it is compared with.
#
# ## Read
#
# 1. [[paper:alain2016]]: where layer-by-layer probes come from.
# 2. [[paper:hewitt2019]]: control tasks. By accuracy the first layer of their model looks slightly better than the second; by selectivity the second is far ahead. Find out why.
# 3. [[paper:belinkov2022]]: what ten years of probing have and have not shown. The best map of the traps.
#
# ## Do
#
# Open [[lab:11]]. You write twelve functions: the split, the loss and the midpoint; the closed form and the AUC; the choice of a layer, the control task and the interval; and the test of use.
#
# ## ML Connection
#
# Probes are everywhere in research on language models: for grammar, for truth, for the state of a game board, for deception. They are cheap, so they are also run on everything, and a figure such as "95 % linearly decodable" says little until you know the majority, the
# control, the split and the baseline from the embedding. Directions found by probes are then used to *steer* a model (lesson 16), and that is an intervention, with controls of its own. Sparse autoencoders (lessons 13 and 14) look for directions without labels; you will score them with the labels of this lesson.
#
# ## What this does not show
#
# - That a label which no linear probe finds is not there. It may lie on a curve, or the question may be put the wrong way (*black* instead of *mine*).
# - That a label which is found is *represented for use*. The vector of a token says which token it is; all properties of tokens come along.
# - That a direction whose erasure costs nothing belongs to a label which the model does not use. There may be other directions with the same news.
# - That a costly direction is used *for the label*. It may carry much else, as the coins showed.
# - Anything about other code: thirty-two files of one library, one small model. Five other splits of the same files gave the same picture (`benchmarks/bands_l11.json`), and they share those files.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. Two that we have: how many directions must be erased, one after the other, until no probe finds the comments? And does the model lose anything before that?
