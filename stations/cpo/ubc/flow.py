"""Takes orders on: claims what is due, sends it outside any transaction, and keeps catalogues in the registry."""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import DataError, IntegrityError
from django.utils import timezone
from pydantic import ValidationError

from stations import services
from stations.cpo.base import CPOError, CPOUnavailable, PullReport
from stations.cpo.documents import LocationDoc
from stations.cpo.ubc import catalogue, client, orders, receiver, wire, words
from stations.cpo.ubc.models import UBCItem, UBCMessage, UBCNetwork, UBCOrder
from stations.models import EVSE, Connector, ExternalRef, Location, Source

logger = logging.getLogger(__name__)
PATIENCE_SECONDS = words.TTL_SECONDS
QUIET_SECONDS = 0.5
"""A discovery service that asks many BPPs answers in several messages; after the first, so long a silence ends it."""
GONE_AFTER_POLLS = 3
TRACK_EVERY = timedelta(seconds=60)
UNUSED_AFTER = timedelta(minutes=5)


# --- orders -------------------------------------------------------------------------------------------------------
def step(order_id: int, now: datetime | None = None) -> bool:
    """Send the next message of an order; False when there is none. What goes wrong is written on the order."""
    claimed = orders.claim(order_id=order_id, now=now or timezone.now())
    if claimed is not None:
        _send(*claimed)
    return claimed is not None


def _send(order: UBCOrder, action: str) -> bool:
    """False when nobody answers there."""
    try:
        client.send(order.network, words.message_of(order, action, timezone.now()))
    except CPOUnavailable as error:
        _failed(order, action, error, is_final=False)
        return False
    except CPOError as error:
        _failed(order, action, error, is_final=True)
    return True


def _failed(order: UBCOrder, action: str, error: CPOError, *, is_final: bool) -> None:
    now = timezone.now()
    orders.sending_failed(
        order_id=order.pk, action=action, code=error.code, error=str(error), is_final=is_final, now=now
    )
    if not is_final:
        _count_failure(order, error, now)
        logger.warning("%s: %s of order %s: %s", order.network.source.slug, action, order.pk, error)


def _count_failure(order: UBCOrder, error: CPOError, now: datetime) -> None:
    """Counts like a failed poll, unless others sell in this network too: one that is away does not make it fail."""
    if not UBCItem.objects.filter(network=order.network).exclude(bpp_id=order.bpp_id).exists():
        services.source_failed(source_id=order.network.source_id, error=str(error), code=error.code, at=now)


def rate(order_id: int, *, stars: int, comments: str = "", tags: Sequence[str] = ()) -> None:
    """One to five stars for an order. Raises CPOError when the BPP does not take it."""
    order = _order(order_id)
    at = timezone.now()
    client.send(order.network, words.rating(order, stars=stars, comments=comments, tags=list(tags), at=at))


def ask_for_support(order_id: int, *, comments: str, tags: Sequence[str] = (), is_closed: bool = False) -> None:
    """Complain about an order, or close the complaint; who helps comes with on_support. Raises CPOError."""
    order, status = _order(order_id), "CLOSED" if is_closed else "OPEN"
    at = timezone.now()
    client.send(order.network, words.support(order, comments=comments, tags=list(tags), status=status, at=at))


def _order(order_id: int) -> UBCOrder:
    return UBCOrder.objects.select_related("network__source").get(pk=order_id)


def sweep(now: datetime) -> int:
    """Messages nobody sent, callbacks nobody applied, answers that did not come, sessions to follow."""
    stored = UBCMessage.objects.filter(direction="in", applied_at=None, received_at__lt=now - timedelta(seconds=10))
    for message in stored.select_related("network__source").order_by("received_at")[:200]:
        _apply_again(message, now)
    for order_id in UBCOrder.objects.unanswered(now).values_list("pk", flat=True)[:200]:
        orders.answer_overdue(order_id=order_id, now=now)
    for order_id in UBCOrder.objects.unused(now - UNUSED_AFTER).values_list("pk", flat=True)[:200]:
        orders.want_cancel(order_id=order_id, now=now)
    quiet = UBCOrder.objects.filter(
        state=UBCOrder.State.CHARGING, next_action="", awaited="", next_at__lt=now - TRACK_EVERY
    )
    for order_id in quiet.values_list("pk", flat=True)[:200]:
        orders.want_news(order_id=order_id, action="track", now=now)
    return _send_due(now)


