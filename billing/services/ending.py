"""The end of a session: by the station's stop, by our judgement when none comes, and by a stop after that."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from billing.events import SessionDoubted, SessionEnded
from billing.models import CDR, BillingException, ChargingSession, MeterValue
from billing.models.sessions import ChargingSessionQuerySet
from billing.services import corrections, energy, figures, messages, orphans, reused
from billing.services.exceptions import open_exception
from billing.services.figures import Outcome
from billing.services.messages import Said
from billing.services.orphans import NOBODY_KNOWS, Stop
from billing.services.rating import rate_cdr
from fleetcharge.lib.events import publish
from stations import services as stations

ESTIMATES_OPEN_FOR = timedelta(days=30)
BY_US = "Assumed"
INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class EndedSession:
    """`session_id` is None for a stop that belongs to nothing we know; `total_paise` includes GST, None if unpriced."""

    session_id: int | None
    is_new: bool
    energy_wh: int
    total_paise: int | None


@dataclass(frozen=True)
class Found:
    """The session a message belongs to, as its station names it; `transaction_ref` as asked when there is none.

    `evse_number` 0: the station has not said.
    """

    transaction_ref: str
    evse_number: int = 0
    meter_start_wh: int | None = None


@transaction.atomic
def find_stopped(
    *,
    charger_id: int,
    transaction_ref: str,
    ended_at: datetime,
    meter_stop_wh: int | None,
    id_token: str,
    is_time_ours: bool = False,
) -> Found:
    """Which session a stop will end, so that the samples it carries get there; changes nothing."""
    stop = Stop(charger_id, transaction_ref, ended_at, meter_stop_wh, "", id_token, None, is_time_ours)
    return _found(find_for_stop(stop), transaction_ref)


def find_running(*, charger_id: int, transaction_ref: str) -> Found:
    """The session of a transaction, for what a socket has forgotten of it."""
    rows = ChargingSession.objects.select_related("connector__evse")
    return _found(rows.filter(charger_id=charger_id, transaction_ref=transaction_ref).first(), transaction_ref)


def _found(session: ChargingSession | None, transaction_ref: str) -> Found:
    if session is None:
        return Found(transaction_ref)
    number = session.connector.evse.evse_number
    return Found(session.transaction_ref, 0 if number == stations.NOBODYS_PLUG else number, session.meter_start_wh)


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
    is_time_ours: bool = False,
    said: Said | None = None,
) -> EndedSession:
    """Close a session and write its CDR. The first stop wins, a repeat changes nothing, an orphan is kept for finance.

    A stop after our own estimate replaces it: audited, and with an adjustment when the estimate was priced already.
    `idle_seconds`: plugged in without drawing; None lets samples and states tell. `is_time_ours`: see Stop.
    """
    stop = Stop(
        charger_id, transaction_ref, ended_at, meter_stop_wh, reason[:30], id_token, idle_seconds, is_time_ours
    )  # fmt: skip
    if said is not None:
        messages.keep(charger_id=charger_id, transaction_ref=transaction_ref, said=said)
    session = find_for_stop(stop)
    if session is None:
        orphans.keep(stop, received_at)
        return EndedSession(None, True, 0, None)
    return apply_stop(session, stop, received_at=received_at, cause=str(said or stop))


def apply_stop(session: ChargingSession, stop: Stop, *, received_at: datetime, cause: str) -> EndedSession:
    """Apply a stop to the session it belongs to (its row locked)."""
    if session.state != ChargingSession.State.ACTIVE and not session.is_stop_estimated:
        _report_conflict(session, stop, received_at)
        return EndedSession(session.pk, False, session.energy_wh, _total_of(session))
    was_active = session.state == ChargingSession.State.ACTIVE
    if session.transaction_ref != stop.transaction_ref:
        change = {"transaction_ref": (stop.transaction_ref, session.transaction_ref)}
        why = "The station had lost the transaction id; matched by token, place and time."
        corrections.record(session, change, reason=why, cause=cause, at=received_at)
        _adopt_samples(session, stop)
    corrections.apply(
        session,
        {
            "ended_at": max(stop.ended_at, session.started_at),
            "meter_stop_wh": stop.meter_stop_wh,
            "stop_reason": stop.reason,
            "is_stop_estimated": False,
            "is_time_ours": session.is_time_ours or stop.is_time_ours,
        },
        reason="The station's own stop arrived after our estimate.",
        cause=cause,
        at=received_at,
        is_recorded=not was_active,
    )
    outcome = _close(session, now=received_at, cause=cause, idle_seconds=stop.idle_seconds, is_first=was_active)
    return EndedSession(session.pk, True, session.energy_wh, None if outcome.is_blocked else _price_of(outcome.cdr))


def _adopt_samples(session: ChargingSession, stop: Stop) -> None:
    """A station that counts transactions by itself said its samples under the same number as the stop."""
    if stop.transaction_ref in NOBODY_KNOWS:
        return
    said = MeterValue.objects.filter(charger_id=stop.charger_id, transaction_ref=stop.transaction_ref)
    said.filter(at__range=(session.started_at, stop.ended_at)).update(transaction_ref=session.transaction_ref)


@transaction.atomic
def end_as_estimated(*, session_id: int, why: str, not_after: datetime | None, now: datetime) -> bool:
    """End a session that is over without a stop, at its last sample until `not_after` (None: the last of all).

    False when it is not active, or not doubted for this reason any more.
    """
    running = locked(skip=True).filter(pk=session_id, state=ChargingSession.State.ACTIVE, suspect_reason=why)
    session = running.first()
    if session is None:
        return False
    _, last_at = energy.first_and_last_sample_at(session, not_after=not_after)
    ended_at = max(last_at or session.started_at, session.started_at)
    values = {"ended_at": ended_at, "stop_reason": BY_US, "is_stop_estimated": True}
    cause = f"sweep: {why}"
    corrections.apply(session, values, reason="No stop was reported.", cause=cause, at=now)
    _close(session, now=now, cause=cause, idle_seconds=None, is_first=True)
    return True


@transaction.atomic
def revise(*, session_id: int, now: datetime) -> bool:
    """Compute an ended session again, with samples that came after its end was booked; False when it is not ended."""
    session = locked().filter(pk=session_id, state=ChargingSession.State.ENDED).first()
    if session is None:
        return False
    cause = "sweep: late samples"
    if session.is_stop_estimated:
        _, last_at = energy.first_and_last_sample_at(session, not_after=energy.next_start_at(session))
        values = {"ended_at": max(last_at or session.started_at, session.started_at)}
        corrections.apply(session, values, reason="Samples arrived after our estimate.", cause=cause, at=now)
    figures.settle(session, now=now, reason="Samples arrived late.", cause=cause)
    return True


def locked(*, skip: bool = False) -> ChargingSessionQuerySet:
    """Sessions with what their figures need. Ledger rows may still refer to a locked one (no_key).

    `skip`: leave those that somebody else works on.
    """
    related = ("connector__evse__location", "connector__tariff", "source", "vehicle__model", "driver", "organisation")
    rows = ChargingSession.objects.select_related(*related)
    return rows.select_for_update(of=("self",), no_key=True, skip_locked=skip)


def find_for_stop(stop: Stop) -> ChargingSession | None:
    """By transaction; else, when the station lost its id, the one unfinished session the stop can belong to.

    Ids 0 and -1 mean no id; another unknown id is only looked for by the token it names (OCPP reference rule 24).
    Locks what it returns and nothing else, as the sweep does: a session, then its record, then its plug.
    """
    of_charger = locked().filter(charger_id=stop.charger_id)
    named = ChargingSession.objects.filter(charger_id=stop.charger_id, transaction_ref=stop.transaction_ref).first()
    if named and (older := reused.named_before(named, stop.ended_at)):
        return of_charger.get(pk=older)
    known = of_charger.filter(transaction_ref=stop.transaction_ref).first() if named else None
    if known or (stop.transaction_ref not in NOBODY_KNOWS and not stop.id_token):
        return known
    fitting = [row for row in _unfinished(ChargingSession.objects.order_by("started_at"), stop) if stop.fits(row)]
    if len({session.connector_id for session in fitting}) > 1:
        return None
    latest = fitting[-1].pk if fitting else 0
    return _unfinished(locked(), stop).filter(pk=latest).first() or _ended_by(of_charger, stop)


def _unfinished(rows: ChargingSessionQuerySet, stop: Stop) -> ChargingSessionQuerySet:
    rows = rows.filter(charger_id=stop.charger_id).unfinished(since=stop.ended_at - ESTIMATES_OPEN_FOR)
    return rows.filter(id_token_uid__iexact=stop.id_token) if stop.id_token else rows


def _ended_by(of_charger: ChargingSessionQuerySet, stop: Stop) -> ChargingSession | None:
    """The session that this stop ended before, else the one it contradicts (it ended later, by another stop)."""
    ended = of_charger.filter(state=ChargingSession.State.ENDED)
    same = {"is_time_ours": True} if stop.is_time_ours else {"ended_at": stop.ended_at}
    repeated = ended.filter(**same, meter_stop_wh=stop.meter_stop_wh).order_by("pk").last()
    if repeated or not stop.id_token:
        return repeated
    around = ended.filter(started_at__lte=stop.ended_at, ended_at__gte=stop.ended_at)
    return around.filter(id_token_uid__iexact=stop.id_token).order_by("started_at").last()


def _close(session: ChargingSession, *, now: datetime, cause: str, idle_seconds: int | None, is_first: bool) -> Outcome:
    session.state, session.suspect_reason, session.suspect_since = ChargingSession.State.ENDED, "", None
    outcome = figures.settle(
        session, now=now, reason="The station's own stop replaces our estimate.", cause=cause, idle_seconds=idle_seconds
    )
    assert session.ended_at is not None  # noqa: S101 (set by the callers)
    if is_first:
        _free_connector(session, session.ended_at)
        _ask_for_the_rest(session, now)
        publish(
            SessionEnded(
                session.pk, session.organisation_id, session.connector_id, session.connector.evse.location_id,
                session.vehicle_id, session.energy_wh, session.ended_at,
            )
        )  # fmt: skip
    return outcome


def _ask_for_the_rest(session: ChargingSession, now: datetime) -> None:
    """Numbers are missing (OCPP 2.x seqNo): the station may say whether they are still in its queue."""
    if any(gap["kind"] == "messages" for gap in session.gaps):
        publish(
            SessionDoubted(
                session.pk, session.organisation_id, session.charger_id or 0, session.transaction_ref, INCOMPLETE, now
            )
        )


def _free_connector(session: ChargingSession, ended_at: datetime) -> None:
    """A stop replayed after an outage must not hide the vehicle that charges there now."""
    is_taken = ChargingSession.objects.active().filter(connector_id=session.connector_id).exists()
    if not is_taken:
        stations.set_session(connector_id=session.connector_id, has_session=False, is_delivering=False, at=ended_at)


def _price_of(cdr: CDR) -> int | None:
    """The exact total that rating will book; nothing is stored here."""
    rated = rate_cdr(cdr)
    return rated.total_paise if rated else None


def _total_of(session: ChargingSession) -> int | None:
    total = CDR.objects.filter(session=session).values_list("total_paise", flat=True).first()
    return None if total is None else total + session.adjusted_paise


def _report_conflict(session: ChargingSession, stop: Stop, received_at: datetime) -> None:
    """An identical repeat is a retry; a different one is kept beside the first, which stays in force."""
    assert session.ended_at is not None  # noqa: S101 (it is not active)
    is_near = abs(stop.ended_at - session.ended_at) < timedelta(seconds=1)
    is_same_time = is_near or stop.is_time_ours or stop.ended_at < session.started_at
    if is_same_time and stop.meter_stop_wh == session.meter_stop_wh:
        return
    open_exception(
        organisation_id=session.organisation_id,
        kind=BillingException.Kind.CONFLICTING_STOP,
        session_id=session.pk,
        title="The station reported a second, different end",
        details=orphans.details_of(stop),
        at=received_at,
    )
    figures.settle(session, now=received_at, reason="A second, different stop arrived.", cause=str(stop))
