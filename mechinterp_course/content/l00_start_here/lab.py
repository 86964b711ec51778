# %% [markdown]
# # Start here: the lab
#
# Seven short functions, each a few lines long. At the end you have the arithmetic behind attention (dot products, the causal
# mask, softmax) and behind the loss that language models are trained on. You also have an attention pattern that you built by
# hand, and a next-token predictor whose surprise you can measure, token by token.
#
# An exercise goes like this:
#
# 1. Read its card, then the text below it.
# 2. Write your code in place of `raise NotImplementedError()`, and run the cell with Shift+Enter.
# 3. Run the cell below it, with `check(...)`. It says what holds and what does not.
# 4. Run the cells that draw what your function computed, and look.
#
# A check sees what your function returns, not how it is written: a ready-made `torch.softmax` passes as well. Writing it yourself is the point.
#
# If you are stuck, make a new cell and write, for instance, `hint("mean_over_positions")`. Run it again for the next hint; there are three.
# If a later exercise needs an earlier one that you have left out, `log_probabilities = borrow("log_probabilities")` takes the course's own.
#
# Every tensor below has named axes, as in the lesson:
#
# | name | what it counts |
# |---|---|
# | `batch` | texts at once |
# | `pos` | tokens in a text; `query` and `key` are positions too, where two of them are compared |
# | `head`, `d_head` | attention heads, and the numbers in one head's query or key |
# | `d_model` | numbers at one position |
# | `d_vocab` | different tokens that could come next |
#
# A result has its input's type of number: float32 usually, float64 where the input is float64. Torch's own operations see to that.
#
# The tokenizer below cuts Python code into tokens. It puts `[BOS]` before every text, a token of its own for "beginning of sequence"
# (its text is `<|endoftext|>`, because it also ends one); with `bos=False` it leaves that out.

# %%
import torch

from mechinterp_course.interp import models, plots, tasks

tokenizer = models.tokenizer("code-2l")  # knows 1,024 different tokens

# %% [raw] card="mean_over_positions"
# title = "An average along one axis"
# purpose = "An operation over the wrong axis still runs, and still returns numbers. Here you say which axis, and see the shape answer."
# difficulty = 1
# importance = 4
# minutes = 6
# points = 1
# uses = []
# nudge = "The result is (batch, d_model). Which of the three axes of the input is missing there, and what is its number, counted from 0?"
# idea = "The axis that is missing on the right is the one that you average over: tell .mean() its number with dim=."
# outline = """
# 1. The axes are batch (0), pos (1), d_model (2).
# 2. Call .mean() on the tensor, with dim= the number of the pos axis.
# 3. Return the result. The axis is gone, so the shape is (batch, d_model).
# """
# look = "You gave a number, 1, and meant a name, pos. Say the name to yourself each time you write a dim=."

# %% [markdown]
# Two texts, three positions, two numbers at each position:
#
# ```
#              pos 0     pos 1     pos 2            mean over pos
#   text 0   [1, 10]   [2, 20]   [3, 30]     →     [2, 20]
#   text 1   [0,  0]   [0,  0]   [9,  3]     →     [3,  1]
# ```
#
# Three axes go in, two come out: `batch pos d_model → batch d_model`. The axis that is missing on the right is averaged away. With one
# text alone, `batch` is an axis of size 1, and it stays.


# %% answer="mean_over_positions"
def mean_over_positions(activations: torch.Tensor) -> torch.Tensor:
    """Return, for each text, the mean of its vectors over all positions.

    activations: (batch, pos, d_model). Returns: (batch, d_model).
    """
    ### BEGIN SOLUTION
    return activations.mean(dim=1)
    ### END SOLUTION


# %% [markdown]
# Look: three lines of Python as tokens. Each token has four numbers, 1 or 0: is it letters, a digit, white space, or a sign? The mean
# over positions is then the share of each kind. The lines have different numbers of tokens, and a tensor is a full block, so the longer
# ones are cut to the length of the shortest. **Change this and see**: put a line of your own in.

# %%
code = ["return 1 + 2 * (3 - x)", "for name in names: print(name)", "x[0], x[1] = x[1], x[0]"]
kinds = ["letters", "digits", "space", "signs"]


