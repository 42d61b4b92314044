"""Tells vehicles what chargers know of their batteries: the charge, or the kWh that went in."""

from collections.abc import Iterable
from datetime import datetime

from billing.models import ChargingSession
from stations.models import Connector
from vehicles.estimating import AC_EFFICIENCY, DC_EFFICIENCY
from vehicles.readings import Metered, hear_chargers


def tell_vehicles(session_ids: Iterable[int], *, now: datetime) -> int:
    """How many vehicles it was news for; told again nothing changes."""
    rows = ChargingSession.objects.filter(pk__in=list(session_ids), vehicle__isnull=False).values_list(
        "vehicle_id", "pk", "energy_wh", "connector__power_type", "soc_percent", "metered_at", "ended_at", "started_at"
    )
    told = [
        Metered(vehicle_id or 0, pk, energy_wh * _efficiency(power_type), _percent(soc), metered or ended or started)
        for vehicle_id, pk, energy_wh, power_type, soc, metered, ended, started in rows
    ]
    return hear_chargers(told, now=now) if told else 0


def _efficiency(power_type: str) -> float:
    return DC_EFFICIENCY if power_type == Connector.PowerType.DC else AC_EFFICIENCY


def _percent(soc: float | None) -> float | None:
    """AC chargers that cannot ask the vehicle say 0, all the time."""
    return soc if soc is not None and 0 < soc <= 100 else None
