"""Which of our chargers are there: sockets that open and close, signs of life, silence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction

from fleetcharge.lib.events import publish, publish_together
from stations.events import ChargerBooted, ChargerCameBack, ChargerWentSilent
from stations.models import Charger
from stations.services.own_statuses import show_again


@dataclass(frozen=True, slots=True)
class Arrival:
    """A socket that opened. `used_key_hash`: the key to come was used, which retires the one before."""

    charger_id: int
    node: str
    protocol: str
    at: datetime
    security_profile: int | None = None
    used_key_hash: str = ""


@dataclass(frozen=True, slots=True)
class Departure:
    """The socket of this epoch closed."""

    charger_id: int
    epoch: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Boot:
    """Who a charger says it is."""

    charger_id: int
    vendor: str
    model: str
    serial_number: str
    firmware_version: str
    at: datetime


_LOCK = """
SELECT id, connection_epoch, next_auth_key_hash, location_id, organisation_id, registration,
       disconnected_at IS NOT NULL AND NOT is_online AS was_silent
FROM stations_charger WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
# No key changes: rows that are only being referred to, as by a frame that is stored, are free.
_TAKE_FREE = """
SELECT id FROM stations_charger WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
"""
_TAKE_FREE_PLUGS = """
WITH plugs AS (
    SELECT k.id, e.charger_id FROM stations_evse e JOIN stations_connector k ON k.evse_id = e.id
    WHERE e.charger_id = ANY(%(ids)s)
), free AS (
    SELECT k.id FROM stations_connector k WHERE k.id IN (SELECT id FROM plugs)
    ORDER BY k.id FOR NO KEY UPDATE SKIP LOCKED
)
SELECT DISTINCT charger_id FROM plugs WHERE id NOT IN (SELECT id FROM free)
"""
_CONNECT = """
UPDATE stations_charger c
SET connection_epoch = v.epoch, is_online = true, node = v.node, protocol = v.protocol, connected_at = v.at,
    last_seen_at = v.at, disconnected_at = NULL, security_profile = v.security_profile,
    auth_key_hash = CASE WHEN v.has_used_next THEN c.next_auth_key_hash ELSE c.auth_key_hash END,
    next_auth_key_hash = CASE WHEN v.has_used_next THEN '' ELSE c.next_auth_key_hash END
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::smallint[], %s::bool[])
    AS v(id, epoch, node, protocol, at, security_profile, has_used_next)
WHERE c.id = v.id
"""
_DISCONNECT = """
WITH gone AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS t(id, epoch, at)),
mine AS (
    SELECT c.id, gone.at FROM stations_charger c JOIN gone ON c.id = gone.id
    WHERE c.connection_epoch = gone.epoch AND c.is_online ORDER BY c.id FOR NO KEY UPDATE OF c
)
UPDATE stations_charger c SET is_online = false, disconnected_at = mine.at, node = '' FROM mine WHERE c.id = mine.id
RETURNING c.id, c.connection_epoch
"""
_BOOT = """
UPDATE stations_charger c
SET vendor = v.vendor, model = v.model, serial_number = v.serial_number, firmware_version = v.firmware_version,
    last_boot_at = v.at
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
    AS v(id, vendor, model, serial_number, firmware_version, at)
WHERE c.id = v.id
"""


class _Locked(NamedTuple):
    """What a batch must know of a charger before it writes to it."""

    pk: int
    connection_epoch: int
    next_auth_key_hash: str
    location_id: int
    organisation_id: int
    registration: str
    was_silent: bool


def _locked_chargers(charger_ids: Iterable[int]) -> dict[int, _Locked]:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [sorted(set(charger_ids))])
        return {row[0]: _Locked(*row) for row in cursor.fetchall()}


