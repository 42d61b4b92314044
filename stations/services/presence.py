"""Which of our chargers are there: sockets that open and close, signs of life, silence."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from fleetcharge.lib.events import publish
from stations.events import ChargerBooted, ChargerCameBack, ChargerWentSilent
from stations.models import Charger
from stations.services.statuses import locked, show


@transaction.atomic
def charger_connected(
    *,
    charger_id: int,
    node: str,
    protocol: str,
    at: datetime,
    security_profile: int | None = None,
    used_key_hash: str = "",
) -> int:
    """A socket opened; returns the epoch that every later write of this socket must carry.

    `used_key_hash`: the key to come was used, which retires the one before.
    """
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    was_silent = charger.disconnected_at is not None and not charger.is_online
    charger.connection_epoch += 1
    charger.is_online, charger.node, charger.protocol = True, node, protocol
    charger.connected_at, charger.last_seen_at, charger.disconnected_at = at, at, None
    charger.security_profile = security_profile
    if used_key_hash and used_key_hash == charger.next_auth_key_hash:
        charger.auth_key_hash, charger.next_auth_key_hash = used_key_hash, ""
    charger.save()
    if was_silent:
        publish(ChargerCameBack(charger.pk, charger.location_id, charger.organisation_id, at))
    _show_all(charger, at)
    return charger.connection_epoch


@transaction.atomic
def charger_disconnected(*, charger_id: int, epoch: int, at: datetime) -> bool:
    """The socket of this epoch closed; False when a newer one has taken over. Shown only after a grace."""
    closed = Charger.objects.filter(pk=charger_id, connection_epoch=epoch, is_online=True).update(
        is_online=False, disconnected_at=at, node=""
    )
    return bool(closed)


SEEN_EVERY = timedelta(seconds=45)
HEARD_EVERY = timedelta(minutes=5)
JUST_NOW = timedelta(seconds=30)

_SEEN = """
WITH mine AS (SELECT * FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[]) AS t(id, epoch)),
seen AS (
    UPDATE stations_charger c SET last_seen_at = %(at)s FROM mine
    WHERE c.id = mine.id AND c.connection_epoch = mine.epoch AND c.is_online
      AND (c.last_seen_at IS NULL OR c.last_seen_at < %(seen_before)s)
)
SELECT c.id, c.connection_epoch FROM stations_charger c JOIN mine ON c.id = mine.id
WHERE c.connection_epoch = mine.epoch AND NOT c.is_online
"""
_HEARD = """
UPDATE stations_connector k SET heard_at = %(at)s FROM stations_evse e
WHERE k.evse_id = e.id AND e.charger_id = ANY(%(ids)s::bigint[]) AND k.status_at IS NOT NULL
  AND k.heard_at < %(heard_before)s
"""


def chargers_present(*, sockets: Mapping[int, int], node: str, at: datetime) -> int:
    """Sockets (charger: epoch) that are open are a sign of life; returns how many had been given up and came back.

    Cheap for ten thousand of them: rows are written once a minute, those of connectors (whose freshness follows the
    charger's socket, not this time) every five minutes.
    """
    when = {"at": at, "seen_before": at - SEEN_EVERY, "heard_before": at - HEARD_EVERY}
    values: dict[str, Any] = {"ids": list(sockets), "epochs": list(sockets.values()), **when}
    with connection.cursor() as cursor:
        cursor.execute(_SEEN, values)
        given_up = cursor.fetchall()
        cursor.execute(_HEARD, values)
    return sum(_is_back(charger_id=pk, epoch=epoch, node=node, at=at) for pk, epoch in given_up)


@transaction.atomic
def _is_back(*, charger_id: int, epoch: int, node: str, at: datetime) -> bool:
    """Its process was given up too early; the socket never closed."""
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    if charger.is_online or charger.connection_epoch != epoch:
        return False
    charger.is_online, charger.node, charger.last_seen_at, charger.disconnected_at = True, node, at, None
    charger.save(update_fields=["is_online", "node", "last_seen_at", "disconnected_at"])
    publish(ChargerCameBack(charger.pk, charger.location_id, charger.organisation_id, at))
    _show_all(charger, at)
    return True


def node_holds(*, node: str, charger_ids: Iterable[int], at: datetime) -> int:
    """The only sockets that `node` has; others in its name ended while nothing could be stored. Returns how many.

    A socket that opened just now may not be counted yet.
    """
    held = Charger.objects.filter(node=node, is_online=True, connected_at__lt=at - JUST_NOW)
    return held.exclude(pk__in=list(charger_ids)).update(is_online=False, disconnected_at=at, node="")


def node_lost(*, node: str, at: datetime) -> int:
    """The realtime process `node` is gone and every socket with it; shown only after a grace. Returns how many."""
    return Charger.objects.filter(node=node, is_online=True).update(is_online=False, disconnected_at=at, node="")


@transaction.atomic
def show_silent(*, charger_id: int, at: datetime) -> None:
    """The grace is over: connectors of an offline charger become unknown, and dispatch hears of it."""
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    if charger.is_online:
        return
    charger.silent_shown_at = at
    charger.save(update_fields=["silent_shown_at"])
    publish(ChargerWentSilent(charger.pk, charger.location_id, charger.organisation_id, at))
    _show_all(charger, at)


def _show_all(charger: Charger, at: datetime) -> None:
    for connector in locked(evse__charger_id=charger.pk):
        connector.evse.charger = charger
        show(connector, at)


@transaction.atomic
def register_boot(
    *, charger_id: int, vendor: str, model: str, serial_number: str, firmware_version: str, at: datetime
) -> str:
    """Keep who the charger says it is; returns its registration (Accepted | Pending | Rejected)."""
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    charger.vendor, charger.model, charger.serial_number = vendor[:50], model[:50], serial_number[:50]
    charger.firmware_version, charger.last_boot_at = firmware_version[:50], at
    charger.save(update_fields=["vendor", "model", "serial_number", "firmware_version", "last_boot_at"])
    publish(ChargerBooted(charger.pk, charger.location_id, charger.organisation_id, charger.registration, at))
    return charger.registration
