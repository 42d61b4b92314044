"""Codes of the ledger, of holds, mandates and gateways in the words of the wallet's pages."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import BillingException
from fleetcharge.lib.money import format_inr

LEDGER: dict[str, str | Promise] = {
    "top_up": gettext_lazy("Top-up"),
    "charge": gettext_lazy("Charging session"),
    "adjustment": gettext_lazy("Correction of a session"),
    "reversal": gettext_lazy("Taken back"),
    "settle_receivable": gettext_lazy("Paid what was owed"),
    "document": gettext_lazy("Rounding on an invoice or note"),
    "refund": gettext_lazy("Refund to your bank"),
    "refund_failed": gettext_lazy("Refund came back"),
    "network_order": gettext_lazy("Order at a network"),
    "subscription": gettext_lazy("Subscription fee"),
    "dispute": gettext_lazy("Disputed by your bank"),
    "dispute_lost": gettext_lazy("Dispute lost"),
    "write_off": gettext_lazy("Write-off"),
    "utility": gettext_lazy("Electricity of depots"),
    "settlement": gettext_lazy("Payout of the payment service"),
}
HELD: dict[str, str | Promise] = {
    "charging": gettext_lazy("Vehicles that are charging"),
    "pricing": gettext_lazy("Ended, the price is being worked out"),
    "other": gettext_lazy("Other"),
}
GATEWAY: dict[str, str | Promise] = {
    "insufficient_funds": gettext_lazy("not enough money in the payer's account"),
    "payment_declined": gettext_lazy("the payer's bank declined"),
    "payment_cancelled": gettext_lazy("the payer cancelled"),
    "payment_not_approved": gettext_lazy("the payer did not approve it in time"),
    "mandate_not_active": gettext_lazy("the mandate is paused or cancelled"),
    "mandate_expired": gettext_lazy("the mandate has expired"),
    "mandate_max_amount_exceeded": gettext_lazy("more than the mandate allows"),
    "debit_in_progress": gettext_lazy("another debit is still under way"),
    "expired": gettext_lazy("nobody paid in time"),
    "failed": gettext_lazy("the bank refused"),
}


def of_kind(kind: str) -> str:
    return str(LEDGER.get(kind, kind.replace("_", " ").capitalize()))


def of_hold(reason: str) -> str:
    if reason in BillingException.Kind.values:
        return str(BillingException.Kind(reason).label)
    return str(HELD.get(reason, HELD["other"]))


def of_failure(error: dict[str, Any]) -> str:
    """One clause, as it fits after a colon; '' when nothing went wrong."""
    if not error:
        return ""
    reason = str(error.get("reason") or error.get("code") or "")
    return str(GATEWAY.get(reason) or error.get("description") or reason or _("the payment service did not answer"))


def why_no_debit(code: str, *, max_paise: int, most_paise: int, next_at: str, amount_paise: int) -> str:
    """Why a mandate cannot be debited so, and what to do about it."""
    facts = {
        "most": format_inr(max_paise), "left": format_inr(max(0, most_paise)), "at": next_at,
        "amount": format_inr(amount_paise),
    }  # fmt: skip
    sentences = {
        "not_in_force": _("This mandate is not in force, so nothing can be debited."),
        "resting": _("You have paused this mandate. Resume it first."),
        "too_early": _("The next debit may begin on %(at)s: a mandate waits after each debit."),
        "debit_open": _("A debit of this mandate is under way, and there is one at a time."),
        "ends_too_soon": _("This mandate ends before a debit of today would be here. Set up a new one."),
        "limit_used": _("The total limit of this mandate leaves %(left)s."),
        "nothing": _(
            "The mandate allows at most %(most)s per debit: %(amount)s takes several debits or a new mandate."
        ),
        "approval_needed": _(
            "Above %(left)s the payer has to approve the debit in the UPI app. Tick the box to ask for that."
        ),
    }  # fmt: skip
    return sentences.get(code, _("This mandate cannot be debited so just now.")) % facts
