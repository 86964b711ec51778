"""The two texts that `class init` writes into a class folder: nbgrader's settings and the README. Imports nothing."""

CONFIG = '''\
"""nbgrader's settings for this class; `mechinterp class` reads them too. Run all commands in this folder."""

import os
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
# nbgrader looks for `alembic` on the PATH when it makes its gradebook.
os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", "")

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = {name!r}
c.CourseDirectory.root = str(here)
{database}
# For nbgrader's own autograde: a cell may train a small network; one that does not end costs this many seconds.
c.ExecutePreprocessor.timeout = 300
# What students' code displays is shown to you in the formgrader and in nbgrader's feedback: without scripts.
c.HTMLExporter.sanitize_html = True
'''

SQLITE = """\
# Another process may hold the gradebook for a moment: wait for it instead of failing.
c.CourseDirectory.db_url = f"sqlite:///{here / 'gradebook.db'}?timeout=60"\
"""

OTHER_DATABASE = """\
# The gradebook is in a database of its own; keep the password in this address to yourself.
c.CourseDirectory.db_url = {url!r}\
"""

README = """\
# {title}: a class

This folder is a class. nbgrader and its formgrader work in it, and `mechinterp class` does what they do not: it grades in
a sandbox and in parallel, and shows where the class is stuck. Run every command in this folder.

## From handing out to handing back
1. **Hand out.** Give students the folder `release/{example}`. It is made already. After a change in `source/`, make it
   again: `nbgrader generate_assignment {example} --force`
2. **Collect.** Put each student's notebook at `submitted/STUDENT/{example}/{example}.ipynb`. STUDENT is the id in your
   roster. A student who hands in their `progress.jsonl` too (it lies in their workspace; put it beside the notebook)
   lets the report say how long an exercise takes and which hints are used.
3. **Grade.** `mechinterp class grade` grades whatever is new: each submission is rebuilt from the release, then run in a
   sandbox of its own. Stop it with Ctrl-C and start it again: nothing is graded twice and nothing is skipped. The lab's own cells
   that only show something do not run (`--all-cells` runs them, too).
   `mechinterp class status` says how far you are.
4. **Look.** `mechinterp class report` writes `report.html`: who is where, which mistakes the class makes, which
   exercises are too hard, who needs help, and what the grader mended or flagged. To read single submissions, change
   points or write comments, start JupyterLab here and open its formgrader (menu Nbgrader): `jupyter lab`. The formgrader
   is nbgrader's: it takes MathJax from a network, and without one it shows formulas as they are typed.
5. **Return.** `mechinterp class feedback` writes a page for each student to `feedback/STUDENT/{example}/`. It needs no
   network, and shows neither hidden checks nor the class's secret.
6. **Record.** `mechinterp class export` writes `grades.csv` and `exercises.csv`, for spreadsheets.

The labs of this class: {labs}. `mechinterp class init . --lessons 08` adds one,
`mechinterp class init . --roster students.csv` adds students; what is here stays as it is.

## What is where
| | |
|---|---|
| `source/` | the labs with solutions and hidden checks: yours |
| `release/` | the labs as students get them |
| `submitted/` | what students handed in; nothing here is ever changed |
| `autograded/` | the same, rebuilt and executed, for the formgrader |
| `graded/` | one file a submission: points, mistakes, what was mended or looks odd. It also remembers what is graded; delete a file there to grade that submission again |
| `feedback/` | a page for each student |
| `gradebook.db` | nbgrader's gradebook (where you chose another database, it is there instead) |
| `{secret}` | the seed from which hidden checks draw their inputs |

Only you can open this folder. Keep `source/`, `autograded/`, the gradebook and `{secret}` to yourself.

## Grading on several computers
On one of them `dask scheduler`, on each `dask worker ADDRESS --nthreads 1 --nworkers 8` (with as many workers as it has
cores), here `mechinterp class grade --scheduler ADDRESS`. ADDRESS is what the scheduler says, as tcp://10.0.0.5:8786. Points are
written here, by this one process. Submissions and the class's source travel to the workers, and a Dask scheduler runs
whatever reaches its port: keep it inside a network of your own, or give it keys (Dask's page on TLS).

## What a score says, and what it does not
- An exercise is all or nothing; a lab's points are the sum of its exercises.
- **All solutions of this course are public. A score measures learning; it does not prove honesty.** The hidden checks draw
  their inputs from this class's own secret, so an answer that knows the visible check by heart fails them. A copied solution passes.
- Points come from records that the check makes while it runs, not from the absence of an error. Warnings, printed text and
  displayed values neither give nor take points. What looks like tampering is flagged for you to read; nothing is decided for you.
- A submission runs in a sandbox without a network, without a view of this folder or of other students, with limits on
  time, memory and output. The sandbox needs bubblewrap (Debian and Ubuntu: `apt install bubblewrap`). Where it is
  missing, grading refuses. `--unsafe` runs submissions on this computer as they are: only for people you know, or on a
  computer that holds nothing else.
- nbgrader's own command, `nbgrader autograde {example} --create --force`, works here too. It has no sandbox, runs one
  submission after the other, and stops at a damaged one.

Every student, and every computer that grades, needs this course installed in the version that you have.
"""
