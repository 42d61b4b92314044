"""A wallet's statement as CSV, XLSX and PDF."""

import functools
import io
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import xlsxwriter
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from billing.dispute import rupees
from billing.invoicing.exports.tables import csv_of
from billing.invoicing.files import CSV, XLSX, File
from billing.invoicing.rendering.marks import BOLD, MARGIN, PLAIN, NumberedCanvas, fitting, register_fonts, style
from billing.models import Wallet
from billing.services import statements
from billing.services.statements import Line, Stretch, Sums
from fleetcharge.lib.money import format_inr

PDF_ROWS = 5_000
FOOT = "FleetCharge · a statement of the wallet, not a tax invoice"
WIDTHS = (26 * mm, 39 * mm, 50 * mm, 22 * mm, 20 * mm, 25 * mm)
SIZE, PADDING = 7.5, 3
COLUMNS = ("Booked", "Happened", "What", "Vehicle", "Site", "Reference", "In, Rs", "Out, Rs", "Balance, Rs")
KINDS = {
    "top_up": "Top-up", "charge": "Charging session", "adjustment": "Correction of a session", "reversal": "Taken back",
    "settle_receivable": "Paid what was owed", "document": "Rounding on a document", "refund": "Refund to the bank",
    "refund_failed": "Refund came back", "network_order": "Order at a network", "subscription": "Subscription fee",
}  # fmt: skip


def name_of(wallet: Wallet, stretch: Stretch, form: str) -> str:
    return f"statement-{wallet.organisation.slug}-{stretch.first}-{stretch.last}.{form}"


def what(line: Line) -> str:
    return KINDS.get(line.kind, line.kind.replace("_", " ").capitalize())


def _csv(wallet: Wallet, stretch: Stretch) -> File:
    pieces = (piece.encode() for piece in csv_of(_rows(wallet, stretch)))
    return File(name_of(wallet, stretch, "csv"), CSV, pieces)


def _rows(wallet: Wallet, stretch: Stretch) -> Iterator[tuple[Any, ...]]:
    sums = statements.sums(wallet.account_id, stretch)
    yield COLUMNS
    yield ("", "", "Opening balance", "", "", "", "", "", rupees(sums.opening_paise))
    balance = sums.opening_paise
    for line in statements.every_line(wallet.account_id, stretch, opening_paise=sums.opening_paise):
        balance = line.balance_paise
        paid_in, paid_out = max(0, line.amount_paise), max(0, -line.amount_paise)
        yield (
            _local(line.recorded_at, stretch), _local(line.occurred_at, stretch), what(line), line.vehicle, line.site,
            line.memo, rupees(paid_in) if paid_in else "", rupees(paid_out) if paid_out else "", rupees(balance),
        )  # fmt: skip
    yield ("", "", "Closing balance", "", "", "", "", "", rupees(balance))


def _local(instant: datetime, stretch: Stretch) -> datetime:
    """By the fleet's clock, to the second; a spreadsheet knows no time zone."""
    return instant.astimezone(stretch.zone).replace(microsecond=0, tzinfo=None)


