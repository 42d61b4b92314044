"""What the invoice reference number of a document will be. Pure.

sha256 of supplier GSTIN, financial year, kind and number, without separators (NIC, e-invoice system). Ours is only a
prediction: an IRN is valid with the portal's signature alone.
"""

import hashlib

KINDS = {"invoice": "INV", "credit_note": "CRN", "debit_note": "DBN"}


def predict(*, gstin: str, year: str, kind: str, number: str) -> str:
    """`year` as `2026-27`, `kind` as INV, CRN or DBN, `number` as the portal got it."""
    return hashlib.sha256(f"{gstin}{year}{kind}{number}".encode()).hexdigest()
