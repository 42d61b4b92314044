"""The evidence of one session, gathered from the rows: samples, messages, and what its connector showed."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from billing import reconstruction
from billing.models import ChargingSession, MeterValue, SessionMessage
from billing.reconstruction import DELIVERING, DELIVERING_W, FULL, LIMITED, QUIET, Evidence, Numbered, Sample
from stations.models import StatusChange

EARLY = timedelta(seconds=60)
LONGEST = timedelta(days=30)
_SAMPLES = """
SELECT asked.id, m.at, m.energy_wh, m.power_w
FROM unnest(%(ids)s::bigint[], %(chargers)s::bigint[], %(refs)s::text[], %(since)s::timestamptz[],
            %(until)s::timestamptz[]) AS asked (id, charger_id, ref, since, until)
CROSS JOIN LATERAL (
    SELECT at, energy_wh, power_w FROM billing_metervalue v
    WHERE v.charger_id = asked.charger_id AND v.transaction_ref = asked.ref AND v.at >= asked.since
      AND (v.at <= asked.until OR v.at <= asked.until + %(tolerance)s AND v.context = %(end)s)
) m ORDER BY asked.id, m.at, m.energy_wh
"""
FROM_RAW_STATUS = {"Charging": DELIVERING, "SuspendedEV": FULL, "SuspendedEVSE": LIMITED}  # OCPP 1.6 section 7.7
FROM_CHARGING_STATE = FROM_RAW_STATUS | {"EVConnected": FULL, "Idle": FULL}  # OCPP 2.0.1 ChargingStateEnumType


def evidence_of(session: ChargingSession) -> Evidence:
    """Everything known of an ended session. Needs connector and, when it has one, vehicle__model."""
    assert session.ended_at is not None  # noqa: S101 (only ended sessions have figures)
    vehicle = session.vehicle
    return Evidence(
        started_at=session.started_at,
        ended_at=session.ended_at,
        meter_start_wh=session.meter_start_wh if session.is_meter_start_reported else None,
        meter_stop_wh=session.meter_stop_wh,
        samples=_samples(session),
        is_start_reported=session.is_start_reported,
        is_stop_reported=not session.is_stop_estimated,
        max_power_w=session.connector.max_power_w,
        battery_wh=vehicle.model.battery_wh if vehicle else None,
        sequence=_sequence(session),
        next_start_at=next_start_at(session),
        is_time_ours=session.is_time_ours,
    )


def next_start_at(session: ChargingSession) -> datetime | None:
    """When the next session began at the same plug: this one was over by then."""
    later = ChargingSession.objects.filter(connector_id=session.connector_id, started_at__gt=session.started_at)
    return later.exclude(pk=session.pk).order_by("started_at").values_list("started_at", flat=True).first()


def samples_of(session: ChargingSession) -> list[tuple[datetime, int | None, int | None]]:
    """(at, energy_wh, power_w) of this session, oldest first; a network's session has none of ours."""
    return list(_rows(session).values_list("at", "energy_wh", "power_w"))


def samples_of_all(sessions: Sequence[ChargingSession]) -> dict[int, list[tuple[datetime, int | None, int | None]]]:
    """As `samples_of`, by session, in one statement; those without any are left out."""
    ours = [session for session in sessions if session.charger_id is not None]
    values: dict[str, Any] = {
        "ids": [session.pk for session in ours], "chargers": [session.charger_id for session in ours],
        "refs": [session.transaction_ref for session in ours],
        "since": [session.started_at - EARLY for session in ours],
        "until": [session.ended_at or session.started_at + LONGEST for session in ours],
        "tolerance": reconstruction.CLOCK_TOLERANCE, "end": reconstruction.END,
    }  # fmt: skip
    found: dict[int, list[tuple[datetime, int | None, int | None]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLES, values)
        for session_id, *sample in cursor.fetchall():
            found.setdefault(session_id, []).append((sample[0], sample[1], sample[2]))
    return found


def first_and_last_sample_at(
    session: ChargingSession, *, not_after: datetime | None = None
) -> tuple[datetime | None, datetime | None]:
    """The oldest and newest sample of its transaction, wherever the session's own limits stand."""
    rows = MeterValue.objects.filter(charger_id=session.charger_id or 0, transaction_ref=session.transaction_ref)
    if not_after is not None:
        rows = rows.filter(at__lte=not_after)
    times = rows.exclude(context=reconstruction.CLOCK).order_by("at").values_list("at", flat=True)
    return times.first(), times.last()


def idle_seconds(session: ChargingSession, ended_at: datetime) -> int:
    """From when delivery ended for good, by power, OCPP 2.x chargingState or OCPP 1.6 status; 0 without proof."""
    power = [
        (at, DELIVERING if power_w >= DELIVERING_W else QUIET)
        for at, _, power_w in samples_of(session)
        if power_w is not None
    ]
    return reconstruction.idle_seconds([*_states(session, ended_at), *power], ended_at)


def _rows(session: ChargingSession) -> QuerySet[MeterValue]:
    """Samples of its time; without a reported stop `ended_at` itself bounds them.

    The last one is often taken a moment after the stop that carries it.
    """
    if session.charger_id is None:
        return MeterValue.objects.none()
    until = session.ended_at or session.started_at + LONGEST
    in_time = Q(at__lte=until) | Q(at__lte=until + reconstruction.CLOCK_TOLERANCE, context=reconstruction.END)
    return MeterValue.objects.filter(
        in_time,
        charger_id=session.charger_id,
        transaction_ref=session.transaction_ref,
        at__gte=session.started_at - EARLY,
    ).order_by("at", "energy_wh")


def _samples(session: ChargingSession) -> tuple[Sample, ...]:
    rows = _rows(session).values_list("at", "energy_wh", "power_w", "interval_wh", "context", "soc_percent")
    return tuple(Sample(*row) for row in rows)


def _states(session: ChargingSession, ended_at: datetime) -> list[tuple[datetime, str]]:
    """What the station said of the flow: its messages (2.x), or the statuses of its connector (1.6)."""
    if session.charger_id is None:
        return []
    said = SessionMessage.objects.filter(charger_id=session.charger_id, transaction_ref=session.transaction_ref)
    states = [
        (at, FROM_CHARGING_STATE[state])
        for at, state in said.values_list("at", "charging_state")
        if state in FROM_CHARGING_STATE
    ]
    if states:
        return states
    shown = StatusChange.objects.filter(
        connector_id=session.connector_id, at__gte=session.started_at, at__lte=ended_at, raw_status__in=FROM_RAW_STATUS
    )
    return [(at, FROM_RAW_STATUS[raw]) for at, raw in shown.values_list("at", "raw_status")]


def _sequence(session: ChargingSession) -> tuple[Numbered, ...]:
    """Every event we have of the transaction that had a number (OCPP 2.x), as they arrived."""
    if session.charger_id is None:
        return ()
    of_session = Q(charger_id=session.charger_id, transaction_ref=session.transaction_ref, sequence__isnull=False)
    times: dict[tuple[datetime, int], list[datetime]] = defaultdict(list)
    for rows in (MeterValue.objects, SessionMessage.objects):
        for received_at, number, at in rows.filter(of_session).values_list("received_at", "sequence", "at"):
            times[received_at, number or 0].append(at)
    return tuple(Numbered(number, min(ats), max(ats)) for (_, number), ats in sorted(times.items()))
