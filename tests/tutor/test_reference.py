"""The course's own answers run without leaving a trace in the process that asks for them."""

import contextlib

import pytest
import torch

from mechinterp_course.tutor.reference import run_cell


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("cell", ["import torch\ntorch.set_grad_enabled(False)", "torch.set_grad_enabled(True)\n1 / 0"])
def test_a_cell_that_switches_gradients_changes_nothing_outside(before, cell):
    space = {"torch": torch}
    with torch.set_grad_enabled(before):
        with contextlib.suppress(ZeroDivisionError):
            run_cell(cell, space, "a cell")
        assert torch.is_grad_enabled() is before
