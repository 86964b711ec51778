# %% [markdown]
# # Start here
#
# A language model writes a poem, a proof or a program, and nobody wrote the rules by which it does so. They were learned, and
# they are stored as a large file of numbers. This course is about reading that file.
#
# Today you take a first network apart, a tiny one, and learn the four ideas on which all later lessons stand: tensors with named axes,
# einsum, softmax, and loss. You need some Python, and curiosity. Nothing about neural networks is assumed.
#
# Run each cell with Shift+Enter, from the top.

# %%
import torch

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import models, plots

torch.set_printoptions(precision=2, sci_mode=False)

# %% [markdown]
# ## Core Learning
#
# ### The question
#
# **Can we reverse-engineer neural networks into human-understandable programs?** That is the question of
# [[term:mechanistic interpretability]]. *Mechanistic*: not only what a network does, but by which steps it does it.
#
# Here is a network that you can hold in your head. Two numbers, a and b, go in. Three units each multiply them by fixed numbers,
# the [[term:weights]], add, and replace a negative result by 0. A last weight for each unit says how it goes into the output.

# %%
W_in = torch.tensor([[1.0, -1.0], [0.0, 1.0], [0.0, -1.0]])  # (unit, input)
W_out = torch.tensor([1.0, 1.0, -1.0])  # (unit,)


def network(a, b):
    # @ multiplies number by number and sums: each row of W_in with (a, b), so one number for each unit.
    units = torch.relu(W_in @ torch.tensor([a, b]))  # relu: negative numbers become 0
    return float(W_out @ units)


# [:, None] makes W_out a column, of shape (3, 1); torch.cat puts it to the right of W_in (dim=1: side by side).
plots.heatmap(
    torch.cat([W_in, W_out[:, None]], dim=1),
    x=["from a", "from b", "to the output"],
    y=["unit 0", "unit 1", "unit 2"],
    title="All the weights of a small network",
    xlabel="weight",
    ylabel="unit",
    alt="A row for each of three units: its weights from a and from b, and its weight to the output.",
    zmid=0,
    text=True,
    zlabel="weight",
)

# %% [markdown]
# Now guess. A *prediction* is asked before you see the answer. It is not graded. It is stored, so that you can see later how well you
# knew what you knew. Choose, say how sure you are, then run the cells below it.

# %% [raw] predict="start-mystery-network"
# question = "What does this network compute from a and b?"
# choices = ["the sum of the two", "the difference of the two", "the larger of the two"]
# answer = 2
# why = [
#   "A reasonable guess, since the output adds units up. But unit 0 holds a − b, and the units 1 and 2 together hold b: the sum is relu(a − b) + b.",
#   "Unit 0 does hold a difference. Then units 1 and 2 put b back in: relu(a − b) + b.",
#   "Right. Unit 0 holds a − b where that is positive, else 0. Units 1 and 2 together give b back, whatever its sign. So: b, plus whatever a has more.",
# ]

# %%
numbers = torch.arange(-3.0, 4.0)
table = torch.tensor([[network(float(a), float(b)) for b in numbers] for a in numbers])
plots.heatmap(
    table,
    x=[str(int(b)) for b in numbers],
    y=[str(int(a)) for a in numbers],
    title="What the network does",
    xlabel="b",
    ylabel="a",
    alt="A table: the output for every a (rows) and every b (columns) from -3 to 3.",
    zmid=0,
    text=True,
    zlabel="output",
)

# %%
reveal("start-mystery-network")

# %% [markdown]
# This field has three kinds of work. You have done two of them, and the next cell does the third:
#
# - *Behaviour*: the table says **what** it does. It returns the larger number.
# - *Mechanism*: the weights say **how**. relu(a − b) + b.
# - *Test*: if that is the mechanism, then a change inside must have the effect that it predicts. Switch unit 0 off, and only b should be left.

# %%
W_out_before, W_out = W_out, torch.tensor([0.0, 1.0, -1.0])  # unit 0 no longer reaches the output
for a, b in [(3.0, 1.0), (1.0, 3.0), (-2.0, -1.0)]:
    print(f"a = {a:2.0f}, b = {b:2.0f}: without unit 0 the output is {network(a, b):2.0f}")
