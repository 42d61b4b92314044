"""Sessions and CDRs of other networks: followed as they are told, priced by us, compared with what the network asks."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from billing.entitlement import ACCEPTED
from billing.events import SessionEnded, SessionMetered, SessionStarted
from billing.models import CDR, BillingException, ChargingSession, PriceCheck
from billing.reconstruction import is_possible
from billing.services import credits, money, price_checks, wallets
from billing.services import rating as pricing
from billing.services.afterwards import keep_start
from billing.services.authorisation import decide
from billing.services.exceptions import open_exception, withdraw
from fleetcharge.lib.events import publish
from stations.cpo.ocpi.models import CDRConflict, RoamingCDR, RoamingSession
from stations.cpo.ocpi.objects.base import key
from stations.models import Connector
from stations.services.roaming import connector_of
from vehicles.models import IdToken

Kind, State, Quality = BillingException.Kind, ChargingSession.State, ChargingSession.Quality
BILLABLE = {"ACTIVE", "COMPLETED"}


@transaction.atomic
def follow_session(*, roaming_session_id: int, now: datetime) -> ChargingSession | None:
    """The session of ours behind what a CPO tells; None while nothing charges, or for a token or plug nobody knows.

    Running figures are the CPO's; what is charged for waits for its CDR. May run twice.
    """
    told = RoamingSession.objects.select_related("source", "connector__evse").get(pk=roaming_session_id)
    session = _locked(told.source_id, told.key)
    if session is None:
        session = _begin(told, told.key, now) if told.status in BILLABLE else None
    if session is None or session.state != State.ACTIVE:
        return session
    _meter(session, told)
    if told.status == "COMPLETED":
        _end(session, told.ended_at or told.source_updated_at)
    elif told.status == "INVALID":
        session.state, session.ended_at = State.INVALID, told.ended_at or told.source_updated_at
        session.save(update_fields=["state", "ended_at"])
        wallets.release(session_key=wallets.hold_key(session.pk), now=now)
    return session


@transaction.atomic
def take_cdr(*, roaming_cdr_id: int, now: datetime) -> CDR | None:
    """Our record of what a CPO finally says; None for a correction, or when a person must decide first. May run twice.

    A credit reverses what was booked, and a fresh CDR after it is booked in its place; what does not fit is asked.
    """
    told = RoamingCDR.objects.select_related("source", "connector__evse").get(pk=roaming_cdr_id)
    if known := CDR.objects.filter(Q(roaming_cdr=told) | Q(adjustments__roaming_cdr=told)).first():
        return known
    session = _session_of(told, now)
    if session is None:
        _ask_about_place(told, now)
        return None
    if told.is_credit or CDR.objects.filter(session=session).exists():
        _correct(session, told, now)
        return None
    if session.state == State.ACTIVE:
        session.energy_wh = told.energy_wh
        _end(session, told.ended_at or told.source_updated_at)
    withdraw(session_id=session.pk, kinds=[Kind.NEVER_ENDED], at=now)
    credits.settle_questions(told, now)
    cdr = _record(session, told)
    if cdr.is_blocked:
        _ask_about_energy(session, told, now)
    return cdr


@transaction.atomic
def compare_price(*, cdr_id: int, now: datetime) -> int | None:
    """Ours minus the CPO's figure in paise, with tax where it tells that; None: nothing to compare yet."""
    related = CDR.objects.select_related("roaming_cdr", "tariff", "organisation", "session__connector__tariff")
    cdr = related.select_related("session__connector__evse__location").get(pk=cdr_id)
    if cdr.roaming_cdr is None or cdr.rated_at is None:
        return None
    row = PriceCheck.objects.filter(roaming_cdr=cdr.roaming_cdr).first()
    if row is None and (rated := pricing.rate_cdr(cdr)) is not None:
        row = price_checks.check(cdr=cdr, told=cdr.roaming_cdr, rated=rated, tariff=cdr.tariff, now=now)
    return None if row is None else -row.difference_paise


@transaction.atomic
def ask_about_conflict(*, conflict_id: int, now: datetime) -> None:
    """A network sent another CDR under an id that it used before: it was refused, and finance hears of it."""
    conflict = CDRConflict.objects.select_related("cdr").get(pk=conflict_id)
    token = IdToken.objects.filter(uid__lower=conflict.cdr.token_uid.lower()).first()
    if token is not None:
        title = "A network sent two different CDRs under one id"
        _ask(token.organisation_id, conflict.cdr, title, now, reference=f"conflict:{conflict_id}")


