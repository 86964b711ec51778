import torch

from mechinterp_course.tutor.checks import Exercise, expect

token_loss = Exercise("token_loss")


@token_loss.check("each loss is minus the log probability of its token")
def each(answer, draw):
    log_probs = torch.log_softmax(draw.normal(4, 6), -1)
    tokens = draw.integers(0, 6, 4)
    want = torch.stack([-log_probs[pos, token] for pos, token in enumerate(tokens)])
    expect.close(answer(log_probs, tokens), want, "the losses")


@token_loss.wrong("the sign is missing", "Your losses are negative: a loss is *minus* the log probability.")
def no_sign(log_probs, tokens):
    return log_probs.gather(-1, tokens[:, None])[:, 0]


@token_loss.wrong("the mean of all tokens", "Every position got the same loss, the mean: keep one for each token.")
def mean(log_probs, tokens):
    losses = -log_probs.gather(-1, tokens[:, None])[:, 0]
    return losses.mean().expand(len(tokens))


@token_loss.variation("indexing")
def indexing(log_probs, tokens):
    return -log_probs[torch.arange(len(tokens)), tokens]