W_out = W_out_before

# %% [markdown]
# **Change this and see.** Switch off unit 1 instead. What do you expect for positive b, and what for negative b? Say it before you run it.
#
# A real model has many thousands of units, and nobody can read it line by line like this one. So the field looks for parts that make sense: a
# [[term:feature]], something that the network represents, and a [[term:circuit]], the parts that compute something with it.
#
# *What this does not show*: that learned networks are as tidy. We chose these weights by hand.
#
# ### How the course works
#
# An hour a day. A lesson is two notebooks: this one to *read*, and a *lab* to *do*. Each is cut into sittings that fit into an hour.
# Stop at the end of one, or in the middle; `mechinterp` in a terminal brings you back.
#
# | you write | and you get |
# |---|---|
# | `check("causal_mask", causal_mask)` | what holds of your answer and what does not; it stands below every exercise |
# | `hint("causal_mask")` | a nudge; run again, the idea; run again, an outline |
# | `causal_mask = borrow("causal_mask")` | the course's own function, where you leave an exercise out and want to go on |
#
# A check that fails is the normal case, for everybody. It says what your function did, what is true of a right answer, and, where it
# recognises your mistake, its name. One from the lab:
#
# ```
# ✗ cross_entropy   0 of 5 checks passed
# Called: cross_entropy(logits = a 3 × 1024 tensor, targets = [0 17 1023])
# The loss is 20.79; it should be 6.93. Every token has probability 1/1024.
# A right answer: a model that knows nothing about 1,024 tokens loses
#   log 1024 = 6.93 nats.
# This looks like: a sum instead of a mean. You added the surprises up. Average
#   them: otherwise a long text has a large loss because it is long.
# Next: hint("cross_entropy")
# ```
#
# You need not understand the words yet. You will, by the end of this notebook.
#
# ### Tensors: blocks of numbers with named axes
#
# A network sees only numbers. A [[term:tensor]] is a block of them: a list has one axis, a table has two, and you can go on.
# What counts is the **name** of each axis, that is, what it counts. Torch does not know the names, so we write them down beside each tensor.
#
# Two short texts, cut into [[term:token|tokens]] by the tokenizer of the model that you meet in lesson 02. For each token we note three
# numbers, so the tensor has three axes: `(batch, pos, d_model)`. A token often begins with a space, as ` =` does here, and the space counts as a
# character: ` =` has 2.

# %%
tokenizer = models.tokenizer("code-2l")
texts = ["x = None or y", "return name + 1"]
# The tokens as text. bos=False leaves out a token that the tokenizer puts before every text, for "beginning of sequence".
token_lists = [tokenizer.str_tokens(text, bos=False)[:4] for text in texts]  # four tokens each


def describe(token):  # three numbers: characters, letters, capital letters
    return [len(token), sum(map(str.isalpha, token)), sum(map(str.isupper, token))]


x = torch.tensor([[describe(token) for token in tokens] for tokens in token_lists]).float()
print("shape:", tuple(x.shape), "= (batch, pos, d_model)")

# %%
plots.heatmap(
    x[0],  # the first text: (pos, d_model)
    x=["characters", "letters", "capitals"],
    y=plots.token_labels(token_lists[0]),
    title="x[0]: the first text of the batch, (pos, d_model)",
    xlabel="d_model: three numbers for each token",
    ylabel="pos",
    alt="Four rows, one for each token of the first text; three columns: its characters, its letters, its capitals.",
    text=True,
    zlabel="count",
)

# %% [markdown]
# In a language model the three numbers become hundreds, and nobody chose their meaning. The names stay the same: `batch` for the texts that are
# processed at once, `pos` for the place in the text, `d_model` for the numbers at each place. A picture of the whole block:
#
# ```
#          d_model
#        ┌─────────┐
#   pos  │ text 0  │─┐   x[0]       text 0            (pos, d_model)
#        │         │ │   x[0, 2]    its token 2       (d_model,)
#        └─┬───────┘ │   x[:, 2]    token 2 of all    (batch, d_model)
#          │ text 1  │   x[..., 0]  the first number  (batch, pos)
#  batch ↘ └─────────┘
# ```
#
# An index removes its axis; a colon keeps it. The rest of the names tells you the shape.

