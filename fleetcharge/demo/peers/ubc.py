"""Surya Charge, a CPO on UBC: registry, discovery service and BPP in one, speaking signed Beckn both ways.

It signs and checks with code of its own, so that a mistake of ours is not made twice.
"""

import asyncio
import base64
import hashlib
import logging
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fleetcharge.lib.asgi import Receive, Scope, Send, header, read_body, send_json

BPP, CDS, KEY = "bpp.surya.example", "cds.ubc.example", "key-1"
DOMAIN = "beckn.one:deg:ev-charging"
CORE = "https://raw.githubusercontent.com/beckn/protocol-specifications-v2/refs/heads/core-v2.0.0-rc/schema/core/v2/context.jsonld"
PROVIDER, NAME = "surya-charge", "Surya Charge Pvt Ltd"
FINDER_FEE, SERVICE_FEE = 2.5, 10.0
logger = logging.getLogger("fleetcharge.demo")


@dataclass
class Plug:
    """One connector that Surya sells. `status` is OCPP's word, as its catalogue says it."""

    station: str
    number: int
    name: str
    latitude: float
    longitude: float
    kind: str = "CCS2"
    power_kw: float = 60
    rupees_per_kwh: float = 18.5
    status: str = "Available"
    booked_by: str = ""

    @property
    def item_id(self) -> str:
        return f"IND*SURYA*{self.station}*{self.number}*1"


@dataclass
class Sale:
    """One order. `paid` and `value` are rupees; what a buyer owes is a fee of its next order."""

    transaction_id: str
    item_id: str
    kwh: float
    buyer: str
    bap: dict[str, str]
    order_id: str = field(default_factory=lambda: f"SO-{uuid.uuid4().hex[:10]}")
    status: str = "CREATED"
    session: str = ""
    components: list[dict[str, Any]] = field(default_factory=list)
    paid: float = 0.0
    value: float = 0.0
    drawn_kwh: float = 0.0
    carried: str = ""
    payment: dict[str, Any] = field(default_factory=dict)


def plugs(stations: int = 2, *, latitude: float = 12.9716, longitude: float = 77.5946) -> list[Plug]:
    """Two connectors at each of some stations in Bengaluru."""
    names = ("Surya Indiranagar", "Surya Koramangala", "Surya Hebbal", "Surya Whitefield", "Surya Jayanagar")
    return [
        Plug(f"BLR{site + 1:03d}", number, names[site % len(names)], latitude + site * 0.01, longitude + site * 0.01)
        for site in range(stations)
        for number in (1, 2)
    ]


