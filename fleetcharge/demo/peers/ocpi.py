"""A CPO that speaks OCPI 2.1.1, 2.2.1 and 2.3.0 over HTTP, remembers what it was told, and misbehaves on request."""

import asyncio
import base64
import binascii
import itertools
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import orjson

from fleetcharge.demo.peers import objects
from fleetcharge.demo.peers.objects import COUNTRY, NAME, PARTY, STAMP, Raw
from fleetcharge.lib.asgi import Receive, Scope, Send, header, read_body, send_bytes, send_json

Headers = list[tuple[bytes, bytes]]
COMMON = {"credentials": "SENDER", "locations": "SENDER", "tariffs": "SENDER", "sessions": "SENDER", "cdrs": "SENDER"}
COMMON |= {"tokens": "RECEIVER", "commands": "RECEIVER"}
MODULES = {
    "2.1.1": COMMON,
    "2.2.1": {**COMMON, "chargingprofiles": "RECEIVER", "hubclientinfo": "SENDER"},
    "2.3.0": {
        **COMMON, "chargingprofiles": "RECEIVER", "hubclientinfo": "SENDER", "Booking": "SENDER",
        "invoicereconciliation": "SENDER",
    },
}  # fmt: skip
LISTS = ("locations", "tariffs", "sessions", "cdrs", "hubclientinfo", "invoicereconciliation")


class Refusal(Exception):
    """HTTP status and OCPI code of an answer that is no success."""

    def __init__(self, http: int, code: int = 2000) -> None:
        super().__init__(f"{http}/{code}")
        self.http, self.code = http, code


