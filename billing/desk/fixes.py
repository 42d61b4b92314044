"""What settles an exception with one click: a deed where the cause may be gone, else the page where it is settled."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from billing.jobs import engine
from billing.models import CDR, BillingException, ChargingSession, Mandate, Wallet
from billing.payments import mending, watching
from billing.services import exceptions, ledger, rating, roaming, wallets
from billing.utility import dividing
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

Kind = BillingException.Kind
Deed = Callable[[BillingException, User, datetime], None]
HOURS = {
    Kind.BOOKS_DIFFER: 4, Kind.PAYMENT_DISPUTE: 24, Kind.MANDATE_FAILED: 24, Kind.TOP_UP_SHORT: 24,
    Kind.REFUND_FAILED: 24, Kind.OVER_CAPTURE: 24, Kind.NO_WALLET: 24, Kind.UTILITY_LOSS: 24 * 14,
}  # fmt: skip
USUAL_HOURS = 72
OF_A_RECORD = "cdr:"


@dataclass(frozen=True)
class Fix:
    """`deed` raises Conflict when the cause is still there; `link` leads to where a person settles it."""

    label: Any
    deed: Deed | None = None
    link: str = ""


def due_at(exception: BillingException) -> datetime:
    """Until when it should be decided: money that cannot move first."""
    return exception.opened_at + timedelta(hours=HOURS.get(Kind(exception.kind), USUAL_HOURS))


def _verdict_of(exception: BillingException) -> int | None:
    """Where it is decided, on its map."""
    verdict = getattr(exception.session, "verdict", None)
    return verdict.pk if verdict is not None else None


def fix_for(exception: BillingException) -> Fix | None:
    """No query where session and verdict are at hand; None for kinds that only a decision with a reason settles."""
    if exception.resolved_at is not None:
        return None
    return _deed_of(exception) or _page_of(exception)


def _deed_of(exception: BillingException) -> Fix | None:
    kind = Kind(exception.kind)
    if kind == Kind.NEVER_ENDED and _waits_for_a_record(exception.session):
        return Fix(_("Give back what is held"), _give_back_held)
    if kind == Kind.CPO_CORRECTION and exception.reference.startswith(OF_A_RECORD):
        return Fix(_("Book it now"), _book)
    if kind == Kind.PAYMENT_ODD and exception.reference.startswith(watching.IN_SUSPENSE):
        return Fix(_("Ask a second operator to take it out"), _take_out_of_suspense)
    return DEEDS.get(kind)


def _waits_for_a_record(session: ChargingSession | None) -> bool:
    """A network's that is over; one of ours that we ended has its record."""
    return session is not None and session.charger_id is None and session.state == ChargingSession.State.ENDED


def _is_of_a_verdict(exception: BillingException) -> bool:
    """A price check's question names its record; a verdict's own does not."""
    of_price = exception.kind == Kind.CPO_PRICE and exception.reference == ""
    return of_price or exception.kind in {Kind.SUSPICIOUS, Kind.CPO_RECORD}


def _page_of(exception: BillingException) -> Fix | None:
    kind = Kind(exception.kind)
    if kind == Kind.UNKNOWN_TOKEN and exception.session:
        return Fix(_("Add the card"), link=_page("vehicles_idtoken_add", uid=exception.session.id_token_uid))
    if _is_of_a_verdict(exception) and (verdict := _verdict_of(exception)) is not None:
        return Fix(_("See the evidence"), link=reverse("admin:billing_reconciliationverdict_change", args=[verdict]))
    if kind in {Kind.E_INVOICE, Kind.LATE_NOTE} and (document := exception.details.get("document")):
        return Fix(_("See the document"), link=reverse("admin:billing_taxdocument_change", args=[document]))
    if kind == Kind.CPO_BILL and (bill := _number_in(exception.reference)):
        return Fix(_("See the bill"), link=reverse("admin:billing_networkbill_change", args=[bill]))
    if place := PLACES.get(kind):
        label, name = place
        return Fix(label, link=_page(name))
    if exception.session_id:
        return Fix(
            _("See the session"), link=reverse("admin:billing_chargingsession_change", args=[exception.session_id])
        )
    return None


@transaction.atomic
def apply(*, exception_id: int, actor: User, now: datetime) -> BillingException:
    """Do the deed of its kind; it resolves the exception. Raises Conflict when that does not help, or there is none."""
    exception = BillingException.objects.select_for_update(of=("self",)).select_related("session").get(pk=exception_id)
    fix = fix_for(exception)
    if fix is None or fix.deed is None:
        raise Conflict("Nothing can be done about this with one click.", code="no_fix")
    fix.deed(exception, actor, now)
    exception.refresh_from_db()
    return exception


def _resolve(exception: BillingException, actor: User, now: datetime, reason: str) -> None:
    exceptions.resolve_exception(exception_id=exception.pk, actor=actor, reason=reason, at=now)


def _price(exception: BillingException, actor: User, now: datetime) -> None:
    """Price and charge the session as it is now; what else holds it back is still there, and said."""
    _resolve(exception, actor, now, "Looked at, and priced.")
    cdr = CDR.objects.filter(session_id=exception.session_id).first()
    if cdr is None:
        raise Conflict("There is no record to price yet.", code="no_record")
    if cdr.captured_at is None:
        rating.rate_and_capture(cdr_id=cdr.pk, now=now)
        cdr.refresh_from_db()
    if cdr.captured_at is None:
        raise Conflict("It cannot be priced yet: something else is missing.", code="not_priced")


