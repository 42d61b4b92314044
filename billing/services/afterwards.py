"""What a session's authorisation leaves behind: the stored decision, and finance's questions when it was refused."""

from datetime import datetime

from django.utils.translation import gettext_noop as _

from billing.entitlement import ACCEPTED, UNKNOWN_TOKEN
from billing.models import AuthorisationDecision, BillingException, ChargingSession
from billing.services.authorisation import Decision, is_late, record
from billing.services.exceptions import open_exception

Kind, Door = BillingException.Kind, AuthorisationDecision.Door
WORDS = {
    "unknown_token": _("the token is not known"),
    "blocked_token": _("the token is blocked"),
    "expired_token": _("the token had expired"),
    "vehicle_inactive": _("the vehicle has left the fleet"),
    "driver_inactive": _("the driver has left the fleet"),
    "network_not_authorised": _("the fleet has no contract with this network"),
    "site_not_allowed": _("this site is not on the token's list"),
    "not_on_shift": _("nobody was on shift"),
    "no_wallet": _("the fleet has no wallet"),
    "wallet_frozen": _("the wallet is frozen"),
    "insufficient": _("the wallet is empty"),
    "limit:organisation": _("the fleet's limit is used up"),
    "limit:cost_centre": _("the limit of the cost centre is used up"),
    "limit:site": _("the limit of the site is used up"),
    "limit:vehicle": _("the limit of the vehicle is used up"),
    "limit:driver": _("the limit of the driver is used up"),
    "limit:tariff": _("the limit of the tariff is used up"),
    "concurrent_tx": _("the token was charging elsewhere"),
}


def keep_start(
    *, session: ChargingSession, decision: Decision, received_at: datetime, is_offline: bool = False
) -> None:
    """Store why a session was allowed, or not. Inside the transaction that stores the session.

    A charger that was offline decided by itself; when the token was not allowed then, or no longer is, finance hears of
    it at once (OCPP 1.6 section 3.5.4: what was charged offline is charged).
    """
    late = is_offline or is_late(started_at=session.started_at, received_at=received_at)
    door = Door.LATE_START if late else Door.START
    reason = session.authorisation_reason
    record(decision, door=door, now=received_at, session_id=session.pk, reason=reason)
    if reason == UNKNOWN_TOKEN:
        _report_unknown(session, late, received_at)
    elif reason != ACCEPTED and late:
        _report_offline(session, received_at)


def question_refused(*, session: ChargingSession, at: datetime) -> None:
    """At the end of a session that was refused but drew energy; what was asked at its start is not asked again."""
    if session.authorisation_reason in {ACCEPTED, UNKNOWN_TOKEN} or not session.energy_wh:
        return
    if BillingException.objects.filter(session=session, kind=Kind.OFFLINE).exists():
        return
    open_exception(
        organisation_id=session.organisation_id,
        kind=Kind.REFUSED,
        session_id=session.pk,
        title=f"Charged although refused ({session.authorisation_reason})",
        details={"authorisation_reason": session.authorisation_reason},
        at=at,
    )


def _report_unknown(session: ChargingSession, late: bool, at: datetime) -> None:
    name = session.id_token_uid or "(none)"
    open_exception(
        organisation_id=session.organisation_id,
        kind=Kind.UNKNOWN_TOKEN,
        session_id=session.pk,
        title=f"Charged offline with token {name}, which is not known" if late else f"Token {name} is not known",
        details={"token": session.id_token_uid, "was_offline": late},
        at=at,
    )


def _report_offline(session: ChargingSession, at: datetime) -> None:
    reason = session.authorisation_reason
    open_exception(
        organisation_id=session.organisation_id,
        kind=Kind.OFFLINE,
        session_id=session.pk,
        title=f"Charged offline although {WORDS.get(reason, reason)}",
        details={
            "authorisation_reason": reason,
            "token": session.id_token_uid,
            "started_at": session.started_at.isoformat(),
            "received_at": at.isoformat(),
        },
        at=at,
    )
