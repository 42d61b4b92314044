"""Small helpers for raw ASGI routes: read a bounded body, answer JSON, find a token."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON_HEADERS = [(b"content-type", b"application/json")]


class BodyTooLarge(Exception):
    """The request body is larger than the route allows."""


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """The whole body; raises BodyTooLarge past the limit and ConnectionError when the client went away."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("client went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise BodyTooLarge(f"body is larger than {limit_bytes} bytes")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def send_json(send: Send, status: int, payload: object, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """One JSON answer."""
    await send_bytes(send, status, orjson.dumps(payload), [*JSON_HEADERS, *headers])


async def send_bytes(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", str(len(body)).encode()), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, status: int, code: str, detail: str) -> None:
    """Our error shape, `{"detail", "code"}`."""
    await send_json(send, status, {"detail": detail, "code": code})


def retry_after(seconds: int) -> list[tuple[bytes, bytes]]:
    """The header that says when to try again; none for 0."""
    return [(b"retry-after", str(seconds).encode())] if seconds else []


def header(scope: Scope, name: bytes) -> bytes:
    """One request header (lower-case name), or b''."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""
