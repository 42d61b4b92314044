"""HTTP exchanges that end: one time for the whole of each, whatever the other side does with its bytes."""

import functools
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

CONNECT_SECONDS = 5.0
QUIET_SECONDS = 10.0


def client(*, seconds: float, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """For one peer and one thread. Every exchange, from the first connect to the last byte of its answer, ends within
    `seconds` with httpx.TimeoutException at the latest; so does one whose peer says nothing for `QUIET_SECONDS`.

    httpx's own time-outs begin anew with every byte: a peer that sends its headers one by one would hold a worker for
    ever. Follows nothing and asks no proxy: what was checked is what is called. `transport` is for tests.
    """
    patience = httpx.Timeout(QUIET_SECONDS, connect=CONNECT_SECONDS)
    return httpx.Client(transport=transport or Transport(seconds), timeout=patience, trust_env=False)


class Transport(httpx.HTTPTransport):
    def __init__(self, seconds: float) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._clock = _Clock(seconds)
        self._pool = httpcore.ConnectionPool(ssl_context=_tls(), network_backend=_Network(self._clock))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._clock.start()
        return super().handle_request(request)


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class _Clock:
    """What is left of the time of the exchange under way."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._deadline = seconds, 0.0

    def start(self) -> None:
        self._deadline = time.monotonic() + self._seconds

    def within(self, timeout: float | None, error: type[Exception]) -> float:
        """The time-out of one step of it. Raises `error` when there is none left."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise error(f"no whole answer within {self._seconds:g} s")
        return left if timeout is None else min(left, timeout)


class _Network(httpcore.SyncBackend):
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        timeout = self._clock.within(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options), self._clock)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock) -> None:
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.within(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """What we send is small: the socket takes it whole."""
        self._stream.write(buffer, self._clock.within(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._clock.within(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
