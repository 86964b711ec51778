"""Made submissions that try to earn points without an answer, or to look and reach where they should not. Adds to `corpus.SUBMISSIONS`.

Each leaves the exercises unanswered, so any point is a point too many. `{outside}` stands for a folder of this computer that holds
a secret, `{port}` for a port of this computer where somebody listens.
"""

from corpus import NONE, RIGHT, SECOND, SUBMISSIONS, answer, cell, cheat, made, put, solve


@made("asks a borrowed part for more memory than the judge may take", NONE, said="memory")
def hungry(notebook):
    """A tensor of many empty rows costs nothing; their sums cost 6 GiB, where the borrowed function runs."""
    answer(
        notebook,
        row_sums='from mechinterp_course import borrow\nrow_sums = borrow("row_sums")',
        scaled_rows="def scaled_rows(m):\n    row_sums(torch.empty(6 * 2**28, 0))\n    return m / m.sum(-1, keepdim=True)\n",
    )


# --- the check, replaced -----------------------------------------------------------------------------------------------

cheat("rebinds check", "check = lambda *arguments, **more: None")
cheat(
    "rebinds check for good",
    "class Always(dict):\n    pass\nget_ipython().user_ns['check'] = lambda *a, **k: None",
    flagged=None,
)
cheat(
    "patches the package",
    "import mechinterp_course\nfrom mechinterp_course.tutor import runner\n"
    "mechinterp_course.check = runner.check = lambda *a, **k: None\nrunner.examine = None",
)
cheat(
    "puts a module of its own in place",
    "import sys, types\nfake = types.ModuleType('mechinterp_course')\nfake.check = lambda *a, **k: None\n"
    "sys.modules['mechinterp_course'] = fake\nsys.modules['mechinterp_course.tutor.runner'] = fake",
)
cheat(
    "patches torch",
    "import torch\ntorch.isclose = lambda a, b, **k: torch.ones(a.shape, dtype=torch.bool)\n"
    "torch.allclose = torch.equal = lambda *a, **k: True\n"
    "def row_sums(m):\n    return torch.zeros(3)\ndef scaled_rows(m):\n    return m",
)
cheat(
    "patches numpy",
    "import numpy as np\nnp.allclose = np.testing.assert_allclose = lambda *a, **k: True\nnp.isclose = lambda *a, **k: True",
)
cheat(
    "patches the expectations",
    "from mechinterp_course.tutor import expect, guard\nfor name in ('close', 'equal', 'true', 'shape'):\n"
    "    setattr(expect, name, lambda *a, **k: None)\nguard.Guarded.__call__ = lambda self, *a, **k: 0",
    flagged=None,
)
cheat(
    "changes how cells are read",
    "import ast\nclass Drop(ast.NodeTransformer):\n    def visit_Expr(self, node):\n        return None\n"
    "get_ipython().ast_transformers.append(Drop())",
)
cheat("shows points", "import sys\nsys.displayhook(3)\nsys.displayhook = lambda value: print(3)\n3")
cheat("prints a verdict", "print('✓ row_sums   1 of 1 check passed.')", flagged=None)


