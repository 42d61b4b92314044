"""Writes of tracker alarms: raised once, cleared once, whatever the tracker repeats."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from fleetcharge.lib.events import publish
from vehicles.events import TrackerAlarmCleared, TrackerAlarmRaised
from vehicles.models import TrackerAlarm, Vehicle

LATE_AFTER = timedelta(minutes=10)


def raise_alarm(
    *, device_id: str, kind: str, at: datetime, received_at: datetime, place: tuple[float, float] | None = None
) -> TrackerAlarm | None:
    """Store an alarm and tell of it; None for a device of nobody, and for what stands already or was told before.

    One older than ten minutes is kept as a late one and told to nobody; one ahead of our clock is of now.
    """
    vehicle = Vehicle.objects.filter(device_id=device_id, is_active=True).first()
    if vehicle is None:
        return None
    at, is_late = min(at, received_at), received_at - at > LATE_AFTER
    latitude, longitude = place or (None, None)
    try:
        with transaction.atomic():
            alarm = TrackerAlarm.objects.create(
                vehicle=vehicle, kind=kind, raised_at=at, received_at=received_at, is_late=is_late,
                latitude=latitude, longitude=longitude,
            )  # fmt: skip
            if not is_late:
                publish(TrackerAlarmRaised(alarm.pk, vehicle.pk, vehicle.organisation_id, kind, at))
    except IntegrityError:  # repeated while it stands, or replayed
        return None
    return alarm


@transaction.atomic
def clear_alarm(*, device_id: str, kind: str, at: datetime) -> bool:
    """The tracker says it is over; False when nothing older than `at` stood."""
    standing = TrackerAlarm.objects.standing().filter(vehicle__device_id=device_id, kind=kind, raised_at__lte=at)
    alarm = standing.select_for_update(of=("self",)).select_related("vehicle").first()
    if alarm is None:
        return False
    TrackerAlarm.objects.filter(pk=alarm.pk).update(cleared_at=at)
    publish(TrackerAlarmCleared(alarm.vehicle_id, alarm.vehicle.organisation_id, kind, at))
    return True
