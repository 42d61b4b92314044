"""Serial numbers without a gap: the counter is raised by the transaction that issues the document."""

from datetime import date

from django.db import connection

from billing.gst.numbering import document_number, financial_year
from billing.invoicing.models import NumberSeries, SupplierRegistration, TaxDocument

Kind = TaxDocument.Kind
PREFIXES = {Kind.CREDIT_NOTE: "CN", Kind.DEBIT_NOTE: "DN", Kind.RECEIPT_VOUCHER: "RV", Kind.REFUND_VOUCHER: "RF"}
_RAISE = """
INSERT INTO billing_numberseries AS series (supplier_id, financial_year, prefix, last_number, last_on)
VALUES (%s, %s, %s, 1, %s)
ON CONFLICT (supplier_id, financial_year, prefix) DO UPDATE
    SET last_number = series.last_number + 1, last_on = GREATEST(series.last_on, EXCLUDED.last_on)
RETURNING last_number, last_on
"""


def prefix_of(supplier: SupplierRegistration, kind: str) -> str:
    return PREFIXES.get(Kind(kind), supplier.number_prefix)


def earliest(*, supplier: SupplierRegistration, kind: str, on: date) -> date:
    """The day that a document of that day would have: its series may be further by now."""
    series = NumberSeries.objects.filter(
        supplier=supplier, financial_year=financial_year(on), prefix=prefix_of(supplier, kind)
    )
    return max([on, *series.values_list("last_on", flat=True)])


def next_number(*, supplier: SupplierRegistration, kind: str, on: date) -> tuple[str, str, date]:
    """(number, financial year, day of the document), inside the issuing transaction, which holds the counter until
    it ends: a roll-back gives the number back. The day is never before that of the number before."""
    year, prefix = financial_year(on), prefix_of(supplier, kind)
    with connection.cursor() as cursor:
        cursor.execute(_RAISE, [supplier.pk, year, prefix, on])
        number, day = cursor.fetchone()
    return document_number(prefix, year, number), year, day
