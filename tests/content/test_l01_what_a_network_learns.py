"""What lesson 01 and its lab say of their small networks holds for other data and other beginnings, with bands wider than their spread.

Measured over the beginnings 0 to 7: loss after 300 steps 0.0038 to 0.0061, best neuron 0.68 to 0.70, direction 0.925 to 1.0,
effect of the ring's direction 26 to 34, of the side's at most 5.2, median of random ones 2.5 to 3.8.
"""

import pytest
import torch
import torch.nn.functional as F

from mechinterp_course.course.rules.answers import setup_space
from mechinterp_course.tutor import catalog
from mechinterp_course.tutor.reference import reference

SEEDS = (3, 20, 21, 22, 23)


@pytest.fixture(scope="module")
def lab():
    return setup_space(catalog.course().lesson("01"))


@pytest.fixture(scope="module", params=SEEDS)
def network(lab, request):
    """A trained network and new points: (weights, losses, hidden layer of the training points, hidden layer, classes, points)."""
    seed = request.param
    x, targets = lab["rings"](200, seed)
    weights, losses = reference("train")(x, targets, lab["new_weights"](seed), 1.0, 300)
    points, classes = lab["rings"](1000, 100 + seed)
    hidden, logits = lab["forward"](points, weights)
    direction = reference("feature_direction")(lab["forward"](x, weights)[0], targets)
    return dict(
        weights=weights,
        losses=losses,
        hidden=hidden,
        logits=logits,
        classes=classes,
        points=points,
        direction=direction,
    )


def best_threshold(numbers, labels):
    ones = labels[numbers.argsort()].float().cumsum(0)
    correct = torch.arange(1, len(labels) + 1) - 2 * ones + ones[-1]
    return float(torch.maximum(correct, len(labels) - correct).max() / len(labels))


def effect(network, direction):
    low, high = (network["hidden"] @ direction).quantile(torch.tensor([0.02, 0.98]))
    ends = [reference("set_feature")(network["hidden"], direction, float(v)) for v in (low, high)]
    W2 = network["weights"]["W2"]
    low, high = (float((end @ (W2[:, 1] - W2[:, 0])).mean()) for end in ends)
    return high - low


def test_the_ring_is_learned_from_any_beginning(network):
    assert network["losses"][-1] < 0.02
    assert float((network["logits"].argmax(-1) == network["classes"]).float().mean()) > 0.98


def test_a_direction_tells_the_ring_and_no_neuron_does(network):
    hidden, classes = network["hidden"], network["classes"]
    assert 0.6 < max(best_threshold(neuron, classes) for neuron in hidden.T) < 0.8  # "about 70 %"
    assert best_threshold(hidden @ network["direction"], classes) > 0.88


def test_the_network_uses_the_ring_and_hardly_the_side(network):
    side = (network["points"][:, 0] > 0).long()
    ring = effect(network, network["direction"])
    assert ring > 15
    assert abs(effect(network, reference("feature_direction")(network["hidden"], side))) < ring / 3
    random = F.normalize(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert torch.tensor([abs(effect(network, one)) for one in random]).median() < ring / 4


@pytest.mark.parametrize("seed", SEEDS)
def test_without_the_relu_it_is_little_better_than_a_coin(lab, seed):
    x, targets = lab["rings"](200, seed)
    logistic = torch.nn.Linear(2, 2)
    optimizer = torch.optim.LBFGS(logistic.parameters(), max_iter=50)

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(logistic(x), targets)
        value.backward()
        return value

    optimizer.step(loss)
    points, classes = lab["rings"](1000, 100 + seed)
    assert float((logistic(points).argmax(-1) == classes).float().mean()) < 0.66


@pytest.mark.parametrize("seed", SEEDS)
def test_random_directions_in_a_thousand_dimensions_are_nearly_at_right_angles(seed):
    directions = reference("random_directions")(300, 1000, torch.Generator().manual_seed(seed))
    cosines = reference("interference")(directions)
    assert (cosines.abs() < 0.1).float().mean() > 0.99
    assert abs(float(cosines.std()) * 1000**0.5 - 1) < 0.05
    assert abs(float(cosines.mean())) < 0.001


@pytest.mark.parametrize("seed", SEEDS)
def test_few_active_features_are_read_back_and_many_are_not(seed):
    generator = torch.Generator().manual_seed(seed)
    directions = reference("random_directions")(400, 100, generator)
    for n_active in (3, 40):
        values = (torch.rand(100, 400, generator=generator).argsort(-1) < n_active).float()
        read = reference("read_features")(values, directions)
        error = float(read[values == 0].pow(2).mean().sqrt())
        assert abs(error / (n_active / 100) ** 0.5 - 1) < 0.1
        wrong = float(((read > 0.5) != (values > 0)).float().sum(-1).mean())
        assert wrong < 3 if n_active == 3 else wrong > 50
