"""An answer that runs in another process is judged as if it ran here; what the other process sends is a value or nothing."""

import json
import os
import socket
import struct
import sys

import pytest
import torch
from planted import plant

from mechinterp_course.course.grading import answers, evidence, mirror
from mechinterp_course.course.grading.wire import Broken, Packer, Unpacker, Wire, foreign
from mechinterp_course.tutor import runner
from mechinterp_course.tutor.catalog import course
from mechinterp_course.tutor.reference import namespace, reference

SEED = 20_261_122
SECONDS = 60

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def judged(name, answer, others=None):
    """Return the evidence on an answer that runs in a copy of this process."""
    ours, theirs = socket.socketpair()
    copy = os.fork()
    if copy == 0:
        try:
            ours.close()
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
            answers.serve(theirs, name, {**(others or {}), name: answer})
        finally:
            os._exit(0)
    theirs.close()
    try:
        return evidence.judge(ours, name, SEED, SECONDS)
    finally:
        ours.close()
        os.waitpid(copy, 0)


@pytest.mark.parametrize("lesson", [one.id for one in course().lessons])
def test_the_course_s_own_answers_pass_from_afar(lesson):
    """What a check of this lesson passes in must be able to travel: values, functions, bundled models, objects of `interp`."""
    one = course().lesson(lesson)
    names = namespace(course(), one)
    found = {exercise.name: judged(exercise.name, names[exercise.name], names) for exercise in one.exercises}
    assert {name: (e.visible, e.hidden, e.lines) for name, e in found.items() if not e.passed} == {}


AFAR = {
    "zero_ablate_head": "leaves its hook on",  # on a model: what is left there is seen from afar
    "pattern_without_edge": "leaves its hook on",
    "attribute_heads": None,  # gradients through a function of the check
    "descend": None,
    "train_sae": None,  # gradients of what stands in a dict
    "transformer": None,
}


@pytest.mark.parametrize("name", AFAR)
def test_wrong_answers_are_told_the_same_from_afar(name):
    lesson = course().lesson_of(name)
    wrong = course().checks(lesson)[name].wrong_answers
    for one in [w for w in wrong if AFAR[name] in (None, w.name)][:3]:
        here = runner.examine(name, one.answer, budget=evidence.NAMING_SECONDS)
        there = judged(name, one.answer, namespace(course(), lesson))
        if here.passed:  # a mistake that only the hidden checks see
            assert there.visible and there.hidden is False
        else:
            assert (list(there.lines), there.mistake) == (here.lines(), here.mistake)


@pytest.fixture
def rows(tmp_path, monkeypatch, fresh_catalog):
    monkeypatch.setenv("MECHINTERP_CONTENT", str(tmp_path / "content"))
    return plant(tmp_path / "content")


def test_what_is_no_function_is_told_so(rows):
    assert "has to be a function" in judged("row_sums", 3).lines[1]
    missing = judged("row_sums", None)
    assert not missing.visible and missing.lines[0] == "✗ row_sums"


def test_an_unsolved_part_is_named(rows):
    def row_sums(matrix):
        raise NotImplementedError()

    def scaled_rows(matrix):
        return matrix / row_sums(matrix)[:, None]

    assert "row_sums is not written yet" in judged("scaled_rows", scaled_rows, {"row_sums": row_sums}).lines[1]


def test_a_borrowed_part_answers_for_later_exercises_only(rows, capsys):
    borrowed = answers.borrow("row_sums")
    later = judged("scaled_rows", lambda m: m / borrowed(m)[:, None], {"row_sums": borrowed})
    assert later.passed
    assert "earns no points" in judged("row_sums", borrowed).lines[1]
    itself = judged("row_sums", lambda m: borrowed(m))
    assert not itself.visible and "cannot be borrowed" in itself.lines[2]


def test_hidden_checks_tell_nothing_that_the_answer_says(rows):
    seen = []

    def row_sums(matrix):
        seen.append(matrix)
        if len(seen) > 1:
            raise ValueError(f"INPUTS {matrix.tolist()}")
        return matrix.sum(-1)

    found = judged("row_sums", row_sums)
    assert found.visible and found.hidden is False and "INPUTS" not in "".join(found.lines)


