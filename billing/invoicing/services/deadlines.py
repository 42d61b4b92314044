"""Until when a credit note lowers the tax of an invoice, and which came later."""

from datetime import date

from billing.gst.numbering import first_day
from billing.invoicing.models import TaxDocument
from billing.invoicing.services.rules import Name, Rules


def note_until(original: TaxDocument, rules: Rules) -> date:
    """The last day for a credit note about it."""
    month, day = map(int, rules.value(Name.NOTE_UNTIL).split("-"))
    return date(first_day(original.financial_year).year + 1, month, day)


def is_commercial(document: TaxDocument, rules: Rules) -> bool:
    """A credit note that came too late to lower the tax: between the parties alone, in no return and at no portal."""
    if document.kind != TaxDocument.Kind.CREDIT_NOTE or document.original is None or document.tax_paise:
        return False
    return document.dated_on > note_until(document.original, rules.at(document.dated_on))
