"""What a letter says, in the language of its reader: a subject, sentences, figures and one link."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.approvals.models import Approval
from billing.models import Mandate
from billing.notices.models import Letter
from billing.pages import wording
from fleetcharge.lib.money import format_inr


@dataclass(frozen=True)
class Content:
    subject: str
    sentences: list[str]
    figures: list[tuple[str, str]] = field(default_factory=list)
    link_text: str = ""
    link: str = ""


def content_of(letter: Letter) -> Content:
    """In the language that is switched on."""
    return _MADE[Letter.Kind(letter.kind)](letter.facts, str(letter.organisation))


def _low(facts: dict[str, Any], fleet: str) -> Content:
    amount = {"fleet": fleet, "amount": format_inr(facts["available_paise"])}
    return Content(
        _("The wallet of %(fleet)s is low: %(amount)s can be spent") % amount,
        [_("The wallet has fallen below the limit you set. At zero, vehicles can no longer charge."),
         _("You hear of it once; again only after it has been well above the limit.")],
        [(_("Can be spent"), amount["amount"]), (_("Warning limit"), format_inr(facts["low_threshold_paise"])),
         (_("Balance"), format_inr(facts["posted_paise"])), (_("Held for charging"), format_inr(facts["held_paise"]))],
        _("Top up the wallet"), _address("wallet-top-up"),
    )  # fmt: skip


def _mandate(facts: dict[str, Any], fleet: str) -> Content:
    why = wording.of_failure({"reason": facts["reason"]}) if facts["reason"] else facts["state"]
    return Content(
        _("A mandate of %(fleet)s does not pay") % {"fleet": fleet},
        [_("The mandate of %(payer)s does not pay: %(why)s.") % {"payer": facts["payer"], "why": why},
         _("The wallet is not filled by itself while it is so. Top it up by hand, or set up another mandate.")],
        [(_("Kind"), str(Mandate.Kind(facts["kind"]).label)),
         (_("Most per debit"), format_inr(facts["max_amount_paise"])),
         (_("Failed debits in a row"), str(facts["failures"]))],
        _("Look at the mandates"), _address("wallet-mandates"),
    )  # fmt: skip


def _short(facts: dict[str, Any], fleet: str) -> Content:
    return Content(
        _("The automatic top-up of %(fleet)s cannot keep up") % {"fleet": fleet},
        [_("What the mandates may bring until then does not cover what your vehicles are expected to need."),
         _("Top up by hand, or set up another mandate.")],
        [(_("Missing"), format_inr(facts["amount_paise"]))], _("Top up the wallet"), _address("wallet-top-up"),
    )  # fmt: skip


def _refund(facts: dict[str, Any], fleet: str) -> Content:
    return Content(
        _("A refund of %(fleet)s did not go through") % {"fleet": fleet},
        [_("The money is back in the wallet. Please look at the payment and ask again.")],
        [(_("Amount"), format_inr(facts["amount_paise"]))], _("Open the wallet"), _address("wallet-overview"),
    )  # fmt: skip


def _invoice(facts: dict[str, Any], fleet: str) -> Content:
    dated = parse_date(facts["dated_on"])
    amount, number = format_inr(facts["total_paise"]), facts["number"]
    said = {"kind": _KINDS[facts["kind"]](), "number": number, "amount": amount}
    sentences = [_("%(kind)s %(number)s of %(amount)s is attached.") % said]
    if facts["kind"] == "invoice":
        sentences.append(_paid(facts.get("owed_paise", 0)))
    if facts["original"]:
        sentences.append(_("It refers to %(number)s.") % {"number": facts["original"]})
    if facts["sessions"]:
        sentences.append(_("Its sessions are in the CSV, whose SHA-256 stands on it."))
    return Content(
        _("%(kind)s %(number)s of %(amount)s") % said, sentences,
        [(_("To"), facts["recipient"]), (_("Date"), date_format(dated, "DATE_FORMAT") if dated else ""),
         (_("Sessions"), str(facts["sessions"])), (_("Total"), amount)],
        _("All invoices"), _address("wallet-documents"),
    )  # fmt: skip


def _paid(owed_paise: int) -> str:
    if not owed_paise:
        return _("It was charged to your wallet session by session; there is nothing to pay.")
    return _(
        "It was charged to your wallet session by session. The wallet could not pay all of it: %(amount)s are owed, "
        "and the next top-up pays them first."
    ) % {"amount": format_inr(owed_paise)}


def _asked(facts: dict[str, Any], fleet: str) -> Content:
    return Content(
        _("A second person is asked: %(title)s") % {"title": facts["title"]},
        [_("%(who)s asks for it: %(reason)s") % {"who": facts["asked_by"], "reason": facts["reason"]},
         _("Nothing happens before somebody else approves.")],
        [(_("Fleet"), fleet), (_("Amount"), format_inr(facts["amount_paise"]))],
        _("Look at it"), _wish(facts),
    )  # fmt: skip


def _decided(facts: dict[str, Any], fleet: str) -> Content:
    said = {"title": facts["title"], "state": str(Approval.State(facts["state"]).label)}
    why = f"{facts['decided_by']}: {facts['because']}" if facts["decided_by"] else facts["because"]
    return Content(
        _("%(state)s: %(title)s") % said, [why] if why else [],
        [(_("Fleet"), fleet), (_("Amount"), format_inr(facts["amount_paise"]))], _("Look at it"), _wish(facts),
    )  # fmt: skip


def _wish(facts: dict[str, Any]) -> str:
    return f"{settings.PUBLIC_BASE_URL}{reverse('admin:billing_approval_change', args=[facts['approval_id']])}"


_KINDS: dict[str, Callable[[], str]] = {
    "invoice": lambda: _("Tax invoice"), "credit_note": lambda: _("Credit note"), "debit_note": lambda: _("Debit note"),
}  # fmt: skip
_MADE: dict[str, Callable[[dict[str, Any], str], Content]] = {
    Letter.Kind.WALLET_LOW: _low, Letter.Kind.MANDATE_FAILED: _mandate, Letter.Kind.TOP_UP_SHORT: _short,
    Letter.Kind.REFUND_FAILED: _refund, Letter.Kind.INVOICE_ISSUED: _invoice,
    Letter.Kind.APPROVAL_ASKED: _asked, Letter.Kind.APPROVAL_DECIDED: _decided,
}  # fmt: skip


def _address(name: str) -> str:
    return f"{settings.PUBLIC_BASE_URL}{reverse(name)}"
