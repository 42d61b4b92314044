"""GSTR-1 puts each document into the table the law names: zones as another state, large invoices by themselves."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from billing.invoicing.exports import gstr1
from billing.invoicing.models import AccountingMonth, SupplierRegistration, TaxDocument, TaxRule
from billing.invoicing.services import months, notes
from billing.tests.factories import make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation

DECEMBER = date(2026, 12, 1)


def told(month: AccountingMonth) -> dict[str, Any]:
    return gstr1.gstr1(month, SupplierRegistration.objects.get())


def close(organisation: Organisation, state: str, **fields: Any) -> AccountingMonth:
    make_supplier()
    make_registration(organisation, state, **fields)
    charge(make_fleet(organisation, money_paise=5_000_00))
    return months.close(day=NOVEMBER, now=AFTER_NOVEMBER).month


def credit_some(month: AccountingMonth) -> None:
    invoice = TaxDocument.objects.get(kind="invoice")
    notes.credit(
        document_id=invoice.pk, taxable_by_line={invoice.lines.get().pk: 80_00}, reason="x", actor=None,
        at=datetime(2026, 12, 2, tzinfo=UTC), request_key="k",
    )  # fmt: skip


def test_an_advance_of_a_zone_is_of_another_state_also_in_our_own(organisation: Organisation) -> None:
    month = close(organisation, "29", is_sez=True)
    [advance] = told(month)["at"]
    assert (advance["pos"], advance["sply_ty"]) == ("29", "INTER")
    assert advance["itms"][0]["iamt"] > 0
    assert told(month)["b2b"][0]["inv"][0]["inv_typ"] == "SEWP"


def test_a_large_invoice_to_a_consumer_elsewhere_stands_by_itself(organisation: Organisation) -> None:
    TaxRule.objects.filter(name="b2c_large").update(value="212")
    month = close(organisation, "27", gstin="")
    credit_some(month)
    first = told(month)
    assert first["b2cl"] == []  # 212 rupees are not above 212
    assert [row["txval"] for row in first["b2cs"]] == [180.0]
    TaxRule.objects.filter(name="b2c_large").update(value="211")
    first = told(month)
    [place] = first["b2cl"]
    [invoice] = place["inv"]
    assert (place["pos"], invoice["inum"], invoice["val"]) == ("27", "FC/26-27/0000001", 212.0)
    assert invoice["itms"][0]["itm_det"]["iamt"] == 32.4
    assert first["b2cs"] == []
    second = told(months.month_of(DECEMBER))
    assert (second["b2cs"], second["b2cl"]) == ([], [])
    [note] = second["cdnur"]
    assert (note["typ"], note["ntty"], note["nt_num"], note["pos"]) == ("B2CL", "C", "CN/26-27/0000001", "27")
    sections = {row[0] for row in gstr1.section_rows(first)} | {row[0] for row in gstr1.section_rows(second)}
    assert {"b2cl", "cdnur"} <= sections


def test_a_large_invoice_to_a_consumer_of_our_state_is_summed(organisation: Organisation) -> None:
    TaxRule.objects.filter(name="b2c_large").update(value="1")
    first = told(close(organisation, "29", gstin=""))
    assert first["b2cl"] == []
    assert [row["sply_ty"] for row in first["b2cs"]] == ["INTRA"]


@pytest.mark.django_db
def test_the_limit_is_that_of_the_day() -> None:
    rules = TaxRule.objects.filter(name="b2c_large").order_by("valid_from").values_list("value", "valid_to")
    assert list(rules) == [("250000", date(2024, 7, 31)), ("100000", None)]
