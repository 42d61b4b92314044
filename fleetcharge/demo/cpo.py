"""VoltGrid on the wire: answers our system's OCPI calls and pushes EVSE status to it."""

import asyncio
import base64
import binascii
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import orjson

from fleetcharge.demo import ocpi
from fleetcharge.demo.bays import Booking
from fleetcharge.demo.manifest import write_private
from fleetcharge.demo.network import COUNTRY, PARTY, VOLTGRID, Network, NetworkSite, Operator
from fleetcharge.demo.partners import Partner
from fleetcharge.demo.uses import Uses, telling
from fleetcharge.lib.asgi import Receive, Scope, Send, header, read_body, send_json

FILE_NAME = "demo_voltgrid.json"
PAGE_LIMIT = 25
COMMAND_TIMEOUT_SECONDS = 30
PUSH_PAUSE_SECONDS = 0.5

logger = logging.getLogger("fleetcharge.demo")
Headers = list[tuple[bytes, bytes]]


@dataclass
class Peering:
    """What the handshake agreed; kept on disk so that a restart of the city keeps the connection."""

    token_a: str
    our_token: str = ""  # what our system presents to us (TOKEN_C)
    their_token: str = ""  # what we present to our system (TOKEN_B)
    their_locations_url: str = ""
    their_sessions_url: str = ""
    their_cdrs_url: str = ""

    @classmethod
    def load(cls, path: Path, token_a: str) -> "Peering":
        try:
            peering = cls(**orjson.loads(path.read_bytes()))
        except (FileNotFoundError, orjson.JSONDecodeError, TypeError):
            return cls(token_a)
        return peering if peering.token_a == token_a else cls(token_a)


class Refused(Exception):
    """HTTP status and OCPI code of an answer that is not a success."""

    def __init__(self, http: int, code: int, message: str) -> None:
        super().__init__(message)
        self.http, self.code = http, code


