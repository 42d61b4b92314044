"""A document as PDF: page one what the law asks for (CGST Rules, rule 46), then the sessions behind it."""

import functools
import io
from collections import defaultdict
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import LongTable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from billing.gst.heads import Heads
from billing.gst.states import name_of
from billing.gst.words import in_words
from billing.invoicing.models import TaxDocument
from billing.invoicing.rendering.marks import BOLD, INK, PLAIN, RULE, QRCode, register_fonts, style
from billing.invoicing.rendering.session_table import SessionTable
from billing.invoicing.rendering.sheet import Sheet
from fleetcharge.lib.money import format_inr, group_indian

Kind = TaxDocument.Kind
FAINT, BAND = "#5b6b8c", colors.HexColor("#eef2ff")
MARGIN, WIDTH, PADDING = 14 * mm, A4[0] - 28 * mm, 6  # ReportLab's frames have that padding
SUPPLIES = {
    "SEZWP": "Supply to SEZ unit with payment of integrated tax",
    "SEZWOP": "Supply to SEZ unit under letter of undertaking without payment of integrated tax",
}  # fmt: skip
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
    story = [*_head(sheet), *_lines(sheet), *_sums(sheet), *_foot(sheet)]
    if sheet.annexure:
        story += [PageBreak(), *_annexure(sheet)]
    document.build(story, canvasmaker=lambda *args, **kwargs: _Numbered(*args, sheet=sheet, **kwargs))
    return out.getvalue()


class _Numbered(Canvas):  # type: ignore[misc]
    """Writes `page 2 of 5` once all pages are known."""

    def __init__(self, *args: Any, sheet: Sheet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sheet, self._pages = sheet, list[dict[str, Any]]()

    def showPage(self) -> None:
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self._footer(number)
            super().showPage()
        super().save()

    def _footer(self, number: int) -> None:
        self.setFont(PLAIN, 7)
        self.setFillColor(colors.HexColor(FAINT))
        name = self._sheet.number or "DRAFT, not a tax document"
        self.drawString(MARGIN, 8 * mm, f"{self._sheet.title} {name} · {self._sheet.supplier['legal_name']}")
        self.drawRightString(A4[0] - MARGIN, 8 * mm, f"page {number} of {len(self._pages)}")


def _text(text: object, size: float = 8, **fields: Any) -> Paragraph:
    return Paragraph(escape(str(text)), style(size, **fields))


def _rich(markup: str, size: float = 8, **fields: Any) -> Paragraph:
    return Paragraph(markup, style(size, **fields))


def _head(sheet: Sheet) -> list[Any]:
    facts = [
        ("Number", sheet.number or "—"), ("Date", f"{sheet.dated_on:%d %b %Y}" if sheet.dated_on else "—"),
        ("Period", sheet.period), ("Place of supply", sheet.place), ("Reverse charge", "No"),
        ("Refers to", sheet.original), ("Because", sheet.reason),
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
    to = [_text("Billed to", 7, colour=FAINT), *_party(sheet.recipient, size=9)]
    middle = Table([[to, _registration(sheet)]], colWidths=[WIDTH * 0.55, WIDTH * 0.45])
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


def _registration(sheet: Sheet) -> Any:
    if not sheet.irn_state:
        return ""
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
            str(position), _text(line.description, 7), line.sac_code, _quantity(line.quantity, line.unit),
            rupees(line.taxable_paise), f"{_plain(line.rate_percent)} %", *map(rupees, heads),
            rupees(line.total_paise),
        ])  # fmt: skip
    narrow = [7 * mm, 0, 14 * mm, 24 * mm, 22 * mm, 12 * mm, *[19 * mm for _ in taxes], 22 * mm]
    narrow[1] = WIDTH - sum(narrow)
    table = LongTable(rows, colWidths=narrow, repeatRows=1)
    table.setStyle(_grid(first_figure=3))
    return [table, Spacer(0, 3 * mm)]


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
    widths = [14 * mm, 20 * mm, *[(50 if sheet.is_interstate else 26) * mm] * len(taxes), 20 * mm]
    table = Table(rows, colWidths=widths, hAlign="LEFT")
    table.setStyle(_grid(first_figure=1))
    return [table]


def _paid(sheet: Sheet) -> list[Any]:
    if sheet.kind == Kind.RECEIPT_VOUCHER:
        return [_text("Received in advance; it will be set off against your invoices.", 7, colour=FAINT)]
    if sheet.kind != Kind.INVOICE or not sheet.number:
        return []
    lines = [f"Charged to your wallet session by session: {format_inr(sheet.charged_paise)}"]
    if difference := sheet.total_paise - sheet.charged_paise:
        lines.append(f"Settled with your wallet by this invoice: {format_inr(difference)}")
    shown = ", ".join(f"{number} ({format_inr(paise)})" for number, paise in sheet.advances[:6])
    if shown:
        lines.append(f"Advances set off: {shown}{' and others' if len(sheet.advances) > 6 else ''}")
    return [_text(line, 7, colour=FAINT) for line in lines]


def _foot(sheet: Sheet) -> list[Any]:
    left: list[Any] = []
    if sheet.annexure_sha256:
        left += [
            _text(f"Annexure: {len(sheet.annexure)} sessions, part of this document. SHA-256 of its CSV:", 7),
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
    return [title, _text(note, 7, colour=FAINT), Spacer(0, 2 * mm), SessionTable(sheet.annexure, WIDTH),
            Spacer(0, 1 * mm), _text(f"Charged in all: ₹{total}", 8, is_bold=True, align=2)]  # fmt: skip


def rupees(paise: int) -> str:
    """`1234567` -> `12,345.67`; the column says the currency."""
    return format_inr(paise).replace("₹", "")


def _quantity(quantity: Decimal, unit: str) -> str:
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
    ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 3), ("RIGHTPADDING", (0, 0), (-1, -1), 3),
]  # fmt: skip
_PLAIN = TableStyle(_PLAIN_COMMANDS)
_BARE = [("FONT", (0, 0), (-1, -1), PLAIN, 7, 9.1), ("TEXTCOLOR", (0, 0), (-1, -1), INK)]
_SUMS = TableStyle([
    *_PLAIN_COMMANDS, *_BARE, ("FONTSIZE", (0, 0), (-1, -2), 8), ("ALIGN", (1, 0), (1, -1), "RIGHT"),
    ("FONT", (0, -1), (-1, -1), BOLD, 11, 14.3), ("LINEABOVE", (0, -1), (-1, -1), 0.8, INK),
])  # fmt: skip