def _give_back_held(exception: BillingException, actor: User, now: datetime) -> None:
    """Of a session without a record; one that comes after all is charged like any other."""
    if CDR.objects.filter(session_id=exception.session_id).exists():
        raise Conflict("Its record has come meanwhile.", code="has_record")
    _resolve(exception, actor, now, "No record came: what was held is given back.")
    wallets.release(session_key=wallets.hold_key(exception.session_id or 0), now=now)


def _book(exception: BillingException, actor: User, now: datetime) -> None:
    """A network's record once more: its plug, its price or the credit before it may be there by now."""
    record = _number_in(exception.reference)
    roaming.take_cdr(roaming_cdr_id=record, now=now)
    if not CDR.objects.filter(Q(roaming_cdr=record) | Q(adjustments__roaming_cdr=record)).exists():
        raise Conflict("It still cannot be booked: decide it with a reason.", code="not_booked")
    if BillingException.objects.open().filter(pk=exception.pk).exists():
        _resolve(exception, actor, now, "It is booked.")


def _take_out_of_suspense(exception: BillingException, actor: User, now: datetime) -> None:
    """Only asked for: the question closes itself once another operator has agreed."""
    settlement_id = exception.reference.removeprefix(watching.IN_SUSPENSE)
    mending.ask_to_mend(settlement_id=settlement_id, asked_by=actor, reason=exception.title, now=now)


def _try_again(exception: BillingException, actor: User, now: datetime) -> None:
    if not engine.try_again(job_ids=[exception.details.get("job") or 0], now=now, actor=actor):
        raise Conflict("This work does not wait any more: decide it with a reason.", code="no_job")


def _number_in(reference: str) -> int:
    """The row in `kind:row` or `kind:row:more`; 0 where there is none."""
    number = f"{reference}::".split(":")[1]
    return int(number) if number.isdecimal() else 0


def _paid(exception: BillingException, actor: User, now: datetime) -> None:
    if exception.organisation_id is None or not Wallet.objects.filter(organisation=exception.organisation_id).exists():
        raise Conflict("There is still no wallet.", code="no_wallet")
    owed = ledger.balance_paise(ledger.receivable_code(exception.organisation_id))
    if owed > 0:
        raise Conflict(f"{format_inr(owed)} is still owed: top up, or ask for a write-off.", code="still_owed")
    _resolve(exception, actor, now, "Nothing is owed any more.")


def _divide(exception: BillingException, actor: User, now: datetime) -> None:
    """Divided again; within the limit it closes by itself."""
    bill = exception.reference.removeprefix("utility-bill:")
    if bill.isdecimal():
        dividing.divide(bill_id=int(bill), actor=actor, now=now)
    if BillingException.objects.open().filter(pk=exception.pk).exists():
        raise Conflict("The loss is still beyond its limit.", code="still_lost")


def _mandate(exception: BillingException, actor: User, now: datetime) -> None:
    mine = Mandate.objects.filter(organisation=exception.organisation_id)
    if mine.filter(consecutive_failures__gt=0, state=Mandate.State.CONFIRMED).exists():
        raise Conflict("A mandate still fails.", code="still_failing")
    if mine.filter(state=Mandate.State.PAUSED).exists():
        raise Conflict("The payer has paused a mandate.", code="still_paused")
    if not mine.filter(state=Mandate.State.CONFIRMED).exists():
        raise Conflict("No mandate is in force any more: ask the payer for a new one.", code="no_mandate")
    _resolve(exception, actor, now, "No mandate fails any more.")


DEEDS = {
    Kind.MISSING_TARIFF: Fix(_("Price it now"), _price), Kind.ODD_METER: Fix(_("Accept and price"), _price),
    Kind.MISSING_START: Fix(_("Accept and price"), _price), Kind.NEVER_ENDED: Fix(_("Accept and price"), _price),
    Kind.OVER_CAPTURE: Fix(_("Is it paid?"), _paid), Kind.NO_WALLET: Fix(_("Is it paid?"), _paid),
    Kind.UTILITY_LOSS: Fix(_("Divide again"), _divide), Kind.MANDATE_FAILED: Fix(_("Does it pay again?"), _mandate),
    Kind.JOB_DEAD: Fix(_("Try again"), _try_again),
}  # fmt: skip
PLACES = {
    Kind.TOP_UP_SHORT: (_("See the wallet"), "billing_wallet_changelist"),
    Kind.REFUND_FAILED: (_("See the refunds"), "billing_refund_changelist"),
    Kind.PAYMENT_ODD: (_("See the payments"), "billing_gatewaypayment_changelist"),
    Kind.PAYMENT_DISPUTE: (_("See the disputes"), "billing_paymentdispute_changelist"),
    Kind.CPO_BILL: (_("See the bills"), "billing_networkbill_changelist"),
    Kind.CPO_CORRECTION: (_("See the records"), "stations_cdrconflict_changelist"),
    Kind.CPO_BALANCE: (_("See the balances"), "stations_ubccarry_changelist"),
    Kind.LIMIT_REACHED: (_("See the limits"), "billing_spendlimit_changelist"),
    Kind.BOOKS_DIFFER: (_("See the ledger"), "billing_ledgertransfer_changelist"),
    Kind.E_INVOICE: (_("See the document"), "billing_taxdocument_changelist"),
    Kind.LATE_NOTE: (_("See the document"), "billing_taxdocument_changelist"),
}  # fmt: skip


def _page(name: str, **query: str) -> str:
    address = reverse(f"admin:{name}")
    return f"{address}?{urlencode(query)}" if query else address