def kind_of(token):  # four numbers, one of them 1: [0, 1, 0, 0] for a digit
    text = token.strip()
    kind = "letters" if text.isalpha() else "digits" if text.isdigit() else "signs" if text else "space"
    return [float(kind == one) for one in kinds]


token_lists = [tokenizer.str_tokens(line, bos=False) for line in code]
shortest = min(len(tokens) for tokens in token_lists)
token_lists = [tokens[:shortest] for tokens in token_lists]  # one length for all
activations = torch.tensor([[kind_of(token) for token in tokens] for tokens in token_lists])
shares = mean_over_positions(activations)
print(f"(batch, pos, d_model) = {tuple(activations.shape)}   →   (batch, d_model) = {tuple(shares.shape)}")
plots.heatmap(
    shares,
    x=kinds,
    y=["".join(tokens) for tokens in token_lists],
    title=f"What the first {shortest} tokens of each line are made of",
    xlabel="kind of token",
    ylabel="the tokens",
    alt="A row for each of three lines of Python, a column for each kind of token: the share of that kind among the tokens shown.",
    text=True,
    zlabel="share",
)

# %% [raw] card="all_dot_products"
# title = "Every query with every key: einsum"
# purpose = "One line of einsum computes all comparisons of an attention layer: all texts, all heads, all pairs of positions."
# difficulty = 2
# importance = 4
# minutes = 12
# points = 1
# uses = []
# nudge = "Give each axis a letter. Which axes do queries and keys share, so that they must have the same letter in both? Which one is summed away?"
# idea = "One call of torch.einsum. The query's position and the key's position need two different letters; the letter that is missing on the right is summed."
# outline = """
# 1. Write the axes of queries as letters: b q h d. Write those of keys: the same b, h and d, but k for the position.
# 2. Write the axes that you want: b h q k. d is not among them, so it is summed: that is the dot product.
# 3. torch.einsum takes the pattern "first,second->result" and then the two tensors.
# """
# look = "In the pictures below, head 0 is largest one step to the left of the diagonal, head 1 wherever a letter meets itself. The function is the same: what a head looks for lies in its queries and keys alone."

# %% [markdown]
# The *dot product* of two vectors multiplies them number by number and sums: (1, 2) · (3, 1) = 1·3 + 2·1 = 5. It is large where two
# vectors point the same way, 0 where they are at right angles.
#
# A position that looks for something has a *query* vector; a position that offers something has a *key* vector. Compare them all:
#
# ```
#                    key 0    key 1    key 2
#   query 0        [ q0·k0    q0·k1    q0·k2 ]        a row for each query,
#   query 1        [ q1·k0    q1·k1    q1·k2 ]        a column for each key
# ```
#
# ... for each head and each text. Queries are `(batch, query, head, d_head)`, keys are `(batch, key, head, d_head)`, and the
# result is `(batch, head, query, key)`: first the head, so that each head has a table of its own. There may be more keys than queries. Use `torch.einsum`.
#
# Einsum's pattern is a string of letters, one for each axis, and you choose them. A smaller case, two tables whose rows are compared:
#
# ```python
# a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0], [1.0, 0.0]])   # one row; two rows
# torch.einsum("id,jd->ij", a, b)                                             # [[5., 1.]]: row i of a with row j of b
# ```


