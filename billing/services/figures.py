"""The final figures of a session: computed from everything known, as often as something new is known."""

from dataclasses import dataclass
from datetime import datetime

from billing import reconstruction
from billing.limits import moving
from billing.models import CDR, BillingException, ChargingSession
from billing.reconstruction import JUMPED, NO_METER, NO_START, NO_STOP, ODD_METER, REVIEW, Account
from billing.services import adjustments, corrections, energy, reused, tariffs
from billing.services.adjustments import Figures
from billing.services.afterwards import question_refused
from billing.services.authorisation import ACCEPTED, UNKNOWN_TOKEN
from billing.services.exceptions import is_decided, open_exception, withdraw
from billing.state_of_charge import Charge, charge_of
from stations import services as stations

Kind = BillingException.Kind
DISPUTED = "conflicting_stop"
NO_SUCH_PLUG = "no_such_plug"

OF_THE_ENGINE = (Kind.UNKNOWN_TOKEN, Kind.ODD_METER, Kind.MISSING_START, Kind.NEVER_ENDED)
TITLES = {
    reconstruction.BACKWARDS: "The meter ran backwards",
    reconstruction.TOO_MUCH: "More energy than the plug can give in the time",
    reconstruction.RESET: "The meter changed its base during the session",
    reconstruction.OVERLAPS: "It ends after the next session at the same plug began",
    reconstruction.DISAGREES: "The samples show more than the stop says",
}


@dataclass(frozen=True)
class Outcome:
    """`cdr` is None for nothing; `is_blocked`: a person must look before it is priced."""

    cdr: CDR
    is_blocked: bool


@dataclass(frozen=True)
class Doubt:
    kind: str
    title: str
    holds_back: bool = True


def settle(
    session: ChargingSession, *, now: datetime, reason: str, cause: str, idle_seconds: int | None = None
) -> Outcome:
    """Compute an ended session (its row locked by the caller) and book it; the first time and every time after.

    What changes after the first time is audited. A CDR that is rated already gets an adjustment.
    """
    is_first, thought_to_begin_at = session.revised_at is None, session.started_at
    reused.give_back(session)
    if not session.is_start_reported:
        _move_start_back(session, now)
    evidence = energy.evidence_of(session)
    account = reconstruction.account(evidence)
    corrections.apply(
        session,
        _figures(session, account, charge_of(evidence)),
        reason=reason,
        cause=cause,
        at=now,
        is_recorded=not is_first,
    )
    session.gaps, session.revised_at, session.power_w = list(account.gaps), now, 0
    session.needs_revision = False
    session.reconciled_at = None  # the evidence is looked at again
    session.save()
    moving.follow(session=session, before=thought_to_begin_at)
    is_blocked = _raise_doubts(session, account, now)
    return Outcome(_book(session, idle_seconds, is_blocked, reason, now), is_blocked)


def _figures(session: ChargingSession, account: Account, charge: Charge | None) -> dict[str, object]:
    reasons = list(account.reasons)
    if charge is not None and charge.is_odd and JUMPED not in reasons:
        reasons.append(JUMPED)
    if session.authorisation_reason != ACCEPTED:
        reasons.insert(0, session.authorisation_reason or UNKNOWN_TOKEN)
    is_disputed = BillingException.objects.open().filter(session=session, kind=Kind.CONFLICTING_STOP).exists()
    if is_disputed:
        reasons.append(DISPUTED)
    if is_nowhere := session.connector.evse.evse_number == stations.NOBODYS_PLUG:
        reasons.append(NO_SUCH_PLUG)
    needs_review = is_disputed or is_nowhere or session.authorisation_reason != ACCEPTED
    figures: dict[str, object] = {
        "energy_wh": account.energy_wh,
        "quality_reasons": reasons,
        "quality": REVIEW if needs_review else account.grade,
    }
    if not session.is_meter_start_reported:
        figures["meter_start_wh"] = account.meter_start_wh
    if account.meter_stop_wh is not None:
        figures["meter_last_wh"] = account.meter_stop_wh
    if charge is not None:  # one sample alone stands as it was told
        figures |= {"soc_start_percent": charge.start_percent, "soc_percent": charge.end_percent}
    return figures


