"""A document as PDF: page one what the law asks for (CGST Rules, rule 46), then the sessions behind it."""

import functools
import io
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import (
    KeepTogether,
    LongTable,
    PageBreak,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from billing.gst.heads import Heads
from billing.gst.states import name_of
from billing.gst.words import in_words
from billing.invoicing.models import TaxDocument
from billing.invoicing.rendering.marks import (
    BOLD,
    FAINT,
    INK,
    MARGIN,
    PLAIN,
    RULE,
    NumberedCanvas,
    QRCode,
    register_fonts,
    style,
)
from billing.invoicing.rendering.session_table import SessionTable
from billing.invoicing.rendering.sheet import Sheet
from fleetcharge.lib.money import format_inr, group_indian

Kind = TaxDocument.Kind
BAND = colors.HexColor("#eef2ff")
WIDTH, PADDING = A4[0] - 2 * MARGIN, 6  # ReportLab's frames have that padding
CELL = 3
SUPPLIES = {
    "SEZWP": "Supply to SEZ unit with payment of integrated tax",
    "SEZWOP": "Supply to SEZ unit under letter of undertaking without payment of integrated tax",
}  # fmt: skip
PARTY = {Kind.RECEIPT_VOUCHER: "Received from", Kind.REFUND_VOUCHER: "Refunded to"}
COPY = "Original for recipient"  # CGST Rules, rule 48(2)
MOST_QR_LETTERS = 2_300  # what a readable code of this size holds


def render(sheet: Sheet) -> bytes:
    """The same sheet gives the same bytes."""
    register_fonts()
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out, pagesize=A4, leftMargin=MARGIN - PADDING, rightMargin=MARGIN - PADDING, topMargin=12 * mm,
        bottomMargin=15 * mm, title=f"{sheet.title} {sheet.number}".strip(), author=sheet.supplier["legal_name"],
        invariant=1,
    )  # fmt: skip
    story = [*_head(sheet), *_lines(sheet), KeepTogether([*_sums(sheet), *_foot(sheet)])]
    if sheet.annexure:
        story += [PageBreak(), *_annexure(sheet)]
    name = sheet.number or "DRAFT, not a tax document"
    foot = f"{sheet.title} {name} · {sheet.supplier['legal_name']}"
    document.build(story, canvasmaker=functools.partial(NumberedCanvas, foot=foot))
    return out.getvalue()


def _text(text: object, size: float = 8, **fields: Any) -> Paragraph:
    return Paragraph(escape(str(text)), style(size, **fields))


def _rich(markup: str, size: float = 8, **fields: Any) -> Paragraph:
    return Paragraph(markup, style(size, **fields))


def _head(sheet: Sheet) -> list[Any]:
    facts = [
        ("Number", sheet.number or "—"), ("Date", f"{sheet.dated_on:%d %b %Y}" if sheet.dated_on else "—"),
        ("Period", sheet.period), ("Place of supply", sheet.place), ("Reverse charge", "No"),
        ("Refers to", sheet.original), ("Payment", sheet.payment), ("Because", sheet.reason),
        ("Total", format_inr(sheet.total_paise) if sheet.irn_state else ""),
    ]  # fmt: skip
    right = [_text(sheet.title.upper(), 14, is_bold=True, align=2)]
    right += [_text(COPY, 7, align=2, colour=FAINT)] if sheet.number else []
    right.append(Spacer(0, 2 * mm))
    right += [
        _rich(f'<font color="{FAINT}">{name}</font>&nbsp;&nbsp;<b>{escape(value)}</b>', 8, align=2)
        for name, value in facts
        if value
    ]
    top = Table([[_party(sheet.supplier), right]], colWidths=[WIDTH * 0.55, WIDTH * 0.45])
    top.setStyle(_PLAIN)
    to = [_text(PARTY.get(Kind(sheet.kind), "Billed to"), 7, colour=FAINT), *_party(sheet.recipient, size=9)]
    beside = _registration(sheet) if sheet.irn_state else _in_short(sheet)
    middle = Table([[to, beside]], colWidths=[WIDTH * 0.55, WIDTH * 0.45])
    middle.setStyle(TableStyle([*_PLAIN_COMMANDS, ("BOX", (0, 0), (-1, -1), 0.5, RULE)]))
    notice = SUPPLIES.get(sheet.supply_kind)
    return [top, Spacer(0, 3 * mm), middle, Spacer(0, 3 * mm), *([_text(notice, 8, is_bold=True)] if notice else [])]


def _party(facts: dict[str, Any], size: float = 11) -> list[Paragraph]:
    place = " ".join(part for part in (facts["city"], facts["pin_code"]) if part)
    state = f"{name_of(facts['state_code'])}, state code {facts['state_code']}" if facts["state_code"] else ""
    lines = [_text(facts["legal_name"], size, is_bold=True)]
    lines += [_text(line) for line in (facts["trade_name"], facts["address"], place, state) if line]
    lines.append(_rich(f"GSTIN: <b>{escape(facts['gstin'])}</b>" if facts["gstin"] else "Not registered under GST"))
    return lines


