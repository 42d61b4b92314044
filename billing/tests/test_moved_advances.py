"""What an advance has paid as tax for one of a fleet's GSTINs an operator moves to the one that is invoiced."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from billing.invoicing.exports.gstr1 import gstr1
from billing.invoicing.models import AdvanceUse, OrganisationRegistration, SupplierRegistration, TaxDocument
from billing.invoicing.services import figures, months, moving, returns
from billing.invoicing.tasks import sweep_advances
from billing.models import GatewayPayment
from billing.services import ledger, verification
from billing.tests.factories import NOON, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import AuditEntry, Organisation
from fleetcharge.lib.api import Conflict

Kind = TaxDocument.Kind
LATER = NOON + timedelta(days=1)


@pytest.fixture
def supplier(db: None) -> SupplierRegistration:
    return make_supplier()


@pytest.fixture
def there(supplier: SupplierRegistration, organisation: Organisation) -> OrganisationRegistration:
    """The fleet is of Karnataka by default; what it is invoiced for is Maharashtra's."""
    make_registration(organisation)
    return make_registration(organisation, "27", is_default=False)


@pytest.fixture
def voucher(there: OrganisationRegistration, organisation: Organisation) -> TaxDocument:
    fleet = make_fleet(organisation, money_paise=1_000_00)
    there.mappings.create(organisation=organisation, vehicle=fleet.vehicle)
    charge(fleet)
    sweep_advances()
    return TaxDocument.objects.get(kind=Kind.RECEIPT_VOUCHER)


def nothing_is_odd() -> None:
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert figures.gaps() == []
    assert verification.differences() == {}


def test_a_moved_advance_is_used_up_by_the_invoice_of_its_new_parties(
    voucher: TaxDocument, supplier: SupplierRegistration, there: OrganisationRegistration
) -> None:
    made = moving.move(voucher_id=voucher.pk, supplier=supplier, recipient=there, reason="Mumbai", at=LATER, actor=None)
    assert (voucher.cgst_paise, made.igst_paise, made.total_paise) == (76_27, 152_54, 1_000_00)
    assert TaxDocument.objects.get(kind=Kind.REFUND_VOUCHER).original == voucher
    assert ledger.balance_paise(f"advance_gst:{voucher.organisation_id}") == 152_54
    nothing_is_odd()
    closed = months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    invoice = TaxDocument.objects.get(kind=Kind.INVOICE)
    assert (invoice.place_of_supply, invoice.advance_paise) == ("27", invoice.total_paise)
    assert AdvanceUse.objects.get(document=invoice).voucher == made
    nothing_is_odd()
    [place] = [row for row in gstr1(closed.month, supplier)["at"] if row["itms"]]
    assert (place["pos"], place["sply_ty"]) == ("27", "INTER")


def test_what_is_left_is_moved_once(
    voucher: TaxDocument, supplier: SupplierRegistration, there: OrganisationRegistration
) -> None:
    wanted = {"voucher_id": voucher.pk, "supplier": supplier, "reason": "Mumbai", "at": LATER, "actor": None}
    with pytest.raises(Conflict, match="already"):
        moving.move(recipient=voucher.registration, **wanted)
    returns.refund(voucher=voucher, amount_paise=400_00, request_key="back", at=LATER)
    assert moving.move(recipient=there, **wanted).total_paise == 600_00
    with pytest.raises(Conflict, match="Nothing of this advance is left"):
        moving.move(recipient=there, **wanted)
    nothing_is_odd()


def test_money_that_goes_back_takes_its_moved_advance_first(
    voucher: TaxDocument, supplier: SupplierRegistration, there: OrganisationRegistration
) -> None:
    made = moving.move(voucher_id=voucher.pk, supplier=supplier, recipient=there, reason="Mumbai", at=LATER, actor=None)
    assert voucher.advance is not None
    payment = GatewayPayment.objects.create(
        payment_id=voucher.advance.entry_key.split(":", 2)[-1], organisation=voucher.organisation,
        amount_paise=1_000_00, credited_at=NOON, paid_at=NOON, status=GatewayPayment.Status.CAPTURED,
    )  # fmt: skip
    [back] = returns.give_back(payment_id=payment.pk, amount_paise=100_00, key="refund:R", at=LATER)
    assert back.original == made
    nothing_is_odd()


def test_operators_move_at_the_desk_within_the_fleet(
    client: Client, admin_client: Client, finance, voucher: TaxDocument, supplier: SupplierRegistration,
    there: OrganisationRegistration, other_organisation: Organisation,
) -> None:  # fmt: skip
    move = reverse("admin:billing_taxdocument_move", args=[voucher.pk])
    form = {"supplier": supplier.pk, "recipient": there.pk, "reason": "Mumbai"}
    client.force_login(finance)
    assert client.post(move, form).status_code == 403
    stranger = make_registration(other_organisation, "27")
    with time_machine.travel(LATER, tick=False):
        admin_client.post(move, {**form, "recipient": stranger.pk})
        assert not TaxDocument.objects.filter(kind=Kind.REFUND_VOUCHER).exists()
        admin_client.post(move, form)
    assert TaxDocument.objects.filter(kind=Kind.RECEIPT_VOUCHER, registration=there).exists()
    assert AuditEntry.objects.get(action="move_advance").reason == "Mumbai"
