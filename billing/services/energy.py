"""How much energy a session drew, and whether its meter can be believed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.models import ChargingSession, MeterValue

POWER_TOLERANCE_PERCENT = 120
CLOCK_TOLERANCE = timedelta(seconds=60)
DELIVERING_W = 100


@dataclass(frozen=True)
class Drawn:
    """`problem` is "" | backwards | too_much; `is_estimated` when no meter stop was given."""

    energy_wh: int
    problem: str = ""
    is_estimated: bool = False


def drawn(session: ChargingSession, *, meter_stop_wh: int | None, ended_at: datetime) -> Drawn:
    """Meter stop minus start; else the last register; else what the samples added up to (OCPP rule 31)."""
    start = session.meter_start_wh
    last = meter_stop_wh if meter_stop_wh is not None else session.meter_last_wh
    if start is None or last is None:
        return _plausible(session, Drawn(session.energy_wh, is_estimated=True), ended_at)
    if last < start:
        believed = max(0, (session.meter_last_wh or start) - start)
        return Drawn(believed, "backwards", is_estimated=True)
    return _plausible(session, Drawn(last - start, is_estimated=meter_stop_wh is None), ended_at)


def _plausible(session: ChargingSession, figure: Drawn, ended_at: datetime) -> Drawn:
    """More than the plug can give in the time, plus a fifth, is not energy but a mistake."""
    power_w = session.connector.max_power_w
    seconds = (ended_at - session.started_at + CLOCK_TOLERANCE).total_seconds()
    if power_w and figure.energy_wh * 3600 * 100 > power_w * seconds * POWER_TOLERANCE_PERCENT:
        return Drawn(figure.energy_wh, "too_much", figure.is_estimated)
    return figure


def samples_of(session: ChargingSession) -> list[tuple[datetime, int | None, int | None]]:
    """(at, energy_wh, power_w) of this session, oldest first; a network's session has none of ours."""
    if session.charger_id is None:
        return []
    rows = MeterValue.objects.filter(
        charger_id=session.charger_id,
        transaction_ref=session.transaction_ref,
        at__gte=session.started_at,
        at__lte=session.ended_at or session.started_at + timedelta(days=30),
    )
    return list(rows.order_by("at").values_list("at", "energy_wh", "power_w"))


def idle_seconds(session: ChargingSession, ended_at: datetime) -> int:
    """From the first sample without power after the last with power; 0 when no sample proves idleness."""
    idle_since: datetime | None = None
    was_delivering = False
    for at, _, power_w in samples_of(session):
        if power_w is None or at > ended_at:
            continue
        if power_w >= DELIVERING_W:
            was_delivering, idle_since = True, None
        elif was_delivering and idle_since is None:
            idle_since = at
    return int((ended_at - idle_since).total_seconds()) if idle_since else 0