# %%
print("x[0]     ", tuple(x[0].shape))
print("x[0, 2]  ", tuple(x[0, 2].shape))
print("x[:, 2]  ", tuple(x[:, 2].shape))
print("x[..., 0]", tuple(x[..., 0].shape))

# Axes are counted from 0, or from the end with a minus: dim=1 is pos, dim=-1 is d_model.
print("mean over pos:     ", tuple(x.mean(dim=1).shape))
print("mean over d_model: ", tuple(x.mean(dim=-1).shape))
print("with the axis kept:", tuple(x.mean(dim=-1, keepdim=True).shape))
print("x minus its mean:  ", tuple((x - x.mean(dim=-1, keepdim=True)).shape))

# %% [markdown]
# The last line is called *broadcasting*. `x` is (2, 4, 3) and its mean, with the axis kept, (2, 4, 1). Where one of two tensors has size 1,
# its number is used for the whole axis of the other: here, the mean of a token is taken off each of the token's three numbers.
#
# **Change this and see.** Take the largest number instead of the mean: `x.amax(dim=1)`. Which axis goes? What does the result say about each text?
#
# ### Einsum: name the axes
#
# Most of what a transformer does is multiplying and summing over an axis. *Einsum* lets you say it with names. Each axis gets a letter:
#
# > Line up what has the same letter, and multiply. **The letters that are missing on the right are summed.**
#
# The letters are yours to choose. Here `b` is batch, `p` is pos, `m` is d_model (`d` is kept for another axis, d_head) and `o` is out. First with numbers:
# the four tokens of text 0, and what is left when `p` is missing on the right.

# %%
print("x[0], a row for each token:")
print(x[0])
print("pm->m, summed over the tokens:  ", torch.einsum("pm->m", x[0]))
print("pm->p, summed over the numbers: ", torch.einsum("pm->p", x[0]))
print("pm,pm->p, each number squared and summed:", torch.einsum("pm,pm->p", x[0], x[0]))

# %% [markdown]
# The same with more axes. Before you read a line's result, say which letters are missing on the right.

# %%
W = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # (d_model = 3, out = 2)
patterns = {
    "bpm->bm": [x],  # p is missing: sum over the positions
    "bpm->mpb": [x],  # nothing is missing: the axes change places
    "bpm,mo->bpo": [x, W],  # m is missing: each position's vector times W
    "bpm,bqm->bpq": [x, x],  # m is missing: every position with every position (q is pos again, under a second letter)
}
for pattern, tensors in patterns.items():
    shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors)
    print(f"{pattern:14} {shapes:24} → {tuple(torch.einsum(pattern, *tensors).shape)}")

# %% [markdown]
# The third line is a layer of a network. The fourth compares every position with every other: it multiplies two vectors number by number and
# sums, which is called their *dot product*. *Attention*, the part of a language model by which one position looks at others, begins with it.
# Read them aloud with their names: *batch, pos, d_model times d_model, out, gives batch, pos, out*.

# %% [raw] predict="start-einsum-missing"
# question = "x is (batch 2, pos 4, d_model 3) and W is (d_model 3, out 2). What does torch.einsum('bpm,mo->bo', x, W) return?"
# choices = ["an error, because p is missing on the right", "shape (2, 2): the result of the last position alone", "shape (2, 2): for each text, the sum of its four positions' results"]
# answer = 2
# why = [
#   "A reasonable worry. But a missing letter is no error; it is an instruction: sum over it. That is also how einsum surprises people.",
#   "Nothing is picked by a missing letter. It is summed: all four positions count the same.",
#   "Right. m and p are both missing, so both are summed: over m inside each product, over p afterwards.",
# ]

# %%
summed = torch.einsum("bpm,mo->bo", x, W)
every_position = torch.einsum("bpm,mo->bpo", x, W)
print("einsum with p missing:       ", summed.tolist())
print("sum over pos of the full one:", every_position.sum(dim=1).tolist())
print("the last position alone:     ", every_position[:, -1].tolist())

