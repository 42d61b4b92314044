"""A document as the e-invoice portal wants it: INV-01, version 1.1. Pure.

Amounts go out as rupees with two decimals; the integers behind them add up, so these do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

MOST_ITEMS = 1_000
FEWEST_LETTERS = 3  # the portal's least for a trade name and a second line of an address
UNIT = "OTH"  # services have no unit quantity code of their own
REFUSED = str.maketrans({'"': "'", "\\": "/"})  # by the portal, in any text


class NotReportable(ValueError):
    """Says which field keeps it from the portal."""


@dataclass(frozen=True)
class Line:
    description: str
    sac_code: str
    quantity: Decimal
    rate_percent: Decimal
    taxable_paise: int
    cgst_paise: int
    sgst_paise: int
    igst_paise: int


@dataclass(frozen=True)
class Document:
    """`kind` INV, CRN or DBN; parties as their facts: gstin, legal_name, address, city, pin_code, state_code."""

    kind: str
    number: str
    dated_on: date
    supply_kind: str
    supplier: dict[str, Any]
    recipient: dict[str, Any]
    place_of_supply: str
    lines: Sequence[Line]
    round_off_paise: int
    total_paise: int
    original: tuple[str, date] | None = None


def payload(document: Document) -> dict[str, Any]:
    """Raises NotReportable for what the portal would refuse anyway."""
    if not 0 < len(document.lines) <= MOST_ITEMS:
        raise NotReportable(f"An e-invoice has 1 to {MOST_ITEMS} items, this one {len(document.lines)}.")
    told: dict[str, Any] = {
        "Version": "1.1",
        "TranDtls": {"TaxSch": "GST", "SupTyp": document.supply_kind, "RegRev": "N"},
        "DocDtls": {"Typ": document.kind, "No": document.number, "Dt": f"{document.dated_on:%d/%m/%Y}"},
        "SellerDtls": _party(document.supplier, "supplier"),
        "BuyerDtls": {**_party(document.recipient, "recipient"), "Pos": document.place_of_supply},
        "ItemList": [_item(position, line) for position, line in enumerate(document.lines, start=1)],
        "ValDtls": _values(document),
    }
    if document.original is not None:
        number, day = document.original
        told["RefDtls"] = {"PrecDocDtls": [{"InvNo": number, "InvDt": f"{day:%d/%m/%Y}"}]}
    return told


def rupees(paise: int) -> float:
    """Exact in JSON: the shortest text of this float has the two decimals that were meant."""
    return paise / 100


def _party(facts: dict[str, Any], who: str) -> dict[str, Any]:
    missing = [name for name in ("gstin", "legal_name", "address", "city", "pin_code") if not facts[name]]
    if missing:
        raise NotReportable(f"The {who} has no {', '.join(missing)}.")
    told = {
        "Gstin": facts["gstin"], "LglNm": _text(facts["legal_name"], 100), "Addr1": _text(facts["address"], 100),
        "Loc": _text(facts["city"], 50), "Pin": int(facts["pin_code"]), "Stcd": facts["state_code"],
    }  # fmt: skip
    more = {"TrdNm": _text(facts.get("trade_name", ""), 100), "Addr2": _text(facts["address"][100:], 100)}
    return told | {name: text for name, text in more.items() if len(text) >= FEWEST_LETTERS}


def _text(text: str, most: int) -> str:
    return text.translate(REFUSED)[:most].strip()


def _item(position: int, line: Line) -> dict[str, Any]:
    total = line.taxable_paise + line.cgst_paise + line.sgst_paise + line.igst_paise
    return {
        "SlNo": str(position), "PrdDesc": _text(line.description, 300), "IsServc": "Y", "HsnCd": line.sac_code,
        "Qty": float(line.quantity), "Unit": UNIT, "UnitPrice": _unit_price(line),
        "TotAmt": rupees(line.taxable_paise), "Discount": 0, "AssAmt": rupees(line.taxable_paise),
        "GstRt": float(line.rate_percent), "IgstAmt": rupees(line.igst_paise), "CgstAmt": rupees(line.cgst_paise),
        "SgstAmt": rupees(line.sgst_paise), "TotItemVal": rupees(total),
    }  # fmt: skip


def _unit_price(line: Line) -> float:
    """Rupees per unit, three decimals, as the portal takes them; a mean where sessions had different prices."""
    quantity = line.quantity or Decimal(1)
    return float((Decimal(line.taxable_paise) / 100 / quantity).quantize(Decimal("0.001"), ROUND_HALF_UP))


def _values(document: Document) -> dict[str, Any]:
    def total(name: str) -> float:
        return rupees(sum(getattr(line, name) for line in document.lines))

    return {
        "AssVal": total("taxable_paise"), "CgstVal": total("cgst_paise"), "SgstVal": total("sgst_paise"),
        "IgstVal": total("igst_paise"), "Discount": 0, "OthChrg": 0, "RndOffAmt": rupees(document.round_off_paise),
        "TotInvVal": rupees(document.total_paise),
    }  # fmt: skip
