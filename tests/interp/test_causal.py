"""Causal graphs: every statement in `gates` proved by brute force, the run against hand-written formulas."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import causal, gates
from mechinterp_course.interp.causal import INPUT, Effects, Graph, Node, all_patches, attribution, effects, patched

GRAPHS = {name: getattr(gates, name) for name in ("AND", "OR", "BACKUP", "SATURATING", "CIRCUIT")}
real = st.floats(-3, 3, width=32)


def both(graph, names):
    """The metric after denoising, and after noising, these nodes together."""
    return patched(graph, names, "denoising"), patched(graph, names, "noising")


# --- the five graphs ------------------------------------------------------------------------------------------------


def test_and_each_input_is_necessary_and_none_is_sufficient():
    assert all_patches(gates.AND, "denoising") == {(): 0, ("a",): 0, ("b",): 0, ("a", "b"): 1}
    assert all_patches(gates.AND, "noising") == {(): 1, ("a",): 0, ("b",): 0, ("a", "b"): 0}


def test_or_each_input_is_sufficient_and_none_is_necessary():
    assert all_patches(gates.OR, "denoising") == {(): 0, ("a",): 1, ("b",): 1, ("a", "b"): 1}
    assert all_patches(gates.OR, "noising") == {(): 1, ("a",): 1, ("b",): 1, ("a", "b"): 0}


def test_backup_noising_the_main_component_changes_nothing():
    denoised, noised = all_patches(gates.BACKUP, "denoising"), all_patches(gates.BACKUP, "noising")
    restores = {subset for subset, value in denoised.items() if value == 1}
    destroys = {subset for subset, value in noised.items() if value == 0}
    assert set(denoised.values()) == set(noised.values()) == {0, 1}
    assert restores == {s for s in denoised if "main" in s or "x" in s}
    assert destroys == {s for s in noised if "x" in s or {"main", "backup"} <= set(s)}
    assert effects(gates.BACKUP, "main", "noising") == Effects(total=0, direct=-1, indirect=1)
    assert effects(gates.BACKUP, "main", "denoising") == Effects(total=1, direct=1, indirect=0)
    assert effects(gates.BACKUP, "backup", "noising") == effects(gates.BACKUP, "backup", "denoising") == (0, 0, 0)
    assert effects(gates.BACKUP, "x", "noising") == Effects(total=-1, direct=0, indirect=-1)


def test_backup_wakes_up_when_main_is_silent():
    _, clean = gates.BACKUP.run({"x": 1})
    _, noised = gates.BACKUP.run({"x": 1}, {"main": 0})
    assert (clean["main"], clean["backup"], clean["out"]) == (1, 0, 1)
    assert (noised["main"], noised["backup"], noised["out"]) == (0, 1, 1)
    frozen, _ = gates.BACKUP.run({"x": 1}, {"main": 0, "backup": 0})
    assert frozen == 0


def test_saturating_is_necessary_and_sufficient():
    assert all_patches(gates.SATURATING, "denoising") == {(): 0, ("a",): 1}
    assert all_patches(gates.SATURATING, "noising") == {(): 1, ("a",): 0}


def test_the_table_of_the_circuit():
    lines = gates.CIRCUIT.about.splitlines()
    names = next(line for line in lines if line.split()[:2] == ["a", "b"]).split()
    table = {
        line.split()[0]: [int(v) / 4 for v in line.split()[1:]] for line in lines if line[:7] in ("denoisi", "noising")
    }
    assert names == gates.CIRCUIT.components
    assert table == {d: [patched(gates.CIRCUIT, name, d) for name in names] for d in causal.DIRECTIONS}


@pytest.mark.parametrize("direction", causal.DIRECTIONS)
def test_in_the_circuit_effects_of_different_gates_add_up(direction):
    """Over every set of inputs: the circuit's metric is the mean of those of its four gates."""
    gate_of = {"a": ("AND", "a"), "b": ("AND", "b"), "c": ("OR", "a"), "d": ("OR", "b")}
    gate_of |= {"x": ("BACKUP", "x"), "s": ("SATURATING", "a")}
    for subset, value in all_patches(gates.CIRCUIT, direction, gates.CIRCUIT.inputs).items():
        parts = [
            patched(GRAPHS[gate], [own for name in subset for g, own in [gate_of[name]] if g == gate], direction)
            for gate in ("AND", "OR", "BACKUP", "SATURATING")
        ]
        assert value == sum(parts) / 4


def test_the_bystander_differs_between_the_runs_and_does_nothing():
    graph = gates.CIRCUIT
    assert graph.run(graph.clean)[1]["bystander"] == 2 and graph.run(graph.corrupted)[1]["bystander"] == 0
    assert both(graph, "bystander") == (0, 1)
    everything_else = [name for name in graph.components if name != "bystander"]
    assert both(graph, everything_else) == (1, 0)


@pytest.mark.parametrize(
    "name, names, denoising, noising",
    [
        ("AND", "a", 0, 0),  # exact, both
        ("AND", ["a", "b"], 0, -1),  # truth: 1, 0
        ("OR", "a", 1, 1),  # exact, both
        ("OR", ["a", "b"], 2, 1),  # truth: 1, 0
        ("SATURATING", "a", 3, 1),  # truth: 1, 0
        ("BACKUP", "main", 1, 0),  # truth: 1, 1
        ("BACKUP", "backup", 0, 1),  # exact, both
        ("CIRCUIT", "s", 3 / 4, 1),  # truth: 1/4, 3/4
        ("CIRCUIT", "main", 1 / 4, 3 / 4),  # truth: 1/4, 1
        ("CIRCUIT", "bystander", 0, 1),  # exact, both
    ],
)
def test_attribution_patching_says(name, names, denoising, noising):
    graph = GRAPHS[name]
    assert (attribution(graph, names, "denoising"), attribution(graph, names, "noising")) == (denoising, noising)


