"""The home notebook's screen: today's hour, the streak, calibration, the map, and links that JupyterLab can follow."""

import json
import re
from datetime import date
from html.parser import HTMLParser

import pytest
from learner import built_fixture, learner_fixture, release_fixture  # noqa: F401

from mechinterp_course import home
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, progress, workspace
from mechinterp_course.tutor.glance import glance, of_workspace
from mechinterp_course.tutor.home import store
from mechinterp_course.tutor.home_html import home_html
from mechinterp_course.tutor.home_text import home_text
from mechinterp_course.tutor.percent import read_cells
from mechinterp_course.tutor.plan import Plan
from mechinterp_course.tutor.progress import Event

TODAY = date(2026, 3, 5)


def event(n: int, kind: str = "check", day: str = "2026-03-05", **data) -> Event:
    return Event(f"id-{n}", f"{day}T10:00:{n:02d}.000Z", kind, "one", day, data)


def seen(book, *events, day=TODAY, due=0):
    return glance(progress.merge(events), book, day, due)


def text_of(book, *events, **options) -> str:
    return home_text(book, seen(book, *events, **options))


def html_of(book, *events, **options) -> str:
    return home_html(book, seen(book, *events, **options))


def test_a_newcomer_sees_the_first_hour(tiny_course):
    assert text_of(tiny_course) == (
        "Today, Thursday 5 March 2026\n"
        "  5 min  00 First steps, the reading\n"
        " 30 min  00 First steps, lab A: double\n"
        "No plan yet: type `mechinterp plan` in a terminal.\n"
        "Streak: It begins with the first day.\n"
        "Review: Nothing for today.\n"
        "How sure: 10 predictions, and there is something to see.\n"
        "\n"
        "00  First steps                        ░░░░░░░░░░  0 of 3   65 min\n"
        "01  The loss of a token                ░░░░░░░░░░  0 of 1   25 min\n"
        "02  A lesson that is not built         not built yet"
    )


def test_half_way(tiny_course):
    events = [
        event(0, "plan", "2026-03-03", **Plan(start=date(2026, 3, 3)).data),
        event(1, "read", "2026-03-03", lesson="l00_first_steps"),
        event(2, "check", "2026-03-04", exercise="double", passed=True),
        event(3, "check", "2026-03-04", exercise="quadruple", passed=False),
    ]
    assert text_of(tiny_course, *events, due=2).splitlines()[1:6] == [
        "  5 min  Review, 2 cards: `mechinterp review`",
        " 25 min  00 First steps, lab A: quadruple",
        " 30 min  00 First steps, lab B: row_softmax",
        "At this pace you are through on Friday 6 March.",
        "Streak: 2 days",
    ]


def test_the_hour_is_done(tiny_course):
    done = [event(i, exercise=name, passed=True) for i, name in enumerate(("double", "quadruple"))]
    lines = text_of(tiny_course, *done).splitlines()
    assert lines[1:5] == [
        "      ✓  00 First steps, reading",
        "      ✓  00 First steps, lab A",
        "         Today's hour is done. If you like to go on:",
        " 30 min  00 First steps, lab B: row_softmax",
    ]
    assert "         Only the review is left. If you like to go on:" in text_of(tiny_course, *done, due=1)


def test_a_day_off(tiny_course):
    plan = event(0, "plan", "2026-03-03", **Plan(days=(0,), start=date(2026, 3, 3)).data)
    lines = text_of(tiny_course, plan).splitlines()
    assert lines[1] == "         A day off; the next hour is on Monday 9 March. If you like:"
    assert lines[2] == "  5 min  00 First steps, the reading"


def test_after_a_break_the_streak_begins_anew(tiny_course):
    assert "Streak: A new one begins today; 1 days so far." not in text_of(tiny_course, event(1, day="2026-02-02"))
    assert "Streak: A new one begins today; 1 day so far." in text_of(tiny_course, event(1, day="2026-02-02"))


def test_all_done(tiny_course):
    events = [event(i, day="2026-03-04", exercise=name, passed=True) for i, name in enumerate(tiny_course.exercises)]
    lines = text_of(tiny_course, *events).splitlines()
    assert lines[1] == "         Every lesson that is built is done."
    assert lines[-3].endswith("██████████  3 of 3   done")


def test_what_was_given_up_is_done_and_said(tiny_course):
    events = [event(i, "give_up", exercise=name) for i, name in enumerate(tiny_course.exercises)]
    assert text_of(tiny_course, *events).splitlines()[-3].endswith("3 of 3   done, 0 passed")
    assert "0/3</td>" in html_of(tiny_course, *events)


def test_links_are_relative_to_the_home_notebook(tiny_course):
    links = re.findall(r'href="([^"]+)"', html_of(tiny_course))
    assert links == [
        "00_first_steps.ipynb",  # today: the reading
        "../exercises/00_first_steps/00_first_steps.ipynb",  # and lab A
        "00_first_steps.ipynb",
        "../exercises/00_first_steps/00_first_steps.ipynb",
        "01_token_loss.ipynb",
        "../exercises/01_token_loss/01_token_loss.ipynb",
    ]
    after_reading = html_of(tiny_course, event(1, "read", lesson="l00_first_steps"))
    assert '<strong><a href="../exercises/00_first_steps/00_first_steps.ipynb">' in after_reading


def test_the_links_of_the_course_that_ships_lead_to_its_notebooks():
    book, root = catalog.course(), catalog.notebooks_root()
    links = set(re.findall(r'href="([^"]+)"', html_of(book)))
    built = {f"{lesson.stem}.ipynb" for lesson in book.lessons}
    assert built <= links
    assert {link for link in links if not link.startswith("..")} == built
    for link in links:
        assert (root / "lessons" / link).is_file()


