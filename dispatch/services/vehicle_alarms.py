"""Vehicles that call for help: one alert per call, until the tracker or a dispatcher says it is over."""

from datetime import datetime, timedelta

from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Concat

from dispatch.models import Alert
from dispatch.services.alerts import close_alert_by_key, open_alert
from dispatch.wording import Says
from vehicles.models import TrackerAlarm

UNNOTICED_AFTER, LOOKED_BACK = timedelta(seconds=10), timedelta(days=1)


def alarm_key(vehicle_id: int, kind: str) -> str:
    return f"alarm:{kind}:{vehicle_id}"


def vehicle_alarm(*, alarm_id: int, now: datetime) -> Alert | None:
    """Open the alert of an alarm that stands; None when it is over.

    The alert of an earlier call closes: it may be snoozed, or somebody may have looked at it before this one came.
    """
    alarm = TrackerAlarm.objects.standing().select_related("vehicle").filter(pk=alarm_id).first()
    if alarm is None:
        return None
    is_emergency = alarm.kind == TrackerAlarm.Kind.EMERGENCY
    organisation_id, key = alarm.vehicle.organisation_id, alarm_key(alarm.vehicle_id, alarm.kind)
    same_cause = Alert.objects.open().filter(organisation_id=organisation_id, dedupe_key=key)
    if same_cause.exclude(data__alarm=alarm.pk).exists():
        close_alert_by_key(organisation_id=organisation_id, dedupe_key=key, reason="It called again.", now=now)
    return open_alert(
        organisation_id=organisation_id,
        kind=Alert.Kind.VEHICLE_ALARM,
        dedupe_key=key,
        says=Says("vehicle_alarm", (), {"registration": alarm.vehicle.registration, "alarm": alarm.kind}),
        severity=Alert.Severity.BAD if is_emergency else Alert.Severity.WARN,
        vehicle_id=alarm.vehicle_id,
        data={"alarm": alarm.pk, "latitude": alarm.latitude, "longitude": alarm.longitude},
        now=now,
    )


def vehicle_alarm_over(*, organisation_id: int, vehicle_id: int, kind: str, now: datetime) -> bool:
    """Close its alert; False when a dispatcher did."""
    key = alarm_key(vehicle_id, kind)
    return close_alert_by_key(
        organisation_id=organisation_id, dedupe_key=key, reason="The tracker says it is over.", now=now
    )


def alarms_unnoticed(*, now: datetime) -> list[int]:
    """Standing alarms of the last day that no alert was opened for: their event was lost with its process."""
    told = Alert.objects.filter(
        organisation_id=OuterRef("vehicle__organisation_id"), dedupe_key=OuterRef("key"),
        opened_at__gte=OuterRef("raised_at"),
    )  # fmt: skip
    standing = TrackerAlarm.objects.standing().filter(
        received_at__gte=now - LOOKED_BACK, received_at__lt=now - UNNOTICED_AFTER
    )
    key = Concat(Value("alarm:"), "kind", Value(":"), Cast("vehicle_id", CharField()))
    return list(standing.annotate(key=key).filter(~Exists(told)).order_by("pk").values_list("pk", flat=True)[:500])