# %%
reveal("start-einsum-missing")

# %% [markdown]
# **Change this and see.** Write the pattern that compares every token of text 0 with every token of text 1: `x[0]` and `x[1]` are both
# `(pos, d_model)`. The result should be 4 by 4.
#
# ### Softmax: scores become shares
#
# A network often has to divide something: attention among positions, probability among tokens. It computes a *score* for each, any number at all,
# and a [[term:softmax]] turns the scores into shares that are positive and sum to 1:
#
# $$\text{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# A score that is higher by 1 gets a share that is $e$ = 2.718 times as large.

# %%
scores = torch.tensor([0.0, 1.0, 2.0, 4.0])
share = torch.softmax(scores, dim=-1)
for score, one in zip(scores, share, strict=True):
    print(f"score {score:.0f}: share {one:.4f}")
print(
    f"score 1 against score 0: {share[1] / share[0]:.3f} times; score 2 against score 1: {share[2] / share[1]:.3f} times"
)

# %%
names = ["score 0", "score 1", "score 2", "score 4"]
shares = torch.stack([torch.softmax(factor * scores, dim=-1) for factor in (0.2, 1, 3)])
plots.lines(
    {"scores × 0.2": shares[0], "scores": shares[1], "scores × 3": shares[2]},
    x=names,
    title="The same scores, weaker and stronger",
    xlabel="score",
    ylabel="share",
    alt="Three lines over four scores. Weak scores give nearly equal shares; strong ones give almost everything to the largest.",
)

# %% [markdown]
# So softmax is a soft version of "the largest takes all": the stronger the scores, the harder it is.

# %% [raw] predict="start-softmax-shift"
# question = "You add 100 to every one of the four scores. What does softmax return?"
# choices = ["the same shares", "almost everything for the largest score", "an error or nan: e to the 104 is too large"]
# answer = 0
# why = [
#   "Right. Every exponential is multiplied by the same e¹⁰⁰, and that cancels in the fraction. Only differences of scores count.",
#   "That happens when you *multiply* the scores. Adding leaves the differences as they are, and shares depend on differences alone.",
#   "A good thought: e¹⁰⁴ is too large for these floats, and the formula as it stands gives nan. torch's softmax takes care of it; in the lab you find out how.",
# ]

# %%
print("softmax(scores):      ", torch.softmax(scores, dim=-1))
print("softmax(scores + 100):", torch.softmax(scores + 100, dim=-1))
large = (scores + 100).exp()
print("the bare formula:     ", large / large.sum())

# %%
reveal("start-softmax-shift")

# %% [markdown]
# **Change this and see.** Set one score to `float("-inf")`. Its share is exactly 0. That is how a language model is kept from looking at words that
# come later, as you will see in the lab.
#
# *What this does not show*: that a share is a belief. Softmax makes probabilities of any numbers, good or bad.
#
# ### Logits and loss: how wrong is it?
#
# A language model does one thing: after each token it gives every token of its *vocabulary*, all the tokens that it knows, a score for coming next. These scores are
# its [[term:logits]]; softmax makes them probabilities. Then the next token comes, and we can ask how surprised the model was:
#
# $$\text{surprise} = -\log p(\text{the token that came})$$
#
# with the natural logarithm, so the unit is the [[term:nat]]. Certain and right: 0. A coin: 0.69. A die: 1.79.

# %%
probability = torch.linspace(0.01, 1, 100)
plots.lines(
    {"surprise": -probability.log()},
    x=probability,
    title="Surprise, in nats",
    xlabel="probability that the model gave to the token that came",
    ylabel="−log p",
    alt="A falling curve: very high near probability 0, 0.69 at one half, 0 at 1.",
)

# %% [markdown]
# The [[term:loss]] is the mean surprise over many tokens. It is the one number that training lowers, and the one by which this course measures every
# change to a model.

