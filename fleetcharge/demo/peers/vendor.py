"""Kaveri Charge, a vendor with JSON of its own: it pushes signed status events, and lists its stations to who polls.

It signs with code of its own, so that a mistake of ours is not made twice. MAPPING, POLL_MAPPING and POLL are what one
writes into its webhook feed.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs

import httpx
import orjson

from fleetcharge.lib.asgi import Receive, Scope, Send, header, read_body, send_bytes, send_json

NAME, SLUG = "Kaveri Charge", "kaveri"
SIGNATURE_HEADER, KEY_HEADER = "X-Kaveri-Signature", "X-Api-Key"
INDIA = timezone(timedelta(hours=5, minutes=30))
MAX_EVENTS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 500, 0.5, 30.0
STATES = ("free", "in use", "booked", "down")
WORDS = {"free": "available", "in use": "charging", "booked": "reserved", "down": "faulted"}
MAPPING: dict[str, Any] = {
    "entries": "$.events",
    "only": {"kind": ["plug.state"]},
    "sent_at": "$.sent",
    "event_id": "$.delivery",
    "site": "station",
    "evse": "plug",
    "status": "state",
    "at": "since",
    "words": WORDS,
}
POLL_MAPPING: dict[str, Any] = {
    "entries": "$.stations",
    "evse": "code",
    "status": "state",
    "words": WORDS,
    "location": {
        "id": "code",
        "name": "Kaveri {title}|title",
        "latitude": "where.lat",
        "longitude": "where.lng",
        "address": "where.street",
        "city": "where.town",
        "postal_code": "where.pin",
        "updated_at": "changed",
        "evses": "plugs",
        "evse": {
            "id": "code",
            "status": "state",
            "at": "since",
            "reference": "bay",
            "connector": {"id": "=1", "plug": "type", "power_kw": "kw", "price_per_kwh": "rate"},
        },
        "plugs": {"CCS-2": "ccs2", "Type-2": "type2_socket", "LEVDC": "is17017_2_6"},
    },
}
logger = logging.getLogger("fleetcharge.demo")


def poll_plan(base: str) -> dict[str, Any]:
    """How its list is walked: a cursor in the body goes into the next page's address."""
    return {
        "url": f"{base}/kaveri/v1/stations", "query": {"limit": "50"}, "key_header": KEY_HEADER, "next": "$.cursor",
        "cursor": "after",
    }  # fmt: skip


@dataclass
class KaveriPlug:
    code: str
    kind: str
    kw: float
    rate: str
    state: str = "free"
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class KaveriStation:
    code: str
    title: str
    latitude: float
    longitude: float
    plugs: list[KaveriPlug]
    changed: datetime = field(default_factory=lambda: datetime.now(UTC))


