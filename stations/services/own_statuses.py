"""What is shown of our own chargers' plugs: the words of hundreds under one lock, in one write, with one history."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

import orjson
from django.db import connection, transaction
from django.utils import timezone

from fleetcharge.lib.db import fetch_prepared, in_one_line
from fleetcharge.lib.events import publish_together
from stations.deciding import Plug, Transition, Unit, decide_again, hear
from stations.events import ConnectorStatusChanged
from stations.models import EVSE, Connector
from stations.ordering import believed
from stations.services.bulk import COLUMNS
from stations.services.statuses import MAX_PLUGS, StatusReport

Slot = tuple[int, int]  # EVSE number, connector id

_LOCK_CHARGERS = """
SELECT id, location_id, station_status_at, is_faulted, is_inoperative, is_online, disconnected_at, silent_shown_at
FROM stations_charger WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_LOCK_PLUGS = f"""
SELECT e.charger_id, e.evse_number, k.connector_id, e.location_id, k.id,
       {", ".join(f"k.{column.name}" for column in fields(Plug)[1:])}
FROM stations_evse e JOIN stations_connector k ON k.evse_id = e.id
WHERE e.charger_id = ANY(%s) ORDER BY k.id FOR NO KEY UPDATE OF k
"""  # noqa: S608 (names of our own columns)
# The ids are named beside the JSON, because nobody knows how many rows there are in one.
_WRITE = in_one_line(f"""
WITH shown AS (
    UPDATE stations_connector AS c SET {", ".join(f"{name} = v.{name}" for name in COLUMNS)}
    FROM jsonb_to_recordset(%s::jsonb) AS v(pk bigint, {", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())})
    WHERE c.id = ANY(%s::bigint[]) AND c.id = v.pk
)
INSERT INTO stations_statuschange (connector_id, old, new, raw_status, reason, at, received_at)
SELECT t.connector_id, t.old, t.new, t.raw_status, t.reason, t.at, %s::timestamptz
FROM ROWS FROM (jsonb_to_recordset(%s::jsonb) AS (
    connector_id bigint, old text, new text, raw_status text, reason text, at timestamptz
)) WITH ORDINALITY AS t ORDER BY t.ordinality
RETURNING id
""")  # noqa: S608
_WRITE_STATIONS = """
UPDATE stations_charger c
SET is_faulted = v.is_faulted, is_inoperative = v.is_inoperative, station_status_at = v.at
FROM unnest(%s::bigint[], %s::bool[], %s::bool[], %s::timestamptz[]) AS v(id, is_faulted, is_inoperative, at)
WHERE c.id = v.id
"""


@dataclass(slots=True)
class _Station:
    """A charger whose row is locked, with all its plugs."""

    pk: int
    location_id: int
    said_at: datetime | None
    unit: Unit
    plugs: dict[Slot, Plug] = field(default_factory=dict)


