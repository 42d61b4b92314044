"""What we say as a BAP: our orders in the network's words. Reads rows, sends nothing."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from stations.cpo.ubc.models import UBCNetwork, UBCOrder

TTL_SECONDS = 30
CORE = "https://raw.githubusercontent.com/beckn/protocol-specifications-v2/refs/heads/core-v2.0.0-rc/schema/core/v2/context.jsonld"
SESSION = CORE.replace("core/v2", "EvChargingSession/v1")
SERVICE = CORE.replace("core/v2", "EvChargingService/v1")
EXTENSIONS = "https://raw.githubusercontent.com/bhim/ubc-tsd/main/beckn-schemas/UBCExtensions/v1/context.jsonld"
GEO = "$['beckn:itemAttributes.chargingStation.serviceLocation.geo']"


@dataclass(frozen=True)
class Outgoing:
    """One message to send: `body` is complete, `url` is the peer's address without the action."""

    action: str
    url: str
    message_id: str
    transaction_id: str
    body: dict[str, Any]


def our_address(network: UBCNetwork) -> str:
    """Where callbacks come to (`bap_uri`)."""
    return f"{settings.PUBLIC_BASE_URL}/ubc/{network.source.slug}"


def _envelope(
    network: UBCNetwork, action: str, transaction_id: str, message: dict[str, Any], at: datetime, *,
    bpp: tuple[str, str] | None = None, message_id: str = "", extra: Mapping[str, Any] | None = None,
) -> Outgoing:  # fmt: skip
    rules = network.rules
    message_id = message_id or str(uuid.uuid4())
    context = {
        "version": rules.version, "action": action, "domain": rules.domain, "bap_id": network.subscriber_id,
        "bap_uri": our_address(network), "transaction_id": transaction_id, "message_id": message_id,
        "timestamp": text(at), "ttl": f"PT{TTL_SECONDS}S", **(extra or {}),
    }  # fmt: skip
    if bpp:
        context |= {"bpp_id": bpp[0], "bpp_uri": bpp[1]}
    body = {"context": rules.context_out(context), "message": rules.message_out(message), "error": {}}
    return Outgoing(action, bpp[1] if bpp else network.gateway_url, message_id, transaction_id, body)


def text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- discover -----------------------------------------------------------------------------------------------------
def discover_area(network: UBCNetwork, area: Mapping[str, Any], at: datetime) -> Outgoing:
    """Everything within a circle; GeoJSON wants longitude first."""
    point = {"type": "Point", "coordinates": [float(area["longitude"]), float(area["latitude"])]}
    near = {"op": "s_dwithin", "targets": GEO, "geometry": point, "distanceMeters": int(area["radius_m"])}
    return _discover(network, {"spatial": [near]}, at)


def discover_code(network: UBCNetwork, *, item_id: str = "", address: str = "", at: datetime) -> Outgoing:
    """One connector, by the id or the web address on its sticker."""
    name, value = ("@.beckn:id", item_id) if item_id else ("@.beckn:itemAttributes.qrIdentifier", address)
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return _discover(network, {"filters": {"type": "jsonpath", "expression": f"$[?({name} == '{quoted}')]"}}, at)


def _discover(network: UBCNetwork, message: dict[str, Any], at: datetime) -> Outgoing:
    return _envelope(network, "discover", str(uuid.uuid4()), message, at, extra={"schema_context": [SERVICE]})


# --- orders -------------------------------------------------------------------------------------------------------
def message_of(order: UBCOrder, action: str, at: datetime) -> Outgoing:
    """The message that takes an order one step on: select, init, confirm, start, stop, status, track, cancel."""
    network = order.network
    name = "update" if action in {"start", "stop"} else action
    body = {network.rules.order: _BODIES[action](order, at)}
    return _envelope(network, name, str(order.transaction_id), body, at, bpp=(order.bpp_id, order.bpp_uri))


def _order(order: UBCOrder, status: str, *, is_priced: bool = False) -> dict[str, Any]:
    item: dict[str, Any] = {"beckn:orderedItem": order.item_id}
    if is_priced:
        item["beckn:quantity"] = _quantity(order.quantity_kwh)
        item["beckn:price"] = order.offer.get("beckn:price") or order.offer.get("price")
    body: dict[str, Any] = {"@context": CORE, "@type": "beckn:Order"}
    if order.order_id:
        body["beckn:id"] = order.order_id
    return body | {
        "beckn:orderStatus": status,
        "beckn:seller": order.terms.get("seller") or order.provider_id,
        "beckn:buyer": _buyer(order),
        "beckn:orderItems": [item],
    }


def _quantity(kwh: Decimal) -> dict[str, Any]:
    return {"unitText": "Kilowatt Hour", "unitCode": "KWH", "unitQuantity": kwh}


def _buyer(order: UBCOrder) -> dict[str, Any]:
    """The fleet's operator is the buyer; which van it is, is nobody's business."""
    ours = order.network.buyer
    names = {
        "name": "beckn:displayName",
        "telephone": "beckn:telephone",
        "email": "beckn:email",
        "gstin": "beckn:taxID",
    }
    return {
        "@context": CORE, "@type": "beckn:Buyer", "beckn:id": f"fleet-{order.network_id}", "beckn:role": "BUYER",
        **{theirs: str(ours[name]) for name, theirs in names.items() if ours.get(name)},
    }  # fmt: skip


