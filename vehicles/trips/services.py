"""Makes vehicle-days again from their pings; harmless to repeat, and the same whatever order they came in."""

from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Case, F, Value, When

from vehicles.decoders.instants import to_microseconds
from vehicles.estimating import LEAST_DROP_PERCENT, SIGMA_PERCENT, Appetite
from vehicles.fixes import CHARGING, MINUTE, Fix
from vehicles.loop import count_again
from vehicles.models import Position, Vehicle
from vehicles.plausibility import MAX_SPEED_KMH
from vehicles.readings import remember
from vehicles.telemetry import MARK_SECONDS
from vehicles.trips.days import span_of
from vehicles.trips.models import Stretch, VehicleDay
from vehicles.trips.segments import Charge, Day, Halt, Trip, segment

AGAIN_AFTER = timedelta(minutes=15)
LEASE = timedelta(minutes=10)
LEARNED_FROM = timedelta(days=30)
CLAIMED_AT_ONCE = 20
MARKED_UNTIL = timedelta(seconds=MARK_SECONDS + 60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = (
    "fix_at", "latitude_e7", "longitude_e7", "speed_dkmh", "accuracy_m", "soc_permille", "flags",
)  # fmt: skip


def due_days(*, now: datetime, limit: int = 500) -> list[tuple[int, date]]:
    """Vehicle and day of what is to be made again, longest waiting first."""
    due = VehicleDay.objects.filter(due_at__lte=now).order_by("due_at")
    return list(due.values_list("vehicle_id", "day")[:limit])


def claim_days(*, now: datetime, limit: int = CLAIMED_AT_ONCE) -> list[tuple[int, date]]:
    """Some of what is due, ours until the lease ends: workers share it, and one that dies delays its part."""
    with transaction.atomic():
        due = VehicleDay.objects.select_for_update(skip_locked=True).filter(due_at__lte=now).order_by("due_at")
        rows = list(due[:limit].values_list("pk", "vehicle_id", "day"))
        VehicleDay.objects.filter(pk__in=[pk for pk, _, _ in rows]).update(due_at=now + LEASE)
    return [(vehicle_id, day) for _, vehicle_id, day in rows]


def make_day(*, vehicle_id: int, day: date, now: datetime) -> Day:
    """Read a day's pings, judge them in time order, replace its trips, halts and charges.

    It is due again while pings of it may still arrive unmarked (MARK_SECONDS of telemetry.py).
    """
    vehicle = Vehicle.objects.select_related("model").get(pk=vehicle_id)
    fixes = _fixes(vehicle_id, day)
    before = [fix.flags for fix in fixes]
    made = segment(fixes, MAX_SPEED_KMH[vehicle.model.vehicle_class])
    rows = _stretches(vehicle, day, fixes, made)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [vehicle_id, day.toordinal()])
        Stretch.objects.filter(vehicle_id=vehicle_id, day=day).delete()
        Stretch.objects.bulk_create(rows)
        for fix, flags in zip(fixes, before, strict=True):
            if fix.flags != flags:
                at = _EPOCH + timedelta(microseconds=fix.at_us)
                Position.objects.filter(vehicle_id=vehicle_id, fix_at=at).update(flags=fix.flags)
        VehicleDay.objects.filter(vehicle_id=vehicle_id, day=day).update(
            pings=len(fixes), distance_m=made.distance_m, heard_minutes=made.heard_us // MINUTE,
            due_at=Case(When(touched_at__gt=now - MARKED_UNTIL, then=Value(now + AGAIN_AFTER)), default=None),
        )  # fmt: skip
    learn_appetite(vehicle, now=now)
    count_again(vehicle_id=vehicle_id, now=now)
    return made


def learn_appetite(vehicle: Vehicle, *, now: datetime) -> None:
    """From all trips of a month between readings of its own, each time anew: a trip that is made again counts once."""
    trips = Stretch.objects.filter(
        vehicle=vehicle, kind=Stretch.Kind.TRIP, started_at__gte=now - LEARNED_FROM,
        soc_start_percent__gte=F("soc_end_percent") + LEAST_DROP_PERCENT,
    ).order_by("started_at")  # fmt: skip
    known = Appetite()
    for drop_percent, distance_m in trips.values_list(F("soc_start_percent") - F("soc_end_percent"), "distance_m"):
        known = known.after(
            drop_percent=drop_percent, distance_m=distance_m, battery_wh=vehicle.model.battery_wh,
            wh_per_km=vehicle.model.consumption_wh_per_km, sigma_percent=SIGMA_PERCENT["measured"],
        )  # fmt: skip
    if known != Appetite():
        remember(vehicle.pk, known)


def _fixes(vehicle_id: int, day: date) -> list[Fix]:
    start, end = span_of(day)
    rows = Position.objects.of_vehicle(vehicle_id, start, end).filter(fix_at__lt=end).values_list(*_COLUMNS)
    return [
        Fix(
            "",
            to_microseconds(at),
            latitude / 1e7,
            longitude / 1e7,
            None if speed is None else speed / 10,
            accuracy_m=accuracy,
            soc_percent=None if soc is None else soc / 10,
            is_charging=bool(flags & CHARGING) or None,
            flags=flags,
        )
        for at, latitude, longitude, speed, accuracy, soc, flags in rows.iterator(chunk_size=5_000)
    ]


def _stretches(vehicle: Vehicle, day: date, fixes: list[Fix], made: Day) -> list[Stretch]:
    battery_wh = vehicle.model.battery_wh
    rows = [_stretch(vehicle, day, fixes, trip, Stretch.Kind.TRIP) for trip in made.trips]
    for row, trip in zip(rows, made.trips, strict=True):
        row.distance_m, row.max_speed_kmh = trip.distance_m, trip.max_speed_kmh
        _tell_charge(row, trip.soc_start, trip.soc_end, -battery_wh)
    rows += [_stretch(vehicle, day, fixes, halt, Stretch.Kind.HALT) for halt in made.halts]
    for charge in made.charges:
        row = _stretch(vehicle, day, fixes, charge, Stretch.Kind(charge.kind))
        _tell_charge(row, charge.soc_start, charge.soc_end, battery_wh)
        rows.append(row)
    return rows


def _stretch(vehicle: Vehicle, day: date, fixes: list[Fix], part: Trip | Halt | Charge, kind: Stretch.Kind) -> Stretch:
    first, last = fixes[part.first], fixes[part.last]
    return Stretch(
        vehicle=vehicle,
        day=day,
        kind=kind,
        started_at=_EPOCH + timedelta(microseconds=first.at_us),
        ended_at=_EPOCH + timedelta(microseconds=last.at_us),
        start_latitude=first.latitude,
        start_longitude=first.longitude,
        end_latitude=last.latitude,
        end_longitude=last.longitude,
    )


def _tell_charge(row: Stretch, start: float | None, end: float | None, battery_wh: int) -> None:
    """`battery_wh` negative: what falls is what was used."""
    row.soc_start_percent, row.soc_end_percent = start, end
    row.energy_wh = None if start is None or end is None else round((end - start) / 100 * battery_wh)
