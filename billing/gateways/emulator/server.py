"""The emulator as an HTTP server: an ASGI application, and a thread that runs it for tests and commands."""

import asyncio
import base64
import hmac
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from billing.gateways.emulator import pages
from billing.gateways.emulator.bank import Bank, Problem
from billing.gateways.emulator.faults import Fault, Faults
from billing.gateways.emulator.mandates import debits_fall_due
from billing.gateways.emulator.routes import LEVERS, Request, answer

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
JSON_TYPE = b"application/json"


@dataclass
class Emulator:
    """One gateway: `key_id` and `key_secret` open it, as they do the real one."""

    key_id: str
    key_secret: str
    bank: Bank = field(default_factory=Bank)
    faults: Faults = field(default_factory=Faults)
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return None
        request = await _read(scope, receive)
        fault = self.faults.next_for(request.method, request.path)
        if fault and not fault.after:
            return await _misbehave(fault, send)
        status, body, kind = self._answer(request)
        if fault:
            return await _misbehave(fault, send)
        await _send(send, status, body, kind)
        return None

    def _answer(self, request: Request) -> tuple[int, bytes, bytes]:
        self.calls.append((request.method, request.path))
        debits_fall_due(self.bank)
        if page := pages.page(self.bank, request, self.key_secret):
            return page
        if not self._is_let_in(request):
            refusal = Problem("Authentication failed", status=401, reason="authentication_failed")
            return refusal.status, json.dumps(refusal.body).encode(), JSON_TYPE
        status, body = answer(self.bank, request)
        if request.method != "GET":
            self.bank.keep()
        return status, json.dumps(body).encode(), JSON_TYPE

    def _is_let_in(self, request: Request) -> bool:
        wanted = base64.b64encode(f"{self.key_id}:{self.key_secret}".encode()).decode()
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        return request.path.startswith((LEVERS, "/v1/")) and hmac.compare_digest(given.encode(), wanted.encode())

    def posts(self, path: str) -> int:
        """How often something was posted there."""
        return sum(1 for method, called in self.calls if method == "POST" and called == path)


async def _read(scope: Scope, receive: Receive) -> Request:
    raw = b""
    while True:
        message = await receive()
        raw += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    return Request(scope["method"], scope["path"], query, _data(raw, headers), headers)


def _data(raw: bytes, headers: dict[str, str]) -> dict[str, Any]:
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(raw.decode("latin-1")))
    try:
        data = json.loads(raw) if raw else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


async def _misbehave(fault: Fault, send: Send) -> None:
    if fault.kind == "timeout":
        await asyncio.sleep(fault.hold_s)
        await _send(send, 504, HTML, b"text/html")
    elif fault.kind == "html":
        await _send(send, 502, HTML, b"text/html")
    elif fault.kind == "busy":
        body = Problem("Too many requests", status=429, reason="rate_limited").body
        more = [(b"retry-after", str(fault.retry_after_s).encode())] if fault.retry_after_s else []
        await _send(send, 429, json.dumps(body).encode(), JSON_TYPE, more)
    elif fault.kind == "cut":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5000")]})
        await send({"type": "http.response.body", "body": b'{"id":', "more_body": True})
        raise ConnectionResetError("cut on purpose")
    else:
        body = Problem("We are facing some trouble", status=500, code="SERVER_ERROR", reason="server_error").body
        await _send(send, 500, json.dumps(body).encode(), JSON_TYPE)


async def _send(
    send: Send, status: int, body: bytes, kind: bytes, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class EmulatorThread:
    """The emulator on a free port of 127.0.0.1, until the `with` block ends."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False, ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> "EmulatorThread":
        self._socket.listen(128)  # calls wait in the queue until the loop runs
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()
