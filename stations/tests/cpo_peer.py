"""A small CPO that speaks OCPI 2.2.1 over HTTP and remembers what it was told; it can be told to misbehave."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import httpx
import orjson

from fleetcharge.lib.asgi import Receive, Scope, Send, header, read_body, send_json

STAMP = "2026-11-21T06:00:00Z"
LATER, EARLIER = "2026-11-21T06:30:00Z", "2026-11-21T05:30:00Z"


def evse(uid: str, status: str = "AVAILABLE", updated: str = STAMP) -> dict[str, Any]:
    connector = {
        "id": "1", "standard": "IEC_62196_T2_COMBO", "format": "CABLE", "power_type": "DC", "max_voltage": 1000,
        "max_amperage": 150, "max_electric_power": 60_000, "tariff_ids": ["DAY"], "last_updated": updated,
    }  # fmt: skip
    return {"uid": uid, "status": status, "capabilities": ["RESERVABLE"], "connectors": [connector],
            "last_updated": updated}  # fmt: skip


def location(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "country_code": "IN", "party_id": "VLT", "id": f"L{number}", "publish": True, "name": f"Volt {number}",
        "address": "Outer Ring Road", "city": "Bengaluru", "postal_code": "560037", "country": "IND",
        "coordinates": {"latitude": "12.95", "longitude": f"77.7{number:02d}"}, "time_zone": "Asia/Kolkata",
        "operator": {"name": "VoltGrid"}, "evses": [evse(f"E{number}-1"), evse(f"E{number}-2", "CHARGING")],
        "last_updated": STAMP, **changes,
    }  # fmt: skip


TARIFF = {
    "country_code": "IN", "party_id": "VLT", "id": "DAY", "currency": "INR", "last_updated": STAMP,
    "elements": [{"price_components": [{"type": "ENERGY", "price": 19.5, "vat": 18.0, "step_size": 1}]}],
}  # fmt: skip


class CPOPeer:
    """`base_url` is set once it is served. TOKEN_A lets somebody register; then TOKEN_C is what we accept."""

    def __init__(self) -> None:
        self.base_url = ""
        self.accepted = "TOKEN_A"
        self.their_credentials: dict[str, Any] = {}
        self.locations: list[Any] = [location(number) for number in range(1, 4)]
        self.page_size = 2
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.result = "ACCEPTED"
        self.async_result = "ACCEPTED"
        self.calls: list[str] = []
        self.letters = iter("CDEF")
        self.on_page: Callable[[], None] = lambda: None
        self.tariffs: Any = [TARIFF]
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = orjson.loads(await read_body(receive, 1_000_000) or b"null")
        self.calls.append(f"{scope['method']} {scope['path']}")
        token = base64.b64decode(header(scope, b"authorization").removeprefix(b"Token ")).decode()
        if token != self.accepted:
            return await self._answer(send, None, 2000, http=401)
        data, headers = await self._data(scope, body)
        return await self._answer(send, data, headers=headers)

    async def _data(self, scope: Scope, body: Any) -> tuple[Any, list[tuple[bytes, bytes]]]:
        path = scope["path"]
        if path == "/versions":
            return [{"version": "2.2.1", "url": f"{self.base_url}/2.2.1"}], []
        if path == "/2.2.1":
            return {"version": "2.2.1", "endpoints": self._endpoints()}, []
        if path == "/2.2.1/credentials":
            return (await self._register(body) if scope["method"] in {"POST", "PUT"} else None), []
        if path.startswith("/2.2.1/locations/"):
            return next(entry for entry in self.locations if entry["id"] == path.rsplit("/", 1)[1]), []
        if path == "/2.2.1/tariffs":
            return self.tariffs, []
        if path == "/2.2.1/locations":
            return self._page(scope["query_string"].decode())
        kind = path.rsplit("/", 1)[1]
        self.commands.append((kind, body))
        task = asyncio.create_task(self.tell(body["response_url"], self.async_result))
        self._tasks.add(task)
        return {"result": self.result, "timeout": 30}, []

    def _endpoints(self) -> list[dict[str, str]]:
        roles = {"credentials": "SENDER", "locations": "SENDER", "tariffs": "SENDER", "commands": "RECEIVER"}
        return [{"identifier": m, "role": r, "url": f"{self.base_url}/2.2.1/{m}"} for m, r in roles.items()]

    async def _register(self, body: dict[str, Any]) -> dict[str, Any]:
        """Calls back with the token it was just given, while the caller still waits."""
        self.their_credentials = body
        versions = await self.get(body["url"])
        assert any(entry["version"] == "2.2.1" for entry in versions.json()["data"]), versions.text
        self.accepted = f"TOKEN_{next(self.letters)}"
        return {"token": self.accepted, "url": f"{self.base_url}/versions", "roles": [
            {"role": "CPO", "party_id": "VLT", "country_code": "IN", "business_details": {"name": "VoltGrid"}}
        ]}  # fmt: skip

    def _page(self, query: str) -> tuple[list[Any], list[tuple[bytes, bytes]]]:
        offset = int(dict(part.split("=") for part in query.split("&")).get("offset", 0))
        following = offset + self.page_size
        link = f'<{self.base_url}/2.2.1/locations?offset={following}>; rel="next"'
        headers = [(b"link", link.encode())] if following < len(self.locations) else []
        headers.append((b"x-total-count", str(len(self.locations)).encode()))
        page = self.locations[offset:following]
        self.on_page()
        return page, headers

    async def _answer(self, send: Send, data: Any, code: int = 1000, http: int = 200, headers: Any = ()) -> None:
        await send_json(send, http, {"data": data, "status_code": code, "timestamp": STAMP}, headers)

    # --- what it does to others ------------------------------------------------------------------------------------
    def _headers(self) -> dict[str, str]:
        token = self.their_credentials["token"]
        return {"Authorization": "Token " + base64.b64encode(token.encode()).decode(), "X-Request-ID": "r-1"}

    async def get(self, url: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=60) as client:
            return await client.get(url, headers=self._headers())

    async def tell(self, response_url: str, result: str) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            await client.post(response_url, json={"result": result})

    def push(self, method: str, url: str, body: Any, **headers: str) -> httpx.Response:
        return httpx.request(method, url, json=body, headers={**self._headers(), **headers}, timeout=60)


def url(ours: str, *path: str) -> str:
    """Our address of a site, EVSE or connector of the peer."""
    return "/".join([ours, "ocpi/2.2.1/emsp/locations/IN/VLT", *path])
