"""The part of the self-test that registers: does a CPO call back meanwhile, keep the old token, answer a write?

It uses TOKEN_A up, leaves one token of ours there that is not valid (OCPI cannot delete one), and unregisters.
"""

import base64
import binascii
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from django.utils import timezone

from fleetcharge.lib import crypto
from stations.cpo.ocpi.answers import code_of, envelope_of
from stations.cpo.ocpi.directory import OUR_COUNTRY, OUR_PARTY, token_object
from stations.cpo.ocpi.finding import Finding
from stations.cpo.ocpi.objects.base import now_text
from stations.cpo.ocpi.objects.tokens import TokenDoc
from stations.cpo.ocpi.selftest import Probe, Unreadable


class Door:
    """Our versions and details, for the CPO to read; `readers` are the tokens that it read them with."""

    def __init__(self, address: str, version: str) -> None:
        self.address, self.version = address.rstrip("/"), version
        self.token = ""
        self.readers: set[str] = set()

    def answer(self, path: str, authorization: str) -> tuple[int, Any]:
        shown = _shown(authorization)
        if not self.token or self.token not in shown:
            return 401, None
        self.readers.add(self.token)
        if path.rstrip("/").endswith("/versions"):
            return 200, [{"version": self.version, "url": f"{self.address}/{self.version}"}]
        listed = {"credentials": "SENDER", "locations": "RECEIVER", "tokens": "SENDER"}
        return 200, {
            "version": self.version,
            "endpoints": [
                {"identifier": name, "role": role, "url": f"{self.address}/{self.version}/{name}"}
                for name, role in listed.items()
            ],
        }


def _shown(authorization: str) -> set[str]:
    """The token as it came, and as it reads in base64."""
    raw = authorization.removeprefix("Token ").strip()
    try:
        return {raw, base64.b64decode(raw, validate=True).decode().strip()}
    except (binascii.Error, UnicodeDecodeError):
        return {raw}


@contextmanager
def opened(door: Door, host: str, port: int) -> Iterator[None]:
    """Its address leads here while this lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, data = door.answer(self.path.split("?", 1)[0], self.headers.get("Authorization", ""))
            code = 1000 if status == 200 else 2000
            body = json.dumps({"data": data, "status_code": code, "timestamp": now_text(timezone.now())}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """The report is what is printed."""

    with ThreadingHTTPServer((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class Visit:
    """After `probe` has looked: register, rotate, write a token, leave. Tokens of ours are new each time."""

    def __init__(self, probe: Probe, door: Door) -> None:
        self.probe, self.door = probe, door
        self.url = probe.endpoints.get("credentials") or probe.receivers.get("credentials") or ""

    def run(self) -> Iterator[Finding]:
        """Where the handshake fails nothing further can be known; what was registered is left again."""
        first = self.probe.token
        try:
            yield from self._register()
            if self.probe.token == first:
                return
            yield self._is_refused("TOKEN_A is dead once it was used", first)
            yield from self._rotate()
            yield self._write()
        except Unreadable as error:
            yield Finding("the handshake can be read", False, str(error))
        if self.probe.token != first:
            yield from self._leave()

    def _credentials(self, method: str) -> httpx.Response:
        """Takes the token of the answer, where there is one."""
        self.door.token = crypto.new_token(24)
        role = {"role": "EMSP", "country_code": OUR_COUNTRY, "party_id": OUR_PARTY}
        ours = {
            "token": self.door.token,
            "url": f"{self.door.address}/versions",
            "roles": [{**role, "business_details": {"name": "FleetCharge, self-test"}}],
        }
        assert self.probe.dialect is not None  # noqa: S101 (the probe has agreed on a version)
        answer = self.probe.get(self.url, method=method, body=self.probe.dialect.write("credentials", ours))
        data = envelope_of(answer).get("data")
        if answer.status_code in {200, 201} and isinstance(data, dict) and data.get("token"):
            self.probe.token = str(data["token"]).strip()
        return answer

    def _register(self) -> Iterator[Finding]:
        old = self.probe.token
        answer = self._credentials("POST")
        called = self.door.token in self.door.readers
        yield Finding("credentials: it reads ours while our POST is open", called, pitfall=4)
        yield Finding("credentials: POST is answered with a new token", self.probe.token != old, _told(answer))

    def _rotate(self) -> Iterator[Finding]:
        old = self.probe.token
        answer = self._credentials("PUT")
        new = self.probe.token
        yield Finding("credentials: PUT is answered with a new token", new != old, _told(answer))
        if new == old:
            return
        before, used = (self.probe.get(self.probe.url, token=token).status_code for token in (old, new))
        rule = "tokens: the old one is taken until the new one is used"
        yield Finding(rule, (before, used) == (200, 200), f"HTTP {before}, then HTTP {used} with the new one", 3)
        yield self._is_refused("tokens: the old one is dead once the new one was used", old)

    def _is_refused(self, rule: str, token: str) -> Finding:
        status = self.probe.get(self.probe.url, token=token).status_code
        return Finding(rule, status == 401, f"HTTP {status}")

    def _write(self) -> Finding:
        """A token that opens nothing. What `data` of the answer holds is nobody's business."""
        rule, url = "tokens: a PUT is answered in OCPI, whatever its data", self.probe.tokens_url()
        if url is None or self.probe.dialect is None:
            return Finding(rule, None, "no tokens receiver", 23)
        doc = TokenDoc(f"SELFTEST{uuid.uuid4().hex[:12]}", "RFID", False, timezone.now(), "")
        body = self.probe.dialect.write("token", dict(token_object(doc)))
        address = f"{url.rstrip('/')}/{OUR_COUNTRY}/{OUR_PARTY}/{doc.uid}"
        answer = self.probe.get(address, method="PUT", body=body, type=str(body["type"]))
        is_taken = answer.status_code in {200, 201} and 1000 <= code_of(answer) < 2000
        kind = type(envelope_of(answer).get("data")).__name__
        return Finding(rule, is_taken, f"{_told(answer)}, data: {kind}", 23)

    def _leave(self) -> Iterator[Finding]:
        try:
            answer = self.probe.get(self.url, method="DELETE")
            is_done = answer.status_code == 200 and 1000 <= code_of(answer) < 2000
            yield Finding("credentials: DELETE unregisters us", is_done, _told(answer))
            yield self._is_refused("tokens: nothing opens after that", self.probe.token)
        except Unreadable as error:
            yield Finding("credentials: DELETE unregisters us", False, str(error))


def _told(answer: httpx.Response) -> str:
    return f"HTTP {answer.status_code}, OCPI {code_of(answer) or 'none'}"
