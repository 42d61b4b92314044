"""Money that goes back takes the tax of its advance with it, once, whoever reports it."""

from datetime import timedelta

import pytest

from billing.invoicing import voucher_jobs
from billing.invoicing.models import AdvanceReturn, TaxDocument
from billing.invoicing.services import figures, returns
from billing.invoicing.tasks import sweep_advances
from billing.models import GatewayPayment, LedgerTransfer
from billing.services import ledger, verification, wallets
from billing.tests.factories import NOON, fund
from billing.tests.invoicing import make_registration, make_supplier
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict


@pytest.fixture
def payment(organisation: Organisation) -> GatewayPayment:
    """The second of two top-ups came over the gateway."""
    make_supplier()
    make_registration(organisation)
    fund(organisation, 500_00)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=1_000_00, key="pay_1", at=NOON)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=700_00, key="pay_2", at=NOON)
    assert sweep_advances() == 3
    return GatewayPayment.objects.create(
        payment_id="pay_1",
        organisation=organisation,
        amount_paise=1_000_00,
        credited_at=NOON,
        paid_at=NOON,
        status=GatewayPayment.Status.CAPTURED,
    )


def give_back(payment: GatewayPayment, amount_paise: int, key: str = "refund:RF1") -> list[TaxDocument]:
    return returns.give_back(
        payment_id=payment.pk, amount_paise=amount_paise, key=key, at=NOON + timedelta(days=1)
    )  # fmt: skip


def test_every_top_up_has_one_receipt_voucher(payment: GatewayPayment) -> None:
    assert sweep_advances() == 0
    assert TaxDocument.objects.filter(kind="receipt_voucher").count() == LedgerTransfer.objects.filter(
        kind="top_up"
    ).count()  # fmt: skip


def test_its_own_advance_is_refunded_first_and_once(payment: GatewayPayment) -> None:
    [made] = give_back(payment, 400_00)
    assert (made.original.advance.entry_key, made.number) == (
        f"topup:{payment.organisation_id}:pay_1", "RF/26-27/0000001",
    )  # fmt: skip
    assert (made.taxable_paise, made.cgst_paise, made.total_paise) == (338_98, 30_51, 400_00)
    assert give_back(payment, 400_00) == [made]
    assert ledger.balance_paise(f"advance_gst:{payment.organisation_id}") == ledger.balance_paise(
        "output_cgst"
    ) + ledger.balance_paise("output_sgst")  # fmt: skip
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert verification.differences() == {}


def test_what_its_own_has_no_room_for_comes_off_the_newest(payment: GatewayPayment) -> None:
    amounts = [(row.original.advance.entry_key[-5:], row.total_paise) for row in give_back(payment, 1_300_00)]
    assert amounts == [("pay_1", 1_000_00), ("pay_2", 300_00)]
    whole = TaxDocument.objects.get(kind="refund_voucher", total_paise=1_000_00)
    assert (whole.cgst_paise, whole.taxable_paise) == (whole.original.cgst_paise, whole.original.taxable_paise)


def test_more_than_is_left_of_an_advance_is_refused(payment: GatewayPayment) -> None:
    voucher = TaxDocument.objects.filter(kind="receipt_voucher").earliest("pk")
    with pytest.raises(Conflict, match="50000 paise are left"):
        returns.refund(voucher=voucher, amount_paise=500_01, request_key="x", at=NOON)
    assert not TaxDocument.objects.filter(kind="refund_voucher").exists()


@pytest.mark.parametrize("is_set_up", [True, False])
def test_a_refund_that_is_heard_of_before_its_receipt_waits_for_it(organisation: Organisation, is_set_up: bool) -> None:
    if is_set_up:
        make_supplier()
    make_registration(organisation)
    fund(organisation, 500_00)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=1_000_00, key="pay_1", at=NOON)
    early = GatewayPayment.objects.create(
        payment_id="pay_1", organisation=organisation, amount_paise=1_000_00, credited_at=NOON, paid_at=NOON,
        status=GatewayPayment.Status.CAPTURED,
    )  # fmt: skip
    now = NOON + timedelta(days=1)
    voucher_jobs.expect_return(payment_id=early.pk, amount_paise=400_00, key="refund:RF1", now=now)
    assert voucher_jobs.engine.work(now=now, kinds=voucher_jobs.KINDS) == 1
    assert AdvanceReturn.objects.get().settled_at is None
    if not is_set_up:
        assert sweep_advances() == 0
        make_supplier()
    sweep_advances()
    made = TaxDocument.objects.get(kind="refund_voucher")
    assert (made.original.advance.entry_key[-5:], made.total_paise) == ("pay_1", 400_00)
    assert AdvanceReturn.objects.get().vouchers_paise == 400_00
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