class _Batch:
    """Locked rows, what is to be written of them, and what became of it."""

    def __init__(self, charger_ids: Collection[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_LOCK_CHARGERS, [sorted(charger_ids)])
            self.stations = {pk: _Station(pk, at, said, Unit(*unit)) for pk, at, said, *unit in cursor.fetchall()}
        self._places: dict[int, int] = {}
        self._changed: dict[int, Plug] = {}
        self._history: list[Transition] = []
        self._spoken_for: dict[int, _Station] = {}
        for charger_id, slot, plug in self._locked_plugs(list(self.stations)):
            self.stations[charger_id].plugs[slot] = plug

    def _locked_plugs(self, charger_ids: list[int]) -> list[tuple[int, Slot, Plug]]:
        with connection.cursor() as cursor:
            cursor.execute(_LOCK_PLUGS, [charger_ids])
            found = []
            for charger_id, evse_number, connector_id, location_id, *row in cursor.fetchall():
                plug = Plug(*row)
                self._places[plug.pk] = location_id
                found.append((charger_id, (evse_number, connector_id), plug))
        return found

    def take(self, report: StatusReport) -> bool | None:
        """One report onto the locked rows, still in memory."""
        station = self.stations.get(report.charger_id)
        if station is None:
            return False
        if report.connector_id == 0:
            return self._take_of_station(station, report)
        slot = _slot(report)
        if slot not in station.plugs:
            if len(station.plugs) >= MAX_PLUGS:
                return None
            self._discover(station, slot, report.at)
        plug = station.plugs[slot]
        self._changed[plug.pk] = plug
        if not hear(plug, report):
            return False
        self._decide(plug, station, plug.status_at or report.at)
        return True

    def _take_of_station(self, station: _Station, report: StatusReport) -> bool:
        at = believed(report.at, report.received_at)
        if station.said_at is not None and at < station.said_at:
            return False
        station.said_at = at
        station.unit = station.unit._replace(
            is_faulted=report.status == Connector.Status.FAULTED,
            is_inoperative=report.status == Connector.Status.UNAVAILABLE,
        )
        self._spoken_for[station.pk] = station
        self.show(station, at)
        return True

    def show(self, station: _Station, at: datetime) -> None:
        """Decide anew what is shown of each of its plugs."""
        for plug in station.plugs.values():
            shown = plug.status, plug.status_reason
            self._decide(plug, station, at)
            if (plug.status, plug.status_reason) != shown:
                self._changed[plug.pk] = plug

    def _decide(self, plug: Plug, station: _Station, at: datetime) -> None:
        if change := decide_again(plug, station.unit, at):
            self._history.append(change)

    def _discover(self, station: _Station, slot: Slot, at: datetime) -> None:
        """A connector nobody registered: it exists, so it gets a row (plug and power unknown, to be completed)."""
        evse_number, connector_id = slot
        evse, _ = EVSE.objects.get_or_create(
            charger_id=station.pk, evse_number=evse_number, defaults={"location_id": station.location_id}
        )
        Connector.objects.create(
            evse=evse, connector_id=connector_id, status_since=at, tariff_id=evse.location.tariff_id
        )
        [plug] = [plug for _, found, plug in self._locked_plugs([station.pk]) if found == slot]
        station.plugs[slot] = plug

    def save(self) -> None:
        """Stations, plugs and their history; what everybody is told of it."""
        if spoken_for := list(self._spoken_for.values()):
            with connection.cursor() as cursor:
                cursor.execute(_WRITE_STATIONS, [
                    [station.pk for station in spoken_for], [station.unit.is_faulted for station in spoken_for],
                    [station.unit.is_inoperative for station in spoken_for], [one.said_at for one in spoken_for],
                ])  # fmt: skip
        if not self._changed:
            return
        rows, changes = orjson.dumps(list(self._changed.values())).decode(), orjson.dumps(self._history).decode()
        written = fetch_prepared(_WRITE, [rows, list(self._changed), timezone.now(), changes])
        publish_together(
            ConnectorStatusChanged(
                one.connector_id, self._places[one.connector_id], one.old, one.new, one.reason, one.at, change_id
            )
            for one, (change_id,) in zip(self._history, written, strict=True)
        )


def _slot(report: StatusReport) -> Slot:
    """OCPP 1.6 has one EVSE per connector; 2.x counts connectors inside the EVSE."""
    evse_number = report.connector_id if report.evse_number is None else report.evse_number
    return max(evse_number, 1), report.connector_id


@transaction.atomic
def report_statuses(reports: Sequence[StatusReport]) -> list[bool | None]:
    """Store what our chargers say; one answer per report, False for old news. Replays change nothing.

    None: of a plug nobody registered, at a charger that has MAX_PLUGS already; nothing was stored of it.
    """
    batch = _Batch({report.charger_id for report in reports})
    answers = [batch.take(report) for report in reports]
    batch.save()
    return answers


@transaction.atomic(savepoint=False)
def show_again(moments: Mapping[int, datetime]) -> None:
    """These chargers came or went (and when): what is shown of their plugs is decided anew."""
    batch = _Batch(moments.keys())
    for charger_id, station in batch.stations.items():
        batch.show(station, moments[charger_id])
    batch.save()
