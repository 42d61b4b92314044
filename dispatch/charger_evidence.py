"""What dispatch knows of units, for stations.health: starts without a session, what drivers say, how busy they are."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db.models import Q

from dispatch.driving.models import PlugReport
from dispatch.forecasts.models import PlugGroup
from dispatch.models import SessionCommand
from stations.health.evidence import LOOK_BACK
from stations.health.features import Evidence, FailedStart
from stations.models import Connector

State = SessionCommand.State
OUT_OF_ORDER = ("EVSE_INOPERATIVE", "FAULTED", "UNAVAILABLE")
"""What networks and chargers answer to a start when the unit is broken."""
DOUBTFUL = 0.5
"""No answer, or no session behind a yes: it may as well have been the network, or a driver who did not plug in."""


def tell_starts(found: Mapping[int, Evidence], now: datetime) -> None:
    starts = SessionCommand.objects.filter(
        kind=SessionCommand.Kind.START, connector__evse__in=found, created_at__gt=now - LOOK_BACK, created_at__lte=now
    )
    refused = Q(state=State.REJECTED, reason__in=OUT_OF_ORDER)
    silent = Q(state__in=(State.FAILED, State.TIMED_OUT, State.NO_SESSION))
    rows = starts.filter(refused | silent).values_list("connector__evse", "created_at", "state", "vehicle")
    for evse_id, at, state, vehicle_id in rows:
        weight = 1.0 if state == State.REJECTED else DOUBTFUL
        found[evse_id].failed_starts.append(FailedStart(at, weight, _name(vehicle_id)))
    _tell_reports(found, now)


def _tell_reports(found: Mapping[int, Evidence], now: datetime) -> None:
    """A driver who stands there says that it is broken."""
    reports = PlugReport.objects.filter(
        kind=PlugReport.Kind.BROKEN, connector__evse__in=found, at__gt=now - LOOK_BACK, at__lte=now
    )
    for evse_id, at, vehicle_id in reports.values_list("connector__evse", "at", "vehicle"):
        found[evse_id].failed_starts.append(FailedStart(at, who=_name(vehicle_id)))


def _name(vehicle_id: int | None) -> str | None:
    """As billing names whose session it was."""
    return None if vehicle_id is None else f"vehicle {vehicle_id}"


def usage_of(charger_id: int) -> Sequence[float] | None:
    """Mean over its plugs of the share that such plugs there are busy, by hour of the week."""
    plugs = Connector.objects.filter(evse__charger=charger_id, is_removed=False)
    rows = [
        group.busy_by_hour
        for site, plug, power_w in plugs.values_list("evse__location", "plug", "max_power_w")
        for group in PlugGroup.objects.filter(location=site, plug=plug, max_power_w=power_w)
        if group.busy_by_hour
    ]
    return [sum(hour) / len(rows) for hour in zip(*rows, strict=True)] if rows else None