# %% answer="all_dot_products"
def all_dot_products(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Return the dot product of every query with every key, in each text and each head.

    queries: (batch, query, head, d_head). keys: (batch, key, head, d_head).
    Returns: (batch, head, query, key).
    """
    ### BEGIN SOLUTION
    return torch.einsum("bqhd,bkhd->bhqk", queries, keys)
    ### END SOLUTION


# %% [markdown]
# Look: two heads made by hand, on the letters of *abracadabra*. In head 0 a key is a direction that turns a little with each position, and
# a query is the direction of the position *before* its own. In head 1 query and key are both a vector that stands for the letter.

# %%
letters = list("abracadabra")
alphabet = sorted(set(letters))  # a b c d r: five letters, so d_head = 5
# arange counts 0, 1, 2, ...; so this is the angle of each position.
turn = torch.arange(len(letters)) * torch.pi / len(letters)


def direction(angle):  # (pos,) → (pos, d_head): a vector of length 1 that turns in the first two dimensions
    # torch.stack puts tensors of one shape side by side, along a new axis; dim says where that axis goes
    return torch.stack([angle.cos(), angle.sin(), 0 * angle, 0 * angle, 0 * angle], dim=-1)


letter = torch.eye(len(alphabet))[[alphabet.index(one) for one in letters]]  # (pos, d_head), a single 1 in each row
# [None] puts an axis of size 1 in front: the batch, of one text.
queries = torch.stack([direction(turn - turn[1]), letter], dim=1)[None]  # (batch = 1, pos, head = 2, d_head = 5)
keys = torch.stack([direction(turn), letter], dim=1)[None]
products = all_dot_products(queries, keys)
print(f"{tuple(queries.shape)} with {tuple(keys.shape)}   →   (batch, head, query, key) = {tuple(products.shape)}")

# %%
labels = plots.token_labels(letters)
plots.heatmap(
    products[0, 0],
    x=labels,
    y=labels,
    title="Head 0: query · key",
    xlabel="key",
    ylabel="query",
    alt="A row for each query, a column for each key. Each row is largest one step left of the diagonal: at the position before.",
    zmid=0,
    zlabel="dot product",
)

# %%
plots.heatmap(
    products[0, 1],
    x=labels,
    y=labels,
    title="Head 1: query · key",
    xlabel="key",
    ylabel="query",
    alt="A row for each query, a column for each key: 1 where both are the same letter, else 0.",
    zmid=0,
    zlabel="dot product",
)

# %% [raw] card="stable_softmax"
# title = "A softmax that does not overflow"
# purpose = "Every attention pattern and every prediction of a language model is a softmax. In float32, the formula in the books breaks at a score of 89."
# difficulty = 2
# importance = 5
# minutes = 15
# points = 2
# uses = []
# nudge = "Adding the same number to all scores of a row changes nothing (you saw it in the lesson). Which number would make every exponential at most 1?"
# idea = "Subtract from each row its own largest score, then take exponentials and divide by their sum."
# outline = """
# 1. The largest score of each row: .max(dim=-1, keepdim=True).values (or .amax(dim=-1, keepdim=True)). keepdim keeps the axis, so it lines up.
# 2. Subtract it from the scores: now the largest is 0 and its exponential is 1.
# 3. .exp() of that.
# 4. Divide by its sum over the last axis, again with keepdim=True.
# """
# look = "With its maximum taken off, a row's largest score is 0 and the sum is at least 1: no division by 0, no infinity. (The check sees results only: if you called torch.softmax, write it out once.) What happens to the smallest scores, and why is that harmless?"

# %% [markdown]
# A row of scores becomes a row of shares, all positive, together 1:
#
# $$\text{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# ```
#   scores     [ 0.0    1.1    2.2 ]
#   e^score    [ 1.0    3.0    9.0 ]     together 13
#   softmax    [ 0.08   0.23   0.69 ]
# ```
#
# But $e^{89}$ is more than a float32 can hold: it becomes `inf`, and `inf / inf` is `nan`. Nothing keeps the scores of a model below 89.
# Write a softmax over the *last* axis that also works there. A score may be `-inf`, too: "not at all". Its share is 0.
#
# Write it with `exp` and `sum`, without `torch.softmax`, in two or three lines. What you may need, on another table:
#
# ```python
# table = torch.tensor([[1.0, 2.0], [5.0, 3.0]])
# table.min(dim=-1, keepdim=True).values     # [[1.], [3.]]     shape (2, 1): keepdim keeps the axis, with size 1
# table * torch.tensor([[10.0], [100.0]])    # [[10., 20.], [500., 300.]]
# ```
#
# `.min` and `.max` along an axis return two things, the numbers and where they stand; `.values` takes the numbers (`.amin` and `.amax`
# return them alone). The last line is *broadcasting*: where one tensor has size 1 on an axis, its number is used for the whole axis of the other. So (2, 2) times
# (2, 1) works, and each row has a number of its own.


# %% answer="stable_softmax"
def stable_softmax(scores: torch.Tensor) -> torch.Tensor:
    """Return the softmax of the scores over the last axis, however large they are.

    scores: (..., n); each row has at least one score that is not -inf.
    Returns: the same shape, every row sums to 1.
    """
    ### BEGIN SOLUTION
    shifted = scores - scores.max(dim=-1, keepdim=True).values
    exponentials = shifted.exp()
    return exponentials / exponentials.sum(dim=-1, keepdim=True)
    ### END SOLUTION


# %% [markdown]
# Look: the dot products of head 0 as shares. Each row now says how the query divides its attention. The scores are first multiplied by
# 60, because softmax looks at differences: small ones would give nearly equal shares. **Change this and see**: try 5, then 1000.

# %%
sharpness = 60
plots.attention(
    stable_softmax(sharpness * products[0, 0]),
    letters,
    title=f"Head 0: softmax of {sharpness} × dot products",
    alt="Attention of eleven queries to eleven keys; each row is brightest at the position before. Row 0 looks mostly at itself.",
)

# %% [raw] card="causal_mask"
# title = "Nobody looks into the future"
# purpose = "A language model may not see the token that it has to predict. One triangle of minus infinities makes sure of it."
# difficulty = 2
# importance = 5
# minutes = 14
# points = 2
# uses = []
# nudge = "Which score has a share of exactly 0 after the softmax? And where, in a table with queries as rows and keys as columns, are the keys that come later?"
# idea = "The later keys lie strictly above the diagonal. Make a table of True and False that marks them, and fill minus infinity in there."
# outline = """
# 1. A (query, key) tensor of ones, of type bool, as long and wide as the last two axes of the scores.
# 2. Of these keep what lies strictly above the diagonal, the future: .triu() with its border moved by one. The diagonal itself becomes False.
# 3. scores.masked_fill(that, float("-inf")) returns a new tensor and leaves the scores as they were.
# """
# look = "Position 0 has one place to look: itself. It gives itself all of its attention, whatever its scores say."

# %% [markdown]
# Row = query, column = key. A query sees itself and what came before:
#
# ```
#             key 0   key 1   key 2                 key 0   key 1   key 2
#   query 0 [  0.3     1.2     0.7 ]              [  0.3    -inf    -inf ]
#   query 1 [  2.0     0.1     0.4 ]       →      [  2.0     0.1    -inf ]
#   query 2 [  0.5     0.9     1.1 ]              [  0.5     0.9     1.1 ]
# ```
#
# Replace the scores of later keys by minus infinity. The softmax makes a share of exactly 0 out of it, and divides the whole
# attention among the others. The scores may have more axes in front, `batch` and `head` for instance; the last two are always
# `query key`, and equally long. A score may already be 0, or `-inf`: mark the places, not the values.
#
# What you may need:
#
# ```python
# torch.ones(3, 3, dtype=torch.bool)      # a table of True
# torch.ones(3, 3).triu()                 # "triangle, upper": [[1, 1, 1], [0, 1, 1], [0, 0, 1]]; .tril() is the lower one
# torch.ones(3, 3).triu(diagonal=2)       # [[0, 0, 1], [0, 0, 0], [0, 0, 0]]: the border, moved 2 to the right
#
# marks = torch.tensor([True, False, True])
# torch.tensor([5.0, 6.0, 7.0]).masked_fill(marks, 0.0)     # [0., 6., 0.]: a new tensor, filled where the mark is True
#
# i = torch.arange(3)                     # [0, 1, 2]
# i[:, None] == i[None, :]                # (3, 1) with (1, 3): a (3, 3) table of True and False, here the diagonal
# ```
#
# A `None` in an index adds an axis of size 1 there. Leave the input as it was: `scores.clone()` makes a copy that you may change.


# %% answer="causal_mask"
def causal_mask(scores: torch.Tensor) -> torch.Tensor:
    """Return the scores with those of later keys replaced by minus infinity.

    scores: (..., query, key), with as many queries as keys.
    Returns: the same shape; the input is left as it was.
    """
    ### BEGIN SOLUTION
    n = scores.shape[-1]
    later = torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(diagonal=1)
    return scores.masked_fill(later, float("-inf"))
    ### END SOLUTION


# %% [markdown]
# Look: dot products, mask, softmax. That is an *attention pattern*, and you wrote every step. In head 1, follow the row of the last
# letter: its attention is shared among all the copies of `a`, itself included.

# %%
# (2, 1, 1) times (head, query, key): head 0 times 60, head 1 times 8
sharper = torch.tensor([60.0, 8.0])[:, None, None] * products[0]
plots.attention(
    stable_softmax(causal_mask(sharper)),
    letters,
    title="Two attention patterns, by hand",
    alt="Two heads. Above the diagonal all is 0. Head 0 looks at the letter before; head 1 at all copies of the same letter so far.",
    names=["head 0: the letter before", "head 1: the same letter"],
)

# %% [markdown]
# *What this does not show*: that a trained model has such heads. We chose the vectors. In lesson 02 you run a trained model's own
# queries and keys; in lesson 06 you look for heads like these in it.

# %% [raw] card="log_probabilities"
# title = "The logarithm of a probability"
# purpose = "Losses are made of log-probabilities. Taking the log of a softmax loses them where it matters most: where the model is sure and wrong."
# difficulty = 3
# importance = 4
# minutes = 12
# points = 2
# uses = []
# nudge = "Write log(e^x / sum) as a difference of two logarithms. What is log(e^x)?"
# idea = "The log-probability is the logit minus the log of the sum of all exponentials. Take that sum after subtracting the row's maximum."
# outline = """
# 1. Subtract each row's largest logit, as in the softmax. Call the result shifted.
# 2. The log of the sum of the exponentials of shifted, over the last axis, with keepdim=True.
# 3. Return shifted minus that. No softmax, and no log of a single exponential, anywhere.
# """
# look = "Every logit that you raise by 1 raises its own log-probability by almost 1, as long as its probability is small: so a change of a logit reads almost directly as a change of the loss. (As always, a ready-made torch.log_softmax passes too; writing it out is how you learn what it does.)"

# %% [markdown]
# A model's last layer gives *logits*: one score for each token that could come next. Softmax makes them probabilities. From here on we
# need the *logarithm* of the probability:
#
# $$\log p_i = \log \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# By hand: logits (0, 0) give probabilities (½, ½), and log ½ = −0.69. A log-probability is never above 0.
#
# The formula as it stands has a trap. With logits (0, 200), the first probability is $e^{-200}$. A float32 rounds it to 0, and
# log 0 is minus infinity. The right answer is −200. First simplify the fraction on paper, then write it, over the last axis. Use `exp`, `log` and `sum`,
# without `torch.log_softmax` and without `torch.logsumexp`.


# %% answer="log_probabilities"
def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Return the log of the softmax of the logits over the last axis, exact also where p is tiny.

    logits: (..., d_vocab). Returns: the same shape, nothing above 0.
    """
    ### BEGIN SOLUTION
    shifted = logits - logits.max(dim=-1, keepdim=True).values
    return shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    ### END SOLUTION


# %% [markdown]
# Look: two tokens, one with the logit on the x axis, the other with logit 0. Its log-probability is a straight line on the left, and
# flattens out at 0 on the right: a token that is already certain cannot become more so.

# %%
logit = torch.linspace(-10, 10, 81)
both = torch.stack([logit, torch.zeros_like(logit)], dim=-1)  # (81, d_vocab = 2)
plots.lines(
    {"log-probability": log_probabilities(both)[:, 0]},
    x=logit,
    title="The log-probability of a token as its logit grows",
    xlabel="its logit (the other token has 0)",
    ylabel="log p, in nats",
    alt="A line that rises with slope 1 from -10 and bends at logit 0 to become flat at 0.",
)

# %%
far = torch.tensor([0.0, 200.0])
print("log of the softmax:", torch.softmax(far, dim=-1).log())
print("log_probabilities: ", log_probabilities(far))

# %% [raw] card="cross_entropy"
# title = "One number for how wrong a model is"
# purpose = "This is the loss that language models are trained on, and the unit in which this course measures every change to a model."
# difficulty = 3
# importance = 5
# minutes = 15
# points = 2
# uses = ["log_probabilities"]
# nudge = "Each row of log-probabilities has d_vocab numbers. Only one of them counts: whose?"
# idea = "From each row pick the log-probability of that row's target, change the sign, and average over the rows."
# outline = """
# 1. log_probabilities(logits): (n, d_vocab).
# 2. One entry of each row: index with two tensors, the numbers of the rows (torch.arange) and the targets; or gather, with the targets as a column.
# 3. Minus the mean of those n numbers.
# """
# look = "A loss of 2 nats means: on average the model is as surprised as by a fair die with e² = 7.4 sides. How many sides has 6.93? (torch's F.cross_entropy gives the same number; now you know what is in it.)"

# %% [markdown]
# A model saw the start of a text and gave logits. Then the next token came: the *target*. How surprised was the model?
#
# | probability that it gave to the target | surprise, $-\log p$ |
# |---|---|
# | 1 (certain) | 0 nats |
# | 1/2 (a coin) | 0.69 nats |
# | 1/6 (a die) | 1.79 nats |
# | 1/1024 (knows nothing about 1,024 tokens) | 6.93 nats |
#
# A *nat* is the unit that you get with the natural logarithm. The *cross-entropy loss* is the mean surprise:
#
# $$\text{loss} = -\frac{1}{n} \sum_{i=1}^{n} \log p_i(\text{target}_i)$$
#
# There are `n` predictions. Row `i` of the logits belongs to target `i`, and to no other. Return one number, as a tensor without axes, of
# shape `()`: what `.mean()` gives you. (`.item()` would take the number out of its tensor; training needs the tensor.)
#
# There are two ways to pick one number from each row. On another table:
#
# ```python
# table = torch.tensor([[5.0, 6.0], [7.0, 8.0], [1.0, 2.0]])     # three rows
# column = torch.tensor([1, 0, 1])                               # which number of each row
#
# table[torch.tensor([0, 1, 2]), column]     # [6., 7., 2.]: two index tensors go in step, (0, 1), (1, 0), (2, 1); torch.arange(3) is the first
# table.gather(1, column[:, None])           # [[6.], [7.], [2.]]: along axis 1
# ```
#
# `gather` wants an index with as many axes as the table, so `column`, of shape (3,), becomes (3, 1) by `[:, None]`. With the bare `column` it stops with an error.


# %% answer="cross_entropy"
def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean surprise at the targets, in nats.

    logits: (n, d_vocab). targets: (n,), whole numbers from 0 to d_vocab - 1.
    Returns: one number, a tensor of shape ().
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(targets), device=logits.device)
    return -log_probabilities(logits)[rows, targets].mean()
    ### END SOLUTION


