"""Causal graphs: networks of a few named nodes, and what patching them does, so that a statement about patching can be proved.

Each node is a weighted sum of the nodes it reads, a bias, and one of three activations; so every effect can be worked out on paper.
`gates` has graphs with known answers. "Denoising" and "noising" as in Heimersheim & Nanda 2024 (arXiv:2404.15255).
Knows nothing of language models. Must not import TransformerLens.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown

ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": torch.relu,  # max(0, x)
    "cap": lambda x: 1 - torch.relu(1 - x),  # min(1, x): it saturates
}
DIRECTIONS = ("denoising", "noising")
Names = str | Iterable[str]
Number = int | float


@dataclass(frozen=True)
class Node:
    """act(bias + Σ weight · value of the node it reads). A node that reads nothing is an input, and has no formula."""

    reads: Mapping[str, Number] = field(default_factory=dict)
    bias: Number = 0.0
    act: str = "linear"


INPUT = Node()


class Graph:
    """A network of named nodes. Every node can be patched, and so can every edge.

    nodes: in the order in which they are computed, the output last. about: what is known of it.
    clean, corrupted: the inputs of the two runs, 1 and 0 throughout. components: all nodes but the output.
    """

    def __init__(self, nodes: Mapping[str, Node], about: str = ""):
        self.nodes, self.about = dict(nodes), about.strip()
        self.inputs = [name for name, node in self.nodes.items() if not node.reads]
        self.output = list(self.nodes)[-1]
        self.components = [name for name in self.nodes if name != self.output]
        self.edges = [(sender, name) for name, node in self.nodes.items() for sender in node.reads]
        self.clean = dict.fromkeys(self.inputs, 1.0)
        self.corrupted = dict.fromkeys(self.inputs, 0.0)
        seen = set()
        for name, node in self.nodes.items():
            if missing := sorted(set(node.reads) - seen):
                raise CourseError(f"{name} reads {missing[0]}, which is not computed before it.", "List it earlier.")
            if node.act not in ACTIVATIONS:
                raise unknown("activation", node.act, ACTIVATIONS)
            seen.add(name)

    def run(
        self,
        inputs: Mapping[str, Tensor | Number],
        patch: Mapping[str | tuple[str, str], Tensor | Number] | None = None,
    ) -> tuple[Float[Tensor, " batch"], dict[str, Float[Tensor, " batch"]]]:
        """Return the output and the value of every node, for a batch of inputs: each a number or a tensor (batch,).

        patch: values to put in. A node's name replaces the node for all that read it; a pair (sender, receiver) is an edge: it replaces
        what this one receiver reads from this sender. What lies downstream is computed anew. Differentiable in all values.
        Raises CourseError for an input that is missing, and for a node or an edge that does not exist.
        """
        patch = {} if patch is None else patch
        self._check(inputs, patch)
        given = {name: _number(value) for name, value in {**inputs, **patch}.items()}
        shape = torch.broadcast_shapes((1,), *(value.shape for value in given.values()))
        values: dict[str, Tensor] = {}
        for name, node in self.nodes.items():
            if name in given:  # an input, or patched
                values[name] = given[name].expand(shape)
                continue
            read = {sender: given.get((sender, name), values[sender]) for sender in node.reads}
            total = sum(weight * read[sender] for sender, weight in node.reads.items())
            values[name] = ACTIVATIONS[node.act](node.bias + total)
        return values[self.output], values

    def _check(self, inputs: Mapping, patch: Mapping) -> None:
        if missing := [name for name in self.inputs if name not in inputs]:
            raise CourseError(f"The input {missing[0]!r} is missing.", f"This graph has: {', '.join(self.inputs)}.")
        for name in inputs:
            if name not in self.inputs:
                raise unknown("input", name, self.inputs, "Other nodes are set by a patch.")
        for name in patch:
            if isinstance(name, tuple):
                if name not in self.edges:
                    edges = ", ".join(f"{sender} → {receiver}" for sender, receiver in self.edges)
                    raise CourseError(f"There is no edge {' → '.join(name)}.", f"This graph has: {edges}.")
            elif name not in self.nodes:
                raise unknown("node", name, self.nodes)


def _number(value: Tensor | Number) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(float(value))


# --- what a patch does ----------------------------------------------------------------------------------------------


def metric(graph: Graph, output: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Return (output - corrupted output) / (clean output - corrupted output): 0 for the corrupted run, 1 for the clean one.

    Raises CourseError where the two runs have the same output: then there is nothing to explain.
    """
    clean, corrupted = graph.run(graph.clean)[0], graph.run(graph.corrupted)[0]
    if torch.equal(clean, corrupted):
        raise CourseError(f"Both runs have the output {clean.item():g}.", "Choose inputs that make a difference.")
    return (output - corrupted) / (clean - corrupted)