# %% [raw] predict="start-which-loss"
# question = "Each of two models predicts four tokens. A gives probability ½ to the right one every time. B gives 0.99 three times, and 0.0001 once. Which has the lower (better) mean loss?"
# choices = ["model A", "model B", "they are about equal"]
# answer = 0
# why = [
#   "Right. B's three successes cost nearly nothing, but its one confident mistake costs 9.2 nats: more than all four coin flips of A together.",
#   "B is right three times out of four, and by counting successes it wins. The loss counts surprise: one confident mistake outweighs the rest.",
#   "B's mean probability is even the higher one, 0.74. But the mean is taken of the logarithms, and log 0.0001 is far below everything else.",
# ]

# %%
given = {"A": [0.5, 0.5, 0.5, 0.5], "B": [0.99, 0.99, 0.99, 0.0001]}
for name, probabilities in given.items():
    surprise = -torch.tensor(probabilities).log()
    print(f"model {name}: {surprise}, loss {surprise.mean():.2f} nats")

# %%
reveal("start-which-loss")

# %% [markdown]
# What do such numbers mean? $e^{\text{loss}}$ is the number of sides of a fair die that is as hard to guess:

# %%
for sides in (2, 6, 1024):
    surprise = torch.tensor(1 / sides).log().neg()  # what one roll of a fair die with so many sides costs
    print(f"{sides:4} sides: loss {surprise:.2f} nats, and e to the {surprise:.2f} is {surprise.exp():.0f}")

# %% [markdown]
# So a model that knows nothing about a vocabulary of 1,024 tokens has a loss of log 1024 = 6.93 nats. The bundled model of lesson 02 came
# down to:

# %%
card = models.card("code-2l")
loss = torch.tensor(card["loss"]["test"]["nats_per_token"])
print(f"on Python that it was not trained on: {loss:.2f} nats, a die with {loss.exp():.0f} sides")

# %% [markdown]
# *What this does not show*: how the model does it, or whether it understands anything. A loss is behaviour. The how is the rest of the course.

# %% [raw] quiz="start-levels"
# question = "You switch off one part of a model, and its loss on repeated text rises from 0.5 to 6 nats. What have you learned?"
# choices = ["that this part does the repeating", "that the model needs this part to do well on repeated text", "nothing, since one number cannot show anything"]
# answer = 1
# why = [
#   "Tempting, and a step too far. The part may only feed the one that does the work, or everything may depend on it.",
#   "Right, and no more than that. What the part does, and whether others can stand in for it, takes further experiments.",
#   "One number can show a great deal, if you know what it should be without the change, and how much it moves when you switch off any other part.",
# ]

# %% [markdown]
# ## Watch
#
# - [[paper:welchlabs2024]]: 24 minutes, and a picture of where this course is going. Watch it before any paper.
# - [[paper:3blue1brown2017]]: chapters 1 to 4 (what a network is, and how it learns) this week; the later chapters, on
#   transformers and attention, before [[lesson:02]]. If you have seen them, watch the one on attention again: you will write it soon.
#
# ## Read
#
# 1. [[paper:olah2022]]: a short, informal essay. Networks as compiled programs: what would reverse-engineering one take? Skip what
#    is unclear; it comes back in later lessons.
# 2. [[paper:nanda2022_glossary]]: not to be read through. Keep it open beside the course and look things up.
#
# ## Do
#
# Open [[lab:00]]: seven short functions, from an average along an axis to the loss of each token. It is cut into two sittings. On the way you build an
# attention pattern by hand, and measure how surprising a line of Python is.
#
# ## ML Connection
#
# The four ideas are the daily language of the field. Papers write `[batch, pos, d_model]` into their figures, einsum patterns stand in the code
# of the models themselves, and a line like "the loss rose by 0.3 nats when we removed this head" is how a result is reported. Researchers ask
# about models what you asked about three units: what does it do, by which steps, and what happens when I change one? It matters because a test
# from outside covers the cases that somebody tried. To know what a model will do in the others, it helps to know how it works.
#
# ## What this does not show
#
# - That a large network can be understood in this way. It is an open question. Parts of some networks have been; you will see which, and how well.
# - What happens inside a language model. Nothing in this notebook ran one. Lesson 02 opens the first.
# - That low loss means understanding, or that a share of attention means importance. Keep both doubts; later lessons put them to the test.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. A question that has bothered you about language models for years is a good one to begin with; look
# at it again in a month.
