"""The command `mechinterp`: runs one command and turns what goes wrong into a sentence, its remedy and an exit code.

Exit codes: 0 all is well, 1 something is not (said on stderr), 2 the command line was not understood, 3 JupyterLab runs
already, 130 stopped with Ctrl-C. The commands are in `commands/`; they are imported inside `main`, so that Ctrl-C has an
answer while they load.
"""

import os
import sys

STOPPED = 130


def main() -> None:
    """Run the command line and exit."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without ✓ shows ?, and does not fail
        from .commands.app import run

        code = run(sys.argv[1:])
        if code == STOPPED:  # Typer hears Ctrl-C first, and makes it an exit code
            code = _stopped()
    except KeyboardInterrupt:
        code = _stopped()
    except BrokenPipeError:  # `mechinterp status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _stopped() -> int:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the goodbye short
    print("\nStopped. Nothing was lost.", file=sys.stderr)
    return STOPPED