# %% [markdown]
# Look: three guessers read a file of Python that they have not seen. One knows nothing. One knows how often each token occurs in
# other files. One knows, for each token, how often every other token came right after it. Each is nothing but a table of logits.

# %%
files = [tokenizer.encode(text) for _, text in tasks.sample()]
test, others = files[0], files[1:]
previous = torch.cat([file[:-1] for file in others])  # torch.cat: one tensor after the other
following = torch.cat([file[1:] for file in others])
d_vocab = tokenizer.d_vocab

# bincount counts how often each token occurs; + 1, so that none is impossible.
how_often = torch.bincount(following, minlength=d_vocab) + 1.0
pairs = torch.bincount(previous * d_vocab + following, minlength=d_vocab**2).view(d_vocab, d_vocab)
by_frequency = how_often.log()  # softmax of the logs of the counts gives back their shares
by_pairs = (pairs + 3 * how_often / how_often.sum()).log()  # (previous token, next token)

n = len(test) - 1
guessers = {
    "knows nothing": torch.zeros(n, d_vocab),
    "token frequency": by_frequency.expand(n, d_vocab),
    "token pairs": by_pairs[test[:-1]],  # for each token of the file, the row of the table that belongs to it
}
losses = {name: cross_entropy(logits, test[1:]).item() for name, logits in guessers.items()}
print(f"counted on {len(following):,} tokens, tested on {n:,} others")
for name, loss in losses.items():
    print(f"{name:16} {loss:.2f} nats")
