"""The ledgers and cost centres that the month's vouchers name, for TallyPrime: to be imported before them.

Tally keeps a ledger that it knows by its name; an import that is repeated doubles nothing.
"""

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import quoteattr

from billing.gst.states import name_of
from billing.invoicing.exports.documents import documents_of
from billing.invoicing.exports.tally import (
    ADVANCE_TAX,
    BANK,
    CATEGORY,
    FOOT,
    HEAD,
    REST,
    ROUND_OFF,
    SALES,
    Parties,
    cost_centres_of,
    payments_of,
    tag,
)
from billing.invoicing.models import AccountingMonth, SupplierRegistration
from billing.invoicing.rendering.xlsx import CONTROL

OURS = {
    SALES: ("Sales Accounts", {"ISCOSTCENTRESON": "Yes"}), BANK: ("Bank Accounts", {}),
    ROUND_OFF: ("Indirect Expenses", {}), ADVANCE_TAX: ("Current Assets", {}),
}  # fmt: skip
HEADS = {"CGST": "CGST", "SGST": "SGST/UTGST", "UTGST": "SGST/UTGST", "IGST": "IGST"}


def tally_masters_xml(month: AccountingMonth, supplier: SupplierRegistration | None = None) -> Iterator[str]:
    yield HEAD.format(report="All Masters")
    for name, (group, facts) in OURS.items():
        yield _ledger(name, group, facts)
    for head, duty in HEADS.items():
        yield _ledger(f"Output {head}", "Duties & Taxes", {"TAXTYPE": "GST", "GSTDUTYHEAD": duty})
    documents = documents_of(month, supplier)
    centres = {name for names in cost_centres_of(documents).values() for name in names}
    for name in sorted(centres) + ([REST] if centres else []):
        yield _message("COSTCENTRE", name, tag("CATEGORY", CATEGORY))
    parties, party_of = dict[str, dict[str, Any]](), Parties()
    for document in documents.iterator(500):
        parties[party_of(document)] = document.recipient_facts
    for _, document in payments_of(month, supplier):
        parties.setdefault(party_of(document), document.recipient_facts)
    for name, facts in sorted(parties.items()):
        yield _party(name, facts)
    yield FOOT


def _party(name: str, facts: dict[str, Any]) -> str:
    lines = "".join(tag("ADDRESS", line) for line in (facts["address"], facts["city"]) if line)
    address = f'<ADDRESS.LIST TYPE="String">{lines}</ADDRESS.LIST>' if lines else ""
    told = {
        "MAILINGNAME": facts["legal_name"], "COUNTRYNAME": "India", "LEDSTATENAME": name_of(facts["state_code"]),
        "PINCODE": facts["pin_code"], "EMAIL": facts["email"], "PARTYGSTIN": facts["gstin"],
        "GSTREGISTRATIONTYPE": "Regular" if facts["gstin"] else "Unregistered", "ISBILLWISEON": "Yes",
    }  # fmt: skip
    return _ledger(name, "Sundry Debtors", told, address)


def _ledger(name: str, group: str, facts: dict[str, Any], more: str = "") -> str:
    told = "".join(tag(key, value) for key, value in facts.items() if value)
    return _message("LEDGER", name, f"{tag('PARENT', group)}{more}{told}")


def _message(kind: str, name: str, inner: str) -> str:
    return (
        f'<TALLYMESSAGE><{kind} NAME={quoteattr(CONTROL.sub(" ", name))} ACTION="Create">'
        f"<NAME.LIST>{tag('NAME', name)}</NAME.LIST>{inner}</{kind}></TALLYMESSAGE>\n"
    )
