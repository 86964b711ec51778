"""A Jupyter kernel that cannot reach beyond this machine: `python -m mechinterp_course.course.offline_kernel -f FILE`.

An audit hook refuses every attempt to look up or reach another machine, and writes it down: a request that the
notebook's code makes and swallows in a `try` is found as well. It imports nothing of the course.
"""

import json
import os
import socket
import sys
import traceback
from pathlib import Path

REQUESTS = "MECHINTERP_REQUESTS"  # the file to write attempts into
_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_CONNECTIONS = {"socket.connect", "socket.sendto", "socket.sendmsg"}


def refuse(event: str, arguments: tuple) -> None:
    """The audit hook: raise `ConnectionError` for an address that is not this machine's."""
    if event in _LOOKUPS:
        host = arguments[0]
    elif event in _CONNECTIONS:
        address = arguments[1]
        if not isinstance(address, tuple):  # None (an open connection) or a path (AF_UNIX)
            return
        host = address[0]
    else:
        return
    if not is_local(host):
        name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
        _write_down(name)
        raise ConnectionError(f"This notebook runs offline; it asked for {name}.")


def is_local(host: object) -> bool:
    """Whether a host name or address is this machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host is None or host in ("", "0.0.0.0", "::", "::1", "localhost", "localhost.localdomain"):
        return True
    return str(host).startswith("127.") or host == socket.gethostname()


def _write_down(host: str) -> None:
    if REQUESTS not in os.environ:
        return
    stack = traceback.extract_stack()
    asked = next((frame.line for frame in reversed(stack) if "ipykernel_" in frame.filename), "")
    with Path(os.environ[REQUESTS]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"host": host, "line": asked}) + "\n")


def main() -> None:
    sys.addaudithook(refuse)
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


if __name__ == "__main__":
    main()