class OCPIPeer:
    """`base_url` is set once it is served. `accepted` is the token it takes now; registering replaces it."""

    def __init__(self, *versions: str) -> None:
        self.versions = versions or ("2.2.1",)
        self.version = self.versions[-1]
        self.base_url, self.accepted = "", "TOKEN_A"
        self.retiring = ""  # the token before, until `accepted` is first used
        self.calls_back = self.keeps_old_token = True
        self.wants_raw = self.version == "2.1.1"
        self.their: Raw = {}
        self.their_endpoints: dict[str, str] = {}
        self.lists: dict[str, list[Any]] = {name: [] for name in (*LISTS, "booking_locations")}
        self.lists["locations"] = [objects.location(self.version, number) for number in (1, 2, 3)]
        self.lists["tariffs"] = [objects.tariff(self.version)]
        self.page_size = 2
        self.commands: list[tuple[str, Raw]] = []
        self.held: dict[str, Raw] = {}  # reservations it keeps, by the id that was given
        self.profiles: list[tuple[str, str, Raw]] = []
        self.tokens: dict[str, Raw] = {}
        self.preferences: dict[str, Raw] = {}
        self.bookings: dict[str, Raw] = {}
        self.calls: list[tuple[str, str, dict[str, str], dict[str, str]]] = []
        self.without: set[str] = set()
        self.sync_result, self.async_result, self.booking_status = "ACCEPTED", "ACCEPTED", "PENDING"
        self.broken: bytes | None = None
        self.extra_headers: Headers = []
        self.links_loop = self.minds_case = self.takes_any_patch = False
        self.names_token = ""  # in GET credentials, in place of the one it takes
        self.without_date_from = False  # its sessions are listed without it
        self.on_page: Callable[[], None] = lambda: None
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- answering ------------------------------------------------------------------------------------------------
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await read_body(receive, 4_000_000)
        query = dict(parse_qsl(scope["query_string"].decode()))
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.calls.append((scope["method"], scope["path"], query, headers))
        if self.broken is not None:
            return await send_bytes(send, 200, self.broken)
        try:
            self._check_token(header(scope, b"authorization"))
            body = orjson.loads(raw) if raw else None
            data, more = await self._route(scope["method"], scope["path"].strip("/").split("/"), body, query)
            ids = [(name, v) for name in (b"x-request-id", b"x-correlation-id") if (v := header(scope, name))]
            return await send_json(send, 200, envelope(data), [*more, *ids, *self.extra_headers])
        except Refusal as refusal:
            return await send_json(send, refusal.http, envelope(None, refusal.code))

    def _check_token(self, authorization: bytes) -> None:
        """2.1.1 takes the token as it is, the others want it in base64."""
        shown = authorization.removeprefix(b"Token ").decode("latin-1")
        if not self.wants_raw:
            try:
                shown = base64.b64decode(shown, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise Refusal(401) from None
        if shown == self.accepted:
            self.retiring = ""
        elif not shown or shown != self.retiring:
            raise Refusal(401)

    async def _route(self, method: str, path: list[str], body: Any, query: dict[str, str]) -> tuple[Any, Headers]:
        if path == ["versions"]:
            return [{"version": each, "url": f"{self.base_url}/{each}"} for each in self.versions], []
        version, rest = path[0], path[1:]
        if version not in self.versions:
            raise Refusal(404)
        if not rest:
            return {"version": version, "endpoints": self._endpoints(version)}, []
        if rest == ["credentials"]:
            return await self._credentials(method, version, body), []
        return self._module(method, rest, body, query)

    def _endpoints(self, version: str) -> list[Raw]:
        listed = [(name, role) for name, role in MODULES[version].items() if name not in self.without]
        has_roles = version != "2.1.1"
        return [
            {"identifier": n, **({"role": r} if has_roles else {}), "url": f"{self.base_url}/{version}/{n.lower()}"}
            for n, r in listed
        ]

    def _module(self, method: str, rest: list[str], body: Any, query: dict[str, str]) -> tuple[Any, Headers]:
        name, ids = rest[0], rest[1:]
        if ids[1:] == ["charging_preferences"] and method == "PUT":
            self.preferences[ids[0]] = body
            return "ACCEPTED" if "departure_time" in body else "DEPARTURE_REQUIRED", []
        if name in LISTS and method == "GET":
            return self._list(name, ids, query)
        if name in LISTS:
            raise Refusal(405)
        if name == "booking":
            return self._list("booking_locations", ids[1:], query) if method == "GET" else (self._book(body), [])
        if name == "commands":
            return self._command(ids[0], body), []
        if name == "chargingprofiles":
            return self._profile(method, ids[0], body or query), []
        if name == "tokens":
            self._token(method, ids[2], body)
            return None, []
        raise Refusal(404)

    def _token(self, method: str, uid: str, body: Raw) -> None:
        """PUT keeps one; a PATCH says when it was made, and of which it is."""
        if method == "PUT":
            self.tokens[uid] = body
            return
        if method != "PATCH":
            raise Refusal(405)
        if self.takes_any_patch:
            return
        if "last_updated" not in body:
            raise Refusal(400, 2001)
        if uid not in self.tokens:
            raise Refusal(404, 2004)
        self.tokens[uid] |= body

    def _list(self, name: str, ids: list[str], query: dict[str, str]) -> tuple[Any, Headers]:
        items = self.lists[name]
        if ids:
            alike = str if self.minds_case else str.lower
            found = next((each for each in items if alike(each["id"]) == alike(ids[0])), None)
            if found is None:
                raise Refusal(404, 2003)
            return found, []
        if name == "sessions" and "date_from" not in query and not self.without_date_from:
            raise Refusal(400, 2001)
        return self._page(name, items, query)

    def _page(self, name: str, items: list[Any], query: dict[str, str]) -> tuple[list[Any], Headers]:
        """Oldest change first, `date_from` inclusive. The limit gets lost in the Link, as with some peers."""
        since = query.get("date_from", "")
        chosen = [each for each in items if not isinstance(each, dict) or str(each.get("last_updated", "")) >= since]
        offset = int(query.get("offset", 0))
        following = offset + min(self.page_size, int(query.get("limit", self.page_size)))
        module = "booking/booking_locations" if name == "booking_locations" else name
        kept = {key: value for key, value in query.items() if key not in {"offset", "limit"}}
        link = urlencode({**kept, "offset": 0 if self.links_loop else following})
        url = f'<{self.base_url}/{self.version}/{module}?{link}>; rel="next"'
        headers: Headers = [(b"x-total-count", str(len(chosen)).encode()), (b"x-limit", b"2")]
        headers += [(b"link", url.encode())] if following < len(chosen) or self.links_loop else []
        page = chosen[offset:following]
        self.on_page()
        return page, headers

    # --- handshake ------------------------------------------------------------------------------------------------
    def credentials(self, version: str, token: str) -> Raw:
        details = {"party_id": PARTY, "country_code": COUNTRY, "business_details": {"name": NAME}}
        url = f"{self.base_url}/versions"
        if version == "2.1.1":
            return {"token": token, "url": url, **details}
        hub = {"hub_party_id": None} if version == "2.3.0" else {}
        return {"token": token, "url": url, "roles": [{"role": "CPO", **details}], **hub}

    async def _credentials(self, method: str, version: str, body: Raw) -> Any:
        """Calls back with the token it was just given, while the caller still waits."""
        if method == "GET":
            return self.credentials(version, self.names_token or self.accepted)
        if method == "DELETE":
            self.their, self.accepted, self.retiring = {}, "TOKEN_A", ""
            return None
        self.version, self.their = version, body
        if self.calls_back:
            await self.learn(version)
        self.retiring = self.accepted if method == "PUT" and self.keeps_old_token else ""
        self.accepted = f"TOKEN_{secrets.token_hex(4)}"
        return self.credentials(version, self.accepted)

    async def learn(self, version: str) -> None:
        """Read the peer's versions and endpoints with the token it gave us."""
        async with httpx.AsyncClient() as client:
            listed = (await client.get(self.their["url"], headers=self.headers())).raise_for_status().json()["data"]
            url = next(entry["url"] for entry in listed if entry["version"] == version)
            details = (await client.get(url, headers=self.headers())).raise_for_status().json()["data"]
        self.their_endpoints = {entry["identifier"]: entry["url"] for entry in details["endpoints"]}

    def register_at(self, versions_url: str, token_a: str, version: str = "", method: str = "POST") -> httpx.Response:
        """The CPO starts: reads the list with TOKEN_A, gives its own token, keeps the one it gets."""
        self.version = version or self.version
        self.their = {"token": token_a, "url": versions_url}
        asyncio.run(self.learn(self.version))
        mine = self.credentials(self.version, self.accepted)
        answer = httpx.request(method, self.their_endpoints["credentials"], json=mine, headers=self.headers())
        data = answer.json().get("data")
        if answer.status_code == 200 and data:
            self.their = data
        return answer

    # --- commands -------------------------------------------------------------------------------------------------
    def _command(self, kind: str, body: Raw) -> Raw:
        self.commands.append((kind, body))
        if self.sync_result == self.async_result == "ACCEPTED":
            self._keep(kind, body)
        self._later(self.tell(body["response_url"], self.async_result))
        return {"result": self.sync_result, "timeout": 30}

    def _keep(self, kind: str, body: Raw) -> None:
        if kind == "RESERVE_NOW":
            self.held[str(body["reservation_id"])] = body
        elif kind == "CANCEL_RESERVATION":
            self.held.pop(str(body["reservation_id"]), None)

    async def answer_late(self) -> None:
        """Say yes to the last command after all."""
        kind, body = self.commands[-1]
        self._keep(kind, body)
        await self.tell(body["response_url"], "ACCEPTED")

    def _profile(self, method: str, session_id: str, body: Raw) -> Raw:
        self.profiles.append((method, session_id, body))
        periods = [{"start_period": 0, "limit": 30000.0}, {"start_period": 1800, "limit": 11000.0}]
        profile = {"charging_rate_unit": "W", "charging_profile_period": periods}
        active = {"start_date_time": STAMP, "charging_profile": profile}
        more = {"profile": active} if method == "GET" else {}
        self._later(self.tell(body["response_url"], self.async_result, **more))
        return {"result": self.sync_result, "timeout": 30}

    def _book(self, body: Raw) -> Raw:
        number = next((b["id"] for b in self.bookings.values() if b["request_id"] == body["request_id"]), None)
        updated = f"2026-11-21T06:00:{next(self._numbers):02d}Z"
        booked = objects.booking(body, number or f"BK{len(self.bookings) + 1}", self.booking_status, updated)
        self.bookings[booked["id"]] = booked
        return booked

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def tell(self, response_url: str, result: str, **more: Any) -> None:
        if not result:
            return
        async with httpx.AsyncClient() as client:
            await client.post(response_url, json={"result": result, **more}, headers=self.headers())

    # --- what it does to others -----------------------------------------------------------------------------------
    def headers(self) -> dict[str, str]:
        token = self.their["token"]
        shown = token if self.wants_raw else base64.b64encode(token.encode()).decode()
        ids = {"X-Request-ID": f"r-{next(self._numbers)}", "X-Correlation-ID": "c-1"}
        if self.version != "2.1.1":
            ids |= {"OCPI-from-country-code": COUNTRY, "OCPI-from-party-id": PARTY}
        return {"Authorization": f"Token {shown}", **ids}

    def push(self, method: str, module: str, *path: str, body: Any = None, **query: str) -> httpx.Response:
        """Call one of our modules at the address that we listed."""
        url = "/".join([self.their_endpoints[module].rstrip("/"), *path])
        return httpx.request(method, url, json=body, headers=self.headers(), params=query or None)

    def put(self, module: str, *path: str, body: Any) -> httpx.Response:
        return self.push("PUT", module, COUNTRY, PARTY, *path, body=body)

    def patch(self, module: str, *path: str, body: Any) -> httpx.Response:
        return self.push("PATCH", module, COUNTRY, PARTY, *path, body=body)

    def get(self, module: str, *path: str) -> httpx.Response:
        return self.push("GET", module, COUNTRY, PARTY, *path)

    def paths(self, method: str = "GET") -> list[str]:
        return [path for verb, path, _, _ in self.calls if verb == method]


def envelope(data: Any = None, code: int = 1000) -> Raw:
    return {**({} if data is None else {"data": data}), "status_code": code, "timestamp": STAMP}


def main() -> None:
    """`python -m fleetcharge.demo.peers.ocpi --version 2.2.1`: VoltGrid on its own, waiting for a handshake."""
    import argparse
    import sys

    import uvicorn

    reader = argparse.ArgumentParser(description="A CPO that speaks OCPI.")
    reader.add_argument("--port", type=int, default=8072)
    reader.add_argument("--version", action="append", choices=list(MODULES), help="may be said several times")
    reader.add_argument("--token", default="TOKEN_A", help="TOKEN_A, which it takes until it is registered")
    reader.add_argument("--register-at", metavar="URL", default="", help="our versions address: it starts itself")
    reader.add_argument("--invitation", default="", help="the token that we made for it")
    wish = reader.parse_args()
    peer = OCPIPeer(*(wish.version or ["2.2.1"]))
    peer.base_url, peer.accepted = f"http://127.0.0.1:{wish.port}", wish.token
    sys.stdout.write(f"versions {peer.base_url}/versions\nTOKEN_A  {peer.accepted}\n")
    sys.stdout.flush()
    config = uvicorn.Config(peer, host="127.0.0.1", port=wish.port, log_level="warning", lifespan="off")
    asyncio.run(_serve(uvicorn.Server(config), peer, wish.register_at, wish.invitation))


async def _serve(server: Any, peer: OCPIPeer, versions_url: str, invitation: str) -> None:
    async def register() -> None:
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.05)
        answer = await asyncio.to_thread(peer.register_at, versions_url, invitation)
        print(f"registered: HTTP {answer.status_code} {answer.text[:300]}", flush=True)  # noqa: T201 (a program)

    task = asyncio.create_task(register()) if versions_url else None
    await server.serve()
    if task:
        task.cancel()


if __name__ == "__main__":
    main()
