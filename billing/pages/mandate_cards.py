"""One mandate in words: where it is in its life, what it can do next, what went wrong."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.models import Mandate, PaymentIntent, PaymentRule
from billing.pages import wording
from billing.payments import debits, rules
from fleetcharge.lib.money import format_inr

STEPS = ("link_sent", "initiated", "confirmed")
State = Mandate.State


@dataclass(frozen=True)
class Card:
    """One mandate as the page shows it."""

    mandate: Mandate
    tone: str
    icon: str
    words: str
    steps: list[tuple[str, bool]]
    next_words: str
    most_paise: int
    can_debit: bool
    last_failure: str
    debits: list[tuple[PaymentIntent, str]]


def card_of(mandate: Mandate, *, now: datetime) -> Card:
    tone, icon, words = _words(mandate)
    verdict = debits.judge(mandate=mandate, now=now)
    recent = list(mandate.debits.all()[:5])
    failed = next((row for row in recent if row.state == PaymentIntent.State.FAILED), None)
    reached = STEPS.index(mandate.state) if mandate.state in STEPS else (2 if mandate.state == State.PAUSED else -1)
    steps = [(_("Link sent"), 0), (_("Payer has begun"), 1), (_("In force"), 2)]
    failure = wording.of_failure(failed.error) if failed and mandate.consecutive_failures else ""
    return Card(
        mandate, tone, icon, words, [(text, number <= reached) for text, number in steps],
        _next_words(mandate, verdict), verdict.most_paise, not verdict.why, failure,
        [(row, wording.of_failure(row.error) if row.state == PaymentIntent.State.FAILED else "") for row in recent],
    )  # fmt: skip


def _words(mandate: Mandate) -> tuple[str, str, str]:
    """Tone, symbol and one sentence on where it is in its life."""
    if mandate.cancel_asked_at and not mandate.is_over:
        return "off", "clock", _("Being ended; no debit begins any more.")
    if mandate.call == Mandate.Call.FAILED:
        return "bad", "warn", _("The payment service refused it: %(why)s.") % {"why": wording.of_failure(mandate.error)}
    if mandate.rests_since and mandate.state == State.CONFIRMED:
        since = {"at": moment(mandate.rests_since)}
        return "warn", "clock", _("Paused by you since %(at)s. No debit begins until you resume it.") % since
    failures = mandate.consecutive_failures
    if mandate.state == State.CONFIRMED and failures == 1:
        return "bad", "warn", _("In force, but the last debit did not come through.")
    if mandate.state == State.CONFIRMED and failures:
        number = {"number": failures}
        return "bad", "warn", _("In force, but the last %(number)d debits did not come through.") % number
    at = {"at": moment(mandate.ended_at or mandate.expires_at)}
    return {
        State.DRAFT: ("chg", "clock", _("The link for the payer is being made.")),
        State.LINK_SENT: ("warn", "clock", _("The payer has the link by e-mail and SMS, and has not followed it yet.")),
        State.INITIATED: ("chg", "clock", _("The payer has begun; their bank still has to confirm it.")),
        State.CONFIRMED: ("ok", "check", _("In force until %(at)s.") % at),
        State.PAUSED: ("warn", "warn", _("Paused by the payer in their UPI app. Only they can resume it.")),
        State.REJECTED: ("bad", "close", _("The payer or their bank refused it on %(at)s.") % at),
        State.CANCELLED: ("off", "slash", _("Ended on %(at)s.") % at),
        State.EXPIRED: ("off", "slash", _("Its time was over on %(at)s.") % at),
        State.EXHAUSTED: ("off", "slash", _("The whole limit was used by %(at)s.") % at),
    }[State(mandate.state)]


def _next_words(mandate: Mandate, verdict: debits.Verdict) -> str:
    if mandate.is_over or mandate.state not in {State.CONFIRMED, State.PAUSED}:
        return ""
    if not verdict.why:
        return _("Now: up to %(most)s without approval, here by %(at)s.") % {
            "most": format_inr(verdict.most_paise), "at": moment(verdict.debit_due_at),
        }  # fmt: skip
    if verdict.why == "too_early":
        return _("From %(at)s on.") % {"at": moment(mandate.next_allowed_at)}
    if verdict.why == "debit_open":
        return _("After the one that is under way.")
    return _("Not while it is so.")


def without_approval(now: datetime) -> str:
    free = rules.value_of(PaymentRule.Name.AFA_FREE, kind="upi", on=rules.day_of(now))
    return format_inr(free) if free is not None else ""


def moment(instant: datetime | None) -> str:
    return date_format(timezone.localtime(instant), "DATETIME_FORMAT") if instant else "–"
