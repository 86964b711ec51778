"""The gradients written out by hand are those of autograd."""

import pytest
import torch

from mechinterp_course.interp import sae_gradients
from mechinterp_course.interp.saes import SAE

L1, L0 = 0.3, 0.02


def made(architecture: str, apply_b_dec_to_input: bool = True) -> SAE:
    """A small SAE whose every parameter is different from its start."""
    k = 4 if architecture == "topk" else None
    sae = SAE(6, 16, architecture, k=k, apply_b_dec_to_input=apply_b_dec_to_input, seed=1).double()
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
        if architecture == "jumprelu":
            sae.threshold.abs_()
    return sae


def loss_by_autograd(sae: SAE, x: torch.Tensor) -> torch.Tensor:
    f = sae.encode(x)
    loss = (sae.decode(f) - x).pow(2).sum(-1).mean()
    return loss + L1 * f.sum(-1).mean() if sae.architecture == "standard" else loss


@pytest.mark.parametrize("reads_b_dec", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
def test_gradients_equal_those_of_autograd(architecture, reads_b_dec):
    sae = made(architecture, reads_b_dec)
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    sae_gradients.gradients(sae, x, l1=L1, l0=0.0)
    ours = {name: p.grad.clone() for name, p in sae.named_parameters() if name != "threshold"}
    sae.zero_grad()
    loss_by_autograd(sae, x).backward()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, dict(sae.named_parameters())[name].grad, msg=lambda m, n=name: f"{n}: {m}")


def test_the_activations_and_the_error_come_back():
    for architecture in ("standard", "topk", "jumprelu"):
        sae = made(architecture)
        x = torch.randn(64, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        before = x.clone()
        f, error = sae_gradients.gradients(sae, x, l1=L1, l0=L0)
        whole = sae.encode(x).detach()
        torch.testing.assert_close(f.sum(-1), whole.sum(-1))
        assert torch.equal((f > 0).sum(-1), (whole > 0).sum(-1))
        torch.testing.assert_close(error, (sae(x) - x).detach())
        assert torch.equal(x, before)


def test_a_threshold_moves_down_where_that_writes_the_input_better_and_up_where_it_only_costs():
    """One latent, one input just above or below its threshold: the signs by hand."""
    sae = SAE(1, 1, "jumprelu", seed=0)
    with torch.no_grad():
        sae.W_enc.fill_(1.0), sae.W_dec.fill_(1.0), sae.threshold.fill_(1.0)
    just_below = torch.tensor([[0.99]])
    sae_gradients.gradients(sae, just_below)  # it would be written if the threshold were lower
    assert sae.threshold.grad.item() == pytest.approx(2 * 0.99 / 0.05, rel=1e-3)
    sae_gradients.gradients(sae, just_below, l0=100.0)  # dear: better not to fire
    assert sae.threshold.grad.item() < 0  # gradient descent raises the threshold
    sae_gradients.gradients(sae, torch.tensor([[3.0]]), l0=100.0)  # far away: no say
    assert sae.threshold.grad.item() == 0