def test_an_answer_that_never_returns_costs_its_time_only(rows, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = evidence.judge(ours, "row_sums", SEED, 0.5)
    assert not found.passed and found.stopped == "gone"


# --- what may be sent ---------------------------------------------------------------------------------------------------

VALUES = [
    None,
    True,
    -(2**80),
    1.5,
    float("inf"),
    2 - 3j,
    "text \ud800",
    [1, (2.0, "x")],
    {"a": 1, (0, 1): {2}},
    range(3, 9, 2),
    slice(None, 3),
    torch.float32,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_travel(value):
    packer = Packer()
    form = json.loads(json.dumps(packer.pack(value)))
    back = Unpacker(packer.blocks).unpack(form)
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3),
        torch.zeros(0, 4),
        torch.arange(12).view(3, 4).T,
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(1, 3, 1).expand(2, 3, 1)[:, ::2],
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]).conj(),
    ],
    ids=str,
)
def test_tensors_travel(tensor):
    packer = Packer()
    back = Unpacker(packer.blocks).unpack(packer.pack(tensor))
    assert back.dtype == tensor.dtype and torch.equal(back, tensor)


def test_a_generator_goes_on_where_it_was():
    generator = torch.Generator().manual_seed(5)
    torch.rand(3, generator=generator)
    packer = Packer()
    back = Unpacker(packer.blocks).unpack(packer.pack(generator))
    assert torch.equal(torch.rand(4, generator=back), torch.rand(4, generator=generator))


def test_what_is_no_value_only_says_what_it_is():
    class Model:
        def __repr__(self):
            return "a model " + "x" * 500

    packer = Packer()
    back = Unpacker(packer.blocks).unpack(packer.pack(Model()))
    assert type(back).__name__ == "Model" and repr(back).startswith("a model") and len(repr(back)) < 200
    assert type(foreign("no name!", "x")).__name__ == "object"


@pytest.mark.parametrize(
    "form",
    [
        ["plain", 1, 0],
        ["model", 1, "code-4l", False, ["dict", []], ["dict", []], ["list", []], True],
        ["tensor", "float32", [10**9, 10**9], 0, False],
        ["tensor", "object", [1], 0, False],
        ["tensor", "float32", [-1, 3], 0, False],
        ["numpy", "O", [1], 0, False],
        ["numpy", "<M8[s]", [1], 0, False],
        ["generator", 0],
        ["theirs", 99],
        ["dict", [[["list", []], 1]]],
        ["int", "0x" + "f" * 10 + "g"],
        ["tensor", "float32", [1], 7, False],
        [],
        [["list", []]],
        {"kind": "list"},
    ],
    ids=str,
)
def test_nonsense_is_refused(form):
    with pytest.raises(Broken):
        Unpacker([bytearray(b"abcd")]).unpack(form)


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">IQ", 2**31, 0),
        struct.pack(">IQ", 5, 2**50),
        struct.pack(">IQ", 4, 0) + b"\xff\xfe{}",
        struct.pack(">IQ", 2, 0) + b"[]",
        struct.pack(">IQ", 2, 0) + b"{}",
        struct.pack(">IQ", 14, 0) + b'{"blocks":[9]}',
        struct.pack(">IQ", 15, 0) + b'{"blocks":[-9]}',
        struct.pack(">IQ", 100_000, 0) + b"[" * 100_000,
        b"\0" * 5,
    ],
    ids=range(9),
)
def test_messages_that_cannot_be_read_are_refused(sent):
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(sent)
        theirs.close()
        with pytest.raises(Broken):
            Wire(ours).receive()


def test_a_model_is_the_same_on_both_sides():
    model = mirror.copied(mirror.pristine("code-attn-1l"))
    with torch.no_grad():
        next(iter(model.parameters())).mul_(1.5)
    assert mirror._named(model) == ("code-attn-1l", False)
    assert reference("zero_ablate_head")
