"""What a model costs before it does anything: seconds and memory of importing the helpers and of loading each model.

Each measurement is a fresh process, imports included, on one thread; the median of some. Run, with nothing else on the machine:
python benchmarks/loading.py        writes loading.json beside this file
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mechinterp_course.interp import models

RUNS = 5
IMPORTS = {
    "nothing": "pass",
    "import mechinterp_course": "import mechinterp_course",
    "import mechinterp_course.interp": "import mechinterp_course.interp",
    "import torch": "import torch",
}
FORWARD = "import torch; model(torch.tensor([[0, 1, 2]]))"  # weights come into memory when they are first used
MEASURE = """
import resource, sys, time
started = time.perf_counter()
{code}
seconds = time.perf_counter() - started
{after}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(seconds, peak, file=sys.stderr)
"""


def measured(code: str, after: str = "") -> dict[str, float]:
    """Return the median seconds, and the peak of memory in MB, of some fresh processes that run this code, and `after` untimed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    seconds, peaks = [], []
    for _ in range(RUNS + 1):  # the first warms the file cache
        done = subprocess.run(
            [sys.executable, "-c", MEASURE.format(code=code, after=after)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        took, peak = done.stderr.strip().splitlines()[-1].split()
        seconds.append(float(took))
        peaks.append(float(peak) / 1e6)
    return {"seconds": round(statistics.median(seconds[1:]), 3), "peak_mb": round(max(peaks[1:]))}


def main() -> None:
    figures = {name: measured(code) for name, code in IMPORTS.items()}
    for entry in models.catalogue():
        if entry.where is not None:
            code = f'from mechinterp_course.interp import models; model = models.load("{entry.name}")'
            figures[f'load("{entry.name}")'] = measured(code, after=FORWARD)
    about = {
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformer_lens": version("transformer-lens"),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": 1,
        "runs": RUNS,
        "how": "fresh processes, imports included, file cache warm; seconds: median; peak_mb: largest resident memory, after a forward pass",
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(about | {"figures": figures}, indent=1) + "\n")
    table = Table("what", "seconds", "MB")
    for name, found in figures.items():
        table.add_row(name, f"{found['seconds']:.2f}", f"{found['peak_mb']:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