@dataclass
class Cpo:
    """`base` is our own address, e.g. http://127.0.0.1:8010."""

    network: Network
    base: str
    path: Path
    peering: Peering
    http: httpx.AsyncClient
    is_running: Callable[[], bool] = lambda: True
    stale: set[str] = field(default_factory=set)
    partner: Partner | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        prices = {external_id: per_kwh for external_id, (_, per_kwh, _) in ocpi.TARIFFS.items()}
        tariffs = {tariff["id"]: tariff for tariff in ocpi.tariffs()}
        self.uses = Uses("2.2.1", self.network, VOLTGRID, tariffs, prices)

    # --- answering ------------------------------------------------------------------------------------------------
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        echo: Headers = [(n, v) for n in (b"x-request-id", b"x-correlation-id") if (v := header(scope, n))]
        try:
            raw = await read_body(receive, 1024 * 1024)
            data, extra = await self._route(scope, raw)
            await send_json(send, 200, ocpi.envelope(data), [*echo, *extra])
        except Refused as error:
            await send_json(send, error.http, ocpi.envelope(None, error.code, str(error)), echo)
        except orjson.JSONDecodeError:
            await send_json(send, 400, ocpi.envelope(None, 2001, "The body is not JSON."), echo)

    async def _route(self, scope: Scope, raw: bytes) -> tuple[Any, Headers]:
        token, path, method = _token(header(scope, b"authorization")), scope["path"].rstrip("/"), scope["method"]
        is_known = bool(token) and secrets.compare_digest(token, self.peering.our_token or self.peering.token_a)
        may_register = bool(token) and secrets.compare_digest(token, self.peering.token_a)
        if not is_known and not (may_register and not path.startswith("/ocpi/2.2.1/cpo")):
            raise Refused(401, 2000, "Unknown token.")
        if path == "/ocpi/versions":
            return ocpi.versions(self.base), []
        if path == "/ocpi/2.2.1":
            return ocpi.details(self.base), []
        if path == "/ocpi/2.2.1/credentials":
            return await self._credentials(method, raw), []
        return self._module(path.removeprefix("/ocpi/2.2.1/cpo/").split("/"), scope, raw)

    def _module(self, parts: list[str], scope: Scope, raw: bytes) -> tuple[Any, Headers]:
        if not self.peering.our_token:
            raise Refused(401, 2000, "Register first.")
        if parts[0] in {"locations", "tariffs", "sessions", "cdrs"} and scope["method"] != "GET":
            raise Refused(405, 2000, "These lists are only read.")
        if parts[0] == "locations":
            return self._locations(parts[1:], scope)
        if parts == ["tariffs"]:
            since = _query(scope).get("date_from", "")
            return self._page(scope, "tariffs", [each for each in ocpi.tariffs() if each["last_updated"] >= since])
        if parts == ["cdrs"]:
            since = _query(scope).get("date_from", "")
            billed = [*self.records, *self.uses.records()]
            return self._page(scope, "cdrs", [each for each in billed if each["last_updated"] >= since])
        if parts == ["sessions"]:
            since = _query(scope).get("date_from", "")
            if not since:
                raise Refused(400, 2001, "Sessions are asked for from a date on.")
            used = self.uses.sessions(datetime.now(UTC))
            return self._page(scope, "sessions", [each for each in used if each["last_updated"] >= since])
        if parts[0] == "commands" and len(parts) == 2 and scope["method"] == "POST":
            return self._command(parts[1], orjson.loads(raw)), []
        raise Refused(404, 2000, "There is nothing at this address.")

    def _locations(self, ids: list[str], scope: Scope) -> tuple[Any, Headers]:
        if not ids:
            return self._location_page(scope)
        ids = [each.upper() for each in ids]  # ids mean the same in any case
        site = next((site for site in self._sites() if site.id == ids[0]), None)
        bay = next((bay for bay in site.bays if bay.key == ids[1]), None) if site and len(ids) > 1 else None
        if site is None or (len(ids) > 1 and bay is None):
            raise Refused(404, 2003, "Unknown location.")
        network, operator = self._world(site.bays[0].key)
        if bay is None:
            return ocpi.location(network, site, operator), []
        return ocpi.evse(network, bay, operator) if len(ids) == 2 else ocpi.connector(network, bay), []

    def _sites(self) -> list[NetworkSite]:
        return [*self.network.sites, *(self.partner.sites() if self.partner else [])]

    def _world(self, key: str) -> tuple[Network, Operator]:
        """Whose bay it is."""
        if self.partner and key in self.partner.network.bays:
            return self.partner.network, self.partner.operator
        return self.network, VOLTGRID

    def _site_of(self, key: str) -> NetworkSite | None:
        return self.partner.site_of(key) if self.partner and key not in self.network.bays else self.network.site_of[key]

    def _location_page(self, scope: Scope) -> tuple[Any, Headers]:
        query = _query(scope)
        since = datetime.fromisoformat(query["date_from"]) if "date_from" in query else None
        since = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
        chosen, headers = self._page(scope, "locations", ocpi.sites_since(self._sites(), since))
        told = [(site, *self._world(site.bays[0].key)) for site in chosen]
        return [ocpi.location(network, site, operator) for site, network, operator in told], headers

    def _page(self, scope: Scope, module: str, items: Sequence[Any]) -> tuple[Sequence[Any], Headers]:
        query = _query(scope)
        offset, limit = int(query.get("offset", 0)), min(PAGE_LIMIT, int(query.get("limit", PAGE_LIMIT)))
        chosen, following = ocpi.page(items, offset, limit)
        headers: Headers = [(b"x-total-count", str(len(items)).encode()), (b"x-limit", str(PAGE_LIMIT).encode())]
        if following is not None:
            link = urlencode({**query, "offset": following, "limit": limit})
            headers.append((b"link", f'<{self.base}/ocpi/2.2.1/cpo/{module}?{link}>; rel="next"'.encode()))
        return chosen, headers

    # --- handshake ------------------------------------------------------------------------------------------------
    async def _credentials(self, method: str, raw: bytes) -> dict[str, Any]:
        if method == "GET":
            return ocpi.credentials(self.base, self.peering.our_token or self.peering.token_a)
        if method == "DELETE":
            self._remember(Peering(self.peering.token_a))
            return {}
        if method not in ("POST", "PUT"):
            raise Refused(405, 2000, "Not allowed.")
        body = orjson.loads(raw)
        urls = await self._their_receivers(str(body["url"]), str(body["token"]))
        self._remember(Peering(self.peering.token_a, secrets.token_urlsafe(32), str(body["token"]), *urls))
        self.stale.update(self.network.bays)
        logger.info("VoltGrid is connected over OCPI")
        return ocpi.credentials(self.base, self.peering.our_token)

    async def _their_receivers(self, versions_url: str, token: str) -> tuple[str, str, str]:
        """Where locations, sessions and records go; read with the peer's token while its call is open."""
        try:
            offered = await self._get(versions_url, token)
            details_url = next(entry["url"] for entry in offered if entry["version"] == "2.2.1")
            endpoints = (await self._get(details_url, token))["endpoints"]
        except (httpx.HTTPError, KeyError, TypeError, ValueError, StopIteration) as error:
            raise Refused(200, 3001, f"Your versions cannot be read: {type(error).__name__}") from error
        receivers = {entry["identifier"]: str(entry["url"]) for entry in endpoints if entry["role"] == "RECEIVER"}
        if "locations" not in receivers:
            raise Refused(200, 3003, "You offer no locations receiver.")
        return receivers["locations"], receivers.get("sessions", ""), receivers.get("cdrs", "")

    async def _get(self, url: str, token: str) -> Any:
        answer = await self.http.get(url, headers=_headers(token))
        answer.raise_for_status()
        return answer.json()["data"]

    def _remember(self, peering: Peering) -> None:
        self.peering = peering
        write_private(self.path, asdict(peering))

    # --- commands -------------------------------------------------------------------------------------------------
    def _command(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Accepted at once; the bay's answer follows to response_url."""
        if kind == "RESERVE_NOW":
            until = datetime.fromisoformat(str(body["expiry_date"]).replace("Z", "+00:00"))
            until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
            booking = Booking(str(body["reservation_id"]), str(body["token"]["uid"]), until)
            key = str(body.get("evse_uid") or "")
            self._later(str(body["response_url"]), lambda: self._world(key)[0].reserve(key, booking))
        elif kind == "CANCEL_RESERVATION":
            number = str(body["reservation_id"])
            self._later(str(body["response_url"]), lambda: self._cancel(number))
        else:
            return {"result": "NOT_SUPPORTED", "timeout": 0}
        return {"result": "ACCEPTED", "timeout": COMMAND_TIMEOUT_SECONDS}

    def _cancel(self, number: str) -> str:
        result = self.network.cancel(number)
        return self.partner.network.cancel(number) if self.partner and result != "ACCEPTED" else result

    def _later(self, response_url: str, decide: Callable[[], str]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer_command(response_url, decide))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_command(self, response_url: str, decide: Callable[[], str]) -> None:
        await asyncio.sleep(0.6)
        result = {"result": decide()}
        for attempt in range(5):
            if await self._send(partial(self.http.post, response_url, json=result, headers=self._routed())):
                return
            await asyncio.sleep(2**attempt)
        logger.warning("VoltGrid could not deliver a command result")

    # --- pushing --------------------------------------------------------------------------------------------------
    async def push_forever(self) -> None:
        """Tell every change of status; what cannot be delivered is told again, newest state only."""
        failures = 0
        while True:
            await asyncio.sleep(min(20.0, PUSH_PAUSE_SECONDS * 2**failures))
            while self.network.changed:
                self.stale.add(self.network.changed.popleft().key)
            self.stale.update(self.partner.changed() if self.partner else ())
            if not self.peering.their_locations_url or not self.is_running():
                continue
            is_done = await self._push_stale() and await self._push_uses()
            failures = 0 if is_done else min(6, failures + 1)

    async def _push_uses(self) -> bool:
        """Sessions of our vehicles as they grow, and each record once; the lists have them as well."""
        if not (self.peering.their_sessions_url and self.peering.their_cdrs_url):
            return True
        for session in self.uses.sessions(datetime.now(UTC)):
            if self.told.get(session["id"]) == telling(session):
                continue
            url = f"{self.peering.their_sessions_url.rstrip('/')}/{COUNTRY}/{PARTY}/{session['id']}"
            if not await self._send(partial(self.http.put, url, json=session, headers=self._routed())):
                return False
            if session["status"] == "COMPLETED":
                record, url = self._record_of(session["id"]), self.peering.their_cdrs_url
                if not await self._send(partial(self.http.post, url, json=record, headers=self._routed())):
                    return False
            self.told[session["id"]] = telling(session)
        return True

    def _record_of(self, session_id: str) -> dict[str, Any]:
        return next(each for each in self.uses.records() if each["id"] == session_id)

    async def _push_stale(self) -> bool:
        for key in sorted(self.stale):
            (network, operator), site = self._world(key), self._site_of(key)
            if site is None:
                self.stale.discard(key)
                continue
            body = {"status": network.status(network.bays[key]), "last_updated": ocpi.instant(network.updated[key])}
            url = f"{self.peering.their_locations_url.rstrip('/')}/{COUNTRY}/{operator.party}/{site.id}/{key}"
            if not await self._send(partial(self.http.patch, url, json=body, headers=self._routed())):
                return False
            self.stale.discard(key)
        return True

    def _routed(self) -> dict[str, str]:
        return {**_headers(self.peering.their_token), "OCPI-from-country-code": COUNTRY, "OCPI-from-party-id": PARTY}

    async def _send(self, call: Callable[[], Awaitable[httpx.Response]]) -> bool:
        """True when the peer has it, or will never want it (a 4xx is not retried)."""
        try:
            return (await call()).status_code < 500
        except httpx.HTTPError:
            return False


def _query(scope: Scope) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}


def _token(authorization: bytes) -> str:
    kind, _, value = authorization.decode("latin-1").partition(" ")
    if kind.lower() != "token":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return value.strip()


def _headers(token: str) -> dict[str, str]:
    secret = base64.b64encode(token.encode()).decode()
    request_id = secrets.token_hex(16)
    return {"Authorization": f"Token {secret}", "X-Request-ID": request_id, "X-Correlation-ID": request_id}
