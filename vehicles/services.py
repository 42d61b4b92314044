"""Writes of the vehicles app, and the reads that other apps build on."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q
from django.utils import timezone

from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish
from fleetcharge.lib.partitions import DayPartitions
from vehicles.claims import MOVED_BACK_MOST, check_device, forget_unknown
from vehicles.claims import DeviceNotHeard as DeviceNotHeard
from vehicles.claims import DeviceTaken as DeviceTaken
from vehicles.claims import MovedTooEarly as MovedTooEarly
from vehicles.decoders.instants import to_microseconds
from vehicles.events import StopDone
from vehicles.fixes import Fix, is_imei
from vehicles.models import DeviceAssignment, Driver, IdToken, Position, Shift, Stop, Vehicle

PARTITIONS_AHEAD_DAYS = 8
RULES = {
    "one_vehicle_per_plate": "A vehicle with this plate exists already.",
    "one_owner_per_token": "This token belongs to somebody already.",
}
PARTITIONS = DayPartitions("vehicles_position", "fix_at")


Row = TypeVar("Row", Vehicle, Driver, IdToken)


class ShiftOverlaps(Exception):
    """The vehicle or the driver is on another shift at that time."""


class AlreadyExists(Exception):
    """Another row has this plate, device or token; `str()` says which rule was broken."""


@dataclass(frozen=True)
class PlannedStop:
    """A place to visit; degrees, `earliest_at` and `due_at` None when any time will do."""

    name: str
    latitude: float
    longitude: float
    due_at: datetime | None = None
    earliest_at: datetime | None = None


def save(*, row: Row) -> Row:
    """Store a new or changed row; raises AlreadyExists when the database knows it under another number."""
    try:
        with transaction.atomic():
            row.save()
            if isinstance(row, Vehicle) and row.device_id:
                forget_unknown(device_id=row.device_id, organisation_id=row.organisation_id)
    except IntegrityError as error:
        raise AlreadyExists(_broken_rule(error)) from error
    return row


ASSIGNED = frozenset({
    "default_driver_id", "cost_centre", "depot_name", "depot_latitude", "depot_longitude", "is_active",
})  # fmt: skip


@transaction.atomic
def assign(
    *, vehicle_id: int, values: dict[str, Any], only_if: dict[str, Any] | None = None, actor: User | None,
    actor_label: str = "",
) -> dict[str, Any] | None:  # fmt: skip
    """Set some of ASSIGNED, with an entry in the trail; what they were. None when nothing is to be changed, or when
    they are no longer what `only_if` says."""
    vehicle = Vehicle.objects.select_for_update().get(pk=vehicle_id)
    before = {name: getattr(vehicle, name) for name in values if name in ASSIGNED}
    if before == values or (only_if is not None and any(before[name] != value for name, value in only_if.items())):
        return None
    for name in before:
        setattr(vehicle, name, values[name])
    vehicle.save(update_fields=list(before))
    audit(
        action="vehicle.assign", target=vehicle, actor=actor, actor_label=actor_label,
        before=before, after={name: values[name] for name in before},
    )  # fmt: skip
    return before


def _broken_rule(error: IntegrityError) -> str:
    name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "") or ""
    return RULES.get(name, "A row with these values exists already.")


@transaction.atomic
def set_stops(*, vehicle_id: int, stops: Sequence[PlannedStop]) -> list[Stop]:
    """Replace the open stops of a vehicle; those already done stay, and the new ones follow them.

    What keeps its name and place stays the same row: its planner's next file finds it, and whoever waits there too.
    """
    Vehicle.objects.select_for_update().get(pk=vehicle_id)
    known, first = _open_stops(vehicle_id), _first_open(vehicle_id)
    rows = [_in_line(vehicle_id, first + index, stop, known) for index, stop in enumerate(stops)]
    kept = [row for row in rows if row.pk]
    ours = Stop.objects.filter(vehicle_id=vehicle_id, done_at=None)
    ours.exclude(pk__in=[row.pk for row in kept]).delete()
    highest = ours.aggregate(highest=Max("sequence"))["highest"] or 0
    ours.update(sequence=F("sequence") + max(highest, first + len(rows)) + 1)  # so that no two share a place meanwhile
    Stop.objects.bulk_create(
        kept, update_conflicts=True, unique_fields=["id"],
        update_fields=["sequence", "earliest_at", "due_at", "reached_at"],
    )  # fmt: skip
    Stop.objects.bulk_create(row for row in rows if not row.pk)
    return rows


def _open_stops(vehicle_id: int) -> dict[tuple[str, float, float], list[Stop]]:
    """By name and place, in their order; locked in that of their ids, as by `visits` and by files of stops."""
    found: dict[tuple[str, float, float], list[Stop]] = defaultdict(list)
    rows = Stop.objects.select_for_update().filter(vehicle_id=vehicle_id, done_at=None).order_by("pk")
    for row in sorted(rows, key=lambda row: row.sequence):
        found[row.name, row.latitude, row.longitude].append(row)
    return found


def _first_open(vehicle_id: int) -> int:
    """The place in line behind what is done."""
    last_done = Stop.objects.filter(vehicle_id=vehicle_id, done_at__isnull=False).order_by("-sequence").first()
    return last_done.sequence + 1 if last_done else 1


def _in_line(
    vehicle_id: int, sequence: int, stop: PlannedStop, known: dict[tuple[str, float, float], list[Stop]]
) -> Stop:
    """The row that there is, or a new one, as it is to be."""
    alike = known[stop.name, stop.latitude, stop.longitude]
    new = Stop(vehicle_id=vehicle_id, name=stop.name, latitude=stop.latitude, longitude=stop.longitude)
    row = alike.pop(0) if alike else new
    if row.sequence != sequence:
        row.sequence, row.reached_at = sequence, None
    row.earliest_at, row.due_at = stop.earliest_at, stop.due_at
    return row


@transaction.atomic
def complete_stop(*, stop_id: int, at: datetime) -> bool:
    """Tick a stop off; False when it was done before."""
    if Stop.objects.filter(pk=stop_id, done_at=None).update(done_at=at) != 1:
        return False
    stop = Stop.objects.select_related("vehicle").get(pk=stop_id)
    publish(StopDone(stop.pk, stop.vehicle_id, stop.vehicle.organisation_id, at))
    return True


def reopen_stop(*, stop_id: int) -> bool:
    """Take it back: it is to be visited, and from now on only people tick it off. False when it is open."""
    done = Stop.objects.filter(pk=stop_id, done_at__isnull=False)
    return done.update(done_at=None, reached_at=None, is_kept_open=True) == 1


@transaction.atomic
def claim_device(
    *, vehicle_id: int, device_id: str, is_move: bool = False, since: datetime | None = None
) -> Vehicle:  # fmt: skip
    """From now on this device reports for this vehicle; ingest honours it within 15 s. Claiming twice changes nothing.

    What it measured before stays another vehicle's, also when it comes later. `is_move`: take it from another vehicle
    of the same fleet. `since`: it went there earlier, so what it measured from then on and comes late is this
    vehicle's; rows that are stored stay whose they are. Raises DeviceTaken when another vehicle has it, DeviceNotHeard
    for an IMEI that nobody heard by TCP, and MovedTooEarly.
    """
    organisation_id = Vehicle.objects.get(pk=vehicle_id).organisation_id
    touched = Q(pk=vehicle_id)
    if is_move:
        touched |= Q(organisation_id=organisation_id, device_id=device_id)
    rows = {row.pk: row for row in Vehicle.objects.select_for_update().filter(touched).order_by("pk")}
    vehicle = rows.pop(vehicle_id)
    if rows:  # the fleet has it, so nothing is to be proved
        Vehicle.objects.filter(pk__in=rows).update(device_id=None)
    else:
        check_device(device_id=device_id, organisation_id=organisation_id, vehicle_id=vehicle_id)
    _mount(vehicle, device_id)
    if since is not None:
        _date_back(vehicle, device_id, since)
    forget_unknown(device_id=device_id, organisation_id=organisation_id)
    return vehicle


def changed_by_claim(vehicle: Vehicle, device_id: str) -> tuple[str | None, str | None]:
    """Whom of its fleet the device would leave without one, and which device the vehicle would lose; to be told."""
    others = Vehicle.objects.filter(organisation=vehicle.organisation_id, device_id=device_id).exclude(pk=vehicle.pk)
    lost = vehicle.device_id if vehicle.device_id != device_id else None
    return others.values_list("registration", flat=True).first(), lost or None


def _mount(vehicle: Vehicle, device_id: str) -> None:
    """Who claims it at the same moment for another vehicle, and is second, hears so."""
    vehicle.device_id = device_id
    try:
        with transaction.atomic():
            vehicle.save(update_fields=["device_id"])
    except IntegrityError as error:
        raise DeviceTaken(device_id) from error


def _date_back(vehicle: Vehicle, device_id: str, since: datetime) -> None:
    """Its time at this vehicle began earlier, and that of the fleet's vehicle before it ended then."""
    spans = DeviceAssignment.objects.select_for_update().filter(device_id=device_id)
    mine = spans.get(vehicle=vehicle, ends_at=None)
    if mine.starts_at is None or mine.starts_at <= since:
        return
    before = spans.exclude(pk=mine.pk).filter(ends_at__gt=since)
    is_others = before.exclude(vehicle__organisation=vehicle.organisation_id).exists()
    if since < timezone.now() - MOVED_BACK_MOST or is_others or before.filter(starts_at__gte=since).exists():
        raise MovedTooEarly
    before.update(ends_at=since)
    spans.filter(pk=mine.pk).update(starts_at=since)