def _xlsx(wallet: Wallet, stretch: Stretch) -> File:
    """Figures are numbers, instants are instants, everything else is text."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    sheet = book.add_worksheet("Statement")
    bold, money = book.add_format({"bold": True, "bg_color": "#EEF2FF"}), book.add_format({"num_format": "#,##0.00"})
    instant = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    sheet.freeze_panes(1, 0)
    for column, width in enumerate((19, 19, 24, 15, 26, 34, 14, 14, 15)):
        sheet.set_column(column, column, width)
    for number, row in enumerate(_rows(wallet, stretch)):
        for column, value in enumerate(row):
            if number and column >= 6 and value != "":
                sheet.write_number(number, column, float(value), money)
            elif isinstance(value, datetime):
                sheet.write_datetime(number, column, value, instant)
            else:
                sheet.write_string(number, column, str(value), bold if number == 0 else None)
    book.close()
    return File(name_of(wallet, stretch, "xlsx"), XLSX, [out.getvalue()])


def _pdf(wallet: Wallet, stretch: Stretch) -> File:
    """With at most PDF_ROWS lines; what follows is in the CSV, and the page says so."""
    register_fonts()
    out = io.BytesIO()
    sums = statements.sums(wallet.account_id, stretch)
    title = f"Wallet statement, {stretch.first:%d %b %Y} to {stretch.last:%d %b %Y}"
    paper = SimpleDocTemplate(
        out, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=14 * mm, bottomMargin=16 * mm,
        title=title, author="FleetCharge", invariant=1,
    )  # fmt: skip
    lines = statements.every_line(wallet.account_id, stretch, opening_paise=sums.opening_paise)
    shown = list(itertools.islice(lines, PDF_ROWS + 1))
    story = [
        Paragraph(str(wallet.organisation).replace("&", "&amp;").replace("<", "&lt;"), style(15, is_bold=True)),
        Paragraph(title, style(9.5)), Spacer(1, 4 * mm), _totals(sums), Spacer(1, 5 * mm),
        _table(shown[:PDF_ROWS], stretch, sums),
    ]  # fmt: skip
    if len(shown) > PDF_ROWS:
        story += [Spacer(1, 3 * mm), Paragraph(f"The first {PDF_ROWS} lines. The CSV has all of them.", style(9))]
    paper.build(story, canvasmaker=functools.partial(NumberedCanvas, foot=FOOT))
    return File(name_of(wallet, stretch, "pdf"), "application/pdf", [out.getvalue()])


def _totals(sums: Sums) -> LongTable:
    names = ("Opening balance", "In", "Out", "Closing balance")
    values = (sums.opening_paise, sums.in_paise, -sums.out_paise, sums.closing_paise)
    table = LongTable([names, [format_inr(value) for value in values]], colWidths=[45.5 * mm] * 4)
    table.setStyle(TableStyle([
        ("FONT", (0, 0), (-1, 0), PLAIN, 8), ("FONT", (0, 1), (-1, 1), BOLD, 11),
        ("TEXTCOLOR", (0, 0), (-1, 0), colors.HexColor("#535e73")), ("BACKGROUND", (0, 0), (-1, -1), "#f4f6f9"),
        ("BOTTOMPADDING", (0, 1), (-1, 1), 7), ("TOPPADDING", (0, 0), (-1, 0), 6),
    ]))  # fmt: skip
    return table


def _table(lines: list[Line], stretch: Stretch, sums: Sums) -> LongTable:
    rows = [["Booked", "What", "Vehicle, site", "In, ₹", "Out, ₹", "Balance, ₹"]]
    rows.append(["", "Opening balance", "", "", "", _figure(sums.opening_paise)])
    for line in lines:
        about = " · ".join(part for part in (line.vehicle, line.site) if part) or line.memo
        cells = [_what_and_when(line, stretch), about]
        amount = _figure(abs(line.amount_paise))
        is_in = line.amount_paise > 0
        rows.append([
            f"{line.recorded_at.astimezone(stretch.zone):%d %b %y %H:%M}",
            *(fitting(cell, width - 2 * PADDING, PLAIN, SIZE) for cell, width in zip(cells, WIDTHS[1:], strict=False)),
            amount if is_in else "", "" if is_in else amount, _figure(line.balance_paise),
        ])  # fmt: skip
    table = LongTable(rows, colWidths=WIDTHS, repeatRows=1)
    table.setStyle(TableStyle([
        ("FONT", (0, 0), (-1, 0), BOLD, SIZE), ("FONT", (0, 1), (-1, -1), PLAIN, SIZE),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.HexColor("#dfe4ec")), ("ALIGN", (3, 0), (-1, -1), "RIGHT"),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#eef2ff")), ("TOPPADDING", (0, 0), (-1, -1), 2.2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.6), ("LEFTPADDING", (0, 0), (-1, -1), PADDING),
        ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
    ]))  # fmt: skip
    return table


def _figure(paise: int) -> str:
    """The column says the currency."""
    return format_inr(paise).replace("₹", "")


def _what_and_when(line: Line, stretch: Stretch) -> str:
    """With the day it happened, where it was booked on another one."""
    happened, booked = (instant.astimezone(stretch.zone).date() for instant in (line.occurred_at, line.recorded_at))
    return what(line) if happened == booked else f"{what(line)}, {happened:%d %b}"


FORMS: dict[str, Callable[[Wallet, Stretch], File]] = {"csv": _csv, "xlsx": _xlsx, "pdf": _pdf}
