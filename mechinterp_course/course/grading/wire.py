"""Values as bytes: what travels between the process that judges and the process that runs a student's code.

Only values travel from the student's side: numbers, texts, tensors, lists, dicts. Nothing that is read here is ever run
(no pickle), so whatever a student's process sends, the worst it can be is a wrong value. Imports torch and the standard library.
"""

import json
import math
import socket
import struct
import time
from dataclasses import dataclass, field

import numpy
import torch

HEAD = struct.Struct(">IQ")  # bytes of the JSON part, bytes of all numbers behind it
MAX_TEXT = 16 * 2**20
MAX_BYTES = 256 * 2**20
MAX_REPR = 120
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}


class Broken(Exception):
    """The other side is gone, or what it sent cannot be read."""


@dataclass
class Wire:
    """One end of a socket that carries messages: a JSON part and blocks of bytes. `deadline` ends every wait."""

    socket: socket.socket
    deadline: float | None = None

    def send(self, message: dict, blocks: list[bytes] = ()) -> None:
        """Send one message, all of it."""
        text = json.dumps({**message, "blocks": [len(block) for block in blocks]}).encode()
        self._wait()
        try:
            self.socket.sendall(HEAD.pack(len(text), sum(map(len, blocks))) + text)
            for block in blocks:
                self.socket.sendall(block)
        except TimeoutError:
            raise
        except OSError as error:
            raise Broken(str(error)) from None

    def receive(self) -> tuple[dict, list[bytes]]:
        """Return the next message. Raises TimeoutError at the deadline, and Broken where the other side is gone."""
        text_size, size = HEAD.unpack(self._read(HEAD.size))
        if text_size > MAX_TEXT or size > MAX_BYTES:
            raise Broken("it sent more than a message may hold")
        try:
            message = json.loads(self._read(text_size))
            sizes = message["blocks"]
            if not all(type(n) is int and n >= 0 for n in sizes) or sum(sizes) != size:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Broken("it sent a message that cannot be read") from None
        return message, [self._read(n) for n in sizes]

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            self._wait()
            try:
                got = self.socket.recv_into(view[at:])
            except TimeoutError:
                raise
            except OSError as error:
                raise Broken(str(error)) from None
            if not got:
                raise Broken("it ended")
            at += got
        return data

    def _wait(self) -> None:
        left = None if self.deadline is None else self.deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)


class Foreign:
    """Stands for a value of a kind that does not travel; it shows what the value said of itself, and can do nothing else."""

    said = ""

    def __repr__(self) -> str:
        return self.said


def foreign(kind: str, said: str) -> Foreign:
    """Return a stand-in whose class is called `kind`."""
    name = kind if kind.isidentifier() and len(kind) <= 60 else "object"
    made = type(name, (Foreign,), {})()
    made.said = said[:MAX_REPR]
    return made


@dataclass
class Packer:
    """Turns values into JSON and blocks. A subclass says how objects that are no values travel, in `special`."""

    blocks: list[bytes] = field(default_factory=list)

    def pack(self, value):
        """Return a JSON form of the value: simple ones as they are, others as [kind, ...]."""
        if value is None or type(value) in (bool, str) or type(value) is float and math.isfinite(value):
            return value
        if type(value) is int:
            return value if abs(value) < 2**63 else ["int", hex(value)]
        known = self.special(value)
        if known is not None:
            return known
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, (numpy.ndarray, numpy.generic)):
            return self._numpy(value)
        if isinstance(value, (list, tuple, set, frozenset)):
            kind = next(k for k in (list, tuple, set, frozenset) if isinstance(value, k)).__name__
            return [kind, [self.pack(item) for item in value]]
        if isinstance(value, dict):
            return ["dict", [[self.pack(key), self.pack(item)] for key, item in value.items()]]
        if isinstance(value, (float, complex)):
            return (
                ["complex", value.real.hex(), value.imag.hex()]
                if type(value) is complex
                else ["float", float(value).hex()]
            )
        if isinstance(value, (range, slice)):
            return [type(value).__name__, value.start, value.stop, value.step]
        if isinstance(value, int):
            return self.pack(int(value))
        if isinstance(value, str):
            return str(value)
        if isinstance(value, torch.Generator):
            return ["generator", self._block(bytes(value.get_state().numpy()))]
        if isinstance(value, torch.dtype) and str(value).removeprefix("torch.") in DTYPES:
            return ["dtype", str(value).removeprefix("torch.")]
        return ["other", type(value).__name__, _shown(value)]

    def special(self, value) -> list | None:
        """Return the form of an object that is known to both sides, or None: here nothing is."""

    def _block(self, data: bytes) -> int:
        self.blocks.append(data)
        return len(self.blocks) - 1

    def _tensor(self, value: torch.Tensor):
        name = str(value.dtype).removeprefix("torch.")
        if name not in DTYPES or value.layout != torch.strided or value.device.type != "cpu":
            return ["other", "Tensor", f"a tensor of type {value.dtype} on {value.device}"]
        if value.numel() * value.element_size() > MAX_BYTES:
            return ["other", "Tensor", f"a tensor of {value.numel()} numbers"]
        flat = value.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format).reshape(-1)
        data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        return ["tensor", name, list(value.shape), self._block(data), value.requires_grad]

    def _numpy(self, value):
        if value.dtype.kind not in "biufc" or value.nbytes > MAX_BYTES:
            return ["other", "ndarray", f"an array of {value.dtype}"]
        data = numpy.ascontiguousarray(value).tobytes()
        return ["numpy", value.dtype.str, list(value.shape), self._block(data), isinstance(value, numpy.generic)]