def test_the_html_is_whole_and_says_to_a_screen_reader_what_the_bars_say(tiny_course):
    html = html_of(tiny_course, event(1, exercise="double", passed=True))
    open_tags = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Reader().feed(html)
    assert open_tags == []
    assert 'role="img" aria-label="1 of 3 exercises done"' in html
    assert 'aria-label="The last four weeks: 1 day worked, 0 missed"' in html
    assert "width: 33%" in html


def test_a_title_is_escaped_and_colours_come_from_the_theme(tiny_course):
    path = tiny_course.root / "course.toml"
    path.write_text(path.read_text().replace('"A lesson that is not built"', '"Softmax <b>& co</b>"'))
    catalog._course.cache_clear()
    html = html_of(catalog.course())
    assert "Softmax &lt;b&gt;&amp; co&lt;/b&gt;" in html
    assert "<style" not in html  # a notebook that is not trusted drops it
    # A theme's colour follows a plain one, which a notebook that is not trusted keeps.
    for style in re.findall(r'style="([^"]*)"', html):
        for name, colour in re.findall(r"([a-z-]+): var\([^,]+, (#[0-9a-f]{6})\)", style):
            assert f"{name}: {colour}; {name}: var(" in style


def test_calibration_at_a_glance(tiny_course):
    asked = [q for q in tiny_course.questions.values() if q.kind == "predict"]
    events = [
        event(i, "reveal", question=q.id, choice=q.choices[q.answer], sure=70) for i, q in enumerate(asked)
    ]  # fmt: skip
    html = html_of(tiny_course, *events)
    assert f"{len(asked)} of {len(asked)} right" in html and "70 % sure" in html and "90 % sure" not in html
    assert f"{10 - len(asked)} more predictions, and there is something to see." in html


def test_home_works_without_a_workspace(tiny_course, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert home(TODAY) is None
    out, err = capsys.readouterr()
    assert out.startswith("Today, Thursday 5 March 2026\n  5 min  00 First steps, the reading") and err == ""


def test_home_reads_the_workspace(tiny_course, workspace, capsys):
    progress.record("check", exercise="double", passed=True)
    home()
    assert "Streak: 1 day\n" in capsys.readouterr().out


def test_a_progress_file_that_cannot_be_read_is_a_sentence(tiny_course, workspace):
    (workspace / "progress.jsonl").mkdir()
    with pytest.raises(CourseError, match="cannot be read"):
        home()


def test_damaged_and_foreign_files_are_named(tiny_course):
    log = progress.merge([event(1, exercise="of_another_course", passed=True)])
    log.damaged = 3
    html = home_html(tiny_course, glance(log, tiny_course, TODAY))
    assert "3 lines of progress.jsonl cannot be read; they stay there, and everything else counts." in html
    assert "is it another course&#x27;s file? Nothing in it was changed." in html
    log.damaged = 1
    assert glance(log, tiny_course, TODAY).notes[0].startswith("One line of progress.jsonl cannot be read; it stays")


# --- stored in the workspace's home notebook, so that it is there without a click ---


def home_cell(ws) -> dict:
    cells = json.loads((ws.root / workspace.HOME).read_text())["cells"]
    return next(cell for cell in cells if cell["id"] == "home")


@pytest.fixture
def with_home(learner):
    """The tiny course has no home page of its own: give its workspace one that calls home()."""
    path = learner.root / workspace.HOME
    found = json.loads(path.read_text())
    cell = {"cell_type": "code", "id": "home", "metadata": {}, "source": "home()", "outputs": [], "execution_count": 3}
    found["cells"] = [c for c in found["cells"] if c["id"] != "home"] + [cell]
    path.write_text(json.dumps(found))
    return learner


def test_the_screen_is_stored_as_the_output_of_its_cell(with_home):
    book = catalog.course()
    store(with_home, book, of_workspace(with_home.root, book, TODAY))
    cell = home_cell(with_home)
    (output,) = cell["outputs"]
    assert "".join(output["data"]["text/plain"]) == text_of(book)
    assert "".join(output["data"]["text/html"]) == html_of(book)
    assert cell["source"] == "home()" and cell["execution_count"] is None
    before = (with_home.root / workspace.HOME).stat().st_mtime_ns
    store(with_home, book, of_workspace(with_home.root, book, TODAY))
    assert (with_home.root / workspace.HOME).stat().st_mtime_ns == before  # nothing new, nothing written


@pytest.mark.parametrize("trouble", ["gone", "damaged", "no cell", "own text"])
def test_a_home_notebook_that_was_changed_is_left_alone(with_home, trouble):
    path, book = with_home.root / workspace.HOME, catalog.course()
    text = path.read_text()
    texts = {
        "gone": None,
        "damaged": text[:50],
        "no cell": text.replace('"id": "home"', '"id": "mine"'),
        "own text": text.replace("home()", "print(1)"),
    }
    if texts[trouble] is None:
        path.unlink()
    else:
        path.write_text(texts[trouble])
    store(with_home, book, of_workspace(with_home.root, book, TODAY))
    assert (path.read_text() if path.exists() else None) == texts[trouble]


def test_the_home_notebook_has_its_cell():
    cells = read_cells(catalog.PACKAGE / "content" / "home.py")
    assert cells[0].source.startswith("# ")
    assert any(cell.source.endswith("home()") for cell in cells if cell.type == "code")
    assert len({cell.marks["id"] for cell in cells}) == len(cells)