def start_key(source_id: int, session_key: str) -> str:
    return hashlib.sha256(f"ocpi:{source_id}:{session_key.lower()}".encode()).hexdigest()


# --- sessions ---------------------------------------------------------------------------------------------------
def _locked(source_id: int, session_key: str) -> ChargingSession | None:
    rows = ChargingSession.objects.select_related("connector__evse").select_for_update(of=("self",), no_key=True)
    return rows.filter(start_key=start_key(source_id, session_key)).first()


def _begin(told: RoamingSession | RoamingCDR, session_key: str, now: datetime) -> ChargingSession | None:
    token = IdToken.objects.filter(uid__lower=told.token_uid.lower()).first() if told.token_uid else None
    plug = told.connector or _plug_of(told) if token else None
    if token is None or plug is None:
        return None
    decision = decide(id_token=token.uid, connector_id=plug.pk, charger_id=None, at=told.started_at, is_start=True)
    session, is_new = ChargingSession.objects.get_or_create(
        start_key=start_key(told.source_id, session_key),
        defaults={
            "organisation_id": token.organisation_id, "source": told.source, "connector": plug,
            "transaction_ref": session_key.split("*", 2)[-1][:36], "id_token_uid": token.uid, "id_token": token,
            "vehicle_id": decision.vehicle_id, "driver_id": decision.driver_id, "started_at": told.started_at,
            "authorisation_reason": decision.reason,
            "quality": Quality.BILLABLE if decision.is_accepted else Quality.REVIEW,
        },
    )  # fmt: skip
    if is_new:
        if decision.reason == ACCEPTED:
            money.hold_for(session, now, decision.limits)
        keep_start(session=session, decision=decision, received_at=now)
        publish(
            SessionStarted(
                session.pk, session.organisation_id, plug.pk, plug.evse.location_id, session.vehicle_id, told.started_at
            )
        )
    return session


def _plug_of(told: RoamingSession | RoamingCDR) -> Connector | None:
    """As we know the site by now: it may have been imported after they told of it."""
    site_key = key(told.country_code, told.party_id, told.location_ref)
    return connector_of(told.source, site_key, told.evse_ref, told.connector_ref)


def _meter(session: ChargingSession, told: RoamingSession) -> None:
    """Energy, power and state of charge as the CPO tells them."""
    latest = {each["type"]: each["volume"] for period in told.periods for each in period["dimensions"]}
    session.energy_wh, session.metered_at = told.energy_wh, told.source_updated_at
    if "POWER" in latest:
        session.power_w = round(Decimal(latest["POWER"]) * 1000)
    if "STATE_OF_CHARGE" in latest:
        session.soc_percent = float(latest["STATE_OF_CHARGE"])
    session.save(update_fields=["energy_wh", "metered_at", "power_w", "soc_percent"])
    publish(
        SessionMetered(((session.pk, session.connector_id, session.energy_wh, session.power_w, session.soc_percent),))
    )


def _end(session: ChargingSession, ended_at: datetime) -> None:
    session.state, session.stop_reason = State.ENDED, "Network"
    session.ended_at = max(ended_at, session.started_at)
    session.save(update_fields=["state", "stop_reason", "ended_at", "energy_wh"])
    publish(
        SessionEnded(
            session.pk, session.organisation_id, session.connector_id, session.connector.evse.location_id,
            session.vehicle_id, session.energy_wh, session.ended_at,
        )
    )  # fmt: skip


# --- CDRs -------------------------------------------------------------------------------------------------------
def _session_of(told: RoamingCDR, now: datetime) -> ChargingSession | None:
    """By session id, then by our reference, then by token and start; a CDR that comes first begins its session."""
    original = _original_of(told)
    if original is not None:
        return original
    owner = f"{told.country_code}*{told.party_id}"
    session_key = f"{owner}*{told.session_ref}" if told.session_ref else _told_session_key(told)
    session_key = session_key or told.key
    return _locked(told.source_id, session_key) or _begin(told, session_key, now)


def _original_of(told: RoamingCDR) -> ChargingSession | None:
    """The session of what a credit takes back."""
    record = credits.record_of(told) if told.is_credit else None
    if record is None:
        return None
    mine = CDR.objects.filter(Q(roaming_cdr=record) | Q(adjustments__roaming_cdr=record))
    cdr = mine.select_related("session__connector__evse").first()
    return cdr.session if cdr else None


def _told_session_key(told: RoamingCDR) -> str:
    sessions = RoamingSession.objects.filter(source_id=told.source_id)
    if told.authorization_reference:
        named = sessions.filter(authorization_reference=told.authorization_reference).first()
        if named:
            return named.key
    same = sessions.filter(token_uid=told.token_uid, started_at=told.started_at, location_ref=told.location_ref)
    found = same.first()
    return found.key if found else ""