plots.bars(
    list(losses.values()),
    list(losses),
    title="The loss of three guessers on a file that they have not seen",
    ylabel="loss, in nats a token",
    alt="Three bars: 6.93 for the guesser that knows nothing, less for token frequencies, least for token pairs.",
)

# %% [markdown]
# In lesson 02 you meet a transformer on the same kind of text. What does it know that a table of pairs cannot?
#
# *What this does not show*: how the guessers do on other code. This is one file. (**Change this and see**: test on `files[3]`, and leave it out of `others`.)

# %% [raw] card="token_losses"
# title = "The loss of each token"
# purpose = "A mean hides where a model fails. The loss of each token shows it, and in lesson 06 it is how you catch a model copying."
# difficulty = 4
# importance = 5
# minutes = 15
# points = 3
# uses = ["log_probabilities"]
# nudge = "After reading token 0, the model predicts token 1. So which row of logits is judged by token 1? And who judges the last row?"
# idea = "Drop the last row of logits (nothing comes after it) and the first token (nothing predicts it). Then they line up: pick each token's log-probability."
# outline = """
# 1. log_probabilities(logits[:, :-1]): (batch, pos - 1, d_vocab).
# 2. The tokens that came: tokens[:, 1:], shape (batch, pos - 1).
# 3. .gather(-1, those[..., None]) picks one number along d_vocab; .squeeze(-1) removes the axis of size 1.
# 4. Change the sign. No mean.
# """
# look = "Change one token of the line below, run again, and see which bars move: its own, and the one after it. Why those two?"

