"""Which documents an export is about."""

from django.db.models import Q, QuerySet

from billing.invoicing.models import AccountingMonth, SupplierRegistration, TaxDocument


def documents_of(month: AccountingMonth, supplier: SupplierRegistration | None = None) -> QuerySet[TaxDocument]:
    """By the date on them, in the order of their numbers."""
    rows = TaxDocument.objects.filter(Q(dated_on__gte=month.starts_on, dated_on__lt=month.ends_before))
    rows = rows if supplier is None else rows.filter(supplier=supplier)
    return rows.select_related("supplier", "original", "organisation").order_by("supplier", "kind", "number")
