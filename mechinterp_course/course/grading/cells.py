"""On the student's side: runs the cells of a notebook, one after the other, and hands back what each displayed.

IPython's own shell without the machinery of a kernel: what a cell prints, shows and raises is collected, up to a limit, and
travels over one socket. A check cell is not run: the process is copied where it stands, and the copy waits to be asked for
its answer. Imports IPython, `answers` and `wire`.
"""

import base64
import builtins
import contextlib
import os
import signal
import socket
import sys
import traceback

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from . import answers
from .wire import Broken, Wire

PLOTLY = "application/vnd.plotly.v1+json"
REHEARSAL = """
import torch
from mechinterp_course.interp import plots
plots.heatmap(torch.eye(2), title="A", xlabel="x", ylabel="y", alt="B.").show()
torch.eye(2).requires_grad_().sum().backward()
1 / 0
"""
KEPT_KINDS = ("text/plain", "text/latex", "image/png", "image/jpeg")
SKIPPED = "[what this cell shows goes on; the rest was cut off]\n"


class Page:
    """What the running cell displays: a list of nbformat's outputs, cut off at a number of bytes."""

    def __init__(self, most: int):
        self.most, self.outputs, self.left = most, [], most

    def begin(self) -> None:
        self.outputs, self.left = [], self.most

    def add_text(self, name: str, text: str) -> None:
        if self.left <= 0:
            return
        last = self.outputs[-1] if self.outputs else {}
        if last.get("name") != name:
            last = {"output_type": "stream", "name": name, "text": []}
            self.outputs.append(last)
        last["text"].append(text[: self.left])
        self._took(len(text))

    def add(self, kind: str, data: dict, metadata: dict | None = None, **more) -> None:
        shown = {key: _as_text(value) for key, value in data.items() if key in KEPT_KINDS}
        if PLOTLY in data:  # an interactive figure is a script: what it says of itself takes its place
            shown = {"text/plain": _figure(data[PLOTLY])}
        size = sum(map(len, shown.values()))
        if self.left <= 0:
            return
        if size <= self.left:
            self.outputs.append({"output_type": kind, "data": shown, "metadata": {}, **more})
        self._took(size)

    def add_error(self, name: str, value: str, lines: list[str]) -> None:
        """An error is always shown, and its last lines only where it is long."""
        kept = [line[-5000:] for line in lines[-50:]]
        self.outputs.append({"output_type": "error", "ename": name, "evalue": value[:2000], "traceback": kept})

    def _took(self, size: int) -> None:
        self.left -= size
        if self.left <= 0:
            self.outputs.append({"output_type": "stream", "name": "stdout", "text": [SKIPPED]})

    def finished(self) -> list[dict]:
        return [{**one, "text": "".join(one["text"])} if "text" in one else one for one in self.outputs]


def _as_text(value) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _figure(figure) -> str:
    layout = figure.get("layout", {}) if isinstance(figure, dict) else {}
    title, meta = layout.get("title") or {}, layout.get("meta") or {}
    said = [title.get("text") if isinstance(title, dict) else "", meta.get("alt") if isinstance(meta, dict) else ""]
    return " ".join(["[a figure]", *(str(one) for one in said if one)])