def _select(order: UBCOrder, at: datetime) -> dict[str, Any]:
    body = _order(order, "CREATED", is_priced=True)
    price = body["beckn:orderItems"][0].pop("beckn:price")
    body["beckn:orderItems"][0]["beckn:acceptedOffer"] = {
        "@context": CORE, "@type": "beckn:Offer",
        "beckn:id": order.offer.get("beckn:id") or order.offer.get("id"),
        "beckn:descriptor": order.offer.get("beckn:descriptor") or {}, "beckn:items": [order.item_id],
        "beckn:provider": order.provider_id, "beckn:price": price,
    }  # fmt: skip
    fee = {"feeType": "PERCENTAGE", "feeValue": order.network.finder_fee_percent}
    wish = {"startTime": text(order.starts_at), "endTime": text(order.expires_at)}
    attributes = {"@context": SESSION, "@type": "ChargingSession", "buyerFinderFee": fee, "preferences": wish}
    return body | {"beckn:orderAttributes": attributes}


def _init(order: UBCOrder, at: datetime) -> dict[str, Any]:
    """`beneficiary: BAP`: we collect from the fleet's wallet and settle with the CPO."""
    account = order.network.settlement_account
    payment = _payment(order, "INITIATED") | {
        "beckn:paymentAttributes": {
            "@context": EXTENSIONS, "@type": "UBCPaymentAttributes",
            "settlementAccounts": [{"beneficiaryId": order.network.subscriber_id, **account}],
        }
    }  # fmt: skip
    return _order(order, "CREATED", is_priced=True) | _value(order) | {"beckn:payment": payment}


def _confirm(order: UBCOrder, at: datetime) -> dict[str, Any]:
    paid = {"beckn:paidAt": text(at), "beckn:txnRef": f"FC-{order.pk}"}
    payment = _payment(order, "COMPLETED") | paid
    return _order(order, "PENDING", is_priced=True) | _value(order) | {"beckn:payment": payment}


def _payment(order: UBCOrder, status: str) -> dict[str, Any]:
    amount = Decimal(order.quoted_paise or 0) / 100
    return {
        "@context": CORE, "@type": "beckn:Payment", "beckn:id": order.payment_id or f"payment-{order.transaction_id}",
        "beckn:amount": {"currency": order.currency, "value": amount}, "beckn:beneficiary": "BAP",
        "beckn:paymentStatus": status,
    }  # fmt: skip


def _value(order: UBCOrder) -> dict[str, Any]:
    value = order.terms.get("value")
    return {"beckn:orderValue": value} if value else {}


def _fulfillment(order: UBCOrder, session_status: str) -> dict[str, Any]:
    return {
        "@context": CORE, "@type": "beckn:Fulfillment", "beckn:id": order.fulfillment_id or "fulfillment",
        "beckn:mode": "RESERVATION",
        "beckn:deliveryAttributes": {
            "@context": SESSION, "@type": "ChargingSession", "sessionStatus": session_status,
        },
    }  # fmt: skip


def _start(order: UBCOrder, at: datetime) -> dict[str, Any]:
    return _update(order, "CONFIRMED", "PENDING")


def _stop(order: UBCOrder, at: datetime) -> dict[str, Any]:
    return _update(order, "INPROGRESS", "STOP")


def _update(order: UBCOrder, status: str, session_status: str) -> dict[str, Any]:
    extra = {"beckn:fulfillment": _fulfillment(order, session_status), "beckn:payment": _payment(order, "COMPLETED")}
    return _order(order, status) | _value(order) | extra


def _status(order: UBCOrder, at: datetime) -> dict[str, Any]:
    return _order(order, order.order_status or "CONFIRMED")


def _track(order: UBCOrder, at: datetime) -> dict[str, Any]:
    return _order(order, "INPROGRESS")


def _cancel(order: UBCOrder, at: datetime) -> dict[str, Any]:
    return _order(order, "CONFIRMED", is_priced=True)


_BODIES = {
    "select": _select, "init": _init, "confirm": _confirm, "start": _start, "stop": _stop, "status": _status,
    "track": _track, "cancel": _cancel,
}  # fmt: skip


# --- afterwards ---------------------------------------------------------------------------------------------------
def rating(order: UBCOrder, *, stars: int, comments: str, tags: list[str], at: datetime) -> Outgoing:
    """One to five stars for how it went."""
    entry = {
        "@context": CORE, "@type": "beckn:RatingInput", "id": order.fulfillment_id or order.order_id,
        "ratingValue": stars, "bestRating": 5, "worstRating": 1, "category": "FULFILLMENT",
        "feedback": {"comments": comments[:1000], "tags": tags},
    }  # fmt: skip
    bpp = (order.bpp_id, order.bpp_uri)
    return _envelope(order.network, "rating", str(order.transaction_id), {"ratings": [entry]}, at, bpp=bpp)


def support(order: UBCOrder, *, comments: str, tags: list[str], status: str, at: datetime) -> Outgoing:
    """A complaint about an order (`status` OPEN), or its end (CLOSED)."""
    ours = order.network.buyer
    contact = {
        name: ours[key] for name, key in (("name", "name"), ("phone", "telephone"), ("email", "email")) if key in ours
    }
    message = {
        "refId": order.order_id, "refType": "ORDER",
        "support": {"@context": CORE, "@type": "beckn:SupportInfo", **contact, "channels": ["PHONE", "EMAIL"]},
        "feedback": {
            "@context": EXTENSIONS, "@type": "SupportFeedback", "comments": comments[:1000], "tags": tags,
            "supportStatus": status,
        },
    }  # fmt: skip
    bpp = (order.bpp_id, order.bpp_uri)
    return _envelope(order.network, "support", str(order.transaction_id), message, at, bpp=bpp)