def _send_due(now: datetime) -> int:
    """How many were sent. Orders at a seller who does not answer wait for the next sweep, so that the others do not."""
    due, silent, sent = UBCOrder.objects.due(now).order_by("next_at"), set(), 0
    for order_id, *seller in due.values_list("pk", "network", "bpp_id")[:200]:
        claimed = orders.claim(order_id=order_id, now=now) if tuple(seller) not in silent else None
        if claimed is None:
            continue
        sent += 1
        if not _send(*claimed):
            silent.add(tuple(seller))
    return sent


def _apply_again(message: UBCMessage, now: datetime) -> None:
    try:
        if message.action == "on_discover":
            take_message(message, now)
        else:
            receiver.apply(message, wire.parse(bytes(message.raw)), message.network, now)
    except Exception:
        logger.exception("UBC message %s cannot be applied", message.pk)


# --- catalogues ---------------------------------------------------------------------------------------------------
def poll(source: Source) -> Iterator[PullReport]:
    """Discover every area; what the discovery service calls back with is kept. CPOUnavailable when it says nothing."""
    network = UBCNetwork.objects.select_related("source").filter(source=source).first()
    if network is None:
        raise CPOError("not_set_up", f"{source.name} has no UBC settings yet.")
    if not network.areas:
        raise CPOError("no_area", f"Say where {source.name} is to be looked at (areas).")
    began = timezone.now()
    for number, area in enumerate(network.areas, start=1):
        for report in _discover(network, words.discover_area(network, area, timezone.now())):
            report.part, report.page, report.pages = "areas", number, len(network.areas)
            report.read = report.connectors + len(report.rejected)
            yield report
    _remove_gone(network, began)


def look_up(network: UBCNetwork, *, item_id: str = "", address: str = "") -> bool:
    """Ask for one connector by its code; True when something was found."""
    question = words.discover_code(network, item_id=item_id, address=address, at=timezone.now())
    return sum(report.connectors for report in _discover(network, question)) > 0


def _discover(network: UBCNetwork, question: words.Outgoing) -> Iterator[PullReport]:
    client.send(network, question)
    deadline, was_answered = time.monotonic() + PATIENCE_SECONDS, False
    while time.monotonic() < deadline:
        answers = UBCMessage.objects.filter(
            network=network, direction="in", action="on_discover", transaction_id=question.transaction_id,
            applied_at=None,
        )  # fmt: skip
        for message in answers.select_related("network__source").order_by("pk"):
            was_answered = True
            deadline = min(deadline, time.monotonic() + QUIET_SECONDS)
            yield take_message(message, timezone.now())
        time.sleep(0.1)
    if not was_answered:
        raise CPOUnavailable(f"{network.source.name} does not answer a discover within {PATIENCE_SECONDS} s.")


def take_message(message: UBCMessage, now: datetime) -> PullReport:
    """A kept on_discover into the registry; again and again gives the same. Its sender may only speak for itself."""
    report, network = PullReport(), message.network
    try:
        envelope = wire.read(bytes(message.raw), network.rules)
        for raw in envelope.message.catalogs:
            _take_catalogue(network, message.subscriber_id, raw, report, now)
        if envelope.error and envelope.error.text:
            report.rejected.append({"id": "on_discover", "why": envelope.error.text})
    except wire.BadMessage as error:
        report.rejected.append({"id": error.code, "why": str(error)})
    for refused in report.rejected:
        logger.warning("%s: object %s refused: %s", network.source.slug, refused["id"], refused["why"])
        receiver.count(network, "refused_object", f"{refused['id']}: {refused['why']}", now)
    UBCMessage.objects.filter(pk=message.pk).update(applied_at=now)
    return report


