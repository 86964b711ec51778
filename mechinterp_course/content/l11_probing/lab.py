# %% [markdown]
# # Probing: the lab
#
# A probe is easy to train and easy to believe. In this lab you write twelve small functions: four that make a probe, and eight that keep you from
# believing it too soon. At the end you can say of a probe how well it reads, whether that figure would hold on another file, whether it learned
# anything but a list of tokens, and whether the model itself uses what it reads.
#
# ```
#   files ──split──▶ training ──────▶ a probe: direction, offset        score = x · direction + offset, above 0 is a yes
#             │
#             ├────▶ validation ────▶ which layer?
#             └────▶ test ──────────▶ one figure, with its interval ──▶ better than a control?  ──▶ used by the model?
# ```
#
# | name | what it counts |
# |---|---|
# | `token` | tokens, one row each |
# | `feature` | the coordinates of a token's vector: 240 in `code-4l` |
# | `x` | activations, `(token, feature)` |
# | `y` | the label, `(token,)`, True or False |
#
# The model is `code-4l` with raw weights: four layers, trained on Python source. The tokens are of 32 files that it never saw, and their labels are
# exact: Python's own `tokenize` and `ast` made them. After a restart, run the next cell and your earlier answers again.

# %%
import functools
import math

import torch

from mechinterp_course import predict, reveal
from mechinterp_course.interp import models, plots, probe_data, probes, views


@functools.cache
def model():
    """The bridge of code-4l: loaded once, in a few seconds."""
    return models.load("code-4l")


@functools.cache
def data(each=4):
    """The parts "train", "validation" and "test", by file, with the vectors of each at every place (some seconds)."""
    parts = probe_data.split(seed=0, each=each)
    return parts, {part: probe_data.streams(model(), tokens.windows) for part, tokens in parts.items()}


# %% [raw] card="split_by_file"
# title = "A split that does not leak"
# purpose = "Two tokens of one file share names, style and subject. If one is in training and the other in test, the test is no test."
# difficulty = 2
# importance = 5
# minutes = 10
# points = 2
# uses = []
# nudge = "What do you shuffle and deal out: tokens, or files?"
# idea = "List the different files, shuffle that list with the generator, deal the first ones to validation and the next ones to test, and give each token the part of its file."
# outline = """
# 1. The different file numbers: file_of.unique().
# 2. A random order of them: torch.randperm with the generator.
# 3. The first n_validation of that order are validation files, the next n_test are test files.
# 4. Start with zeros, one for each token. Where a token's file is among the validation files write 1, among the test files 2 (torch.isin).
# """
# look = "In the picture, a probe that learned nothing but to recognise files scores near 1.00 on a split of tokens. On your split it is at chance; and as twelve test files are twelve coins, chance is anything from 0.25 to 0.75."

# %% [markdown]
# `file_of` says for each token which file it comes from. Deal out the *files*: `n_validation` of them to validation (1), `n_test` to test (2),
# the rest to training (0), at random. File numbers are any whole numbers, with gaps, in any order, and the tokens of a file need not stand together.
#
# ```
#   file_of   7 7 7 3 3 9 9 9 9 4 4         n_validation = 1, n_test = 1
#   part      0 0 0 2 2 0 0 0 0 1 1         file 4 is validation, file 3 is test
# ```


# %% answer="split_by_file"
def split_by_file(file_of: torch.Tensor, n_validation: int, n_test: int, generator: torch.Generator) -> torch.Tensor:
    """Return the part of each token: 0 training, 1 validation, 2 test; all tokens of a file are in one part.

    file_of: (token,), the number of each token's file. n_validation, n_test: how many files go there, chosen at random with the
    generator. Returns: (token,), whole numbers.
    """
    ### BEGIN SOLUTION
    files = file_of.unique()
    files = files[torch.randperm(len(files), generator=generator)]
    part = torch.zeros_like(file_of)
    part[torch.isin(file_of, files[:n_validation])] = 1
    part[torch.isin(file_of, files[n_validation : n_validation + n_test])] = 2
    return part
    ### END SOLUTION


# %% [markdown]
# Look: planted data with *nothing* to find. Forty files, each with a vector of its own, and a label that was drawn for each file by a coin. A
# probe cannot know the coin of a file that it has not seen.

# %%
noise = torch.Generator().manual_seed(0)
file_of = torch.arange(40).repeat_interleave(50)
x = 3 * torch.randn(40, 60, generator=noise)[file_of] + torch.randn(2000, 60, generator=noise)
y = (torch.rand(40, generator=noise) < 0.5)[file_of]
tokens_dealt = torch.randint(0, 3, (2000,), generator=noise)  # each token on its own: leaks
found = []
for part in (tokens_dealt, split_by_file(file_of, 8, 12, noise)):
    probe = probes.logistic(x[part == 0], y[part == 0])
    found.append(probes.accuracy(probe.scores(x[part == 2]) > 0, y[part == 2]))
plots.bars(
    found,
    ["tokens dealt out", "files dealt out"],
    title="Test accuracy where there is nothing to learn",
    ylabel="accuracy on the test part",
    alt="Two bars: near 1 when tokens are dealt out one by one, far lower, no better than a coin, when whole files are.",
)

