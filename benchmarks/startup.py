"""How fast the course answers: the command line as whole processes, and each exercise's check after imports.

Run: python benchmarks/startup.py        writes startup.json beside this file
"""

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mechinterp_course.tutor import workspace

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # the learner of sixty days

RUNS = 7
EVENTS = 10_000
MECHINTERP = [sys.executable, "-m", "mechinterp_course"]


def process_seconds(arguments: list[str], env: dict[str, str]) -> list[float]:
    """Return the wall seconds of `RUNS` whole processes, after one that warms the file cache."""
    seconds = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run([*MECHINTERP, *arguments], env=env, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def said_seconds(env: dict[str, str]) -> list[float]:
    """Return the wall seconds until `mechinterp` alone has said what today's hour holds, before it starts JupyterLab.

    It is given a port that is taken, so it says its words, finds that out and ends: no JupyterLab starts.
    """
    seconds = []
    with socket.create_server(("localhost", 0)) as taken:
        port = str(taken.getsockname()[1])
        for _ in range(RUNS + 1):
            started = time.perf_counter()
            process = subprocess.Popen(
                [*MECHINTERP, "--no-browser", "--port", port],
                env={**env, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
            said = next(line for line in process.stdout if line.startswith("So far"))
            seconds.append(time.perf_counter() - started)
            assert "exercises passed" in said
            process.communicate()
    return seconds[1:]


def write_history(file: Path) -> None:
    """Write sixty days of a simulated learner, filled up with failed checks to `EVENTS` events."""
    from simulated_learner import padded, simulate

    from mechinterp_course.tutor.catalog import course

    events = padded(simulate(course()).events, EVENTS)
    file.write_text("".join(event.to_line() + "\n" for event in events), encoding="utf-8")


def interpreter_seconds() -> list[float]:
    """Return what an empty Python process costs on this machine, to compare with."""
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        seconds.append(time.perf_counter() - started)
    return seconds


def check_seconds() -> dict[str, list[float]]:
    """Return, for each exercise, the seconds of examining the course's own answer, the first (imports done) left out."""
    from mechinterp_course.tutor.catalog import course
    from mechinterp_course.tutor.reference import reference
    from mechinterp_course.tutor.runner import examine

    found = {}
    for name in course().exercises:
        answer = reference(name)
        seconds = []
        for _ in range(4):
            started = time.perf_counter()
            verdict = examine(name, answer)
            seconds.append(time.perf_counter() - started)
            assert verdict.passed, "\n".join(verdict.lines())
        found[name] = seconds[1:]
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "MECHINTERP_WORKSPACE": str(Path(folder) / "workspace")}
        workspace.start(Path(env["MECHINTERP_WORKSPACE"]))
        rows = {
            "python -c pass": interpreter_seconds(),
            "mechinterp --help": process_seconds(["--help"], env),
            "mechinterp status": process_seconds(["status"], env),
        }
        write_history(Path(env["MECHINTERP_WORKSPACE"]) / "progress.jsonl")
        rows[f"mechinterp status, {EVENTS:,} events"] = process_seconds(["status"], env)
        rows[f"mechinterp alone, until it says today's hour, {EVENTS:,} events"] = said_seconds(env)
    checks = check_seconds()
    slowest = max(checks, key=lambda name: statistics.median(checks[name]))
    rows[f"slowest check of {len(checks)}: {slowest}"] = checks[slowest]

    table = Table("what", "median s", "min s", "max s")
    for name, seconds in rows.items():
        table.add_row(name, *(f"{f(seconds):.3f}" for f in (statistics.median, min, max)))
    Console().print(table)
    result = {
        "machine": {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "typer", "rich")},
        "seconds": {name: [round(s, 4) for s in seconds] for name, seconds in rows.items()},
        "median_seconds_of_each_check": {name: round(statistics.median(s), 4) for name, s in checks.items()},
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