def _take_catalogue(network: UBCNetwork, sender: str, raw: Any, report: PullReport, now: datetime) -> None:
    try:
        found = catalogue.read(raw, at=now)
    except wire.BadMessage as error:
        report.rejected.append({"id": error.code, "why": str(error)})
        return
    bpp_id = next((item.bpp_id for item in found.items), "")
    if sender not in {network.gateway_id.lower(), bpp_id.lower()}:
        report.rejected.append({"id": raw.get("beckn:id"), "why": f"{sender} speaks for {bpp_id}."})
        return
    report.rejected += found.refused
    for tariff in found.tariffs:
        services.cache_tariff(
            source=network.source, external_id=tariff.external_id, elements=tariff.elements, currency=tariff.currency,
            at=now, name=tariff.name,
        )  # fmt: skip
        report.tariffs += 1
    for doc in found.locations:
        _take_site(network, doc, report, now)
    for item in found.items:
        _take_item(network, item, now)


def _take_site(network: UBCNetwork, doc: LocationDoc, report: PullReport, now: datetime) -> None:
    """A catalogue may name only some units of a station: those it leaves out stay (see `_remove_gone`)."""
    source = network.source
    try:
        held = services.find_location(source, doc.external_key)
        if held is None or held.is_removed or _is_whole(held, doc):
            report.locations += services.upsert_location(source=source, doc=doc, at=now)[1]
        else:
            for evse in doc.evses:
                services.upsert_evse(source=source, location=held, doc=evse, key=doc.external_key, at=now)
        report.connectors += sum(len(evse.connectors) for evse in doc.evses)
    except (ValidationError, ValueError, TypeError, DataError, IntegrityError) as error:
        report.rejected.append({"id": doc.external_key, "why": str(error)[:300]})


def _is_whole(held: Location, doc: LocationDoc) -> bool:
    """It names every unit we show, and none that we hid: then the site is written, or confirmed, as one."""
    named = {evse.uid for evse in doc.evses}
    units = dict(held.evses.values_list("uid", "is_removed"))
    return all((uid in named) != is_removed for uid, is_removed in units.items())


def _take_item(network: UBCNetwork, sold: catalogue.SoldItem, now: datetime) -> None:
    """What an order needs, beside the connector."""
    ref = ExternalRef.objects.filter(
        source=network.source, kind=ExternalRef.Kind.CONNECTOR, external_key__lower=sold.connector_key.lower()
    ).first()
    connector = Connector.objects.filter(pk=ref.object_id).first() if ref else None
    if connector is None:
        return
    UBCItem.objects.filter(network=network, bpp_id=sold.bpp_id, item_id=sold.item_id).exclude(
        connector=connector
    ).delete()  # it moved to another station
    values = {
        "network": network, "item_id": sold.item_id, "bpp_id": sold.bpp_id, "bpp_uri": sold.bpp_uri,
        "provider_id": sold.provider_id, "provider_name": sold.provider_name, "qr": sold.qr, "offers": _plain(sold),
        "can_reserve": sold.can_reserve, "seen_at": now,
    }  # fmt: skip
    UBCItem.objects.update_or_create(connector=connector, defaults=values)


def _plain(sold: catalogue.SoldItem) -> Any:
    return orjson.loads(wire.dump(sold.offers))


def _remove_gone(network: UBCNetwork, now: datetime) -> None:
    """What no catalogue has named for three polls is hidden, a whole site or a unit; it comes back when one does."""
    since = now - GONE_AFTER_POLLS * timedelta(seconds=network.source.poll_interval_seconds)
    live = UBCItem.objects.filter(network=network, seen_at__gte=since)
    sites = Location.objects.filter(source=network.source, is_removed=False, created_at__lt=since)
    for location in sites.exclude(pk__in=live.values("connector__evse__location_id")):
        key = services.external_key_of(location, network.source)
        services.remove_location(source=network.source, external_key=key, at=now)
    units = EVSE.objects.filter(location__source=network.source, location__is_removed=False, is_removed=False)
    old = units.filter(connectors__ubc_item__seen_at__lt=since).exclude(pk__in=live.values("connector__evse_id"))
    for evse_id in old.values_list("pk", flat=True).distinct():
        services.report_from_source(
            evse_id=evse_id, raw_status="REMOVED", status="unavailable", at=now, received_at=now
        )  # fmt: skip
