"""Stops from a file, known again by their external id: the same file twice changes nothing."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from fleetcharge.accounts.models import Organisation
from vehicles.models import Stop, Vehicle
from vehicles.stop_import.files import LineProblem, StopLine, plate_of, read

FAR = datetime.max.replace(tzinfo=UTC)
LAST_PLACES = """
SELECT v.id, s.sequence FROM unnest(%s::bigint[]) AS v(id) CROSS JOIN LATERAL (
    SELECT sequence FROM vehicles_stop WHERE vehicle_id = v.id ORDER BY sequence DESC LIMIT 1
) s
"""
FIELDS = ("name", "latitude", "longitude", "earliest_at", "due_at")


class Imported(NamedTuple):
    """What became of the lines, or would; nothing is stored when there are problems."""

    created: int = 0
    updated: int = 0
    moved: int = 0
    unchanged: int = 0
    done: int = 0
    unknown_columns: tuple[str, ...] = ()
    problems: tuple[LineProblem, ...] = ()


@transaction.atomic
def import_stops(*, organisation_id: int, content: bytes, is_dry_run: bool = False) -> Imported:
    """All lines or none; done stops stay as they are, a stop of another vehicle moves to the end of this one's.

    One import of a fleet at a time. Raises UnreadableFile.
    """
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)
    lines, problems, unknown = read(content)
    fleet = _fleet(organisation_id)
    problems += [
        LineProblem(line.line, "vehicle", "unknown_vehicle", f"No active vehicle of yours has the plate {line.plate}.")
        for line in lines
        if line.plate not in fleet
    ]
    if problems:
        return Imported(unknown_columns=tuple(unknown), problems=tuple(sorted(problems)))
    vehicle_ids = {fleet[line.plate] for line in lines}
    list(Vehicle.objects.select_for_update(no_key=True).filter(pk__in=vehicle_ids).order_by("pk"))
    work = _Work(organisation_id, lines, vehicle_ids)
    for line in lines:
        work.take(line, fleet[line.plate])
    if not is_dry_run:
        work.store()
    counts: dict[str, Any] = dict(work.counts)
    return Imported(unknown_columns=tuple(unknown), **counts)


def _fleet(organisation_id: int) -> dict[str, int]:
    vehicles = Vehicle.objects.filter(organisation_id=organisation_id, is_active=True)
    return {plate_of(plate): pk for plate, pk in vehicles.values_list("registration", "pk")}


def _named(organisation_id: int, lines: list[StopLine]) -> list[Stop]:
    """The stops that the lines name, locked in the order in which `visits` locks them.

    The exclusion of what has no id lets PostgreSQL use the index of those that have one.
    """
    rows = Stop.objects.filter(vehicle__organisation_id=organisation_id).exclude(external_id="")
    named = rows.filter(external_id__in=[line.external_id for line in lines])
    return list(named.order_by("pk").select_for_update(of=("self",), no_key=True))


def _last_places(vehicle_ids: set[int]) -> dict[int, int]:
    """The last place in line of each vehicle, at one look into the index for each, however much it has visited."""
    with connection.cursor() as cursor:
        cursor.execute(LAST_PLACES, [sorted(vehicle_ids)])
        return dict(cursor.fetchall())


class _Work:
    """The stops that the lines speak of, and what is to be written."""

    def __init__(self, organisation_id: int, lines: list[StopLine], vehicle_ids: set[int]) -> None:
        done_first = sorted(_named(organisation_id, lines), key=lambda stop: stop.done_at or FAR)
        self._known = {stop.external_id: stop for stop in done_first}  # an open one wins
        self._last = _last_places(vehicle_ids)
        self._new, self._changed = list[Stop](), list[Stop]()
        self.counts: Counter[str] = Counter()

    def take(self, line: StopLine, vehicle_id: int) -> None:
        stop = self._known.get(line.external_id)
        if stop is None:
            self._create(line, vehicle_id)
        elif stop.done_at is not None:
            self.counts["done"] += 1
        elif stop.vehicle_id != vehicle_id:
            self._move(stop, line, vehicle_id)
        elif all(getattr(stop, name) == getattr(line, name) for name in FIELDS):
            self.counts["unchanged"] += 1
        else:
            self._change(stop, line, "updated")

    def store(self) -> None:
        Stop.objects.bulk_create(self._new)
        Stop.objects.bulk_create(  # a bulk_update takes ten milliseconds a row
            self._changed, update_conflicts=True, unique_fields=["id"],
            update_fields=["vehicle", "sequence", "reached_at", *FIELDS],
        )  # fmt: skip

    def _create(self, line: StopLine, vehicle_id: int) -> None:
        values = {name: getattr(line, name) for name in FIELDS}
        self._new.append(
            Stop(vehicle_id=vehicle_id, sequence=self._behind(vehicle_id), external_id=line.external_id, **values)
        )
        self.counts["created"] += 1

    def _move(self, stop: Stop, line: StopLine, vehicle_id: int) -> None:
        stop.vehicle_id, stop.sequence, stop.reached_at = vehicle_id, self._behind(vehicle_id), None
        self._change(stop, line, "moved")

    def _change(self, stop: Stop, line: StopLine, verdict: str) -> None:
        if (stop.latitude, stop.longitude) != (line.latitude, line.longitude):
            stop.reached_at = None
        for name in FIELDS:
            setattr(stop, name, getattr(line, name))
        self._changed.append(stop)
        self.counts[verdict] += 1

    def _behind(self, vehicle_id: int) -> int:
        self._last[vehicle_id] = self._last.get(vehicle_id, 0) + 1
        return self._last[vehicle_id]