def take_free_chargers(charger_ids: Iterable[int], *, with_plugs: bool = False) -> set[int]:
    """Lock those that nobody else holds (nor, `with_plugs`, any plug of), till the end of the caller's transaction.

    Waits for nobody. Those that do not exist are nobody's: they are among the answer.
    """
    wanted = set(charger_ids)
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_FREE, [sorted(wanted)])
        free = {pk for (pk,) in cursor.fetchall()}
        if free and with_plugs:
            cursor.execute(_TAKE_FREE_PLUGS, {"ids": sorted(free)})
            free -= {pk for (pk,) in cursor.fetchall()}
        if held := wanted - free:
            cursor.execute("SELECT id FROM stations_charger WHERE id = ANY(%s)", [sorted(held)])
            free |= held - {pk for (pk,) in cursor.fetchall()}
    return free


@transaction.atomic
def chargers_connected(arrivals: Sequence[Arrival]) -> list[int | None]:
    """Sockets opened; of each the epoch that every later write of it must carry, None: there is no such charger.

    Of two sockets of one charger the later one has the higher epoch, in one batch as in two.
    """
    held = _locked_chargers(arrival.charger_id for arrival in arrivals)
    last = {arrival.charger_id: arrival for arrival in arrivals if arrival.charger_id in held}
    newest = {pk: held[pk].connection_epoch for pk in last}
    epochs: list[int | None] = []
    has_used_next = dict.fromkeys(last, False)
    for arrival in arrivals:
        pk = arrival.charger_id
        if pk not in held:
            epochs.append(None)
            continue
        newest[pk] += 1
        epochs.append(newest[pk])
        has_used_next[pk] |= bool(arrival.used_key_hash) and arrival.used_key_hash == held[pk].next_auth_key_hash
    rows = [
        (pk, newest[pk], one.node, one.protocol, one.at, _plain(one.security_profile), has_used_next[pk])
        for pk, one in last.items()
    ]
    _run(_CONNECT, rows)
    publish_together(
        ChargerCameBack(pk, held[pk].location_id, held[pk].organisation_id, one.at)
        for pk, one in last.items()
        if held[pk].was_silent
    )
    show_again({pk: one.at for pk, one in last.items()})
    return epochs


def chargers_disconnected(departures: Sequence[Departure]) -> list[bool]:
    """Sockets closed; False of each whose charger has a newer one. Shown only after a grace."""
    with connection.cursor() as cursor:
        cursor.execute(_DISCONNECT, _columns([(one.charger_id, one.epoch, one.at) for one in departures]))
        closed = set(cursor.fetchall())
    return [(one.charger_id, one.epoch) in closed for one in departures]


def charger_disconnected(*, charger_id: int, epoch: int, at: datetime) -> bool:
    """As `chargers_disconnected`, of one socket."""
    return chargers_disconnected([Departure(charger_id, epoch, at)])[0]


def _run(statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """A statement over arrays, one per column of `rows`."""
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(statement, _columns(rows))


def _plain(number: int | None) -> int | None:
    """A choice and its number are not the same to the driver, in one list."""
    return None if number is None else int(number)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


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
    show_again({charger.pk: at})
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
    show_again({charger.pk: at})


@transaction.atomic
def register_boots(boots: Sequence[Boot]) -> list[str | None]:
    """Keep who chargers say they are; of each its registration (Accepted | Pending | Rejected), None: no such charger.

    Of two boots of one charger the later one stays.
    """
    held = _locked_chargers(boot.charger_id for boot in boots)
    last = {boot.charger_id: boot for boot in boots if boot.charger_id in held}
    _run(_BOOT, [
        (pk, boot.vendor[:50], boot.model[:50], boot.serial_number[:50], boot.firmware_version[:50], boot.at)
        for pk, boot in last.items()
    ])  # fmt: skip
    publish_together(
        ChargerBooted(boot.charger_id, row.location_id, row.organisation_id, row.registration, boot.at)
        for boot in boots
        if (row := held.get(boot.charger_id))
    )
    return [held[boot.charger_id].registration if boot.charger_id in held else None for boot in boots]
