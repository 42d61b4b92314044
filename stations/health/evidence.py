"""Where the evidence comes from: each app tells what it knows of some units, those above register themselves here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

from django.db import connection

from stations.health.features import Evidence, Spell
from stations.health.models import MaintenanceTicket, SocketDay
from stations.models.connectors import EVSE

LOOK_BACK = timedelta(days=60)
CHANGES_SINCE = timedelta(days=8)
SOCKETS_SINCE = timedelta(days=21)
Teller = Callable[[Mapping[int, Evidence], datetime], None]
"""Adds what it knows to the evidence of these EVSEs, as of then. Queries for all of them at once."""
Usage = Callable[[int], Sequence[float] | None]
"""Of a charger: the share of its plugs that are busy at each hour of the week (its local time); None: not known."""

_tellers: dict[str, Teller] = {}
_usages: list[Usage] = []

CHANGES = """
SELECT c.evse_id, e.charger_id IS NOT NULL, c.id, greatest(x.at, %(since)s), x.new
FROM stations_connector c JOIN stations_evse e ON e.id = c.evse_id
JOIN LATERAL (
    (SELECT b.id, b.at, b.new FROM stations_statuschange b WHERE b.connector_id = c.id AND b.at <= %(since)s
     ORDER BY b.at DESC, b.id DESC LIMIT 1)
    UNION ALL
    SELECT b.id, b.at, b.new FROM stations_statuschange b
    WHERE b.connector_id = c.id AND b.at > %(since)s AND b.at <= %(now)s
) x ON true
WHERE c.evse_id = ANY(%(evse_ids)s) AND NOT c.is_removed ORDER BY c.evse_id, c.id, x.at, x.id
"""
COUNT_SOCKETS = """
INSERT INTO stations_socketday (charger_id, "on", first_epoch, last_epoch)
SELECT h.id, %(today)s, coalesce((
    SELECT d.last_epoch FROM stations_socketday d WHERE d.charger_id = h.id AND d."on" < %(today)s
    ORDER BY d."on" DESC LIMIT 1), h.connection_epoch), h.connection_epoch
FROM stations_charger h
ON CONFLICT (charger_id, "on") DO UPDATE SET last_epoch = excluded.last_epoch
"""


def register(name: str, teller: Teller) -> None:
    _tellers[name] = teller


def register_usage(usage: Usage) -> None:
    _usages[:] = [usage]


def usage_of(charger_id: int) -> Sequence[float] | None:
    return _usages[0](charger_id) if _usages else None


def gather(evse_ids: Iterable[int], *, now: datetime) -> dict[int, Evidence]:
    """Everything that anybody knows of these units."""
    found = {pk: Evidence() for pk in evse_ids}
    for teller in (_tell_repairs, _tell_statuses, _tell_sockets, *_tellers.values()):
        teller(found, now)
    return found


def count_sockets(*, now: datetime) -> None:
    """How far every charger's count of sockets is today."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_SOCKETS, {"today": now.date()})


def _tell_repairs(found: Mapping[int, Evidence], now: datetime) -> None:
    """Tickets that a person has called done: of the charger, and so of all its units."""
    units = _chargers_of(found)
    done = MaintenanceTicket.objects.filter(
        charger__in=set(units.values()), state=MaintenanceTicket.State.DONE,
        closed_at__range=(now - LOOK_BACK, now),
    )  # fmt: skip
    repairs: dict[int, dict[str, datetime]] = {}
    for charger_id, cause, at in done.order_by("closed_at").values_list("charger", "cause", "closed_at"):
        repairs.setdefault(charger_id, {})[cause] = at or now  # done, so it has an end
    for evse_id, charger_id in units.items():
        found[evse_id].repaired_at |= repairs.get(charger_id, {})


def _chargers_of(found: Mapping[int, Evidence]) -> dict[int, int]:
    """By EVSE; those of networks have none."""
    return dict(EVSE.objects.filter(pk__in=found, charger__isnull=False).values_list("pk", "charger_id"))


def _tell_statuses(found: Mapping[int, Evidence], now: datetime) -> None:
    """Faults of everybody; silence of our own chargers only: others fall silent with their network.

    How it was before we look counts, too: who has been dark for a month is dark.
    """
    since = now - CHANGES_SINCE
    values: dict[str, Any] = {"evse_ids": list(found), "since": since, "now": now}
    with connection.cursor() as cursor:
        cursor.execute(CHANGES, values)
        rows = cursor.fetchall()
    for (evse_id, is_own, _), changes in groupby(rows, key=lambda row: row[:3]):
        told = [(at, status) for _, _, _, at, status in changes]
        found[evse_id].changes += [at for at, _ in told if at > since]
        found[evse_id].faults = merged([*found[evse_id].faults, *_spells(told, "faulted", now)])
        if is_own:
            found[evse_id].silences = merged([*found[evse_id].silences, *_spells(told, "unknown", now)])


def _spells(changes: Sequence[tuple[datetime, str]], wanted: str, now: datetime) -> Iterator[Spell]:
    for (at, status), (until, _) in pairwise([*changes, (now, "")]):
        if status == wanted:
            yield Spell(at, until)


def merged(spells: Iterable[Spell]) -> list[Spell]:
    """Of several plugs: those that overlap are one."""
    whole: list[Spell] = []
    for spell in sorted(spells, key=lambda one: one.begins_at):
        if whole and spell.begins_at <= whole[-1].ends_at:
            whole[-1] = Spell(whole[-1].begins_at, max(whole[-1].ends_at, spell.ends_at))
        else:
            whole.append(spell)
    return whole


def _tell_sockets(found: Mapping[int, Evidence], now: datetime) -> None:
    """The worse of today and yesterday, none of them until a repair, and each day before."""
    chargers = _chargers_of(found)
    first = (now - SOCKETS_SINCE).date()
    days: dict[int, list[SocketDay]] = {}
    for day in SocketDay.objects.filter(charger__in=set(chargers.values()), on__gt=first).order_by("on"):
        days.setdefault(day.charger_id, []).append(day)
    for evse_id, charger_id in chargers.items():
        counts = [(now - timedelta(days=(now.date() - day.on).days), _sockets(day)) for day in days.get(charger_id, [])]
        mended = found[evse_id].repaired_at.get("reconnects")
        since = now - timedelta(days=1)
        late = [count for at, count in counts if at >= since and (mended is None or at.date() > mended.date())]
        older = [(at, count) for at, count in counts if at < since]
        found[evse_id].reconnects += [*older, (now, max(late, default=0))] if counts else []


def _sockets(day: SocketDay) -> int:
    return max(0, day.last_epoch - day.first_epoch)