def stations(count: int = 4, *, latitude: float = 12.9352, longitude: float = 77.6245) -> list[KaveriStation]:
    """Some stations in Bengaluru, two fast plugs and a slow one at each."""
    places = ("BTM", "Bannerghatta Road", "Silk Board", "Domlur", "Cunningham Road", "Malleshwaram", "Sarjapur Road")
    return [
        KaveriStation(
            f"KVR-{number:03d}", places[(number - 1) % len(places)], latitude + (number % 7) * 0.008,
            longitude + (number % 5) * 0.009,
            [
                KaveriPlug(f"KVR-{number:03d}-{plug}", kind, kw, rate)
                for plug, (kind, kw, rate) in enumerate(
                    (("CCS-2", 60, "Rs 19.5/kWh"), ("CCS-2", 30, "Rs 19.5/kWh"), ("Type-2", 7.4, "Rs.14/-")), start=1
                )
            ],
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


class KaveriCharge:
    """ASGI app and pusher. `hook_url` and `secret` are what its customer gave it; the knobs make it misbehave."""

    def __init__(
        self, sites: list[KaveriStation] | None = None, *, hook_url: str = "", secret: str = "",
        key: str = "kaveri-key", seed: int = 7,
    ) -> None:  # fmt: skip
        self.stations = stations() if sites is None else sites
        self.hook_url, self.secret, self.key = hook_url, secret, key
        self.plugs = {plug.code: (site, plug) for site in self.stations for plug in site.plugs}
        self.rng = random.Random(seed)
        self.changed: dict[str, dict[str, Any]] = {}  # the newest event of each plug that is not pushed yet
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[str] = []
        # knobs
        self.is_silent = False
        self.page_size = 50
        self.answers_html = False
        self.loops = False
        self.on_page: Callable[[list[Any]], list[Any]] = lambda page: page
        self.on_push: Callable[[bytes, dict[str, str]], tuple[bytes, dict[str, str]]] = lambda raw, headers: (
            raw,
            headers,
        )

    # --- its list -----------------------------------------------------------------------------------------------------
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive, 10_000)
        self.asked.append(f"{scope['path']}?{scope['query_string'].decode()}")
        if self.answers_html:
            await send_bytes(send, 200, b"<html>Wartung</html>", [(b"content-type", b"text/html")])
        elif scope["path"] != "/kaveri/v1/stations":
            await send_json(send, 404, {"error": "no such thing"})
        elif not hmac.compare_digest(header(scope, KEY_HEADER.lower().encode()).decode(), self.key):
            await send_json(send, 401, {"error": "wrong key"})
        else:
            await send_json(send, 200, self._page(parse_qs(scope["query_string"].decode())))

    def _page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        size = min(int(query.get("limit", ["50"])[0]), self.page_size)
        begin = int(base64.urlsafe_b64decode(query["after"][0])) if "after" in query else 0
        page = self.on_page([self._site(site) for site in self.stations[begin : begin + size]])
        following = 0 if self.loops else begin + size
        if following >= len(self.stations):
            return {"stations": page}
        return {"stations": page, "cursor": base64.urlsafe_b64encode(str(following).encode()).decode()}

    def _site(self, site: KaveriStation) -> dict[str, Any]:
        where = {"lat": f"{site.latitude:.5f}", "lng": f"{site.longitude:.5f}", "town": "Bengaluru", "pin": 560001,
                 "street": f"{site.title} Main Road"}  # fmt: skip
        plugs = [
            {"code": plug.code, "bay": number, "type": plug.kind, "kw": plug.kw, "rate": plug.rate, "state": plug.state,
             "since": _text(plug.since)}
            for number, plug in enumerate(site.plugs, start=1)
        ]  # fmt: skip
        return {"code": site.code, "title": site.title, "where": where, "plugs": plugs, "changed": _text(site.changed)}

    # --- its pushes ---------------------------------------------------------------------------------------------------
    def change(self, code: str, state: str, at: datetime) -> dict[str, Any]:
        """A plug changes; the event goes out with the next push."""
        site, plug = self.plugs[code]
        plug.state, plug.since = state, at
        event = {"kind": "plug.state", "station": site.code, "plug": code, "state": state, "since": _text(at)}
        self.changed[code] = event
        return event

    def step(self, at: datetime) -> None:
        """Cars come and go: about one plug in twenty changes."""
        for code, (_, plug) in self.plugs.items():
            if self.rng.random() < 0.05:
                self.change(code, self.rng.choice([state for state in STATES[:3] if state != plug.state]), at)

    def envelope(self, events: list[Any]) -> bytes:
        """A delivery as it is sent; the same bytes again are the same delivery."""
        return orjson.dumps({"delivery": f"dlv-{uuid.uuid4().hex}", "sent": int(time.time() * 1000), "events": events})

    def catalogue(self, *codes: str) -> bytes:
        """Stations as its list shows them (all when none is named), as one delivery of a vendor that only pushes."""
        chosen = [site for site in self.stations if not codes or site.code in codes]
        page = self.on_page([self._site(site) for site in chosen])
        return orjson.dumps({"delivery": f"dlv-{uuid.uuid4().hex}", "stations": page})

    def headers(self, raw: bytes, *, at: float | None = None) -> dict[str, str]:
        stamp = str(int(time.time() if at is None else at))
        code = hmac.new(self.secret.encode(), stamp.encode() + b"." + raw, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", SIGNATURE_HEADER: f"t={stamp},v1={code}"}

    async def push(self, http: httpx.AsyncClient, raw: bytes) -> int:
        """One attempt; the HTTP status, 0 when nobody answers."""
        body, headers = self.on_push(raw, self.headers(raw))
        try:
            answer = await http.post(self.hook_url, content=body, headers=headers)
        except httpx.HTTPError:
            return 0
        self.answers.append((answer.status_code, answer.json() if answer.content else None))
        return answer.status_code

    async def push_changes(self, http: httpx.AsyncClient) -> bool:
        """Everything that changed, in one delivery; what is not taken is kept for the next one."""
        codes = list(self.changed)[:MAX_EVENTS]
        if not codes or self.is_silent:
            return True
        events = [self.changed.pop(code) for code in codes]
        if 200 <= await self.push(http, self.envelope(events)) < 300:
            return True
        for event in events:
            self.changed.setdefault(event["plug"], event)
        return False

    async def push_forever(self, http: httpx.AsyncClient, *, every_seconds: float = 2.0) -> None:
        """Step and push until cancelled; while nobody takes it, ever more slowly."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            self.step(datetime.now(UTC))
            if await self.push_changes(http):
                pause = FIRST_PAUSE_SECONDS
                await asyncio.sleep(every_seconds)
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _text(at: datetime) -> str:
    """Local time with its offset, as Indian vendors like it."""
    return at.astimezone(INDIA).isoformat(timespec="milliseconds")


async def run(port: int, hook_url: str, secret: str, key: str) -> None:
    """Serve the list and push, until interrupted."""
    import uvicorn

    kaveri = KaveriCharge(hook_url=hook_url, secret=secret, key=key)
    for code in list(kaveri.plugs):
        kaveri.change(code, "free", datetime.now(UTC))
    server = uvicorn.Server(uvicorn.Config(kaveri, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        pushing = asyncio.create_task(kaveri.push_forever(http))
        await server.serve()
        pushing.cancel()


def main() -> None:
    """`python -m fleetcharge.demo.peers.vendor --hook URL --secret SECRET`: Kaveri on its own."""
    import argparse
    import sys

    reader = argparse.ArgumentParser(description="A vendor that pushes signed JSON, and lists its stations.")
    reader.add_argument("--port", type=int, default=8071)
    reader.add_argument("--hook", required=True, help="where it pushes, as the webhook feed shows it")
    reader.add_argument("--secret", required=True, help="of the webhook feed")
    reader.add_argument("--key", default="kaveri-key", help="what it asks of those who poll it")
    wish = reader.parse_args()
    plan, mapping = orjson.dumps(poll_plan(f"http://127.0.0.1:{wish.port}")), orjson.dumps(MAPPING)
    sys.stdout.write(f"poll plan:    {plan.decode()}\npoll mapping: {orjson.dumps(POLL_MAPPING).decode()}\n")
    sys.stdout.write(
        f"mapping:      {mapping.decode()}\nsignature:    {SIGNATURE_HEADER} over {{timestamp}}.{{body}}\n"
    )
    asyncio.run(run(wish.port, wish.hook, wish.secret, wish.key))


if __name__ == "__main__":
    main()
