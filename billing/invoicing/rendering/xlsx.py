"""The annexure as a spreadsheet: XlsxWriter makes the book once, each annexure is a sheet written into it."""

import functools
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from xml.sax.saxutils import escape

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from billing.invoicing.annexure import COLUMNS, MONEY, Facts

NUMBERS = {"position", "minutes", "kwh", "points", "record"}
DAYS = {"started_at", "ended_at"}
WIDE = {"started_at": 18, "ended_at": 18, "site": 30, "vehicle": 16, "network": 18}
SHEET, PROPERTIES, TITLE = "xl/worksheets/sheet1.xml", "docProps/core.xml", "Title of the book"
MADE_AT = datetime(2026, 4, 1, tzinfo=UTC)
"""The same for all: a file that is made again has the same bytes."""
FIRST_DAY = datetime(1899, 12, 30)
LETTERS = [xl_col_to_name(number) for number in range(len(COLUMNS))]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]")  # what XML cannot say


class Styles(NamedTuple):
    """By their numbers in the book."""

    money: str
    instant: str


def annexure_xlsx(title: str, facts: Iterable[Facts]) -> bytes:
    """Figures are numbers, instants are India's, all else is text: nothing a person wrote is ever a formula."""
    parts, head, styles, tail = _book()
    rows = list(_rows(facts, styles))
    head = re.sub(r'<dimension ref="[^"]*"/>', f'<dimension ref="A1:{LETTERS[-1]}{len(rows) + 1}"/>', head)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as book:
        for name, content in parts.items():
            if name == SHEET:
                content = f"{head}{''.join(rows)}{tail}".encode()
            elif name == PROPERTIES:
                content = content.replace(TITLE.encode(), escape(title).encode())
            entry = zipfile.ZipInfo(name, MADE_AT.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            book.writestr(entry, content)
    return out.getvalue()


def _rows(facts: Iterable[Facts], styles: Styles) -> Iterator[str]:
    for number, row in enumerate(facts, start=2):
        cells = [
            _cell(f"{letter}{number}", name, number - 1 if name == "position" else row[name], styles)
            for letter, name in zip(LETTERS, COLUMNS, strict=True)
        ]
        yield f'<row r="{number}">{"".join(cells)}</row>'


def _cell(where: str, name: str, value: object, styles: Styles) -> str:
    if name in MONEY:
        return f'<c r="{where}" s="{styles.money}"><v>{int(str(value)) / 100}</v></c>'
    if name in DAYS:
        return f'<c r="{where}" s="{styles.instant}"><v>{_serial(str(value))}</v></c>'
    if name in NUMBERS:
        return f'<c r="{where}"><v>{value}</v></c>'
    text = str(value)
    if not text:
        return ""
    keep = ' xml:space="preserve"' if text != text.strip() else ""
    return f'<c r="{where}" t="inlineStr"><is><t{keep}>{escape(CONTROL.sub(" ", text))}</t></is></c>'


def _serial(instant: str) -> float:
    """Days since the spreadsheet's first, to the second, by the clock that the text was written with."""
    return round((datetime.fromisoformat(instant).replace(tzinfo=None) - FIRST_DAY) / timedelta(days=1), 6)


@functools.cache
def _book() -> tuple[dict[str, bytes], str, Styles, str]:
    """Its files; of the sheet what comes before and behind the rows, and the numbers of the styles."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"constant_memory": True})  # texts stand in the sheet, not in a list beside it
    sheet = book.add_worksheet("Sessions")
    bold, money = book.add_format({"bold": True, "bg_color": "#EEF2FF"}), book.add_format({"num_format": "#,##0.00"})
    book.set_properties({"title": TITLE, "created": MADE_AT.replace(tzinfo=None)})
    sheet.freeze_panes(1, 0)
    for column, (name, heading) in enumerate(COLUMNS.items()):
        sheet.set_column(column, column, WIDE.get(name, 12))
        sheet.write_string(0, column, heading, bold)
    sheet.write_number(1, 0, 1, money)
    sheet.write_number(1, 1, 1, book.add_format({"num_format": "yyyy-mm-dd hh:mm"}))
    book.close()
    with zipfile.ZipFile(out) as made:
        parts = {name: made.read(name) for name in made.namelist()}
    text = parts[SHEET].decode()
    begin, end = text.index('<row r="2"'), text.index("</sheetData>")
    return parts, text[:begin], Styles(*re.findall(r' s="(\d+)"', text[begin:end])), text[end:]
