"""An exchange ends, whatever the other side does; each of these peers would hold a plain client much longer."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from fleetcharge.lib import exchanges

WHOLE_SECONDS = 0.3
EVERY_SECONDS, TIMES = 0.02, 1000  # twenty seconds, if nobody stops it
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Talk = Callable[[socket.socket, threading.Event], None]


def say(line: socket.socket, ended: threading.Event, *parts: bytes) -> None:
    """Each part after a little while, until the test is over."""
    for part in parts:
        if ended.wait(EVERY_SECONDS):
            return
        line.sendall(part)


def nothing(line: socket.socket, ended: threading.Event) -> None:
    ended.wait(EVERY_SECONDS * TIMES)
    line.sendall(OK + b"Content-Length: 2\r\n\r\n{}")


def headers_byte_by_byte(line: socket.socket, ended: threading.Event) -> None:
    say(line, ended, OK, b"X-Slow: ", *[b"x"] * TIMES, b"\r\nContent-Length: 2\r\n\r\n{}")


def body_byte_by_byte(line: socket.socket, ended: threading.Event) -> None:
    say(line, ended, OK + f"Content-Length: {TIMES}\r\n\r\n".encode(), *[b" "] * TIMES)


def a_chunk_that_never_begins(line: socket.socket, ended: threading.Event) -> None:
    """Not a byte of it ever comes out of the reader, so nobody there could look at a clock."""
    say(line, ended, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"2;", *[b"x"] * TIMES, b"\r\n{}\r\n0\r\n\r\n")


def a_packed_body_with_an_endless_name(line: socket.socket, ended: threading.Event) -> None:
    """Gzip may carry a file's name before its first byte."""
    head = OK + f"Content-Encoding: gzip\r\nContent-Length: {TIMES + 10}\r\n\r\n".encode()
    say(line, ended, head, b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03", *[b"n"] * TIMES)


def well(line: socket.socket, ended: threading.Event) -> None:
    line.sendall(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")


@contextlib.contextmanager
def peer(talk: Talk) -> Iterator[str]:
    ended, lines = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = door.accept()
                    lines.append(line)
                    line.recv(65536)
                    talk(line, ended)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            ended.set()
            door.shutdown(socket.SHUT_RDWR)
            thread.join(30)
            for line in lines:
                line.close()


@pytest.mark.parametrize(
    "talk",
    [nothing, headers_byte_by_byte, body_byte_by_byte, a_chunk_that_never_begins, a_packed_body_with_an_endless_name],
)
def test_a_peer_that_hangs_or_drips_is_left(talk: Talk) -> None:
    with peer(talk) as address, exchanges.client(seconds=WHOLE_SECONDS) as http, pytest.raises(httpx.TimeoutException):
        http.get(address)


def test_the_time_begins_anew_with_each_exchange() -> None:
    with peer(well) as address, exchanges.client(seconds=30) as http:
        assert [http.get(address).json() for _ in range(3)] == [{}, {}, {}]
        http._transport._clock._seconds = -1.0  # type: ignore[attr-defined]
        with pytest.raises(httpx.TimeoutException, match="no whole answer"):
            http.get(address)


def test_nobody_else_is_asked_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with peer(well) as address, exchanges.client(seconds=30) as http:
        assert http.get(address).json() == {}
