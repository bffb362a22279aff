"""Where the page listens, and what it prints."""

import socket

import pytest

from samseg.errors import ConfigError
from samseg.review.guard import Secrets
from samseg.review.serve import listening, url_of


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1 port {port} .*--port"):
            listening("127.0.0.1", port)


def test_without_a_port_a_free_one_is_found(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr("samseg.review.serve.PORT", other.getsockname()[1])
        with listening("127.0.0.1", None) as found:
            assert found.getsockname()[1] != other.getsockname()[1]


def test_an_unknown_host_is_named():
    with pytest.raises(ConfigError, match=r"--host: cannot listen on no\.such\.host\.invalid"):
        listening("no.such.host.invalid", None)


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("box", "box")],
)
def test_the_url_can_be_opened(host, wanted):
    assert url_of(Secrets("abc"), host, 8417) == f"http://{wanted}:8417/?token=abc"


def test_tokens_are_new_each_time():
    assert Secrets().token != Secrets().token and len(Secrets().token) >= 32
