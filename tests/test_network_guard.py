"""The tests' own guard against the network."""

import socket
import threading
import urllib.request

import pytest


def test_a_request_to_the_outside_is_refused():
    with pytest.raises(AssertionError, match="stay on this machine"):
        urllib.request.urlopen("http://example.org", timeout=1)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_outside_is_refused(host):
    with pytest.raises(AssertionError, match="stay on this machine"):
        socket.create_connection((host, 80), timeout=1)


def test_loopback_is_allowed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with socket.create_connection(server.getsockname(), timeout=5) as client:
            assert client.getpeername()[0] == "127.0.0.1"
        thread.join()
