"""The home notebook's table: what is next, how far, and links that JupyterLab can follow."""

import re
from datetime import date
from html.parser import HTMLParser

import pytest

from mechinterp_course import home
from mechinterp_course.tutor import catalog, progress
from mechinterp_course.tutor.home import home_html, home_text
from mechinterp_course.tutor.percent import read_cells
from mechinterp_course.tutor.progress import Event, state

TODAY = date(2026, 3, 5)


def event(n: int, kind: str = "check", day: str = "2026-03-05", **data) -> Event:
    return Event(f"id-{n}", f"{day}T10:00:{n:02d}.000Z", kind, "one", day, data)


def text_of(book, *events) -> str:
    return home_text(book, state(events, book), TODAY)


def html_of(book, *events) -> str:
    return home_html(book, state(events, book), TODAY)


def test_a_newcomer_sees_the_first_reading(tiny_course):
    assert text_of(tiny_course) == (
        "Next: 00 First steps, the reading, about 5 minutes.\n"
        "00  First steps                        ░░░░░░░░░░  0 of 3   65 min\n"
        "01  The loss of a token                ░░░░░░░░░░  0 of 1   25 min\n"
        "02  A lesson that is not built         not built yet"
    )


def test_half_way(tiny_course):
    events = [
        event(1, "read", "2026-03-03", lesson="l00_first_steps"),
        event(2, "check", "2026-03-04", exercise="double", passed=True),
        event(3, "check", "2026-03-04", exercise="quadruple", passed=False),
    ]
    assert text_of(tiny_course, *events).splitlines()[:3] == [
        "Next: 00 First steps, lab A: quadruple, about 25 minutes.",
        "Last time: yesterday, tried quadruple. 2 days in a row.",
        "00  First steps                        ███░░░░░░░  1 of 3   55 min",
    ]


def test_all_done(tiny_course):
    events = [event(i, exercise=name, passed=True) for i, name in enumerate(tiny_course.exercises)]
    lines = text_of(tiny_course, *events).splitlines()
    assert lines[:2] == ["Every lesson that is built is done.", "Last time: today, passed token_loss."]
    assert lines[2].endswith("██████████  3 of 3   done")


def test_what_was_given_up_is_done_and_said(tiny_course):
    events = [event(i, "give_up", exercise=name) for i, name in enumerate(tiny_course.exercises)]
    assert text_of(tiny_course, *events).splitlines()[2].endswith("3 of 3   done, 0 passed")


@pytest.mark.parametrize(
    "day, words",
    [("2026-03-01", "1 March"), ("2025-03-01", "1 March 2025"), ("2026-03-05", "today"), ("2026-03-04", "yesterday")],
)
def test_last_time_in_words(tiny_course, day, words):
    assert f"Last time: {words}, a hint for double." in text_of(
        tiny_course, event(1, "hint", day, exercise="double", level=1)
    )


def test_links_are_relative_to_the_home_notebook(tiny_course):
    links = re.findall(r'href="([^"]+)"', html_of(tiny_course))
    assert links == [
        "00_first_steps.ipynb",
        "00_first_steps.ipynb",
        "../exercises/00_first_steps/00_first_steps.ipynb",
        "01_token_loss.ipynb",
        "../exercises/01_token_loss/01_token_loss.ipynb",
    ]
    after_reading = html_of(tiny_course, event(1, "read", lesson="l00_first_steps"))
    assert re.findall(r'href="([^"]+)"', after_reading)[0] == "../exercises/00_first_steps/00_first_steps.ipynb"


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
    assert 'role="img" aria-label="1 of 3 exercises"' in html
    assert "width: 33%" in html


def test_a_title_is_escaped_and_colours_come_from_the_theme(tiny_course):
    path = tiny_course.root / "course.toml"
    path.write_text(path.read_text().replace('"A lesson that is not built"', '"Softmax <b>& co</b>"'))
    catalog._course.cache_clear()
    html = html_of(catalog.course())
    assert "Softmax &lt;b&gt;&amp; co&lt;/b&gt;" in html
    assert "<style" not in html  # a notebook that is not trusted drops it
    assert not re.findall(r"(?<!, )#[0-9a-f]{3,6}", html)


def test_home_works_without_a_workspace(tiny_course, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert home() is None
    out, err = capsys.readouterr()
    assert out.startswith("Next: 00 First steps, the reading") and err == ""


def test_home_reads_the_workspace(tiny_course, workspace, capsys):
    progress.record("check", exercise="double", passed=True)
    home()
    assert "Last time: today, passed double." in capsys.readouterr().out


def test_an_event_of_a_later_release_is_shown_as_it_is(tiny_course):
    assert "Last time: today, journal." in text_of(tiny_course, event(1, "journal"))


def test_the_home_notebook_has_its_cell():
    cells = read_cells(catalog.PACKAGE / "content" / "home.py")
    assert cells[0].source.startswith("# ")
    assert any(cell.source.endswith("home()") for cell in cells if cell.type == "code")
    assert len({cell.marks["id"] for cell in cells}) == len(cells)
