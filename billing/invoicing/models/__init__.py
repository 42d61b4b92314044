"""The rows behind tax documents."""

from billing.invoicing.models.documents import (
    AdvanceReturn,
    AdvanceUse,
    BilledItem,
    DebtPayment,
    DocumentLine,
    EInvoice,
    EmulatedEInvoice,
    TaxDocument,
)
from billing.invoicing.models.months import AccountingMonth
from billing.invoicing.models.registrations import (
    NumberSeries,
    OrganisationRegistration,
    RegistrationMapping,
    SupplierRegistration,
)
from billing.invoicing.models.rules import TaxRule

__all__ = [
    "AccountingMonth", "AdvanceReturn", "AdvanceUse", "BilledItem", "DebtPayment", "DocumentLine", "EInvoice",
    "EmulatedEInvoice", "NumberSeries", "OrganisationRegistration", "RegistrationMapping", "SupplierRegistration",
    "TaxDocument", "TaxRule",
]  # fmt: skip
