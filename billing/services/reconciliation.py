"""Gathers what GPS, shifts, batteries and meters know about a session, and stores what the rules make of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction

from billing import matching
from billing.events import SessionJudged
from billing.matching import Evidence, Ping, PowerSample, ShiftWindow
from billing.models import BillingException, ChargingSession, ReconciliationVerdict
from billing.services import energy
from billing.services.exceptions import open_exception
from fleetcharge.lib.events import publish
from stations.models import Connector, Source
from vehicles.models import Position, Shift
from vehicles.services import positions_between

WINDOW = timedelta(minutes=30)  # also in _LATE
MOST_PINGS = 600
PLAN_DAYS = timedelta(days=7)
REST_BETWEEN_VERDICTS = timedelta(minutes=10)
CPO_RADIUS_M, IMPORTED_RADIUS_M = 150, 400
HELD_BACK = {matching.REVIEW, matching.BLOCKED}

_LATE = """
SELECT s.id FROM billing_chargingsession s JOIN billing_reconciliationverdict v ON v.session_id = s.id
WHERE s.ended_at >= %s AND v.decided_at < %s AND s.vehicle_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM vehicles_position p WHERE p.vehicle_id = s.vehicle_id
       AND p.fix_at BETWEEN s.started_at - interval '30 minutes' AND s.ended_at + interval '30 minutes'
       AND p.received_at > v.decided_at)
ORDER BY v.decided_at LIMIT %s
"""


def judge(*, session_id: int, now: datetime) -> ReconciliationVerdict | None:
    """Judge an ended session, for the first time or again; None while it still runs.

    The same evidence gives the same verdict and changes nothing. A verdict other than verified or inconclusive opens an
    exception once; late pings that settle the matter close it.
    """
    session = _session(session_id)
    if session is None:
        return None
    evidence = gather(session)
    return _store(session, evidence, now)


def overtaken_by_late_pings(*, now: datetime, since: datetime, limit: int) -> list[int]:
    """Sessions ended after `since` whose vehicle sent pings of that time after the verdict (one query)."""
    with connection.cursor() as cursor:
        cursor.execute(_LATE, [since, now - REST_BETWEEN_VERDICTS, limit])
        return [row[0] for row in cursor.fetchall()]


def gather(session: ChargingSession) -> Evidence:
    """The evidence as it stands now."""
    assert session.ended_at is not None  # noqa: S101 (only ended sessions get here)
    connector, vehicle = session.connector, session.vehicle
    location = connector.evse.location
    shifts = _shifts(session)
    return Evidence(
        started_at=session.started_at,
        ended_at=session.ended_at,
        energy_wh=session.energy_wh,
        latitude=location.latitude,
        longitude=location.longitude,
        base_radius_m=IMPORTED_RADIUS_M if session.source.kind == Source.Kind.IMPORT else CPO_RADIUS_M,
        pings=_pings(session),
        power=tuple(PowerSample(at, power_w) for at, _, power_w in energy.samples_of(session) if power_w is not None),
        shifts=tuple(ShiftWindow(shift.starts_at, shift.ends_at, shift.driver_id) for shift in shifts),
        has_vehicle=vehicle is not None,
        has_shift_plan=bool(shifts),
        token_driver_id=session.id_token.driver_id if session.id_token else None,
        usable_wh=vehicle.model.battery_wh if vehicle else None,
        is_dc=connector.power_type == Connector.PowerType.DC,
        charger_soc_start_percent=session.soc_start_percent,
        charger_soc_end_percent=session.soc_percent,
    )


def _session(session_id: int) -> ChargingSession | None:
    related = ChargingSession.objects.select_related(
        "connector__evse__location", "source", "vehicle__model", "id_token"
    )
    return related.filter(pk=session_id, state=ChargingSession.State.ENDED).first()


def _pings(session: ChargingSession) -> tuple[Ping, ...]:
    """The window, thinned evenly when the tracker is chatty, so that the copy we keep stays small."""
    if session.vehicle_id is None or session.ended_at is None:
        return ()
    rows = positions_between(
        vehicle_id=session.vehicle_id, start=session.started_at - WINDOW, end=session.ended_at + WINDOW
    )
    return tuple(map(_ping, rows[:: len(rows) // MOST_PINGS + 1]))


def _ping(row: Position) -> Ping:
    return Ping(
        at=row.fix_at,
        latitude=row.latitude_e7 / 1e7,
        longitude=row.longitude_e7 / 1e7,
        speed_kmh=None if row.speed_dkmh is None else row.speed_dkmh / 10,
        accuracy_m=row.accuracy_m,
        soc_percent=None if row.soc_permille is None else row.soc_permille / 10,
    )


def _shifts(session: ChargingSession) -> Sequence[Shift]:
    """Shifts of that week; none at all means the fleet does not plan this vehicle's shifts."""
    if session.vehicle_id is None:
        return []
    return list(
        Shift.objects.filter(
            vehicle_id=session.vehicle_id,
            starts_at__lte=session.started_at + PLAN_DAYS,
            ends_at__gte=session.started_at - PLAN_DAYS,
        ).order_by("starts_at", "pk")[:50]
    )


@transaction.atomic
def _store(session: ChargingSession, evidence: Evidence, now: datetime) -> ReconciliationVerdict:
    judgement = matching.judge(evidence)
    name = matching.input_hash(evidence)
    ChargingSession.objects.select_for_update().get(pk=session.pk)  # two workers, one verdict
    known = ReconciliationVerdict.objects.filter(session=session).first()
    ChargingSession.objects.filter(pk=session.pk).update(reconciled_at=now)
    if known is not None and known.input_hash == name:
        known.decided_at = now
        known.save(update_fields=["decided_at"])
        return known
    findings = [
        {
            "rule": finding.rule, "points": finding.points, "text": finding.text, "evidence": finding.evidence,
            "is_inconclusive": finding.is_inconclusive,
        }
        for finding in judgement.findings
    ]  # fmt: skip
    verdict, _ = ReconciliationVerdict.objects.update_or_create(
        session=session,
        defaults={
            "verdict": judgement.verdict,
            "points": judgement.points,
            "findings": findings,
            "evidence": matching.as_json(evidence),
            "ruleset_version": matching.RULESET_VERSION,
            "input_hash": name,
            "decided_at": now,
        },
    )
    if known is None or known.verdict != judgement.verdict:
        _follow_up(session, verdict, now)
        publish(SessionJudged(session.pk, session.organisation_id, verdict.verdict, verdict.points))
    return verdict


def _follow_up(session: ChargingSession, verdict: ReconciliationVerdict, now: datetime) -> None:
    doubts = BillingException.objects.filter(session=session, kind=BillingException.Kind.SUSPICIOUS)
    if verdict.verdict not in HELD_BACK:
        doubts.open().update(resolved_at=now, resolution="Positions that arrived later settle it.")
        return
    if doubts.exists():  # open, or a person decided already
        return
    worst = max(verdict.findings, key=lambda finding: finding["points"])
    open_exception(
        organisation_id=session.organisation_id,
        kind=BillingException.Kind.SUSPICIOUS,
        session_id=session.pk,
        title=worst["text"],
        details={"verdict": verdict.verdict, "points": verdict.points, "rule": worst["rule"]},
        at=now,
    )