def patched(graph: Graph, names: Names, direction: str) -> float:
    """Return the metric after patching these nodes together.

    "denoising": the corrupted run with their clean values. "noising": the clean run with their corrupted values.
    """
    base, values = _runs(graph, direction)
    return metric(graph, graph.run(base, {name: _value(values, name) for name in _listed(names)})[0]).item()


def all_patches(graph: Graph, direction: str, names: Iterable[str] | None = None) -> dict[tuple[str, ...], float]:
    """Return the metric after patching every set of these nodes (by default all components): brute force, 2^n runs."""
    base, values = _runs(graph, direction)
    names = graph.components if names is None else list(names)
    subsets = [s for size in range(len(names) + 1) for s in itertools.combinations(names, size)]
    outputs = [graph.run(base, {name: _value(values, name) for name in subset})[0] for subset in subsets]
    return dict(zip(subsets, metric(graph, torch.cat(outputs)).tolist(), strict=True))


class Effects(NamedTuple):
    """What patching a node does to the metric: in all, through its edge to the output, and through all its other edges."""

    total: float
    direct: float
    indirect: float


def effects(graph: Graph, name: str, direction: str) -> Effects:
    """Return the total, direct and indirect effect of patching a node, as changes of the metric (Pearl 2001's natural effects).

    Direct: only the output reads the patched value. Indirect: all but the output read it. Where the output is linear, they add up to the total.
    """
    base, values = _runs(graph, direction)
    value = _value(values, name)
    out = [edge for edge in graph.edges if edge[0] == name]
    direct = {edge: value for edge in out if edge[1] == graph.output}
    indirect = {edge: value for edge in out if edge[1] != graph.output}
    before = metric(graph, graph.run(base)[0])
    total, *parts = ((metric(graph, graph.run(base, p)[0]) - before).item() for p in ({name: value}, direct, indirect))
    return Effects(total, *parts)


def attribution(graph: Graph, names: Names, direction: str) -> float:
    """Return what attribution patching expects `patched` to be: metric + Σ (patched value - value) · ∂metric/∂node, at the unpatched run.

    First order only: exact where the metric is a straight line between the two values, and wrong where it bends (Nanda 2023).
    """
    base, values = _runs(graph, direction)
    inputs = {key: torch.tensor(value, requires_grad=True) for key, value in base.items()}
    output, here = graph.run(inputs)
    before = metric(graph, output)
    names = _listed(names)
    steps = {name: _value(values, name) - here[name] for name in names}
    slopes = torch.autograd.grad(before.sum(), [here[name] for name in names], allow_unused=True)
    known = zip(steps.values(), slopes, strict=True)
    return (before + sum(step * slope for step, slope in known if slope is not None)).item()


def _runs(graph: Graph, direction: str) -> tuple[dict[str, float], dict[str, Tensor]]:
    """The inputs of the run that is patched, and the values of all nodes in the run that the patches are taken from."""
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS)
    base, source = graph.corrupted, graph.clean
    if direction == "noising":
        base, source = source, base
    return base, graph.run(source)[1]


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _value(values: dict[str, Tensor], name: str) -> Tensor:
    if name not in values:
        raise unknown("node", name, values)
    return values[name]