class _Stream:
    """Stands in for stdout or stderr."""

    encoding, errors, closed, softspace = "utf-8", "replace", False, 0

    def __init__(self, page: Page, name: str):
        self.page, self.name = page, f"<{name}>"
        self._name = name

    def write(self, text) -> int:
        self.page.add_text(self._name, str(text))
        return len(text)

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Everything is there at once."""

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("this stream is no file")


class _Publisher(DisplayPublisher):
    page: Page | None = None

    def publish(self, data, metadata=None, *, transient=None, update=False, **more) -> None:
        self.page.add("display_data", data)

    def clear_output(self, wait=False) -> None:
        self.page.outputs.clear()


class _Hook(DisplayHook):
    page: Page | None = None

    def write_output_prompt(self) -> None:
        """No prompt: this is a page."""

    def write_format_data(self, format_dict, md_dict=None) -> None:
        self.page.add("execute_result", format_dict, execution_count=self.prompt_count)

    def finish_displayhook(self) -> None:
        """No line to end."""


class _Shell(InteractiveShell):
    def init_history(self) -> None:
        super().init_history()
        self.history_manager.enabled = False

    def _showtraceback(self, etype, evalue, stb) -> None:
        self.display_pub.page.add_error(str(getattr(etype, "__name__", etype)), str(evalue), list(stb))


def prepare() -> InteractiveShell:
    """Make the shell; once, before the processes are copied."""
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.xmode = "Context"
    return _Shell.instance(config=config, displayhook_class=_Hook, display_pub_class=_Publisher)


def rehearse() -> None:
    """Show a figure and an error once: what they import on first use is then there for every submission."""
    shell, page = prepare(), Page(10**6)
    shell.display_pub.page = shell.displayhook.page = page
    before = dict(shell.user_ns)
    shell.run_cell(REHEARSAL, store_history=False, silent=True)
    shell.user_ns.clear()
    shell.user_ns.update(before)


def work(over: socket.socket, examined: list[socket.socket], output_bytes: int) -> None:
    """Run cells as they come, until the other side goes away. `examined`: a socket for each check cell, in order."""
    shell, page, wire = prepare(), Page(output_bytes), Wire(over)
    shell.display_pub.page = shell.displayhook.page = page
    shell.user_ns["__name__"] = "__main__"
    sys.stdout, sys.stderr = _Stream(page, "stdout"), _Stream(page, "stderr")
    builtins.input = _no_input
    me = os.getpid()
    while True:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is for a cell, not for what stands between cells
        try:
            asked, _ = wire.receive()
        except Broken:
            return
        if asked["do"] == "run":
            answer = _run(shell, page, asked["source"])
            if os.getpid() != me:  # a copy that the cell has made: it has no part in what follows
                os._exit(0)
            _reply(wire, answer)
        elif asked["do"] == "snapshot":
            try:
                _snapshot(over, examined, asked["at"], asked["exercise"], shell.user_ns)
            except OSError:  # the cells before have left so many processes that there cannot be one more
                return
            _reply(wire, {"ok": True, "outputs": []})


def _reply(wire: Wire, answer: dict) -> None:
    try:
        wire.send(answer)
    except (TypeError, ValueError):  # a cell put something into the page that is no text
        wire.send({**answer, "outputs": []})


def _run(shell: InteractiveShell, page: Page, source: str) -> dict:
    page.begin()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = shell.run_cell(source, store_history=True)
        error = done.error_before_exec or done.error_in_exec
    except BaseException as stopped:  # an interruption while IPython itself was at work
        page.add_error(type(stopped).__name__, str(stopped), traceback.format_exception_only(stopped))
        error = stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return {"ok": error is None, "count": shell.execution_count - 1, "outputs": page.finished()}


def _snapshot(over: socket.socket, examined: list, at: int, name: str, names: dict) -> None:
    """Copy this process; the copy shows the answer as it is here, whatever later cells do."""
    copied = os.fork()
    if copied:
        # What ends the cells' process and its children leaves the copy: said by both, because either may be first.
        with contextlib.suppress(OSError):
            os.setpgid(copied, copied)
        examined[at].close()
        return
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        over.close()
        for other in examined[:at] + examined[at + 1 :]:
            other.close()  # else a copy that has ended would seem to be there for as long as this one is
        sys.stdout = sys.stderr = _Stream(Page(0), "stdout")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        answers.serve(examined[at], name, names)
    finally:
        os._exit(0)


def _no_input(prompt="") -> str:
    raise RuntimeError("There is nobody to answer input() while a notebook is graded.")
