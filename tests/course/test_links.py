"""External addresses: alive, dead and shy ones, asked of a small server on this machine."""

import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from planted import plant

from mechinterp_course.course import links
from mechinterp_course.errors import CourseError

PAPERS = """\
# The only place for addresses.
[[paper]]
id = "alive"
address = "http://127.0.0.1:{port}/200"
checked = "unchecked"

[[paper]]
id = "gone"
address = "http://127.0.0.1:{port}/404"
checked = "2020-01-01"

[[paper]]
id = "shy"
address = "http://127.0.0.1:{port}/403"
checked = "unchecked"
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def with_papers(folder, text):
    book = plant(folder)
    (folder / "papers.toml").write_text(text, encoding="utf-8")
    return book


def test_addresses_are_asked_and_the_living_ones_are_dated(tmp_path, server, fresh_catalog):
    book = with_papers(tmp_path, PAPERS.format(port=server))
    asked = []
    report = links.verify(book, progress=asked.append)
    assert report.alive == ["alive"] and sorted(asked) == ["alive", "gone", "shy"]
    assert report.dead == {"gone": "the server says 404 Not Found"}
    assert report.refused == {"shy": "it answers a program with 403"}
    assert not report.sound
    assert report.lines()[-1] == "✗ 1 alive, 1 to look at by hand, 1 dead."
    today = date.today().isoformat()
    expected = PAPERS.format(port=server).replace('"unchecked"', f'"{today}"', 1)
    assert (tmp_path / "papers.toml").read_text(encoding="utf-8") == expected


def test_without_a_network_it_is_one_sentence(tmp_path, fresh_catalog):
    unused = 'id = "x"\naddress = "http://127.0.0.1:1/"\nchecked = "unchecked"\n'
    book = with_papers(tmp_path, f"[[paper]]\n{unused}")
    with pytest.raises(CourseError, match="there is no network here"):
        links.verify(book, seconds=2)


def test_what_is_no_address_is_said():
    assert links.ask("nowhere", 1) == "'nowhere' is not an address"
