"""A charging session from plug-in to stop: recorded whatever the station says, judged on the way."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from billing.events import SessionEnded, SessionStarted
from billing.models import CDR, BillingException, ChargingSession
from billing.services import energy, ledger, tariffs, wallets
from billing.services.afterwards import keep_start, question_refused
from billing.services.authorisation import ACCEPTED, UNKNOWN_TOKEN, Decision, decide
from billing.services.exceptions import open_exception
from billing.services.rating import rate_cdr
from fleetcharge.lib.events import publish
from stations import services as stations
from stations.models import Charger, Connector
from vehicles.models import VehicleState

Kind = BillingException.Kind
Quality = ChargingSession.Quality

HOLD_MARGIN_PERCENT = 115
NOMINAL_BATTERY_WH = 20_000
NOBODY_KNOWS = {"", "0", "-1"}


@dataclass(frozen=True)
class StartedSession:
    session_id: int
    transaction_ref: str
    is_new: bool
    decision: Decision


@dataclass(frozen=True)
class EndedSession:
    """`session_id` is None for a stop that belongs to nothing we know; `total_paise` includes GST, None if unpriced."""

    session_id: int | None
    is_new: bool
    energy_wh: int
    total_paise: int | None


@transaction.atomic
def start_session(
    *,
    charger_id: int,
    evse_number: int | None,
    connector_id: int,
    id_token: str,
    started_at: datetime,
    received_at: datetime,
    meter_start_wh: int | None,
    start_key: str,
    transaction_ref: str | None = None,
    reservation_number: int | None = None,
    remote_start_id: int | None = None,
    is_offline: bool = False,
) -> StartedSession:
    """Record a start, also of an unknown token or hours late; the same `start_key` is the same session.

    `connector_id` is the station's own number, station-wide for OCPP 1.6 (`evse_number` None). Without
    `transaction_ref` the session gets a positive int32 (OCPP 1.6 transactionId).
    """
    if known := _started_before(charger_id, start_key, transaction_ref):
        return _as_started(known, is_new=False)
    charger = Charger.objects.select_related("location").get(pk=charger_id)
    connector = _connector(charger, evse_number, connector_id, received_at)
    decision = decide(id_token=id_token, connector_id=connector.pk, charger_id=charger_id, at=started_at, is_start=True)
    session = ChargingSession(
        organisation_id=decision.organisation_id or charger.organisation_id,
        source_id=charger.location.source_id,
        charger=charger,
        connector=connector,
        transaction_ref=transaction_ref or str(ledger.next_transaction_id()),
        start_key=start_key,
        id_token_uid=id_token[:36],
        id_token_id=decision.id_token_id,
        vehicle_id=decision.vehicle_id,
        driver_id=decision.driver_id,
        authorisation_reason=decision.reason,
        reservation_number=reservation_number,
        remote_start_id=remote_start_id,
        quality=Quality.BILLABLE if decision.is_accepted else Quality.REVIEW,
        started_at=started_at,
        meter_start_wh=meter_start_wh,
        meter_last_wh=meter_start_wh,
    )
    try:
        with transaction.atomic():
            session.save(force_insert=True)
    except IntegrityError:  # the same start on another socket was first
        known = _started_before(charger_id, start_key, transaction_ref)
        if known is None:
            raise
        return _as_started(known, is_new=False)
    stations.set_session(connector_id=connector.pk, has_session=True, is_delivering=False, at=started_at)
    if decision.is_accepted:
        _hold_money(session, received_at)
    keep_start(session=session, decision=decision, received_at=received_at, is_offline=is_offline)
    publish(
        SessionStarted(
            session.pk, session.organisation_id, connector.pk, charger.location_id, session.vehicle_id, started_at
        )
    )
    _apply_waiting_stop(session, received_at)
    return _as_started(session, is_new=True)


@transaction.atomic
def end_session(
    *,
    charger_id: int,
    transaction_ref: str,
    ended_at: datetime,
    received_at: datetime,
    meter_stop_wh: int | None,
    reason: str,
    id_token: str = "",
    idle_seconds: int | None = None,
) -> EndedSession:
    """Close a session and write its CDR. The first stop wins, a repeat changes nothing, an orphan is kept for finance.

    `idle_seconds`: plugged in without drawing; None lets the meter values tell.
    """
    session = _find_for_stop(charger_id, transaction_ref, id_token)
    if session is None:
        return _keep_orphan(
            charger_id=charger_id, transaction_ref=transaction_ref, ended_at=ended_at, received_at=received_at,
            meter_stop_wh=meter_stop_wh, reason=reason, id_token=id_token, idle_seconds=idle_seconds,
        )  # fmt: skip
    if session.state != ChargingSession.State.ACTIVE:
        _report_conflict(session, ended_at, meter_stop_wh, received_at)
        return EndedSession(session.pk, False, session.energy_wh, _total_of(session))
    ended_at = max(ended_at, session.started_at)
    figure = energy.drawn(session, meter_stop_wh=meter_stop_wh, ended_at=ended_at)
    _close(session, figure, ended_at, meter_stop_wh, reason)
    is_blocked = _raise_doubts(session, figure, received_at)
    cdr = _write_cdr(session, idle_seconds, is_blocked)
    _free_connector(session, ended_at)
    publish(
        SessionEnded(
            session.pk, session.organisation_id, session.connector_id, session.connector.evse.location_id,
            session.vehicle_id, session.energy_wh, ended_at,
        )
    )  # fmt: skip
    return EndedSession(session.pk, True, session.energy_wh, None if is_blocked else _price_of(cdr))


# --- start --------------------------------------------------------------------------------------------------------


def _started_before(charger_id: int, start_key: str, transaction_ref: str | None) -> ChargingSession | None:
    same = Q(start_key=start_key)
    if transaction_ref:
        same |= Q(charger_id=charger_id, transaction_ref=transaction_ref)
    return ChargingSession.objects.filter(same).select_related("id_token").first()


def _as_started(session: ChargingSession, *, is_new: bool) -> StartedSession:
    reason = session.authorisation_reason
    decision = Decision(
        reason == ACCEPTED, reason, session.organisation_id, session.vehicle_id, session.driver_id,
        session.id_token_id, session.id_token.valid_until if session.id_token else None,
    )  # fmt: skip
    return StartedSession(session.pk, session.transaction_ref, is_new, decision)


def _connector(charger: Charger, evse_number: int | None, connector_id: int, received_at: datetime) -> Connector:
    """The row of this plug; a station may have plugs nobody told us of, so a missing one is created."""
    number = max(connector_id, 1)
    evse = number if evse_number is None else max(evse_number, 1)
    plugs = Connector.objects.filter(evse__charger=charger, evse__evse_number=evse).select_related("evse", "tariff")
    found = plugs.filter(connector_id=number).first() or (plugs.first() if connector_id < 1 else None)
    if found is None:
        report = stations.StatusReport(
            charger_id=charger.pk,
            evse_number=None if evse_number is None else evse,
            connector_id=number,
            raw_status="",
            status=Connector.Status.UNKNOWN,
            at=received_at,
            received_at=received_at,
        )
        stations.report_statuses([report])
        found = plugs.get(connector_id=number)
    return found


def _hold_money(session: ChargingSession, now: datetime) -> None:
    """The wallet has the last word: it may have been emptied since we looked."""
    result = wallets.hold(
        organisation_id=session.organisation_id,
        session_key=wallets.hold_key(session.pk),
        amount_paise=_estimate_paise(session),
        minimum_paise=wallets.FLOOR_HOLD_PAISE,
        now=now,
    )
    if not result.is_held:
        session.authorisation_reason, session.quality = result.reason, Quality.REVIEW
        session.save(update_fields=["authorisation_reason", "quality"])


def _estimate_paise(session: ChargingSession) -> int:
    """What filling up to the target would cost, with a margin; never below the floor."""
    wanted_wh = _wanted_wh(session)
    power_w = session.connector.max_power_w or 7_000
    price = tariffs.quote_at(
        connector=session.connector,
        energy_wh=wanted_wh,
        duration_s=wanted_wh * 3600 // power_w,
        at=session.started_at,
    )
    return max(wallets.FLOOR_HOLD_PAISE, (price or 0) * HOLD_MARGIN_PERCENT // 100)


def _wanted_wh(session: ChargingSession) -> int:
    if session.vehicle_id is None:
        return NOMINAL_BATTERY_WH
    state = VehicleState.objects.select_related("vehicle__model", "vehicle__organisation").filter(
        vehicle_id=session.vehicle_id
    ).first()  # fmt: skip
    if state is None:
        return NOMINAL_BATTERY_WH
    missing_percent = state.vehicle.organisation.target_soc_percent - (state.soc_percent or 0)
    return max(1_000, round(state.vehicle.model.battery_wh * missing_percent / 100))


def _apply_waiting_stop(session: ChargingSession, received_at: datetime) -> None:
    """The stop overtook its start (an offline replay out of order): apply it now."""
    waiting = BillingException.objects.open().filter(
        kind=Kind.ORPHAN_STOP, reference=_orphan_reference(session.charger_id, session.transaction_ref)
    ).first()  # fmt: skip
    if waiting is None:
        return
    stop = waiting.details
    waiting.resolved_at, waiting.resolution = received_at, "The start arrived later."
    waiting.save(update_fields=["resolved_at", "resolution"])
    end_session(
        charger_id=stop["charger_id"],
        transaction_ref=session.transaction_ref,
        ended_at=datetime.fromisoformat(stop["ended_at"]),
        received_at=received_at,
        meter_stop_wh=stop["meter_stop_wh"],
        reason=stop["reason"],
        id_token=stop["id_token"],
        idle_seconds=stop["idle_seconds"],
    )


# --- stop ---------------------------------------------------------------------------------------------------------


def _find_for_stop(charger_id: int, transaction_ref: str, id_token: str) -> ChargingSession | None:
    """By transaction; a station that lost its id (0, -1) means its only open session, of that token if it says one."""
    of_charger = ChargingSession.objects.select_for_update(of=("self",)).select_related("connector__evse__location")
    of_charger = of_charger.filter(charger_id=charger_id)
    known = of_charger.filter(transaction_ref=transaction_ref).first()
    if known or transaction_ref not in NOBODY_KNOWS:
        return known
    candidates = of_charger.active()
    if id_token:
        candidates = candidates.filter(id_token_uid__iexact=id_token)
    found = list(candidates.order_by("pk")[:2])
    return found[0] if len(found) == 1 else None


def _close(
    session: ChargingSession, figure: energy.Drawn, ended_at: datetime, meter_stop_wh: int | None, reason: str
) -> None:
    session.state, session.ended_at, session.stop_reason = ChargingSession.State.ENDED, ended_at, reason[:30]
    session.meter_stop_wh, session.energy_wh, session.power_w = meter_stop_wh, figure.energy_wh, 0
    if figure.problem:
        session.quality = Quality.REVIEW
    elif figure.is_estimated and session.quality == Quality.BILLABLE:
        session.quality = Quality.ESTIMATED
    session.save()


def _raise_doubts(session: ChargingSession, figure: energy.Drawn, at: datetime) -> bool:
    """Open what finance must see; True when the record may not be priced before somebody looked."""
    if figure.problem:
        texts = {
            "backwards": "The meter ran backwards",
            "too_much": "More energy than the plug can give in the time",
        }
        open_exception(
            organisation_id=session.organisation_id,
            kind=Kind.ODD_METER,
            session_id=session.pk,
            title=texts[figure.problem],
            details={
                "problem": figure.problem,
                "meter_start_wh": session.meter_start_wh,
                "meter_stop_wh": session.meter_stop_wh,
                "energy_wh": figure.energy_wh,
                "seconds": session.duration_seconds,
                "max_power_w": session.connector.max_power_w,
            },
            at=at,
        )
    if session.authorisation_reason == UNKNOWN_TOKEN:
        return True
    question_refused(session=session, at=at)
    return figure.problem == "backwards"


def _free_connector(session: ChargingSession, ended_at: datetime) -> None:
    """A stop replayed after an outage must not hide the vehicle that charges there now."""
    is_taken = ChargingSession.objects.active().filter(connector_id=session.connector_id).exists()
    if not is_taken:
        stations.set_session(connector_id=session.connector_id, has_session=False, is_delivering=False, at=ended_at)


def _write_cdr(session: ChargingSession, idle_s: int | None, is_blocked: bool) -> CDR:
    assert session.ended_at is not None  # noqa: S101 (set by _close)
    duration_s = session.duration_seconds
    idle = energy.idle_seconds(session, session.ended_at) if idle_s is None else idle_s
    idle = min(max(idle, 0), duration_s)
    return CDR.objects.create(
        organisation_id=session.organisation_id,
        session=session,
        started_at=session.started_at,
        ended_at=session.ended_at,
        energy_wh=session.energy_wh,
        charging_seconds=duration_s - idle,
        idle_seconds=idle,
        tariff=tariffs.tariff_for(connector=session.connector, at=session.started_at),
        is_blocked=is_blocked,
    )


def _price_of(cdr: CDR) -> int | None:
    """The exact total that rating will book; nothing is stored here."""
    rated = rate_cdr(cdr)
    return rated.total_paise if rated else None


def _total_of(session: ChargingSession) -> int | None:
    return CDR.objects.filter(session=session).values_list("total_paise", flat=True).first()


def _report_conflict(
    session: ChargingSession, ended_at: datetime, meter_stop_wh: int | None, received_at: datetime
) -> None:
    """An identical repeat is a retry; a different one is kept beside the first, which stays in force."""
    assert session.ended_at is not None  # noqa: S101 (it is not active)
    is_same_time = abs(ended_at - session.ended_at) < timedelta(seconds=1) or ended_at < session.started_at
    if is_same_time and meter_stop_wh == session.meter_stop_wh:
        return
    open_exception(
        organisation_id=session.organisation_id,
        kind=Kind.CONFLICTING_STOP,
        session_id=session.pk,
        title="The station reported a second, different end",
        details={"ended_at": ended_at.isoformat(), "meter_stop_wh": meter_stop_wh},
        at=received_at,
    )


def _orphan_reference(charger_id: int | None, transaction_ref: str) -> str:
    return f"{charger_id}/{transaction_ref}"


def _keep_orphan(
    *,
    charger_id: int,
    transaction_ref: str,
    ended_at: datetime,
    received_at: datetime,
    meter_stop_wh: int | None,
    reason: str,
    id_token: str,
    idle_seconds: int | None,
) -> EndedSession:
    charger = Charger.objects.get(pk=charger_id)
    reference = _orphan_reference(charger_id, transaction_ref)
    if transaction_ref in NOBODY_KNOWS:  # such a name repeats; the moment tells one stop from the next
        reference = f"{reference}/{ended_at.isoformat()}"
    seen = BillingException.objects.filter(
        organisation_id=charger.organisation_id, kind=Kind.ORPHAN_STOP, reference=reference
    )
    if not seen.exists():
        open_exception(
            organisation_id=charger.organisation_id,
            kind=Kind.ORPHAN_STOP,
            reference=reference,
            title=f"{charger.ocpp_identity} ended a session we never saw start",
            details={
                "charger_id": charger_id,
                "transaction_ref": transaction_ref,
                "ended_at": ended_at.isoformat(),
                "meter_stop_wh": meter_stop_wh,
                "reason": reason,
                "id_token": id_token,
                "idle_seconds": idle_seconds,
            },
            at=received_at,
        )
    return EndedSession(None, True, 0, None)