@transaction.atomic
def replace_id(*, vehicle_id: int, device_id: str) -> Vehicle:
    """A new secret in place of the old one, with which nothing can be sent any more, also nothing of before."""
    old = Vehicle.objects.select_for_update().get(pk=vehicle_id).device_id
    vehicle = claim_device(vehicle_id=vehicle_id, device_id=device_id)
    if old and old != device_id and not is_imei(old):  # also of vehicles of the fleet that had it before
        DeviceAssignment.objects.filter(vehicle__organisation=vehicle.organisation_id, device_id=old).delete()
    return vehicle


@transaction.atomic
def release_device(*, vehicle_id: int) -> bool:
    """It reports for nobody from now on; what it measured before still counts. False when the vehicle has none."""
    has_one = Vehicle.objects.filter(pk=vehicle_id, device_id__isnull=False).exclude(device_id="")
    return has_one.update(device_id=None) == 1


@transaction.atomic
def assign_shift(*, vehicle_id: int, driver_id: int, starts_at: datetime, ends_at: datetime) -> Shift:
    """Put a driver on a vehicle for a while; the same assignment twice is one shift.

    Raises ShiftOverlaps when either is already taken in that time.
    """
    vehicle = Vehicle.objects.select_for_update().get(pk=vehicle_id)
    driver = Driver.objects.select_for_update().get(pk=driver_id)
    same = {"vehicle": vehicle, "driver": driver, "starts_at": starts_at, "ends_at": ends_at}
    if existing := Shift.objects.filter(**same).first():
        return existing
    meanwhile = Shift.objects.filter(starts_at__lt=ends_at, ends_at__gt=starts_at)
    if meanwhile.filter(vehicle=vehicle).exists() or meanwhile.filter(driver=driver).exists():
        raise ShiftOverlaps(f"{vehicle} or {driver} is on another shift between {starts_at} and {ends_at}")
    return Shift.objects.create(organisation_id=vehicle.organisation_id, **same)


