"""Finance's desk for tax: documents, months, registrations, rules."""

from billing.invoicing.admin import documents, months, registrations

__all__ = ["documents", "months", "registrations"]
