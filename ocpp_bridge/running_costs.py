"""Tells chargers that can show it what the running session costs so far, once a minute at most (rule 38)."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from billing.models import ChargingSession
from billing.services import tariffs
from fleetcharge.lib.sweeps import survived
from ocpp_bridge import commands, costs
from ocpp_bridge.models import Command

EVERY_SECONDS = 60
ACTOR = "running cost"

logger = logging.getLogger(__name__)
_looked_at: dict[int, datetime] = {}
"""When this process last looked at a session; one entry per session that was metered within two minutes."""


def say(*, session_ids: Iterable[int], now: datetime) -> int:
    """Queue the cost of those sessions whose minute is over; how many were told. Two queries, and mostly none.

    Several processes may ask for the same session: the key of the command has the minute, the first one says it.
    """
    due = _due(session_ids, now)
    if not due:
        return 0
    may_show = Exists(costs.said().filter(charger=OuterRef("charger")))  # few can: the others are not even loaded
    related = ("charger", "connector__evse__location", "connector__tariff")
    sessions = list(ChargingSession.objects.active().filter(may_show, pk__in=due).select_related(*related))
    able = costs.able({session.charger for session in sessions if session.charger})
    told = 0
    for session in sessions:
        if session.charger_id in able:
            with survived("session", session.pk):
                told += _tell(session, now)
    return told


def _due(session_ids: Iterable[int], now: datetime) -> list[int]:
    before = now - timedelta(seconds=EVERY_SECONDS)
    due = [pk for pk in session_ids if _looked_at.get(pk, before) <= before]
    if due:
        for pk in [pk for pk, at in _looked_at.items() if at <= before - timedelta(seconds=EVERY_SECONDS)]:
            del _looked_at[pk]
        _looked_at.update(dict.fromkeys(due, now))
    return due


def _tell(session: ChargingSession, now: datetime) -> bool:
    """Paise including GST, as the invoice will say; a price that is a minute old is worth nothing."""
    elapsed_s = max(0, int((now - session.started_at).total_seconds()))
    paise = tariffs.quote_at(
        connector=session.connector, energy_wh=session.energy_wh, duration_s=elapsed_s, at=session.started_at,
        organisation_id=session.organisation_id, vehicle_id=session.vehicle_id,
    )  # fmt: skip
    if paise is None or session.charger_id is None:
        return False
    meter = {} if session.meter_last_wh is None else {"meter_wh": session.meter_last_wh}
    try:
        commands.enqueue(
            charger_id=session.charger_id,
            action=Command.Action.COST_UPDATED,
            parameters={
                "transaction_ref": session.transaction_ref, "total_cost": f"{paise // 100}.{paise % 100:02}", "at": now,
                "is_idle": session.power_w == 0, **meter,
            },
            idempotency_key=f"cost:{session.pk}:{int(now.timestamp()) // EVERY_SECONDS}",
            deadline_at=now + timedelta(seconds=EVERY_SECONDS),
            actor=ACTOR,
            now=now,
        )  # fmt: skip
    except commands.KeyReused:
        return False  # another process was faster
    return True
