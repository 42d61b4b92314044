"""Writes of tracker alarms: every call is told once, and cleared once, whatever the tracker repeats."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q

from fleetcharge.lib.events import publish
from vehicles.events import TrackerAlarmCleared, TrackerAlarmRaised
from vehicles.models import DeviceAssignment, TrackerAlarm, Vehicle

LATE_AFTER = timedelta(minutes=10)
# A pressed button is repeated every few seconds; a wire stays cut, and some trackers say so at every turn of the key.
SILENCE: dict[str, timedelta] = {TrackerAlarm.Kind.EMERGENCY: timedelta(minutes=1)}
LONG_SILENCE = timedelta(hours=1)


def raise_alarm(
    *, device_id: str, kind: str, at: datetime, received_at: datetime, place: tuple[float, float] | None = None,
    is_live: bool = False,
) -> TrackerAlarm | None:  # fmt: skip
    """Store an alarm and tell of it; None for a device of nobody, and for what was told before.

    Trackers repeat an alarm until it is over. Heard again after a silence it is a new one, which takes the place of the
    one that stood: the message that it was over may never have come. One older than ten minutes is kept as a late one
    and told to nobody, unless it is live: then it was we who read it late. One ahead of our clock is of now.
    """
    at = min(at, received_at)
    vehicle = Vehicle.objects.holding(device_id, at).filter(is_active=True).first()
    if vehicle is None:
        return None
    is_late = not is_live and received_at - at > LATE_AFTER
    latitude, longitude = place or (None, None)
    fields = {"raised_at": at, "received_at": received_at, "heard_at": received_at, "is_late": is_late,
              "latitude": latitude, "longitude": longitude}  # fmt: skip
    try:
        with transaction.atomic():
            if not is_late and not _is_new(vehicle, kind, at, received_at):
                return None
            alarm = TrackerAlarm.objects.create(vehicle=vehicle, kind=kind, **fields)
            if not is_late:
                publish(TrackerAlarmRaised(alarm.pk, vehicle.pk, vehicle.organisation_id, kind, at))
    except IntegrityError:  # replayed, or another process was faster
        return None
    return alarm


def _is_new(vehicle: Vehicle, kind: str, at: datetime, received_at: datetime) -> bool:
    """Whether this is another call than those we know; one that stood and fell silent gives way to it."""
    told = TrackerAlarm.objects.filter(vehicle=vehicle, kind=kind, is_late=False)
    if told.filter(raised_at__lte=at, cleared_at__gte=at).exists():  # a repetition that came after the end
        return False
    standing = told.filter(cleared_at=None).select_for_update().first()
    if standing is None:
        return True
    if at <= standing.raised_at:
        return False
    was_heard_at = standing.heard_at
    told.filter(pk=standing.pk, heard_at__lt=received_at).update(heard_at=received_at)
    if received_at - was_heard_at < SILENCE.get(kind, LONG_SILENCE):
        return False
    told.filter(pk=standing.pk).update(cleared_at=at)
    return True


@transaction.atomic
def clear_alarm(*, device_id: str, kind: str, at: datetime) -> bool:
    """The tracker says it is over, whichever vehicle of the fleet it was in when it called; False when nothing older
    than `at` stood."""
    fleet = Vehicle.objects.holding(device_id, at).values("organisation")
    standing = TrackerAlarm.objects.standing().filter(_called_by(device_id), vehicle__organisation__in=fleet, kind=kind)
    standing = standing.filter(raised_at__lte=at).select_for_update(of=("self",)).select_related("vehicle")
    alarms = list(standing.order_by("pk"))
    for alarm in alarms:
        TrackerAlarm.objects.filter(pk=alarm.pk).update(cleared_at=at)
        publish(TrackerAlarmCleared(alarm.vehicle_id, alarm.vehicle.organisation_id, kind, at))
    return bool(alarms)


def _called_by(device_id: str) -> Q:
    """Alarms of this device: it was in the vehicle then, or its time there was cut short since and no other's it is."""
    devices = DeviceAssignment.objects.filter(vehicle=OuterRef("vehicle"))
    began = Q(starts_at=None) | Q(starts_at__lte=OuterRef("raised_at"))
    then = devices.filter(began, Q(ends_at=None) | Q(ends_at__gt=OuterRef("raised_at")))
    was_here = Q(Exists(devices.filter(device_id=device_id)))
    return Q(Exists(then.filter(device_id=device_id))) | was_here & ~Q(Exists(then))