def _in_short(sheet: Sheet) -> list[Paragraph]:
    """What a reader looks for first; the lines may go on for pages."""
    lines = [_text("Total", 7, align=2, colour=FAINT), _text(format_inr(sheet.total_paise), 15, is_bold=True, align=2)]
    return [*lines, _text(_drawn(sheet), 7, align=2, colour=FAINT)] if sheet.annexure else lines


def _drawn(sheet: Sheet) -> str:
    energy = sum((Decimal(row["kwh"]) for row in sheet.annexure), Decimal(0))
    return f"{_count(len(sheet.annexure), 'session')} · {quantity_shown(energy, 'kWh')}"


def _count(number: int, what: str) -> str:
    return f"{group_indian(number)} {what}{'' if number == 1 else 's'}"


def _registration(sheet: Sheet) -> Any:
    if not sheet.irn:
        return _text("IRN: to be registered with the e-invoice portal", 7, align=2, colour=FAINT)
    words = [_text(f"IRN {sheet.irn}", 6), _text(f"Acknowledgement {sheet.ack}", 6)]
    if sheet.irn_state == "cancelled":
        words.append(_text("CANCELLED with the portal", 7, is_bold=True, colour="#b3261e"))
    code = QRCode(sheet.signed_qr, 44 * mm) if 0 < len(sheet.signed_qr) <= MOST_QR_LETTERS else ""
    table = Table([[words, code]], colWidths=[WIDTH * 0.45 - 50 * mm, 47 * mm])
    table.setStyle(_PLAIN)
    return table


def _lines(sheet: Sheet) -> list[Any]:
    taxes = ["IGST"] if sheet.is_interstate else ["CGST", sheet.state_head]
    rows: list[list[Any]] = [["#", "Description", "SAC", "Quantity", "Taxable", "Rate", *taxes, "Total"]]
    for position, line in enumerate(sheet.lines, start=1):
        heads = [line.heads.igst_paise] if sheet.is_interstate else [line.heads.cgst_paise, line.heads.sgst_paise]
        rows.append([
            str(position), _text(line.description, 7), line.sac_code, quantity_shown(line.quantity, line.unit),
            rupees(line.taxable_paise), f"{_plain(line.rate_percent)} %", *map(rupees, heads),
            rupees(line.total_paise),
        ])  # fmt: skip
    table = LongTable(rows, colWidths=_widths(rows), repeatRows=1)
    table.setStyle(_grid(first_figure=3))
    return [table, Spacer(0, 3 * mm)]


def _widths(rows: list[list[Any]]) -> list[float]:
    """Figures take what the longest of them needs, the description takes the rest."""
    columns = list(zip(*rows, strict=True))
    widths = [0.0 if place == 1 else _width(column) for place, column in enumerate(columns)]
    widths[1] = WIDTH - sum(widths)
    return widths


def _width(column: Sequence[str]) -> float:
    heading, *cells = column
    widest = max((stringWidth(cell, PLAIN, 7) for cell in set(cells)), default=0.0)
    return max(widest, float(stringWidth(heading, BOLD, 7))) + 2 * CELL + 1


def _sums(sheet: Sheet) -> list[Any]:
    heads = sheet.heads
    sums = [("Taxable value", sheet.taxable_paise)]
    sums += [("IGST", heads.igst_paise)] if sheet.is_interstate else [
        ("CGST", heads.cgst_paise), (sheet.state_head, heads.sgst_paise)
    ]  # fmt: skip
    sums += [("Round off", sheet.round_off_paise)] if sheet.round_off_paise else []
    rows = [(name, format_inr(paise)) for name, paise in (*sums, ("Total", sheet.total_paise))]
    right = Table(rows, colWidths=[WIDTH * 0.17, WIDTH * 0.21], hAlign="RIGHT")
    right.setStyle(_SUMS)
    left = [_text("Amount in words", 7, colour=FAINT), _text(in_words(sheet.total_paise), 8, is_bold=True)]
    left += [Spacer(0, 2 * mm), *_by_rate(sheet), Spacer(0, 2 * mm), *_paid(sheet)]
    both = Table([[left, right]], colWidths=[WIDTH * 0.61, WIDTH * 0.39])
    both.setStyle(TableStyle([*_PLAIN_COMMANDS, ("RIGHTPADDING", (-1, 0), (-1, -1), 0)]))
    return [both, Spacer(0, 4 * mm)]


def _by_rate(sheet: Sheet) -> list[Any]:
    """Code by code and rate by rate, as the return wants it."""
    sums: dict[tuple[str, Decimal], tuple[int, Heads]] = defaultdict(lambda: (0, Heads()))
    for line in sheet.lines:
        taxable, heads = sums[line.sac_code, line.rate_percent]
        sums[line.sac_code, line.rate_percent] = (taxable + line.taxable_paise, heads + line.heads)
    taxes = ["IGST"] if sheet.is_interstate else ["CGST", sheet.state_head]
    rows = [["SAC", "Taxable", *taxes, "Tax"]]
    for (sac, rate), (taxable, heads) in sorted(sums.items()):
        parts = [heads.igst_paise] if sheet.is_interstate else [heads.cgst_paise, heads.sgst_paise]
        shares = (f"{_plain(rate / len(taxes))} %: {rupees(paise)}" for paise in parts)
        rows.append([sac, rupees(taxable), *shares, rupees(heads.total_paise)])
    table = Table(rows, colWidths=[_width(column) for column in zip(*rows, strict=True)], hAlign="LEFT")
    table.setStyle(_grid(first_figure=1))
    return [table]


