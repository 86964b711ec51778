"""Causal graphs with known answers: an AND, an OR, a back-up, a node that saturates, and a circuit with all of them.

AND and OR after Heimersheim & Nanda 2024 (arXiv:2404.15255), the back-up after Wang et al. 2022 (arXiv:2211.00593) and
McGrath et al. 2023 (arXiv:2307.15771). `print(gates.OR.about)` says what is true of a graph; tests prove it by brute force over all patches.
Metric everywhere: 0 for the corrupted run, where all inputs are 0, and 1 for the clean run, where all are 1.
"""

from mechinterp_course.interp.causal import INPUT, Graph, Node

AND = Graph(
    {"a": INPUT, "b": INPUT, "out": Node({"a": 1, "b": 1}, -1, "relu")},
    about="""
out = max(0, a + b - 1). Metric (0 corrupted, 1 clean) after patching one of a and b: denoising 0, noising 0; both: 1 and 0.

So each is necessary (noising one destroys all) and neither is sufficient (denoising one restores nothing).
Attribution patching: noising, 0 for each, exact; but both add up to a metric of -1, and the truth is 0. Denoising, 0 for
each; both together 0, and the truth is 1.
""",
)

OR = Graph(
    {"a": INPUT, "b": INPUT, "out": Node({"a": 1, "b": 1}, 0, "cap")},
    about="""
out = min(1, a + b). Metric after patching one of a and b: denoising 1, noising 1; both: 1 and 0.

So each is sufficient (denoising one restores all) and neither is necessary (noising one destroys nothing).
Attribution patching: noising 1 for each, exact; both together 1, and the truth is 0. Denoising, 1 for each; both 2, truth 1.
""",
)

BACKUP = Graph(
    {
        "x": INPUT,
        "main": Node({"x": 1}),
        "backup": Node({"x": 2, "main": -2}, -1, "relu"),
        "out": Node({"main": 1, "backup": 1}),
    },
    about="""
main = x; backup = max(0, 2x - 2 main - 1): silent while main speaks, 1 when x is there and main is not; out = main + backup.

Noising main: metric 1, so total effect 0 = direct effect -1 (its edge to out) + indirect effect +1 (the back-up wakes up): self-repair.
Denoising main: metric 1 (total +1, all of it direct). Patching the back-up alone: nothing in either direction, since it is 0 in both runs;
noising main *and* backup: metric 0. Attribution patching says 0 for noising main (it sees the direct effect alone), and the truth is 1.
""",
)

SATURATING = Graph(
    {"a": INPUT, "out": Node({"a": 3}, 0, "cap")},
    about="""
out = min(1, 3a): full long before a is. Noising a: metric 0, denoising: 1. Attribution patching: noising 1 (the slope is 0
where out is full), denoising 3 (the slope is 3 where it is empty). Neither is right: one sees nothing, the other three times too much.
""",
)

CIRCUIT = Graph(
    {
        **dict.fromkeys(("a", "b", "c", "d", "x", "s"), INPUT),
        "and": Node({"a": 1, "b": 1}, -1, "relu"),
        "or": Node({"c": 1, "d": 1}, 0, "cap"),
        "main": Node({"x": 1}),
        "backup": Node({"x": 2, "main": -2}, -1, "relu"),
        "saturated": Node({"s": 3}, 0, "cap"),
        "bystander": Node({"a": 1, "c": 1}),
        "out": Node({"and": 1, "or": 1, "main": 1, "backup": 1, "saturated": 1}),
    },
    about="""
AND (a, b), OR (c, d), BACKUP (x) and SATURATING (s) as one network, each worth 1 of the output's 4, and a bystander: it differs between the runs (2 and 0), and nobody reads it.

Metric after patching one node, in quarters:
             a  b  c  d  x  s  and  or  main  backup  saturated  bystander
denoising    0  0  1  1  1  1   1    1    1     0         1          0
noising      3  3  4  4  3  3   3    3    4     4         3          4
Denoising starts from 0, noising from 4. Effects of different gates add up, effects within a gate do not.
""",
)