def _move_start_back(session: ChargingSession, now: datetime) -> None:
    """Without a start, the oldest sample is the earliest moment we know of."""
    first_at, _ = energy.first_and_last_sample_at(session)
    if first_at is not None and first_at < session.started_at:
        session.started_at = first_at


# --- doubts -------------------------------------------------------------------------------------------------------


def _raise_doubts(session: ChargingSession, account: Account, now: datetime) -> bool:
    """Open what finance must see, withdraw what is settled; True when nothing may be priced before somebody looked."""
    doubts = {doubt.kind: doubt for doubt in _doubts(session, account)}
    withdraw(session_id=session.pk, kinds=[kind for kind in OF_THE_ENGINE if kind not in doubts], at=now)
    if session.authorisation_reason:
        question_refused(session=session, at=now)
    is_blocked = False
    for doubt in doubts.values():
        if is_decided(session_id=session.pk, kind=doubt.kind):
            continue
        is_blocked = is_blocked or doubt.holds_back
        open_exception(
            organisation_id=session.organisation_id,
            kind=doubt.kind,
            session_id=session.pk,
            title=doubt.title,
            details=_details(session, account),
            at=now,
        )
    return is_blocked


def _doubts(session: ChargingSession, account: Account) -> list[Doubt]:
    found, token = [], session.id_token_uid
    if session.authorisation_reason in {"", UNKNOWN_TOKEN}:
        found.append(Doubt(Kind.UNKNOWN_TOKEN, f"Token {token or '(none)'} is not known"))
    if NO_START in account.reasons:
        found.append(Doubt(Kind.MISSING_START, "The start of this session never arrived"))
    if NO_STOP in account.reasons:
        title = "No stop was ever reported; ended by its last trusted values"
        found.append(Doubt(Kind.NEVER_ENDED, title, holds_back=NO_METER in account.reasons))
    if odd := [reason for reason in account.reasons if reason in ODD_METER]:
        found.append(Doubt(Kind.ODD_METER, TITLES[odd[0]]))
    elif NO_METER in account.reasons and NO_STOP not in account.reasons:
        found.append(Doubt(Kind.ODD_METER, "No register says what was drawn"))
    return found


def _details(session: ChargingSession, account: Account) -> dict[str, object]:
    return {
        "reasons": list(account.reasons),
        "token": session.id_token_uid,
        "authorisation_reason": session.authorisation_reason,
        "meter_start_wh": session.meter_start_wh,
        "meter_stop_wh": session.meter_stop_wh,
        "energy_wh": account.energy_wh,
        "seconds": session.duration_seconds,
        "max_power_w": session.connector.max_power_w,
    }


# --- the record ---------------------------------------------------------------------------------------------------


def _book(session: ChargingSession, idle_s: int | None, is_blocked: bool, reason: str, now: datetime) -> CDR:
    assert session.ended_at is not None  # noqa: S101 (only ended sessions are settled)
    cdr = CDR.objects.select_for_update(of=("self",), no_key=True).filter(session=session).first()
    duration_s = session.duration_seconds
    idle = energy.idle_seconds(session, session.ended_at) if idle_s is None else idle_s
    idle = min(max(idle, 0), duration_s)
    figures = Figures(session.started_at, session.ended_at, session.energy_wh, duration_s - idle, idle)
    if cdr is not None and cdr.rated_at is not None:
        cdr.session = session
        adjustments.adjust(cdr=cdr, figures=figures, reason=reason, now=now)
        return cdr
    cdr = cdr or CDR(session=session)
    cdr.organisation_id, cdr.is_blocked = session.organisation_id, is_blocked
    cdr.started_at, cdr.ended_at, cdr.energy_wh = figures.started_at, figures.ended_at, figures.energy_wh
    cdr.charging_seconds, cdr.idle_seconds = figures.charging_seconds, figures.idle_seconds
    cdr.tariff = tariffs.tariff_for(connector=session.connector, at=session.started_at)
    cdr.save()
    return cdr