def positions_between(
    *, vehicle_id: int, start: datetime, end: datetime, includes_suspects: bool = False
) -> list[Position]:
    """Where a vehicle was, in time order, both ends included. One query over the primary key of few partitions."""
    positions = Position.objects.of_vehicle(vehicle_id, start, end)
    return list(positions if includes_suspects else positions.plausible())


def as_fixes(positions: Iterable[Position]) -> list[Fix]:
    """Stored pings as the pure modules read them."""
    return [
        Fix(
            "", to_microseconds(ping.fix_at), ping.latitude, ping.longitude, ping.speed_kmh,
            soc_percent=None if ping.soc_permille is None else ping.soc_permille / 10, flags=ping.flags,
        )
        for ping in positions
    ]  # fmt: skip


def driver_at(*, vehicle_id: int, at: datetime) -> Driver | None:
    """Who was on shift in this vehicle then, else its default driver."""
    shift = Shift.objects.filter(vehicle_id=vehicle_id).covering(at).select_related("driver").first()
    if shift:
        return shift.driver
    return Vehicle.objects.select_related("default_driver").get(pk=vehicle_id).default_driver


def ensure_partitions(*, today: date) -> list[date]:
    """Make the daily tables of pings for today and the days ahead; returns the days that were missing."""
    return PARTITIONS.ensure(today=today, days_ahead=PARTITIONS_AHEAD_DAYS)


def drop_old_partitions(*, today: date) -> list[date]:
    """Drop daily tables older than POSITION_RETENTION_DAYS, and such stragglers in the default one."""
    return PARTITIONS.drop_before(today - timedelta(days=settings.POSITION_RETENTION_DAYS))


def partition_days() -> list[date]:
    """The UTC days that have a table of their own, in order."""
    return PARTITIONS.days()