# %% [markdown]
# Given a whole text, a language model predicts at *every* position, and each prediction is about the token *after* it:
#
# ```
#   pos               0         1         2         3
#   tokens          [BOS]      def       area       (
#                     ↓         ↓         ↓         ↓
#   logits          row 0     row 1     row 2     row 3
#                       ↘         ↘         ↘         ↘
#   judged by            def      area        (       nothing: the text ends
#
#   losses               0         1         2
# ```
#
# So 4 tokens have 3 losses. This shift by one is easy to get wrong, and a shifted loss is still a row of plausible numbers.
# `[BOS]` is the first token of every text, so each real token has a loss.
#
# To pick along the last axis, `gather` again, with an index that has as many axes as the table. `[..., None]` adds one at the end, and
# `.squeeze(-1)` takes it away:
#
# ```python
# table = torch.tensor([[[5.0, 6.0], [7.0, 8.0]]])     # (1, 2, 2)
# which = torch.tensor([[1, 0]])                       # (1, 2)
# table.gather(-1, which[..., None])                   # (1, 2, 1): [[[6.], [7.]]]
# ```


# %% answer="token_losses"
def token_losses(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return the surprise, in nats, at every token but the first: loss i belongs to token i + 1.

    logits: (batch, pos, d_vocab). tokens: (batch, pos). Returns: (batch, pos - 1).
    """
    ### BEGIN SOLUTION
    log_p = log_probabilities(logits[:, :-1])
    came = tokens[:, 1:]
    return -log_p.gather(-1, came[..., None]).squeeze(-1)
    ### END SOLUTION


# %% [markdown]
# Look: the guesser that knows pairs reads one line, token by token. High bars are surprises.

# %%
line = "if name in names and name in other:\n"
tokens = tokenizer.encode(line)[None]  # (batch = 1, pos)
surprise = token_losses(by_pairs[tokens], tokens)[0]  # by_pairs[tokens]: (batch, pos, d_vocab)
plots.bars(
    surprise,
    plots.token_labels(tokenizer.str_tokens(tokens[0]))[1:],
    title=f"Surprise at each token: {surprise.mean():.2f} nats on average",
    xlabel="position and token that came",
    ylabel="−log p, in nats",
    alt="One bar for each token after BOS: how surprised the table of pairs is by it, given the token before.",
)

# %% [markdown]
# Compare positions 3 and 7. Both times ` in` comes after ` name`, and the two bars are equally high: the table of pairs sees one token
# back, and has no idea that it read the same two words a moment ago. A transformer can look further.
#
# *What this does not show*: anything about a neural network. So far there is none. You have the tools to measure one.
#
# **You have finished your first lab.** Dot products, mask and softmax make attention; log-probabilities make the loss. The rest of
# the course asks what a model does between the two.
