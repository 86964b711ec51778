"""How fast a class is graded: `mechinterp class grade` beside `nbgrader autograde`, on the same honest submissions.

Run: python benchmarks/grading.py                                    500 submissions, 2 workers; writes grading.json
     python benchmarks/grading.py --labs 06,14                       of those, only what these labs get; the others later
     python benchmarks/grading.py --submissions 36 --labs 00 --baseline 2 --to /tmp/small.json     a few minutes

All of it takes hours. A lab's row is written as soon as it is measured, and a later call with the same numbers goes on from there.

For each lab: `nbgrader autograde --force` over its first 20 submissions, in one process, with a gradebook that knows them
already; then all of its submissions by Dask workers, sandboxed. The two give the same scores, or the difference is listed. Last, a
scheduler with worker processes of its own, of which one is killed while it grades.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from submissions import choices, make

from mechinterp_course.course.grading import farm, folder, making, session
from mechinterp_course.course.grading.gradebook import opened
from mechinterp_course.course.grading.graded import Job, Limits
from mechinterp_course.course.grading.nbgrader_cli import nbgrader
from mechinterp_course.tutor.catalog import course

VERSIONS = ("nbgrader", "distributed", "torch", "transformer-lens", "ipykernel", "nbclient", "SQLAlchemy")
MIB = 2**20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=500, help="over all labs")
    parser.add_argument("--baseline", type=int, default=20, help="submissions of each lab that nbgrader grades too")
    parser.add_argument(
        "--labs", default="", help="measure these now, as 00,06; default: all that are not measured yet"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cluster", type=int, default=4, help="worker processes of the simulated cluster; 0: none")
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Peak:
    """The most memory that this process and all below it hold at once, sampled; shared pages count once (PSS)."""

    def __enter__(self):
        self.mib, self.over = 0.0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *about):
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(2):
            family = [psutil.Process(), *psutil.Process().children(recursive=True)]
            self.mib = max(self.mib, sum(_held(one) for one in family) / MIB)


def _held(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
        return getattr(memory, "pss", 0) or memory.rss
    except psutil.Error:
        return 0


def machine() -> dict:
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}


def every_lab() -> list[str]:
    return [lesson.stem for lesson in course().lessons if (lesson.folder / "checks.py").is_file()]


def labs_to_measure(options: argparse.Namespace, measured: dict) -> list[str]:
    """Return the labs that are asked for, or all that have no row yet."""
    names = [name for name in options.labs.split(",") if name]
    chosen = {course().lesson(name).stem for name in names}
    return [stem for stem in every_lab() if (stem in chosen if names else stem not in measured)]


def make_class(
    root: Path, labs: list[str], options: argparse.Namespace
) -> tuple[folder.ClassFolder, dict[str, dict[str, dict]]]:
    """Make a class folder with honest submissions; return it, and what was written in each: {lab: {student: ...}}."""
    book = course()
    every = every_lab()
    making.init(root, book, labs)
    made, plans = folder.ClassFolder(root), {}
    each, more = divmod(options.submissions, len(every))
    for lab in made.labs:
        released, ways, plans[lab] = made.released(lab), choices(book, book.lesson(lab)), {}
        for number in range(each + (every.index(lab) < more)):
            one = make(released, ways, number, options.seed)
            path = root / "submitted" / one.student / lab / f"{lab}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(one.notebook, encoding="utf-8")
            plans[lab][one.student] = one.written
    return made, plans


def scores(made: folder.ClassFolder, lab: str) -> dict[str, dict[str, float]]:
    with opened(made) as book:
        return book.scores(lab)


def by_nbgrader(made: folder.ClassFolder, lab: str, students: list[str]) -> dict:
    """Grade some submissions with nbgrader's own command, twice: the first run warms its gradebook and the disk."""
    few = made.root.parent / f"few-{lab}"
    shutil.copytree(made.root, few, ignore=shutil.ignore_patterns("submitted"))
    for student in students:
        shutil.copytree(made.root / "submitted" / student / lab, few / "submitted" / student / lab)
    settings = few / folder.SETTINGS
    settings.write_text(
        settings.read_text(encoding="utf-8").replace("timeout = 300", "timeout = 600"), encoding="utf-8"
    )
    warm = folder.ClassFolder(few)
    nbgrader(few, "autograde", lab, f"--student={students[0]}", "--create", "--force")
    with opened(warm) as book:
        for student in students:
            book.gradebook.update_or_create_student(student)
    started = time.perf_counter()
    with Peak() as peak:
        done = nbgrader(few, "autograde", lab, "--create", "--force")
    seconds = time.perf_counter() - started
    found = scores(warm, lab)
    shutil.rmtree(few)
    return {"seconds": seconds, "exit": done.returncode, "scores": found, "peak_mib": peak.mib}


def by_workers(made: folder.ClassFolder, lab: str, workers: int) -> dict:
    """Grade all submissions of a lab, as `mechinterp class grade` does."""
    started, seconds, peaks, first = time.perf_counter(), [], [], 0.0
    with Peak() as peak:
        for record in session.grade(made, course(), [lab], workers=workers):
            first = first or time.perf_counter() - started
            seconds.append(record.graded.wall_s)
            peaks.append(record.graded.peak_mib)
    whole = time.perf_counter() - started
    return {"seconds": whole, "first": first, "each": seconds, "peak_mib": peak.mib, "box_mib": max(peaks)}


