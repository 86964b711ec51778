"""The memory of many processes together: what they share is counted once, whoever was copied from whom."""

import subprocess
import sys

import pytest

from mechinterp_course.course.grading.meter import Meter

MIB = 300
# A process that holds so much, and makes a sleeping copy of itself for each line that it reads, as a box does at each check.
COPYING = f"""
import os, sys, time
held = bytearray(os.urandom(1)) * ({MIB} * 2**20)
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "write":  # what was shared becomes its own
        for at in range(0, len(held), 4096):
            held[at] = 1
    elif os.fork() == 0:
        time.sleep(600)
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    print("done", flush=True)
"""


@pytest.fixture
def copying():
    """Return (the pid above the process, a function that tells it what to do)."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {COPYING!r}])"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True, process_group=0) as process:
        assert process.stdout.readline() == "ready\n"

        def tell(what):
            process.stdin.write(f"{what}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        try:
            yield process.pid, tell
        finally:
            subprocess.run(["kill", "-9", "--", f"-{process.pid}"], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_what_copies_share_is_counted_once_and_what_they_do_not_twice(copying):
    pid, tell = copying
    meter = Meter(pid, most_mib=100_000)
    meter.sample()
    alone = meter.peak_mib
    assert MIB < alone < 1.5 * MIB
    for _ in range(8):
        tell("copy")
        meter.sample()
    assert meter.peak_mib < alone + 120  # a copy's own pages and tables
    tell("write")
    meter.sample()
    assert meter.peak_mib > alone + 0.9 * MIB and meter.ended == 0


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_the_biggest_is_ended_when_all_together_use_too_much(copying):
    pid, tell = copying
    meter = Meter(pid, most_mib=0.5 * MIB)
    meter.sample()
    tell("copy")
    meter.sample()
    assert meter.ended == 0
    tell("write")
    meter.sample()
    assert meter.ended == 1