# %% [markdown]
# *What this does not show*: that files are always the right unit. Two files by one author, or two versions of one file, leak as well.

# %% [raw] card="logistic_loss"
# title = "The loss of a logistic probe"
# purpose = "The most used probe is a line drawn by this loss. What it punishes decides where the line goes."
# difficulty = 3
# importance = 4
# minutes = 12
# points = 2
# uses = []
# nudge = "What is the probability of a yes at score s, and what is the surprise, −log p, of the answer that is true? What does your formula give at s = −1000?"
# idea = "For a yes the surprise is log(1 + exp(−s)), for a no log(1 + exp(s)). torch.nn.functional.softplus computes log(1 + exp(·)) without overflow. Average, and add the penalty on the weights alone."
# outline = """
# 1. scores: x @ weight + offset.
# 2. The sign of each score turned so that positive is right: scores where y is True, −scores where it is False.
# 3. The surprise of each token: softplus of minus that. Take the mean.
# 4. Add penalty / 2 times the sum of squared weights. The offset is not punished.
# """
# look = "The course's `probes.logistic` uses the same loss. Without the penalty the weights of a separable label would grow for ever."

# %% [markdown]
# A token's score is $s = x \cdot w + b$, and the probability of a yes is $\sigma(s) = 1/(1+e^{-s})$. The loss is the mean surprise of the
# true answers, plus a penalty that keeps the weights small:
#
# $$L = \frac{1}{n}\sum_{\text{yes}} -\log \sigma(s) \; + \; \frac{1}{n}\sum_{\text{no}} -\log(1-\sigma(s)) \; + \; \frac{\text{penalty}}{2} \lVert w \rVert^2$$
#
# It has to stay right for scores of ±1000, and torch has to be able to take its gradient. Write the surprise yourself; do not call a loss of torch.


# %% answer="logistic_loss"
def logistic_loss(
    weight: torch.Tensor, offset: torch.Tensor, x: torch.Tensor, y: torch.Tensor, penalty: float
) -> torch.Tensor:
    """Return the mean surprise of the labels under a logistic probe, plus penalty / 2 times the squared length of the weight.

    weight: (feature,). offset: one number, a tensor of shape (). x: (token, feature). y: (token,), True or False. Returns: shape ().
    """
    ### BEGIN SOLUTION
    scores = x @ weight + offset
    rightness = torch.where(y, scores, -scores)
    surprise = torch.nn.functional.softplus(-rightness)
    return surprise.mean() + penalty / 2 * weight.square().sum()
    ### END SOLUTION


# %% [markdown]
# Look: your loss finds a line. Gradient descent as in [[lab:01]], on two clouds of planted points.

# %%
noise = torch.Generator().manual_seed(1)
y = torch.arange(300) % 3 == 0  # a third are yes
x = torch.randn(300, 2, generator=noise) + torch.where(y[:, None], torch.tensor([2.0, 1.0]), torch.tensor([0.0, 0.0]))
weight, offset = torch.zeros(2, requires_grad=True), torch.zeros((), requires_grad=True)
for _ in range(300):
    loss = logistic_loss(weight, offset, x, y, 1e-3)
    slopes = torch.autograd.grad(loss, [weight, offset])
    weight, offset = ((p - 1.0 * s).detach().requires_grad_() for p, s in zip((weight, offset), slopes, strict=True))
w, b = weight.detach(), offset.detach()
figure = plots.scatter(
    x,
    title=f"The line where the probe says one half (loss {loss.item():.2f}; {math.log(2):.2f} before training)",
    xlabel="coordinate 0",
    ylabel="coordinate 1",
    alt="Two overlapping clouds of points, the yes cloud to the upper right, and a straight line between them.",
    groups=["yes" if label else "no" for label in y],
)
ends = torch.tensor([-0.5, 3.0])
figure.add_scatter(x=ends, y=-(b + w[0] * ends) / w[1], mode="lines", name="score 0", line=dict(color=plots.INK))
figure.update_yaxes(range=[-3, 4])
figure.show()

# %% [raw] card="raw_probe"
# title = "Back from standardised coordinates"
# purpose = "A probe is fitted on standardised coordinates, but the model lives in raw ones. A direction that you want to push along, erase or compare has to be taken back."
# difficulty = 2
# importance = 4
# minutes = 8
# points = 1
# uses = []
# nudge = "Write the score out: the sum of weight times (x − mean) / spread, plus offset. What stands in front of x?"
# idea = "Sort the score into what multiplies x (the raw direction) and what does not (the raw offset)."
# outline = """
# 1. direction: weight divided by spread, coordinate by coordinate.
# 2. offset: the old one, minus the dot product of that direction with the mean.
# """
# look = "Below, the cosine between the weights as they are and the raw direction: in this model nearly 1, because its coordinates vary alike, so the mistake would hide. Where they do not, it is another direction altogether."