class SuryaCharge:
    """ASGI app. `base` is its address once it is served; the knobs below make it misbehave."""

    def __init__(self, sold: list[Plug] | None = None) -> None:
        self.base = ""
        self.plugs = {plug.item_id: plug for plug in (plugs() if sold is None else sold)}
        self.keys = {name: Ed25519PrivateKey.generate() for name in (BPP, CDS)}
        self.registry: dict[tuple[str, str], str] = {(name, KEY): _public(key) for name, key in self.keys.items()}
        self.sales: dict[str, Sale] = {}
        self.owed: dict[str, tuple[float, Sale]] = {}
        self.heard: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.answers: list[tuple[str, int, dict[str, Any]]] = []
        self.lookups = 0
        # knobs
        self.silent: set[str] = set()  # actions that are acknowledged and never answered
        self.nacks: set[str] = set()
        self.twice = False  # every callback comes twice, word for word
        self.drawn_factor = 1.0  # above 1: the charger does not stop in time; below 1: the van leaves early
        self.rejects_start = False
        self.swaps_coordinates = False
        self.fails_at: set[str] = set()
        self.extra_items: list[Any] = []
        self.on_callback: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda action, body: body
        self._tasks: set[asyncio.Task[None]] = set()

    # --- answering ------------------------------------------------------------------------------------------------
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await read_body(receive, 2_000_000)
        parts = [unquote(part) for part in scope["path"].split("/") if part]
        if parts[:1] == ["registry"]:
            await self._lookup(parts, send)
        elif len(parts) == 2 and parts[0] in {"bpp", "cds"} and scope["method"] == "POST":
            await self._take(parts[0], parts[1], header(scope, b"authorization").decode("latin-1"), raw, send)
        else:
            await send_json(send, 404, _nack("unknown_path"))

    async def _lookup(self, parts: list[str], send: Send) -> None:
        """DeDi: /registry/dedi/lookup/{subscriber}/subscribers.beckn.one/{key}."""
        self.lookups += 1
        if self.fails_at & set(parts):
            await send_json(send, 503, {"message": "no record can be read"})
            return
        key = self.registry.get((parts[3], parts[5])) if len(parts) == 6 else None
        if key is None:
            await send_json(send, 404, {"message": "no such record"})
            return
        details = {
            "subscriber_id": parts[3], "url": f"{self.base}/bpp", "type": "BPP", "domain": DOMAIN,
            "signing_public_key": key, "status": "SUBSCRIBED",
        }  # fmt: skip
        await send_json(send, 200, {"message": "Record retrieved", "data": {"details": details, "state": "live"}})

    async def _take(self, role: str, action: str, authorization: str, raw: bytes, send: Send) -> None:
        if problem := self._problem(authorization, raw):
            self.refused.append(problem)
            await send_json(send, 401, _nack(problem))
            return
        body = orjson.loads(raw)
        self.heard.append(body)
        if action in self.nacks:
            await send_json(send, 400, _nack("not_now"))
            return
        await send_json(send, 200, {"message": {"ack": {"status": "ACK"}}})
        if action not in self.silent:
            self._later(self._answer(role, action, body))

    def _problem(self, authorization: str, raw: bytes) -> str:
        """Why this caller is not believed; "" when it is."""
        parts = dict(re.findall(r'(\w+)="([^"]*)"', authorization))
        subscriber, _, rest = parts.get("keyId", "").partition("|")
        key = self.registry.get((subscriber, rest.partition("|")[0]))
        if key is None:
            return "unknown_key"
        if not int(parts["created"]) - 60 <= time.time() <= int(parts["expires"]):
            return "expired"
        line = _line(raw, parts["created"], parts["expires"])
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(base64.b64decode(parts["signature"]), line)
        except InvalidSignature:
            return "wrong_signature"
        return "" if orjson.loads(raw)["context"]["bap_id"] == subscriber else "not_the_sender"

    async def _answer(self, role: str, action: str, body: dict[str, Any]) -> None:
        message, error = getattr(self, f"_{action}")(body)
        await self.call_back(f"on_{action}", body["context"], message, error, sender=CDS if role == "cds" else BPP)

    # --- calling back ---------------------------------------------------------------------------------------------
    async def call_back(
        self, action: str, context: dict[str, Any], message: Any, error: dict[str, Any] | None = None, *,
        sender: str = BPP, message_id: str = "",
    ) -> None:  # fmt: skip
        role = "cds" if sender == CDS else "bpp"
        body = {
            "context": {
                **{name: context[name] for name in ("version", "domain", "bap_id", "bap_uri", "transaction_id")},
                "action": action, "message_id": message_id or context["message_id"], "timestamp": _now(),
                "ttl": "PT30S",
                "bpp_id": sender, "bpp_uri": f"{self.base}/{role}",
            },
            "message": message, "error": error or {},
        }  # fmt: skip
        raw = orjson.dumps(self.on_callback(action, body))
        for _ in range(2 if self.twice else 1):
            await self.post(f"{context['bap_uri']}/{action}", raw, self.sign(raw, sender))

    async def post(self, url: str, raw: bytes, authorization: str) -> None:
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        async with httpx.AsyncClient(timeout=10) as http:
            for _ in range(3):
                try:
                    answer = await http.post(url, content=raw, headers=headers)
                except httpx.HTTPError as error:
                    logger.warning("Surya cannot call back: %s", error)
                    await asyncio.sleep(0.5)
                    continue
                self.answers.append((url.rsplit("/", 1)[1], answer.status_code, answer.json()))
                return

    def sign(self, raw: bytes, sender: str = BPP, *, created: int | None = None, expires: int | None = None) -> str:
        created = int(time.time()) if created is None else created
        expires = created + 60 if expires is None else expires
        value = base64.b64encode(self.keys[sender].sign(_line(raw, str(created), str(expires)))).decode()
        return (
            f'Signature keyId="{sender}|{KEY}|ed25519",algorithm="ed25519",created="{created}",expires="{expires}",'
            f'headers="(created) (expires) digest",signature="{value}"'
        )

    def _later(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- discover -------------------------------------------------------------------------------------------------
    def _discover(self, body: dict[str, Any]) -> tuple[dict[str, Any], None]:
        found = list(self.plugs.values())
        if expression := (body["message"].get("filters") or {}).get("expression"):
            wanted = re.search(r"== '([^']*)'", expression)
            found = [plug for plug in found if wanted and wanted[1] in (plug.item_id, _sticker(plug))]
        catalog = {
            "@context": CORE, "@type": "beckn:Catalog", "beckn:id": "surya-bengaluru", "beckn:bppId": BPP,
            "beckn:bppUri": f"{self.base}/bpp", "beckn:items": [*map(self._item, found), *self.extra_items],
            "beckn:offers": [_offer(plug) for plug in found],
        }  # fmt: skip
        return {"catalogs": [catalog]}, None

    def _item(self, plug: Plug) -> dict[str, Any]:
        point = [plug.longitude, plug.latitude]
        address = {"streetAddress": f"{plug.name}, 100 Ft Rd", "addressLocality": "Bengaluru",
                   "addressRegion": "Karnataka", "postalCode": "560038", "addressCountry": "IN"}  # fmt: skip
        place = {"geo": {"type": "Point", "coordinates": point[::-1] if self.swaps_coordinates else point},
                 "address": address}  # fmt: skip
        attributes = {
            "@type": "ChargingService", "connectorType": plug.kind, "maxPowerKW": plug.power_kw, "powerType": "DC",
            "connectorFormat": "CABLE", "reservationSupported": True, "evseId": f"IN*SUR*E{plug.station}{plug.number}",
            "qrIdentifier": _sticker(plug), "stationStatus": plug.status, "vehicleType": "4-WHEELER",
            "chargingStation": {"id": plug.station, "serviceLocation": place},
        }  # fmt: skip
        return {
            "@context": CORE, "@type": "beckn:Item", "beckn:id": plug.item_id, "beckn:isActive": True,
            "beckn:provider": {"beckn:id": PROVIDER, "beckn:descriptor": {"schema:name": NAME}},
            "beckn:itemAttributes": attributes,
        }  # fmt: skip

    # --- orders ---------------------------------------------------------------------------------------------------
    def _select(self, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        asked = body["message"]["order"]
        entry = asked["beckn:orderItems"][0]
        plug = self.plugs[entry["beckn:orderedItem"]]
        context = body["context"]
        sale = Sale(context["transaction_id"], plug.item_id, float(entry["beckn:quantity"]["unitQuantity"]),
                    asked["beckn:buyer"]["beckn:id"], context)  # fmt: skip
        self.sales[sale.transaction_id] = sale
        if plug.booked_by not in {"", sale.transaction_id}:
            sale.status = "REJECTED"
            return self._order(sale), _error("40000", "Requested slot overlaps with an existing booking")
        self._price(sale, plug, sale.kwh)
        if sale.buyer in self.owed:
            amount, earlier = self.owed[sale.buyer]
            whose = f"Order: {earlier.order_id}, Txn: {earlier.transaction_id}"
            text = f"Outstanding balance carried forward from previous overcharge session ({whose})"
            sale.components.append({"type": "FEE", "value": amount, "currency": "INR", "description": text})
            sale.carried, sale.value = earlier.transaction_id, round(sale.value + amount, 2)
        return self._order(sale), None

    def _price(self, sale: Sale, plug: Plug, kwh: float) -> None:
        unit = round(kwh * plug.rupees_per_kwh, 2)
        fee = round(unit * FINDER_FEE / 100, 2)
        lines = (("UNIT", unit, f"{plug.rupees_per_kwh} INR/kWh x {kwh} kWh"), ("FEE", SERVICE_FEE, "Service fee"),
                 ("FEE", fee, "Buyer finder fee (2.5%)"))  # fmt: skip
        sale.components = [
            {"type": kind, "value": value, "currency": "INR", "description": text} for kind, value, text in lines
        ]
        sale.value = round(unit + SERVICE_FEE + fee, 2)

    def _init(self, body: dict[str, Any]) -> tuple[dict[str, Any], None]:
        sale = self.sales[body["context"]["transaction_id"]]
        sale.payment = body["message"]["order"]["beckn:payment"]
        return self._order(sale), None

    def _confirm(self, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        sale = self.sales[body["context"]["transaction_id"]]
        plug = self.plugs[sale.item_id]
        if plug.booked_by not in {"", sale.transaction_id}:
            sale.status = "REJECTED"
            return self._order(sale), _error("40000", "Requested slot overlaps with an existing booking")
        sale.payment = body["message"]["order"]["beckn:payment"]
        sale.paid, sale.status, sale.session = float(sale.payment["beckn:amount"]["value"]), "CONFIRMED", "PENDING"
        plug.booked_by, plug.status = sale.transaction_id, "Reserved"
        if sale.carried:
            self.owed.pop(sale.buyer, None)
        return self._order(sale), None

    def _update(self, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        sale = self.sales[body["context"]["transaction_id"]]
        wanted = body["message"]["order"]["beckn:fulfillment"]["beckn:deliveryAttributes"]["sessionStatus"]
        if wanted == "STOP":
            return self.finish(sale), None
        if self.rejects_start:
            sale.status, sale.session = "REJECTED", "INTERRUPTED"
            self._free(sale)
            return self._order(sale), _error("40006", "Charger rejects the current charging session")
        sale.status, sale.session = "INPROGRESS", "ACTIVE"
        self.plugs[sale.item_id].status = "Charging"
        return self._order(sale), None

    def finish(self, sale: Sale) -> dict[str, Any]:
        """The session is over: what was drawn is priced; too much is owed, too little comes back."""
        sale.drawn_kwh = round(sale.kwh * self.drawn_factor, 3)
        carried = sum(part["value"] for part in sale.components if "Outstanding" in part["description"])
        if self.drawn_factor != 1:
            self._price(sale, self.plugs[sale.item_id], sale.drawn_kwh)
            sale.value = round(sale.value + carried, 2)
        sale.status = sale.session = "COMPLETED"
        self._free(sale)
        if sale.value > sale.paid:
            self.owed[sale.buyer] = (round(sale.value - sale.paid, 2), sale)
        if sale.value < sale.paid:
            text = f"Refund adjustment ({sale.paid} paid - {sale.value} actual)"
            sale.components.append(
                {"type": "DISCOUNT", "value": round(sale.value - sale.paid, 2), "currency": "INR", "description": text}
            )
        return self._order(sale)

    def _free(self, sale: Sale) -> None:
        plug = self.plugs[sale.item_id]
        plug.booked_by, plug.status = "", "Available"

    def _track(self, body: dict[str, Any]) -> tuple[dict[str, Any], None]:
        sale = self.sales[body["context"]["transaction_id"]]
        order = self._order(sale)
        at = datetime.now(UTC)
        metrics = [("STATE_OF_CHARGE", 62.5, "PERCENTAGE"), ("POWER", 18.4, "KWH"), ("ENERGY", 1.2, "KW")]
        newer = [("STATE_OF_CHARGE", 65.0, "PERCENTAGE"), ("POWER", 17.1, "KWH"), ("ENERGY", 2.4, "KW")]
        order["order"]["beckn:fulfillment"]["beckn:deliveryAttributes"]["chargingTelemetry"] = [
            {"eventTime": _text(moment), "metrics": [{"name": n, "value": v, "unitCode": u} for n, v, u in readings]}
            for moment, readings in ((at, newer), (at - timedelta(minutes=5), metrics))
        ]
        order["order"]["beckn:fulfillment"]["trackingAction"] = {
            "@type": "beckn:TrackAction", "target": {"url": f"https://track.surya.example/{sale.order_id}"}
        }  # fmt: skip
        return order, None

    def _status(self, body: dict[str, Any]) -> tuple[dict[str, Any], None]:
        return self._order(self.sales[body["context"]["transaction_id"]]), None

    def _cancel(self, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        sale = self.sales[body["context"]["transaction_id"]]
        if sale.session not in {"", "PENDING"}:
            return self._order(sale), _error("40004", "The session is running")
        return self.withdraw(sale), None

    def withdraw(self, sale: Sale) -> dict[str, Any]:
        """The order is cancelled, by whomever; what was paid comes back."""
        sale.status = "CANCELLED"
        self._free(sale)
        order = self._order(sale)
        order["order"]["beckn:payment"] |= {"beckn:beneficiary": "BUYER", "beckn:paymentStatus": "REFUNDED"}
        return order

    def _rating(self, body: dict[str, Any]) -> tuple[dict[str, Any], None]:
        return {"received": True, "feedbackForm": {"url": "https://surya.example/feedback"}}, None

    def _support(self, body: dict[str, Any]) -> tuple[dict[str, Any], None]:
        contact = {"name": "Surya Support", "phone": "18001080", "email": "help@surya.example"}
        return {"support": contact, "feedback": {"supportStatus": "ACKNOWLEDGED"}}, None

    def _order(self, sale: Sale) -> dict[str, Any]:
        value = {"currency": "INR", "value": sale.value, "components": sale.components}
        order: dict[str, Any] = {
            "@context": CORE, "@type": "beckn:Order", "beckn:orderStatus": sale.status, "beckn:seller": PROVIDER,
            "beckn:orderItems": [{"beckn:orderedItem": sale.item_id}], "beckn:orderValue": value,
        }  # fmt: skip
        if sale.payment:
            paid = {"beckn:amount": {"currency": "INR", "value": sale.paid or sale.value}}
            order |= {"beckn:id": sale.order_id, "beckn:payment": {**sale.payment, **paid}}
        if sale.session:
            order["beckn:fulfillment"] = {
                "beckn:id": f"F-{sale.order_id}", "beckn:mode": "RESERVATION",
                "beckn:deliveryAttributes": {"@type": "ChargingSession", "sessionStatus": sale.session},
            }  # fmt: skip
        if sale.session == "COMPLETED":
            url = f"https://surya.example/invoices/{sale.order_id}"
            totals = {"currency": "INR", "value": sale.value}
            order["beckn:invoice"] = {"beckn:id": f"INV-{sale.order_id}", "beckn:totals": totals,
                                      "beckn:invoiceAttributes": {"invoiceUrl": url}}  # fmt: skip
        return {"order": order}


def _public(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def _line(raw: bytes, created: str, expires: str) -> bytes:
    digest = base64.b64encode(hashlib.blake2b(raw, digest_size=64).digest())
    return b"(created): " + created.encode() + b"\n(expires): " + expires.encode() + b"\ndigest: BLAKE-512=" + digest


def _offer(plug: Plug) -> dict[str, Any]:
    per = {"unitText": "Kilowatt Hour", "unitCode": "KWH", "unitQuantity": 1}
    idle = {"currency": "INR", "value": 2, "applicableQuantity": {"unitCode": "MIN", "unitQuantity": 10}}
    return {
        "@context": CORE, "@type": "beckn:Offer", "beckn:id": f"offer-{plug.station}-{plug.number}",
        "beckn:descriptor": {"schema:name": "Surya DC"}, "beckn:items": [plug.item_id],
        "beckn:price": {"currency": "INR", "value": plug.rupees_per_kwh, "applicableQuantity": per},
        "beckn:offerAttributes": {"tariffModel": "PER_KWH", "idleFeePolicy": idle}, "beckn:provider": PROVIDER,
    }  # fmt: skip


def _sticker(plug: Plug) -> str:
    return f"https://surya.example/q/{plug.station}-{plug.number}"


def _error(code: str, text: str) -> dict[str, Any]:
    return {"code": code, "message": "Generic business error", "details": {"description": text}}


def _nack(code: str) -> dict[str, Any]:
    return {"message": {"ack": {"status": "NACK"}}, "error": {"code": code, "message": code}}


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    """`python -m fleetcharge.demo.peers.ubc --bap fleet.example --key-id k1 --public-key BASE64`: Surya on its own."""
    import argparse
    import sys

    import uvicorn

    reader = argparse.ArgumentParser(description="A CPO on UBC, with its registry and its discovery service.")
    reader.add_argument("--port", type=int, default=8070)
    reader.add_argument("--bap", required=True, help="our subscriber id")
    reader.add_argument("--key-id", required=True)
    reader.add_argument("--public-key", required=True, help="as the admin shows it")
    wish = reader.parse_args()
    surya = SuryaCharge(plugs(5))
    surya.base = f"http://127.0.0.1:{wish.port}"
    surya.registry[wish.bap, wish.key_id] = wish.public_key
    sys.stdout.write(
        f"registry {surya.base}/registry/dedi/lookup/{{subscriber_id}}/subscribers.beckn.one/{{key_id}}\n"
        f"discovery service {CDS} at {surya.base}/cds\n"
    )
    uvicorn.run(surya, host="127.0.0.1", port=wish.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