def compare(made: folder.ClassFolder, lab: str, plans: dict, options: argparse.Namespace) -> dict:
    """Return one lab's row: throughput of both, their ratio, and whether the scores are the same."""
    students = sorted(plans)[: options.baseline]
    base = by_nbgrader(made, lab, students)
    ours = by_workers(made, lab, options.workers)
    found = scores(made, lab)
    different = sorted(
        f"{student}/{exercise}: nbgrader {points:g}, ours {found[student].get(exercise, 0.0):g}"
        for student, own in base["scores"].items()
        for exercise, points in own.items()
        if points != found[student].get(exercise, 0.0)
    )
    unplanned = sorted(
        f"{student}/{name}"
        for student, written in plans.items()
        for name, choice in written.items()
        if not choice.right and found[student].get(f"{name}-check", 0.0) > 0
    )
    per_base, per_ours = base["seconds"] / len(students), ours["seconds"] / len(plans)
    text = (course().lesson(lab).folder / "lab.py").read_text(encoding="utf-8")
    return {
        "machine": machine(),
        "submissions": len(plans),
        "imports_transformer_lens": "transformer_lens" in text or "models.load" in text,
        "nbgrader": {
            "submissions": len(students),
            "seconds": round(base["seconds"], 2),
            "each": round(per_base, 3),
            "peak_mib": round(base["peak_mib"]),
        },
        "ours": {
            "seconds": round(ours["seconds"], 2),
            "each": round(per_ours, 3),
            "seconds_to_the_first": round(ours["first"], 2),
            "median_in_a_worker": round(statistics.median(ours["each"]), 3),
            "peak_mib_of_all_processes": round(ours["peak_mib"]),
            "peak_mib_of_a_submission": round(ours["box_mib"]),
        },
        "ratio": round(per_base / per_ours, 2),
        "scores_that_differ": different,
        "wrong_answers_with_points": unplanned,
    }


def with_a_death(made: folder.ClassFolder, lab: str, plans: dict, workers: int) -> dict:
    """Grade some submissions on a scheduler with processes of its own, and kill one of them while it works."""
    import dask
    from distributed import LocalCluster

    source, students = made.source(lab), sorted(plans)[: 6 * workers]
    jobs = [
        Job(lab, one, source, (made.root / "submitted" / one / lab / f"{lab}.ipynb").read_bytes(), Limits())
        for one in students
    ]
    kept, started = [], time.perf_counter()
    with dask.config.set(farm.SETTINGS):
        options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 60}
        with LocalCluster(n_workers=workers, **options) as cluster:
            for graded in farm.run(jobs, scheduler=cluster.scheduler_address):
                kept.append(graded)
                if len(kept) == workers:
                    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
    found = scores(made, lab)
    same = all(found[one.student] == {outcome.grade_id: outcome.points for outcome in one.outcomes} for one in kept)
    return {
        "lab": lab,
        "workers": workers,
        "killed": 1,
        "submissions": len(jobs),
        "came_back": len({one.student for one in kept}),
        "came_back_twice": len(kept) - len({one.student for one in kept}),
        "failed": sum(one.state == "failed" for one in kept),
        "same_scores_as_without_a_death": same,
        "seconds": round(time.perf_counter() - started, 1),
    }


def show(result: dict) -> None:
    table = Table("lab", "n", "nbgrader s each", "ours s each", "ratio", "scores", "peak MiB")
    for lab, row in result["labs"].items():
        differ = f"{len(row['scores_that_differ'])} differ" if row["scores_that_differ"] else "same"
        memory = f"{row['nbgrader']['peak_mib']} / {row['ours']['peak_mib_of_all_processes']}"
        table.add_row(
            lab,
            str(row["submissions"]),
            str(row["nbgrader"]["each"]),
            str(row["ours"]["each"]),
            str(row["ratio"]),
            differ,
            memory,
        )
    Console().print(table)
    if result["cluster"]:
        print(json.dumps(result["cluster"]))


def main() -> None:
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = "1"  # for both: a process on each core, not several threads on both
    result = {
        "versions": {name: version(name) for name in VERSIONS},
        "asked": {key: value for key, value in vars(options).items() if key not in ("to", "labs", "cluster")},
        "labs": {},
        "cluster": None,
    }
    if options.to.is_file():
        before = json.loads(options.to.read_text())
        if all(before[key] == result[key] for key in ("versions", "asked")):
            result = before
    labs = labs_to_measure(options, result["labs"])
    with tempfile.TemporaryDirectory(prefix="mi-class-") as name:
        made, plans = make_class(Path(name) / "class", labs, options)
        for lab in labs:
            print(f"{lab} ...", file=sys.stderr, flush=True)
            result["labs"][lab] = compare(made, lab, plans[lab], options)
            result["labs"] = dict(sorted(result["labs"].items()))
            result["submissions"] = sum(row["submissions"] for row in result["labs"].values())
            options.to.write_text(json.dumps(result, indent=1) + "\n")  # what is measured is kept, whatever comes
        if options.cluster and labs and not result["cluster"]:
            result["cluster"] = with_a_death(made, labs[0], plans[labs[0]], options.cluster)
            options.to.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
