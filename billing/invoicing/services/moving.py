"""An open advance that was taxed between other parties than it will be used up by: its receipt is taken back, and made
anew between the right ones. Invoices use up advances of their own two GSTINs only; a top-up names the default ones.
"""

from datetime import datetime

from django.db import transaction

from billing.gst.numbering import day_in_india
from billing.invoicing.models import OrganisationRegistration, SupplierRegistration, TaxDocument
from billing.invoicing.services import issuing, posting, returns, uses
from billing.invoicing.services.advances import RECEIVED, first_open_day, line_of, receipt
from billing.invoicing.services.rules import Rules
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

Kind = TaxDocument.Kind


@transaction.atomic
def move(
    *,
    voucher_id: int,
    supplier: SupplierRegistration,
    recipient: OrganisationRegistration,
    reason: str,
    at: datetime,
    actor: User | None,
) -> TaxDocument:
    """The receipt voucher of what was left, at the rate of the day of the first; no money moves, only its tax.

    Raises Conflict when nothing is left or nothing would change, ValueError without a reason.
    """
    if not reason.strip():
        raise ValueError("Moving an advance needs a reason.")
    voucher = _locked(voucher_id)
    if recipient.organisation_id != voucher.organisation_id or supplier.closed_on is not None:
        raise Conflict("These cannot be the parties of this advance.", code="other_parties")
    if (voucher.supplier_id, voucher.registration_id) == (supplier.pk, recipient.pk):
        raise Conflict("It is between these parties already.", code="same_parties")
    amount_paise, who = uses.open_paise(voucher), str(actor) if actor else "system"
    if not amount_paise:
        raise Conflict("Nothing of this advance is left.", code="advance_used_up")
    back = returns.refund(
        voucher=voucher, amount_paise=amount_paise, request_key=f"moved:{voucher.pk}", at=at, actor=who, reason=reason
    )
    made = _received_anew(voucher, supplier, recipient, amount_paise, reason, at, who)
    audit(
        action="move_advance", target=made, actor=actor, reason=reason, organisation=voucher.organisation,
        before={"number": voucher.number}, after={"refund": back.number, "number": made.number},
    )  # fmt: skip
    return made


def _locked(pk: int) -> TaxDocument:
    rows = TaxDocument.objects.select_for_update(of=("self",)).select_related("organisation")
    return rows.get(pk=pk, kind=Kind.RECEIPT_VOUCHER)


def _received_anew(
    voucher: TaxDocument,
    supplier: SupplierRegistration,
    recipient: OrganisationRegistration,
    amount_paise: int,
    reason: str,
    at: datetime,
    who: str,
) -> TaxDocument:
    made, sac_code, rate = receipt(
        voucher.organisation, supplier, recipient, amount_paise, Rules(voucher.dated_on),
        first_open_day(day_in_india(at)), original=voucher, request_key=f"receipt:moved:{voucher.pk}",
        reason=reason[:200], issued_at=at, issued_by=who,
    )  # fmt: skip
    made.save()
    line_of(made, sac_code, RECEIVED, rate).save()
    posting.post_advances([made])
    issuing.register([made])
    return made