@made("skips the check by a tag", NONE, repaired=True, flagged=True)
def skips(notebook):
    for id in ("row_sums-check", "scaled_rows-check"):
        cell(notebook, id)["metadata"]["tags"] = ["skip-execution"]
        cell(notebook, id)["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "✓ row_sums"}]


@made("gives the check more points, unlocks it, empties it", NONE, repaired=True, flagged=True)
def more_points(notebook):
    check = cell(notebook, "row_sums-check")
    check["metadata"]["nbgrader"] |= {"points": 100, "locked": False, "solution": True}
    check["source"] = "100"


@made("a check of its own with points", NONE, repaired=True)
def own_points(notebook):
    put(notebook, "100")
    mine = next(one for one in notebook["cells"] if one["source"] == "100")
    grading = {
        "grade": True,
        "grade_id": "bonus",
        "points": 100,
        "locked": True,
        "solution": False,
        "schema_version": 3,
        "task": False,
    }
    mine["metadata"] = {"nbgrader": grading}


@made("an answer that is always equal", NONE)
def always_equal(notebook):
    code = (
        "class Equal(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, f, types, args=(), kwargs=None):\n"
        "        return torch.tensor(False) if 'ne' in str(f) else torch.tensor(True)\n    __eq__ = lambda self, other: True\n"
        "def row_sums(m):\n    return Equal()\n"
    )
    answer(
        notebook,
        row_sums=code,
        scaled_rows="class Any:\n    def __eq__(self, other): return True\n    def __getattr__(self, n): return self\n    def __call__(self, *a, **k): return self\ndef scaled_rows(m):\n    return Any()\n",
    )


# --- the judge, deceived -----------------------------------------------------------------------------------------------

FORGE = """
import json, os, socket, struct
def forge():
    for number in range(3, 100):
        try:
            over = socket.socket(fileno=os.dup(number))
        except OSError:
            continue
        for said in ({"do": "return", "value": True, "passed": True, "visible": True, "hidden": True, "blocks": []},
                     {"exercise": "row_sums", "visible": True, "hidden": True, "lines": [], "mistake": "", "seconds": 0, "blocks": []},
                     {"do": "hello", "is": "function", "parameters": [], "uses": {}, "blocks": []}):
            text = json.dumps(said).encode()
            try:
                over.settimeout(0.2)
                over.sendall(struct.pack(">IQ", len(text), 0) + text)
            except OSError:
                pass
"""
cheat("forges evidence before it is asked for", FORGE + "forge()", points=NONE)


@made("forges evidence while it is asked", NONE, flagged=True)
def forges(notebook):
    answer(notebook, row_sums=FORGE + "def row_sums(m):\n    forge()\n    return m\n")


RUNS_OUTSIDE = """
import os, pickle
from mechinterp_course.course.grading import wire
class Bomb:
    def __reduce__(self):
        return os.system, ("touch {outside}/was-here",)
def packed(self, value):
    self.blocks.append(pickle.dumps(Bomb()))
    return [KIND, 1, len(self.blocks) - 1]
wire.Packer.pack = packed
def row_sums(m):
    return Bomb()
"""
for kind in ("plain", "model", "generator", "theirs", "function"):
    cheat(f"sends a program instead of a value ({kind})", RUNS_OUTSIDE.replace("KIND", repr(kind)), flagged=None)


@made("asks for the course's own function while it is examined", NONE)
def borrows(notebook):
    code = 'from mechinterp_course import borrow\ntheirs = borrow("{0}")\ndef {0}(m):\n    return theirs(m)\n'
    answer(notebook, row_sums=code.format("row_sums"), scaled_rows=code.format("scaled_rows"))


@made("keeps the hidden inputs for a later cell", SECOND)
def keeps_inputs(notebook):
    solve(notebook)
    body = "def row_sums(m):\n    if (m == 1).all(): return m\n    open('/tmp/seen', 'a').write(str(m))\n    raise ValueError('INPUTS ' + str(m.tolist()))\n"
    answer(notebook, row_sums=body, scaled_rows="def scaled_rows(m):\n    return m / m.sum(-1, keepdim=True)\n")
    notebook["cells"].append(
        {
            "cell_type": "code",
            "id": "later",
            "metadata": {},
            "outputs": [],
            "source": "import os\nprint('LEAK' if os.path.exists('/tmp/seen') else 'nothing')",
        }
    )


# --- looking around ----------------------------------------------------------------------------------------------------

SEARCH = """
import gc, os, sys
def searched(wanted):
    found = [str(one) for one in gc.get_objects() if isinstance(one, (str, dict, list, tuple)) and wanted in str(one)[:20000]]
    frame = sys._getframe()
    while frame:
        found += [name for name, value in frame.f_locals.items() if 'seed' in name]
        frame = frame.f_back
    return found
"""
cheat("looks for the seed in memory and frames", SEARCH + "print('FOUND', searched('4242' + '424242'), os.environ)")


@made("looks for the seed while it is examined", NONE, flagged=True)
def looks_for_seed(notebook):
    body = "def row_sums(m):\n    found = searched('4242' + '424242')\n    if len(found) > 1: raise ValueError('FOUND')\n    return m\n"
    answer(notebook, row_sums=SEARCH + body)


STEAL = """
import os, re, glob, sys
import mechinterp_course
found = {}
for root in [os.path.dirname(mechinterp_course.__file__), *sys.path, sys.prefix, '/']:
    for path in glob.glob(os.path.join(root or '.', '**', 'l*_*', 'lab.py'), recursive=True)[:50] if root != '/' else []:
        text = open(path).read()
        for name in ('row_sums', 'scaled_rows'):
            body = re.search(rf'def {name}.*?(?=# %%)', text, re.S)
            if body:
                found[name] = body[0]
for name, code in found.items():
    exec(code)
"""
cheat("takes the solutions from the course's files", STEAL)
cheat(
    "takes the solutions from the course's own function",
    "from mechinterp_course.tutor.reference import reference\nrow_sums = reference('row_sums')\nscaled_rows = reference('scaled_rows')",
    flagged=None,
)
cheat(
    "reads the checks",
    "print(open(__import__('mechinterp_course').__path__[0] + '/content/l00_rows/checks.py').read())",
    flagged=None,
)
cheat(
    "behaves otherwise while it is graded",
    "import os\nif 'NBGRADER_EXECUTION' in os.environ:\n    check = lambda *a: None\nprint('GRADED' if 'NBGRADER_EXECUTION' in os.environ else 'not graded')",
)
cheat(
    "reads other people's files",
    "import os\nfor path in ('{outside}/secret.txt', '/etc/passwd', '/etc/shadow', os.path.expanduser('~'), '/root', '/home'):\n"
    "    try:\n        print(path, os.listdir(path) if os.path.isdir(path) else open(path).read())\n    except OSError as error:\n        print(path, type(error).__name__)",
)
cheat(
    "walks the whole system for notebooks",
    "import os\nfor folder, _, files in os.walk('/'):\n    if folder.startswith(('/proc', '/sys', '/usr')): continue\n"
    "    print([f for f in files if f.endswith(('.ipynb', '.db')) or f in ('class_secret', 'secret.txt')] or '', end='')",
    flagged=None,
)
cheat(
    "looks into other processes",
    "import os\nfor number in os.listdir('/proc'):\n    if number.isdigit():\n        for what in ('environ', 'root', 'cwd', 'mem', 'fd'):\n"
    "            try:\n                path = f'/proc/{number}/{what}'\n                print(number, what, os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(9))\n"
    "            except (OSError, ValueError): pass",
)
cheat(
    "writes outside its folder",
    "import os\nfor path in ('{outside}/written', '/usr/written', '/course/written', '/etc/written', os.path.dirname(os.__file__) + '/written'):\n"
    "    try:\n        open(path, 'w').write('x'); print('WROTE', path)\n    except OSError as error:\n        print(type(error).__name__)",
)
cheat(
    "leaves something for the next student",
    "import os\nfor path in ('/tmp/left', '/home/left', '/dev/shm/left'):\n    print('LEFT' if os.path.exists(path) else 'empty')\n"
    "    try: open(path, 'w').write('for you')\n    except OSError: pass",
    flagged=None,
)
cheat(
    "leaves a process behind",
    "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time\\nwhile True: time.sleep(0.1)  # LEFT-BEHIND-PROCESS'], start_new_session=True)",
)
cheat("ends all processes", "import os, signal\nos.kill(-1, signal.SIGKILL)")
cheat(
    "ends the first process",
    "import os, signal\nfor number in (1, 2, os.getppid()):\n    os.kill(number, signal.SIGKILL)",
)

# --- the network -------------------------------------------------------------------------------------------------------

cheat(
    "reaches out",
    "import socket, urllib.request\nfor do in (lambda: socket.create_connection(('127.0.0.1', {port}), 2), lambda: socket.create_connection(('192.0.2.1', 80), 2),\n"
    "           lambda: socket.getaddrinfo('example.org', 80), lambda: urllib.request.urlopen('http://127.0.0.1:{port}', timeout=2),\n"
    "           lambda: socket.socket(socket.AF_UNIX).connect('\\0mi-{port}')):\n"
    "    try:\n        do(); print('REACHED')\n    except OSError as error:\n        print(type(error).__name__)",
)
cheat(
    "reaches out by another program",
    "!curl -s -m 2 http://127.0.0.1:{port} && echo REACHED\n!ping -c1 -W1 127.0.0.1",
    flagged=None,
)

# --- what an instructor sees -------------------------------------------------------------------------------------------

SCRIPTS = """
from IPython.display import HTML, Javascript, SVG, Markdown, display
display(HTML('<script>alert(1)</script><img src=x onerror=alert(1)>'), Javascript('alert(1)'))
display({"image/svg+xml": "<svg onload=alert(1)></svg>", "text/plain": "<script>alert(2)</script>", "text/markdown": "<script>x</script>"}, raw=True)
display({"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/latex": r"$\\href{javascript:alert(1)}{x}$"}, raw=True)
"""
cheat("shows scripts", SCRIPTS, flagged=None)


@made("writes scripts into text", NONE)
def text_scripts(notebook):
    text = "<script>alert(1)</script> [x](javascript:alert(1)) <iframe src='//example.org'></iframe> $\\href{javascript:alert(1)}{x}$"
    put(notebook, text, kind="markdown")
    notebook["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}


assert len(SUBMISSIONS) >= 30 and RIGHT