def test_attribution_is_far_off_where_its_documentation_says_so():
    wrong = {
        (name, component, direction)
        for name in ("AND", "OR", "BACKUP", "SATURATING")
        for component in GRAPHS[name].components
        for direction in causal.DIRECTIONS
        if attribution(GRAPHS[name], component, direction) != patched(GRAPHS[name], component, direction)
    }
    assert wrong == {("SATURATING", "a", "denoising"), ("SATURATING", "a", "noising"), ("BACKUP", "main", "noising")}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_runs_end_at_0_and_1_and_the_ends_are_not_on_a_kink(name):
    """Slopes are the same a little to either side of the ends, so that no answer hangs on torch's rule for a kink."""
    graph = GRAPHS[name]
    assert (
        causal.metric(graph, graph.run(graph.clean)[0]) == 1
        and causal.metric(graph, graph.run(graph.corrupted)[0]) == 0
    )
    for inputs in (graph.clean, graph.corrupted):
        for key in graph.inputs:
            here, up, down = (graph.run(inputs | {key: inputs[key] + step})[0] for step in (0.0, 0.125, -0.125))
            assert up - here == here - down


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("direction", causal.DIRECTIONS)
def test_total_is_direct_plus_indirect_for_the_nodes_that_out_reads_in_a_straight_line(name, direction):
    graph = GRAPHS[name]
    for component in graph.components:
        found = effects(graph, component, direction)
        before = 0 if direction == "denoising" else 1
        assert found.total == patched(graph, component, direction) - before
        assert found.total == found.direct + found.indirect


# --- run ------------------------------------------------------------------------------------------------------------


@given(a=real, b=real, c=real, d=real, x=real, s=real)
@settings(max_examples=60, deadline=None)
def test_the_run_is_its_formula(a, b, c, d, x, s):
    output, values = gates.CIRCUIT.run({"a": a, "b": b, "c": c, "d": d, "x": x, "s": s})
    expected = max(0, a + b - 1) + min(1, c + d) + x + max(0, 2 * x - 2 * x - 1) + min(1, 3 * s)
    assert output.item() == pytest.approx(expected, abs=1e-5)
    assert values["bystander"].item() == pytest.approx(a + c, abs=1e-5)


@given(x=st.lists(real, min_size=1, max_size=5), main=real)
@settings(max_examples=40, deadline=None)
def test_node_and_edge_patches_by_their_formula(x, main):
    batch = torch.tensor(x)
    node, _ = gates.BACKUP.run({"x": batch}, {"main": main})
    direct, _ = gates.BACKUP.run({"x": batch}, {("main", "out"): main})
    indirect, values = gates.BACKUP.run({"x": batch}, {("main", "backup"): main})
    torch.testing.assert_close(node, main + torch.relu(2 * batch - 2 * main - 1))
    torch.testing.assert_close(direct, main + torch.zeros_like(batch))
    torch.testing.assert_close(indirect, batch + torch.relu(2 * batch - 2 * main - 1))
    assert torch.equal(values["main"], batch)  # an edge leaves the node itself


def test_a_batch_is_its_rows():
    """Over all inputs of 0 and 1, and with a patch that differs between the rows."""
    grid = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))
    names = gates.CIRCUIT.inputs
    patch = torch.linspace(-1, 1, len(grid))
    output, values = gates.CIRCUIT.run(dict(zip(names, grid.T, strict=True)), {"main": patch})
    assert output.shape == values["a"].shape == values["main"].shape == (64,)
    for i, row in enumerate(grid.tolist()):
        assert gates.CIRCUIT.run(dict(zip(names, row, strict=True)), {"main": patch[i]})[0] == output[i]


def test_gradients_flow_to_inputs_nodes_and_patches():
    x, value = torch.tensor(1.0, requires_grad=True), torch.tensor([0.0, 1.0], requires_grad=True)
    output, values = gates.BACKUP.run({"x": x})
    slopes = torch.autograd.grad(output.sum(), [x, values["main"], values["backup"]])
    assert [slope.item() for slope in slopes] == [1, 1, 1]
    gates.BACKUP.run({"x": 1}, {"main": value})[0].sum().backward()
    assert value.grad.tolist() == [-1, 1]  # where the back-up speaks it gives back twice what main loses


def test_what_does_not_exist_is_refused():
    run = gates.BACKUP.run
    with pytest.raises(CourseError, match="input 'x' is missing"):
        run({})
    with pytest.raises(CourseError, match="no input 'main'"):
        run({"x": 1, "main": 1})
    with pytest.raises(CourseError, match="Did you mean main"):
        run({"x": 1}, {"mian": 0})
    with pytest.raises(CourseError, match="no edge x → out.*main → backup"):
        run({"x": 1}, {("x", "out"): 0})
    with pytest.raises(CourseError, match="Did you mean noising or denoising"):
        patched(gates.AND, "a", "noise")
    for ask in (patched, attribution, effects):
        with pytest.raises(CourseError, match="There is no node 'z'"):
            ask(gates.AND, "z", "noising")


def test_a_graph_that_cannot_be_computed_is_refused():
    with pytest.raises(CourseError, match="out reads b, which is not computed before it"):
        Graph({"a": INPUT, "out": Node({"a": 1, "b": 1})})
    with pytest.raises(CourseError, match="no activation 'rellu'. Did you mean relu"):
        Graph({"a": INPUT, "out": Node({"a": 1}, 0, "rellu")})
    with pytest.raises(CourseError, match="Both runs have the output 0"):
        patched(Graph({"a": INPUT, "out": Node({"a": 0})}), "a", "noising")
