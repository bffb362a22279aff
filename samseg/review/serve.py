"""Listens for the browser of one person, on this machine only unless asked otherwise."""

import logging
import socket
from collections.abc import Callable

import uvicorn

from samseg.errors import ConfigError
from samseg.interruption import Terminated
from samseg.review.application import application
from samseg.review.guard import Secrets
from samseg.review.session import Review

PORT = 8417


def listening(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: name or address.
        port: to listen on; None for `PORT`, or any other one that is free.

    Raises:
        ConfigError: the port is in use, or the host is not of this machine.
    """
    for wanted in (PORT, 0) if port is None else (port,):
        try:
            family = socket.getaddrinfo(host, wanted, type=socket.SOCK_STREAM)[0][0]
            opened = socket.socket(family, socket.SOCK_STREAM)
        except OSError as e:
            raise ConfigError(f"--host: cannot listen on {host} ({e})") from e
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((host, wanted))
            opened.listen()
        except OSError as e:
            opened.close()
            if port is not None:
                raise ConfigError(
                    f"cannot listen on {host} port {port} ({e.strerror}); choose another one with "
                    "--port, or leave --port out"
                ) from e
            continue
        return opened
    raise ConfigError(f"cannot listen on {host}")


def url_of(known: Secrets, host: str, port: int) -> str:
    """Return the URL that lets a browser in."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)
    return f"http://{name or (f'[{host}]' if ':' in host else host)}:{port}/?token={known.token}"


def serve(review: Review, opened: socket.socket, host: str, announce: Callable[[str], None]) -> int:
    """Answer requests until somebody presses Ctrl-C.

    Args:
        review: the session.
        opened: from `listening`.
        host: that it listens on.
        announce: called with the URL when a browser may open it.

    Returns:
        The exit code.
    """
    known, port = Secrets(), int(opened.getsockname()[1])
    server = server_of(review, known, host, port)
    announce(url_of(known, host, port))
    try:
        server.run(sockets=[opened])
    except Terminated:
        raise
    except KeyboardInterrupt:
        pass
    finally:
        opened.close()
    return 0


def server_of(review: Review, known: Secrets, host: str, port: int) -> uvicorn.Server:
    """Return the web server of one session; it does not listen yet."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Server(
        uvicorn.Config(
            application(review, known, host, port),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