# %% [markdown]
# Before fitting, each coordinate is brought to mean 0 and standard deviation 1, so that the penalty treats all coordinates alike. So the probe's
# score is
#
# $$s = \frac{x - \text{mean}}{\text{spread}} \cdot w + b$$
#
# Give the direction $v$ and the offset $c$ with $s = x \cdot v + c$ for every raw `x`.


# %% answer="raw_probe"
def raw_probe(
    weight: torch.Tensor, offset: float, mean: torch.Tensor, spread: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Return direction and offset in raw coordinates of a probe that was fitted on (x − mean) / spread.

    weight, mean, spread: (feature,); spread is above 0. Returns: (feature,) and a number (a float, or a tensor of shape ()).
    """
    ### BEGIN SOLUTION
    direction = weight / spread
    return direction, offset - direction @ mean
    ### END SOLUTION


# %% [markdown]
# Look: "is this token in a comment?", fitted after layer 2 of the model. (The first run reads the files with the model: some seconds.)

# %%
parts, streams = data()
x, y = streams["train"]["layer 2"], parts["train"].answers["in_comment"]
mean, spread = x.mean(0), x.std(0)
fitted = probes.fit((x - mean) / spread, y)
direction, offset = raw_probe(fitted[:-1], fitted[-1], mean, spread)
same = torch.allclose((x - mean) / spread @ fitted[:-1] + fitted[-1], x @ direction + offset, atol=1e-3)
cosine = torch.cosine_similarity(direction, fitted[:-1], dim=0)
print(f"the scores are the same: {same}")
print(f"standard deviations of the coordinates: {spread.min():.2f} to {spread.max():.2f}")
print(f"cosine between the raw direction and the weights left standardised: {cosine:.2f}")
uneven = spread.clone()
uneven[:10] *= 0.02  # planted: ten coordinates vary fifty times less
planted, _ = raw_probe(fitted[:-1], fitted[-1], mean, uneven)
print(f"the same, with ten quiet coordinates: {torch.cosine_similarity(planted, fitted[:-1], dim=0):.2f}")

# %% [raw] card="midpoint_probe"
# title = "Difference of means, with its midpoint"
# purpose = "The simplest probe needs no training: an arrow from one mean to the other. Half of it is easily forgotten."
# difficulty = 2
# importance = 5
# minutes = 10
# points = 2
# uses = []
# nudge = "The arrow says which way is yes. From which point on is it a yes? Does that point move when there are a hundred times more nos?"
# idea = "The direction is the mean of the yeses minus the mean of the nos. The score must be 0 at the point halfway between these two means."
# outline = """
# 1. yes: the mean of x over tokens with the label; no: over those without.
# 2. direction = yes − no.
# 3. midpoint = (yes + no) / 2.
# 4. x · direction + offset has to be 0 at the midpoint, so the offset is minus midpoint · direction.
# """
# look = "In the picture the dotted line at 0 is where one would cut without a midpoint. Which share of the tokens would then be called a comment?"

# %% [markdown]
# ```
#        no  ●───────────┼──────────▶● yes           direction: the arrow, not normalised
#                     midpoint                       score: 0 here, positive on the side of yes
# ```
#
# Activations are not centred: all tokens may lie far out on the same side of zero. A replication of a probe of true and false statements found an accuracy of
# 0.743 with the cut at zero, and 0.953 with the same direction cut at the midpoint.


# %% answer="midpoint_probe"
def midpoint_probe(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return direction and offset of the difference-of-means probe; its score x · direction + offset is 0 at the midpoint of the means.

    x: (token, feature). y: (token,), True or False, both present. Returns: the mean of the yeses minus that of the nos, (feature,), and a number
    (a float, or a tensor of shape ()).
    """
    ### BEGIN SOLUTION
    yes, no = x[y].mean(dim=0), x[~y].mean(dim=0)
    direction = yes - no
    return direction, -(yes + no) / 2 @ direction
    ### END SOLUTION


# %%
parts, streams = data()
test, unseen = parts["test"], streams["test"]["layer 2"]
direction, offset = midpoint_probe(streams["train"]["layer 2"], parts["train"].answers["in_comment"])
reach, y = unseen @ direction, test.answers["in_comment"]
cut = float(-offset)
both = [round(probes.balanced_accuracy(reach > at, y), 3) for at in (0.0, cut)]
edges = torch.linspace(float(reach.min()), float(reach.max()), 61)
shares = {
    name: torch.histogram(part.float(), edges).hist / len(part)
    for name, part in (("in a comment", reach[y]), ("elsewhere", reach[~y]))
}
figure = plots.lines(
    shares,
    x=(edges[:-1] + edges[1:]) / 2,
    title=f"Balanced accuracy {both[0]:.3f} cut at 0 (dotted), {both[1]:.3f} cut at the midpoint (solid)",
    xlabel="x · direction, tokens of the test files",
    ylabel="share of the tokens",
    alt="Two overlapping humps, tokens of comments to the right of the others; a solid line at the midpoint stands between them, a dotted line at 0.",
)
figure.add_vline(x=cut, line=dict(color=plots.INK))
figure.add_vline(x=0, line=dict(color=plots.INK, dash="dot"))
figure.show()

# %% [markdown]
# *What this does not show*: that the midpoint is the best cut. It is where both kinds err alike if their spreads are alike, and here they need not be.

# %% [raw] card="gaussian_accuracy"
# title = "What any direction reaches, on paper"
# purpose = "Two Gaussian clouds are the one case where a probe's accuracy has a closed form. It tells why the arrow between the means is not the best direction."
# difficulty = 3
# importance = 3
# minutes = 12
# points = 1
# uses = []
# nudge = "Project both clouds onto the direction. You get two bell curves on a line: how far apart are they, and how wide is each?"
# idea = "Along w the means are w·δ apart, and each bell has the standard deviation √(wᵀΣw). A cut in the middle is half that distance from each mean: the accuracy is Φ(distance / (2 · standard deviation))."
# outline = """
# 1. apart: direction · difference.
# 2. width: the square root of direction · (covariance @ direction).
# 3. torch.special.ndtr is Φ. Give it apart / (2 · width).
# """
# look = "The best direction is Σ⁻¹δ, and there the formula is Φ(Δ/2). Below: how much the arrow between the means loses when one noisy coordinate is in the way."

# %% [markdown]
# Two kinds of points, equally frequent, both Gaussian with the covariance $\Sigma$, their means $\delta$ apart. Seen along a direction $w$
# they are two bell curves, and a cut halfway between them is right with the probability
#
# $$\Phi\!\left(\frac{w \cdot \delta}{2\sqrt{w^T \Sigma\, w}}\right)$$
#
# where $\Phi$, the area under the bell curve, is `torch.special.ndtr`. A direction that points the wrong way gets less than one half. The best direction is $w = \Sigma^{-1}\delta$
# (*linear discriminant analysis*), and gets $\Phi(\Delta/2)$ with $\Delta = \sqrt{\delta^T \Sigma^{-1} \delta}$.


# %% answer="gaussian_accuracy"
def gaussian_accuracy(direction: torch.Tensor, difference: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Return the accuracy of a cut at the midpoint between two equally frequent Gaussians, seen along the direction.

    direction: (feature,), any length. difference: (feature,), the mean of the yeses minus that of the nos. covariance: (feature, feature), that of
    each kind. Returns: shape ().
    """
    ### BEGIN SOLUTION
    apart = direction @ difference
    width = (direction @ covariance @ direction).sqrt()
    return torch.special.ndtr(apart / (2 * width))
    ### END SOLUTION


# %% [markdown]
# Look: the label moves two coordinates alike, but the second one has noise of its own, up to four times as wide. Formula and a count on 20,000 points.

# %%
difference, widths = torch.tensor([1.5, 1.5]), torch.linspace(1, 4, 13)
noise, rows = torch.Generator().manual_seed(2), {}
y = torch.rand(20_000, generator=noise) < 0.5
bells = torch.randn(20_000, 2, generator=noise)
for name in ("difference of means", "best direction"):
    for how in ("formula", "count"):
        rows[f"{name}, {how}"] = []
    for width in widths:
        covariance = torch.diag(torch.tensor([1.0, width**2]))
        w = difference if name.startswith("diff") else torch.linalg.solve(covariance, difference)
        x = bells * torch.tensor([1.0, width]) + y[:, None] * difference
        rows[f"{name}, formula"].append(float(gaussian_accuracy(w, difference, covariance)))
        rows[f"{name}, count"].append(probes.accuracy((x - difference / 2) @ w > 0, y))
plots.lines(
    rows,
    x=widths,
    title="The arrow between the means walks into the noise",
    xlabel="standard deviation of coordinate 1 (coordinate 0: 1)",
    ylabel="accuracy at the midpoint",
    alt="Four lines. For the best direction formula and count fall together from 0.86 to about 0.78; for the difference of means from 0.86 to about 0.64.",
)

# %% [raw] card="area_under_curve"
# title = "A measure that rare labels cannot fool"
# purpose = "Seven tokens of eight are not in a comment. Whoever always says no has an accuracy of 0.88. You need a measure where that is worth nothing."
# difficulty = 3
# importance = 4
# minutes = 12
# points = 1
# uses = []
# nudge = "Draw one token with the label and one without. How often does the first have the higher score? How many such pairs are there?"
# idea = "Compare every yes with every no: a win counts 1, a tie 1/2. Divide by the number of pairs."
# outline = """
# 1. yes = scores[y], no = scores[~y].
# 2. A matrix of comparisons: yes[:, None] against no[None, :]. Wins are where it is greater.
# 3. Ties are where they are equal: each counts one half.
# 4. The mean over the matrix of wins plus half of the ties.
# """
# look = "Of these four, always saying no has the highest accuracy, and reads nothing. AUC is not impressed."

# %% [markdown]
# AUC, the *area under the ROC curve*, is the chance that a random token with the label scores higher than a random token without:
#
# ```
#   yes: 3  1          pairs: 3>2 win, 3>1 win, 3>0 win, 1<2 loss, 1=1 tie, 1>0 win
#   no:  2  1  0       AUC = (4 + ½) / 6 = 0.75
# ```
#
# 1 is perfect, 0.5 a guess, 0 the wrong way round, whatever the share of tokens with the label. It uses no cut at all.


# %% answer="area_under_curve"
def area_under_curve(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the share of pairs (one token with the label, one without) in which the first scores higher; a tie counts one half.

    scores: (token,). y: (token,), True or False, both present. Returns: shape ().
    """
    ### BEGIN SOLUTION
    yes, no = scores[y][:, None], scores[~y][None, :]
    wins = (yes > no).float()
    ties = (yes == no).float()
    return (wins + ties / 2).mean()
    ### END SOLUTION


# %% [markdown]
# Look: "is it in a comment?" after layer 1, where the model has not worked it out yet, in four ways. The third is the midpoint probe at its cut.

# %%
parts, streams = data()
x, y = streams["train"]["layer 1"], parts["train"].answers["in_comment"]
unseen, truth = streams["test"]["layer 1"], parts["test"].answers["in_comment"]
told = {
    "always no": torch.full((len(truth),), -1.0),
    "a coin": torch.randn(len(truth), generator=torch.Generator().manual_seed(0)),
    "difference of means": probes.difference_of_means(x, y).scores(unseen),
    "logistic": probes.logistic(x, y).scores(unseen),
}
print(f"{'':22}accuracy     AUC")
for name, scores in told.items():
    print(f"{name:22}{probes.accuracy(scores > 0, truth):8.3f}{float(area_under_curve(scores, truth)):8.3f}")

# %% [raw] card="choose_layer"
# title = "Choose the layer where you do not report"
# purpose = "The best of many figures is best partly by luck. If the same files choose and report, the luck is in the report."
# difficulty = 2
# importance = 5
# minutes = 8
# points = 2
# uses = []
# nudge = "Which of the two tables may you look at before you have decided?"
# idea = "For each label, take the layer with the highest validation figure, and look up the test figure of that very layer."
# outline = """
# 1. The best layer of each label: argmax of validation over the layer axis.
# 2. Pick the test figure of that layer in each row (gather, or indexing with torch.arange).
# """
# look = "On pure noise the honest report is 0.50 on average. The other two look like a finding."

# %% [markdown]
# You have tried a probe at every layer and want to report one figure for each label. `validation` and `test` hold the figures of the two parts. Choose on the one,
# report the other.


# %% answer="choose_layer"
def choose_layer(validation: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each label the layer that is best on validation, and the test figure of that layer.

    validation, test: (label, layer), higher is better. Returns: (label,), whole numbers, and (label,).
    """
    ### BEGIN SOLUTION
    layer = validation.argmax(dim=1)
    return layer, test[torch.arange(len(test)), layer]
    ### END SOLUTION


# %% [markdown]
# Look: 500 labels and 12 layers of *noise*. Every figure is 0.5 give or take 0.03; nothing is there to be found.

# %%
noise = torch.Generator().manual_seed(3)
validation, test = 0.5 + 0.03 * torch.randn(2, 500, 12, generator=noise)
plots.bars(
    [choose_layer(validation, test)[1].mean(), validation.max(1).values.mean(), test.max(1).values.mean()],
    [
        "chosen on validation, test reported",
        "chosen on validation, validation reported",
        "chosen on test, test reported",
    ],
    title="Mean report of 500 probes that read nothing (chance: 0.5)",
    ylabel="reported figure",
    alt="Three bars: 0.50 for the honest report, about 0.55 for both others.",
).update_yaxes(range=[0.45, 0.57])

# %% [raw] card="control_labels"
# title = "A control task"
# purpose = "A probe with many weights can learn a list by heart: this token yes, that token no. A control task measures how well."
# difficulty = 2
# importance = 4
# minutes = 8
# points = 1
# uses = []
# nudge = "The control label must say nothing about code, and still be learnable. When the same token appears again, what must its label be?"
# idea = "Draw one yes or no for every *type* of token, and look it up for each token."
# outline = """
# 1. How many entries does the table need? One more than the largest type.
# 2. One random number for each entry, with the generator; a yes where it is below share.
# 3. Index the table with types.
# """
# look = "The picture: a control label is a property of the token alone. Each token has one colour wherever it stands."

# %% [markdown]
# A *type* is a token's number in the vocabulary; the text `a = a` has the type `a` twice. The [[term:control task]] of [[paper:hewitt2019]] gives each type a random answer, and each token the
# answer of its type:
#
# ```
#   text      self  .  name  =  self  .  x
#   control    yes  no  no  yes  yes  no yes
# ```
#
# No grammar is in it, but a probe can learn it, as far as it can learn a list. `share` is the chance of a yes for a type; each type has a coin of its own,
# so how many types become a yes is chance as well.


# %% answer="control_labels"
def control_labels(types: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Return a random label for each token that depends on its type alone: True with probability `share`, for each type independently.

    types: (token,), whole numbers from 0. generator: the source of all random numbers. Returns: (token,), True or False.
    """
    ### BEGIN SOLUTION
    table = torch.rand(int(types.max()) + 1, generator=generator) < share
    return table[types]
    ### END SOLUTION


# %%
source = "def add(self, name):\n    self.name = name\n"
ids = models.tokenizer("code-4l").encode(source, bos=False)
said = control_labels(ids, 0.5, torch.Generator().manual_seed(4))
views.tokens(
    said.float(),
    models.tokenizer("code-4l").str_tokens(ids),
    title="One draw of a control label",
    alt="Two lines of code; tokens of the same type have the same colour, whatever they do there.",
    zlabel="control label, yes = 1",
)

# %% [raw] card="selectivity"
# title = "Selectivity"
# purpose = "A high figure says that a probe reads well. Selectivity says how much of that a list of tokens does not explain."
# difficulty = 2
# importance = 4
# minutes = 7
# points = 1
# uses = ["area_under_curve"]
# nudge = "Two probes of one kind, two tasks. What does the difference between their figures say that the first one alone does not?"
# idea = "The AUC of the probe on its label, minus the AUC of the control's probe on the control label."
# outline = """
# 1. The AUC of scores against y.
# 2. The AUC of control_scores against control.
# 3. Their difference.
# """
# look = "Which label has the highest figure, and which the highest selectivity? The keyword probe need not know any grammar: a keyword is a list of 35 tokens."

# %% [markdown]
# Train the same kind of probe twice, once on the label and once on the control label, and test both. Their difference is the [[term:selectivity]]. The paper subtracts accuracies; our labels are rare, so we subtract AUCs.


# %% answer="selectivity"
def selectivity(
    scores: torch.Tensor, y: torch.Tensor, control_scores: torch.Tensor, control: torch.Tensor
) -> torch.Tensor:
    """Return the AUC of a probe on its label minus the AUC of the control's probe on the control label.

    scores, control_scores: (token,), of two probes on the same test tokens. y, control: (token,), True or False. Returns: shape ().
    """
    ### BEGIN SOLUTION
    return area_under_curve(scores, y) - area_under_curve(control_scores, control)
    ### END SOLUTION


# %%
parts, streams = data()
train, test = parts["train"], parts["test"]
x, unseen = streams["train"]["layer 2"], streams["test"]["layer 2"]
rows = {"AUC of the label": [], "selectivity": []}
questions = ["keyword", "in_comment", "in_brackets", "in_docstring"]
for seed, question in enumerate(questions):
    y, truth = train.answers[question], test.answers[question]
    labels = control_labels(torch.cat([train.ids, test.ids]), 0.3, torch.Generator().manual_seed(seed))
    control = probes.logistic(x, labels[: len(x)])
    scores = probes.logistic(x, y).scores(unseen)
    rows["AUC of the label"].append(area_under_curve(scores, truth))
    rows["selectivity"].append(selectivity(scores, truth, control.scores(unseen), labels[len(x) :]))
figure = plots.bars(
    rows["AUC of the label"],
    questions,
    title="Four labels after layer 2: the figure, and how much of it is not a list of tokens",
    xlabel="label",
    ylabel="AUC, or difference of AUCs",
    alt="Two bars for each label: its AUC, and its selectivity, which is far lower.",
)
figure.data[0].name = "AUC of the label"
figure.add_bar(x=questions, y=rows["selectivity"], name="selectivity", marker_color=plots.COLOURS[1])
figure.update_layout(barmode="group", showlegend=True).show()

# %% [markdown]
# *What this does not show*: that the rest is grammar which the model worked out. A probe on the embedding alone tells keywords as well; the lesson has that row.

# %% [raw] card="accuracy_interval"
# title = "An interval that knows about files"
# purpose = "Ten thousand test tokens sound like a lot. They come from ten files, and a file is mostly right or mostly wrong as a whole."
# difficulty = 3
# importance = 4
# minutes = 14
# points = 2
# uses = []
# nudge = "If you had collected your test set once more, what would have been drawn anew: single tokens, or files?"
# idea = "Bootstrap: draw as many files as there are, with replacement, pool all of their tokens, compute the accuracy. Do that many times, and take the 2.5 % and 97.5 % quantiles."
# outline = """
# 1. For each file: how many tokens it has, and how many of them are right.
# 2. Draw file places: torch.randint(number of files, (draws, number of files)) with the generator.
# 3. For each draw: the sum of the drawn files' right tokens, divided by the sum of their tokens. A file drawn twice counts twice.
# 4. The quantiles 0.025 and 0.975 of these accuracies (torch.quantile).
# """
# look = "Compare the two intervals. The narrow one would let you call a difference of two points a discovery."

# %% [markdown]
# How far would the accuracy move with other files of the same kind? The *bootstrap* answers by drawing from what you have:
#
# ```
#   test files        A B C D E
#   one draw          B D D A B      pool the tokens of these five, B and D twice → one accuracy
#   2,000 draws       2,000 accuracies; the middle 95 % of them are the interval
# ```
#
# Large files weigh more than small ones, as they do in the accuracy itself. File numbers are any whole numbers.


# %% answer="accuracy_interval"
def accuracy_interval(
    right: torch.Tensor, file_of: torch.Tensor, draws: int, generator: torch.Generator
) -> tuple[float, float]:
    """Return the 2.5 % and the 97.5 % quantile of the accuracy when files are drawn anew, with replacement.

    right: (token,), whether the probe is right about it. file_of: (token,). draws: how many times to draw, 1 or more, with the generator. Returns: two numbers,
    the lower one first.
    """
    ### BEGIN SOLUTION
    files, place = file_of.unique(return_inverse=True)
    n = len(files)
    tokens = torch.bincount(place, minlength=n).float()
    rights = torch.bincount(place, weights=right.float(), minlength=n)
    chosen = torch.randint(n, (draws, n), generator=generator)
    accuracies = rights[chosen].sum(dim=1) / tokens[chosen].sum(dim=1)
    low, high = accuracies.quantile(torch.tensor([0.025, 0.975], dtype=accuracies.dtype))
    return low.item(), high.item()
    ### END SOLUTION


# %%
parts, streams = data()
test = parts["test"]
probe = probes.logistic(streams["train"]["layer 2"], parts["train"].answers["in_brackets"])
right = (probe.scores(streams["test"]["layer 2"]) > 0) == test.answers["in_brackets"]
wide = accuracy_interval(right, test.file, 2000, torch.Generator().manual_seed(0))
narrow = probes.wilson(int(right.sum()), len(right))  # as if tokens were independent
by_file = torch.stack([right[test.file == f].float().mean() for f in test.file.unique()])
figure = plots.bars(
    by_file,
    [f"file {f}" for f in test.file.unique()],
    title="Accuracy in each test file: “is a bracket open?”",
    ylabel="accuracy",
    alt="A bar for each test file, of different heights; a wide band, the interval by file, and within it a narrow one, the interval over tokens.",
)
for (low, high), shade in ((wide, 0.15), (narrow, 0.5)):
    figure.add_hrect(y0=low, y1=high, fillcolor=plots.COLOURS[1], opacity=shade, line_width=0)
figure.update_yaxes(range=[float(by_file.min()) - 0.05, 1]).show()
print(f"by file: {wide[0]:.3f} to {wide[1]:.3f}    tokens taken as independent: {narrow[0]:.3f} to {narrow[1]:.3f}")
print(f"always no: {probes.majority(test.answers['in_brackets']):.3f}")

# %% [markdown]
# *What this does not show*: what happens on code of another kind. Ten files of one library are ten draws from that library.

# %% [raw] card="erase_direction"
# title = "Erase a direction"
# purpose = "Reading is not using. To learn whether the model needs a direction, take it away and leave everything else as it was."
# difficulty = 2
# importance = 5
# minutes = 10
# points = 2
# uses = []
# nudge = "How much of the vector lies along the direction? Your formula has to give the same answer for a direction ten times as long."
# idea = "Bring the direction to length 1. Measure how far x − mean reaches along it, and subtract that much of it from x."
# outline = """
# 1. unit = direction divided by its length.
# 2. reach = (x − mean) · unit, one number for each vector.
# 3. x minus reach times unit. Give reach an axis of size 1 for the features.
# """
# look = "In the picture both clouds lie exactly on top of each other along the erased direction, and nothing else has moved. A probe along it can only guess now."

# %% [markdown]
# Replace what `x` has along the direction by what the mean has there:
#
# $$x' = x - \big((x - \text{mean}) \cdot u\big)\, u, \qquad u = \frac{\text{direction}}{\lVert\text{direction}\rVert}$$
#
# Why the mean and not zero? Because zero may lie far outside of what the model ever sees, and then it errs for that reason. (You met the same in [[lab:03]], as zero and mean ablation.)


# %% answer="erase_direction"
def erase_direction(x: torch.Tensor, direction: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Return x with its part along the direction replaced by the mean's; `x` itself is unchanged.

    x: (..., feature), any number of axes in front. direction: (feature,), any length but 0. mean: (feature,). Returns: the shape of x.
    """
    ### BEGIN SOLUTION
    unit = direction / direction.norm()
    reach = (x - mean) @ unit
    return x - reach[..., None] * unit
    ### END SOLUTION


# %%
noise = torch.Generator().manual_seed(5)
y = torch.arange(400) % 2 == 0
x = torch.randn(400, 2, generator=noise) * torch.tensor([1.0, 0.5]) + y[:, None] * torch.tensor([1.5, 2.0]) + 2
probe = probes.difference_of_means(x, y)
erased = erase_direction(x, probe.direction, x.mean(0))
figure = plots.scatter(
    torch.cat([x, erased]),
    title="Before and after erasing the difference of means",
    xlabel="coordinate 0",
    ylabel="coordinate 1",
    alt="Two clouds, yes and no, apart from each other; after erasing, both lie on one straight line through their common mean, mixed.",
    groups=[f"{'yes' if label else 'no'}, {when}" for when in ("before", "erased") for label in y],
)
figure.update_yaxes(scaleanchor="x", scaleratio=1)  # so that a right angle looks like one
figure.show()

# %% [raw] card="erasing_effect"
# title = "Is it used?"
# purpose = "A probe that reads something does not show that the model reads it. Erase it, see what the model loses, and compare with directions that mean nothing."
# difficulty = 3
# importance = 5
# minutes = 12
# points = 2
# uses = ["erase_direction"]
# nudge = "The model lost 0.004 nats without your direction. Is that much? What does it lose without any other direction?"
# idea = "The effect of a direction is the mean loss with it erased, minus the mean loss with nothing erased. Compute that for the direction, and for each control on its own."
# outline = """
# 1. base: the mean of rest(x).
# 2. effect: the mean of rest(erase_direction(x, direction, mean)), minus base.
# 3. For each row of controls the same, always from the untouched x.
# 4. Return the effect, and the controls' effects as one tensor.
# """
# look = "Below are three directions of the real model, all read well by a probe, and eight random ones. Which of the three would you have expected to matter?"

# %% [markdown]
# `rest` is the rest of the model, behind the place where `x` was read: it takes activations and gives the loss of each token. So `rest(x)` is the loss as it is, and `rest` of an
# edited `x` is what the edit makes of it.
#
# ```
#   tokens ──▶ layers 0-2 ──▶  x  ──▶ layer 3, logits ──▶ loss          rest(x)
#                              │
#                              └─ without one direction ──▶ … ──▶ loss      rest(erased x)
# ```
#
# Give the *rise* of the mean loss when the direction is erased, and the same for each control direction, one at a time. The `mean` is given: in the lab
# it is that of the training tokens, not of this `x`.


# %% answer="erasing_effect"
def erasing_effect(
    rest, x: torch.Tensor, direction: torch.Tensor, mean: torch.Tensor, controls: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return by how much the mean loss rises when the direction is erased, and the rise for each control direction alone.

    rest: a function, activations -> the losses of the tokens, of any shape. x: (..., feature). direction, mean: (feature,). controls: (n, feature), n directions.
    Returns: shape (), and (n,).
    """
    ### BEGIN SOLUTION
    base = rest(x).mean()
    effect = rest(erase_direction(x, direction, mean)).mean() - base
    others = [rest(erase_direction(x, control, mean)).mean() - base for control in controls]
    return effect, torch.stack(others)
    ### END SOLUTION


# %% [markdown]
# First, what you expect. A probe after layer 2 tells with an AUC of 0.8 whether a token's *number in the vocabulary* is even. Nothing in Python depends on that number.

# %% [raw] predict="lab-probing-even"
# question = "You erase the direction of this probe after layer 2. What does the model lose, compared with random directions?"
# choices = ["about as little as without a random direction", "much more: what can be read so well must be of use", "nothing at all, to the last digit"]
# answer = 0
# why = [
#   "Right. The vector of a token says which token it is, so any list of tokens can be read from it, also a useless one. The direction itself is like any other to the layer behind it.",
#   "That is the inference which this lab is about. The probe was trained to find the direction; nobody trained the model to use it.",
#   "A tempting thought. But no direction is quite empty: each carries a little of everything, as the random ones show.",
# ]

# %%
parts, streams = data()
windows = parts["test"].windows[:16]


def rest(x):
    """The loss of each token of 16 windows, with x, (window, token, d_model), in place of the stream after layer 2 (BOS keeps its own)."""

    def put(stream, hook):
        return torch.cat([stream[:, :1], x], dim=1)

    return probes.token_losses(model(), windows, [("blocks.2.hook_resid_post", put)])


labels = {
    "second half of the window": lambda tokens: torch.arange(255).repeat(len(tokens.windows)) >= 128,
    "in a comment": lambda tokens: tokens.answers["in_comment"],
    "token number is even": lambda tokens: tokens.ids % 2 == 0,
}

# %%
x = streams["test"]["layer 2"].view(len(parts["test"].windows), 255, -1)[:16]
trained_on, mean = streams["train"]["layer 2"], streams["train"]["layer 2"].mean(0)
controls = torch.randn(8, 240, generator=torch.Generator().manual_seed(6))
bars = {}
for name, label in labels.items():
    probe = probes.logistic(trained_on, label(parts["train"]))
    figure_read = probes.auc(probe.scores(streams["test"]["layer 2"]), label(parts["test"]))
    effect, others = erasing_effect(rest, x, probe.direction, mean, controls if not bars else controls[:1])
    random = others if not bars else random
    bars[f"{name} (AUC {figure_read:.2f})"] = effect
bars["random: the mean of 8"], bars["random: the largest of 8"] = random.mean(), random.max()
plots.bars(
    list(bars.values()),
    list(bars),
    title="What the model loses when a direction is erased after layer 2",
    ylabel="rise of the loss, nats a token",
    alt="Five bars: erasing the direction of the second half of the window costs far more than the others, which are near the random ones.",
)

# %%
reveal("lab-probing-even")

# %% [markdown]
# All three are read. One is used: the model needs to know where it is in the window. The even numbers cost what a random direction costs, and even comments hardly more.
#
# *What this does not show*: that the model has no use for comments. One of eight tokens is in a comment, and a mean over all tokens drowns what happens there: the lesson looks at those alone, and finds more. And erasing one direction
# is a test of that direction; a new probe still finds the comments in what is left.
