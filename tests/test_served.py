"""What the README's first command ends with: the real course's home notebook, served over HTTP from a new workspace.

CI runs it against a learner's environment, where nbgrader and pytest are not installed ($MECHINTERP_COMMAND).
"""

import json
import urllib.request

import pytest
from served import served

from mechinterp_course.tutor.catalog import course

pytestmark = pytest.mark.kernel


def get(url: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
        return answer.read().decode()


def test_the_home_notebook_and_every_lesson_are_served(tmp_path):
    with served(tmp_path) as (_, workspace, address):
        base, token = address.split("lab/tree/")[0], address.split("token=")[1]
        assert address == f"{base}lab/tree/lessons/home.ipynb?token={token}"
        assert "jupyter-config-data" in get(address)
        home = json.loads(get(f"{base}api/contents/lessons/home.ipynb?token={token}"))
        text = json.dumps(home["content"]["cells"])
        for lesson in course().lessons:
            assert f"{lesson.stem}.ipynb" in text
            for path in (f"lessons/{lesson.stem}.ipynb", f"exercises/{lesson.stem}/{lesson.stem}.ipynb"):
                assert (workspace / path).is_file()
                assert json.loads(get(f"{base}api/contents/{path}?token={token}"))["type"] == "notebook"
        assert not (workspace / "solutions").exists()