def _paid(sheet: Sheet) -> list[Any]:
    if sheet.kind == Kind.RECEIPT_VOUCHER:
        return [_text("Received in advance; it will be set off against your invoices.", 7, colour=FAINT)]
    if sheet.kind not in {Kind.INVOICE, Kind.DEBIT_NOTE} or not sheet.number:
        return []
    lines = [f"Charged to your wallet session by session: {format_inr(sheet.charged_paise)}"]
    if difference := sheet.total_paise - sheet.charged_paise:
        way = "Taken from your wallet" if difference > 0 else "Given back to your wallet"
        lines.append(f"{way} with this document: {format_inr(abs(difference))}")
    shown = ", ".join(f"{number} ({format_inr(paise)})" for number, paise in sheet.advances[:6])
    if shown:
        lines.append(f"Advances set off: {shown}{' and others' if len(sheet.advances) > 6 else ''}")
    return [_text(line, 7, colour=FAINT) for line in lines]


def _foot(sheet: Sheet) -> list[Any]:
    left: list[Any] = []
    if sheet.annexure_sha256:
        left += [
            _text(f"Annexure: {_count(len(sheet.annexure), 'session')}, part of this document. SHA-256 of its CSV:", 7),
            _text(sheet.annexure_sha256, 6, colour=FAINT),
        ]
    for title, text in (("Bank", sheet.supplier.get("bank_details")), ("Terms", sheet.supplier.get("terms"))):
        if text:
            left += [Spacer(0, 2 * mm), _rich(f"<b>{title}</b> {escape(text)}", 7)]
    signed = "Registered electronically; no signature is needed." if sheet.irn else "Authorised signatory"
    right = [
        _text(f"For {sheet.supplier['legal_name']}", 8, align=2), Spacer(0, (1 if sheet.irn else 12) * mm),
        _text(signed, 7, align=2),
    ]  # fmt: skip
    table = Table([[left, right]], colWidths=[WIDTH * 0.6, WIDTH * 0.4])
    table.setStyle(_PLAIN)
    return [table]


def _annexure(sheet: Sheet) -> list[Any]:
    total = rupees(sum(row["total_paise"] for row in sheet.annexure))
    title = _text(f"Annexure to {sheet.number or 'the draft'}: sessions", 11, is_bold=True)
    note = "Amounts in rupees as charged session by session; tax of the invoice is computed once per rate."
    in_all = f"{_drawn(sheet)} · charged in all: ₹{total}"
    return [title, _text(note, 7, colour=FAINT), Spacer(0, 2 * mm), SessionTable(sheet.annexure, WIDTH),
            Spacer(0, 1 * mm), _text(in_all, 8, is_bold=True, align=2)]  # fmt: skip


def rupees(paise: int) -> str:
    """`1234567` -> `12,345.67`; the column says the currency."""
    return format_inr(paise).replace("₹", "")


def quantity_shown(quantity: Decimal, unit: str) -> str:
    """`12345.678` -> `12,345.678 kWh`, in lakhs and crores like the money beside it."""
    text = f"{quantity:.3f}" if unit in {"kWh", "h"} else _plain(quantity)
    whole, dot, rest = text.partition(".")
    return f"{group_indian(int(whole))}{dot}{rest} {unit}"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


@functools.cache
def _grid(*, first_figure: int) -> TableStyle:
    """Columns from there on are figures. Cells are bare text: a paragraph in each would cost ten times as much."""
    return TableStyle([
        *_PLAIN_COMMANDS, *_BARE, ("BACKGROUND", (0, 0), (-1, 0), BAND), ("FONT", (0, 0), (-1, 0), BOLD, 7, 9.1),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, RULE), ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2), ("ALIGN", (first_figure, 0), (-1, -1), "RIGHT"),
    ])  # fmt: skip


_PLAIN_COMMANDS = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), CELL),
    ("RIGHTPADDING", (0, 0), (-1, -1), CELL),
]  # fmt: skip
_PLAIN = TableStyle(_PLAIN_COMMANDS)
_BARE = [("FONT", (0, 0), (-1, -1), PLAIN, 7, 9.1), ("TEXTCOLOR", (0, 0), (-1, -1), INK)]
_SUMS = TableStyle([
    *_PLAIN_COMMANDS, *_BARE, ("FONTSIZE", (0, 0), (-1, -2), 8), ("ALIGN", (1, 0), (1, -1), "RIGHT"),
    ("FONT", (0, -1), (-1, -1), BOLD, 11, 14.3), ("LINEABOVE", (0, -1), (-1, -1), 0.8, INK),
])  # fmt: skip