@dataclass
class Unpacker:
    """Turns JSON and blocks back into values."""

    blocks: list[bytes]

    def unpack(self, form):
        """Return the value of a form. Raises Broken where it is not one."""
        try:
            return self._unpack(form)
        except Broken:
            raise
        except (
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            RuntimeError,
            OverflowError,
            RecursionError,
            MemoryError,
        ) as error:
            raise Broken(f"it sent a value that cannot be read ({type(error).__name__})") from None

    def special(self, kind: str, parts: list):
        """Return an object that is known to both sides."""
        raise Broken(f"it sent a value of an unknown kind, {str(kind)[:40]!r}")

    def _unpack(self, form):
        if form is None or isinstance(form, (bool, int, float, str)):
            return form
        kind, *parts = form
        if kind in ("list", "tuple", "set", "frozenset"):
            make = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
            return make(self._unpack(item) for item in parts[0])
        if kind == "dict":
            return {self._unpack(key): self._unpack(item) for key, item in parts[0]}
        if kind == "tensor":
            return self._tensor(*parts)
        if kind == "numpy":
            return self._numpy(*parts)
        if kind == "float":
            return float.fromhex(parts[0])
        if kind == "complex":
            return complex(float.fromhex(parts[0]), float.fromhex(parts[1]))
        if kind == "int":
            return int(parts[0], 16)
        if kind in ("range", "slice"):
            return {"range": range, "slice": slice}[kind](*parts)
        if kind == "generator":
            made = torch.Generator()
            made.set_state(torch.frombuffer(bytearray(self.blocks[parts[0]]), dtype=torch.uint8))
            return made
        if kind == "dtype":
            return DTYPES[parts[0]]
        if kind == "other":
            return foreign(str(parts[0]), str(parts[1]))
        return self.special(kind, parts)

    def _tensor(self, name: str, shape: list[int], block: int, requires_grad: bool) -> torch.Tensor:
        data, dtype = self.blocks[block], DTYPES[name]
        if not data:
            made = torch.empty(shape, dtype=dtype)
            if made.numel():
                raise ValueError
        else:
            made = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(dtype).reshape(shape)
        return made.requires_grad_() if requires_grad else made

    def _numpy(self, kind: str, shape: list[int], block: int, scalar: bool):
        dtype = numpy.dtype(kind)
        if dtype.kind not in "biufc":
            raise ValueError
        made = numpy.frombuffer(bytearray(self.blocks[block]), dtype=dtype).reshape(shape)
        return made[()] if scalar else made


def _shown(value) -> str:
    try:
        return repr(value)[:MAX_REPR]
    except Exception:
        return f"<{type(value).__name__}>"


def pass_sockets(over: socket.socket, message: bytes, sockets: list[socket.socket]) -> None:
    """Send a short message and open sockets with it."""
    socket.send_fds(over, [message], [one.fileno() for one in sockets])


def take_sockets(over: socket.socket, most: int = 240) -> tuple[bytes, list[socket.socket]]:
    """Return a short message and the sockets that came with it; an empty message means that the other side is gone."""
    message, numbers, _, _ = socket.recv_fds(over, 2**16, most)
    return message, [socket.socket(fileno=number) for number in numbers]