def _record(session: ChargingSession, told: RoamingCDR) -> CDR:
    ended_at = told.ended_at or told.source_updated_at
    return CDR.objects.create(
        organisation_id=session.organisation_id, session=session, roaming_cdr=told, started_at=told.started_at,
        ended_at=max(ended_at, told.started_at), energy_wh=told.energy_wh, currency=told.currency,
        charging_seconds=max(0, told.total_seconds - told.parking_seconds), idle_seconds=told.parking_seconds,
        tariff=price_checks.tariff_named(told), is_blocked=not _is_possible(session, told),
    )  # fmt: skip


def _is_possible(session: ChargingSession, told: RoamingCDR) -> bool:
    """No more than the plug gives in the time; energy that ran backwards is none."""
    seconds = ((told.ended_at or told.source_updated_at) - told.started_at).total_seconds()
    is_enough = is_possible(told.energy_wh, max(0.0, seconds), session.connector.max_power_w)
    return told.energy_wh >= 0 and is_enough


def _paise(amount: Decimal) -> int:
    return int((amount * 100).to_integral_value())


# --- what a person decides --------------------------------------------------------------------------------------
def _ask_about_place(told: RoamingCDR, now: datetime) -> None:
    """A token of a fleet, at a plug that we do not hold; a token nobody knows is the CPO's mistake, and stays there."""
    token = IdToken.objects.filter(uid__lower=told.token_uid.lower()).first()
    if token is not None:
        _ask(token.organisation_id, told, "A network bills a plug that we do not know", now)


def ask_whose(rows: Iterable[RoamingCDR], *, now: datetime) -> None:
    """Their tokens were registered, or changed, after they came: our operators know whether the fleet charged.

    Nobody of the fleet is asked, as it may be the session of somebody else.
    """
    for told in rows:
        _ask(None, told, "A network's record came before its token was registered as it is now", now)


def _ask_about_energy(session: ChargingSession, told: RoamingCDR, now: datetime) -> None:
    """Nothing is charged before somebody has looked; accepted, it is priced like any other."""
    open_exception(
        organisation_id=session.organisation_id, kind=Kind.ODD_METER, session_id=session.pk, at=now,
        title="The network's record names more energy than the plug can give",
        details={"cdr": told.key, "energy_wh": told.energy_wh, "max_power_w": session.connector.max_power_w},
    )  # fmt: skip


def _correct(session: ChargingSession, told: RoamingCDR, now: datetime) -> None:
    """By itself where it is plain, else finance is asked. A credit may be what an earlier fresh record waited for."""
    is_done = credits.give_back(told=told, now=now) if told.is_credit else _bill_afresh(session, told, now)
    if not is_done:
        _ask_about_correction(session, told, now)
    elif told.is_credit:
        for waiting in RoamingCDR.objects.filter(_waiting_for(told), is_credit=False).order_by("source_updated_at"):
            _bill_afresh(session, waiting, now)


def _bill_afresh(session: ChargingSession, told: RoamingCDR, now: datetime) -> bool:
    return _is_possible(session, told) and credits.bill_afresh(told=told, session=session, now=now)


def _waiting_for(credit: RoamingCDR) -> Q:
    """Records of the same session that came before its credit."""
    if not credit.session_ref:
        return Q(pk=None)
    return Q(source_id=credit.source_id, session_ref=credit.session_ref, billed=None, adjusted=None)


def _ask_about_correction(session: ChargingSession, told: RoamingCDR, now: datetime) -> None:
    title = "A network took a CDR back" if told.is_credit else "A network sent another CDR for the same session"
    _ask(session.organisation_id, told, title, now, session.pk)


def _ask(
    organisation_id: int | None,
    told: RoamingCDR,
    title: str,
    now: datetime,
    session_id: int | None = None,
    reference: str = "",
) -> None:
    """Once per CDR, also after somebody has decided."""
    reference = reference or f"cdr:{told.pk}"
    if BillingException.objects.filter(kind=Kind.CPO_CORRECTION, reference=reference).exists():
        return
    amount = told.total_after_taxes if told.total_after_taxes is not None else told.total_before_taxes
    open_exception(
        organisation_id=organisation_id, kind=Kind.CPO_CORRECTION, reference=reference, title=title, at=now,
        amount_paise=_paise(amount or Decimal(0)),
        details={"cdr": told.key, "session_id": session_id, "corrects": told.credit_reference},
    )  # fmt: skip
