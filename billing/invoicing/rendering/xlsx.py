"""The annexure as a spreadsheet, row by row in constant memory."""

import io
from collections.abc import Iterable

import xlsxwriter

from billing.invoicing.annexure import COLUMNS, MONEY, Facts

NUMBERS = MONEY | {"position", "minutes", "kwh", "points", "record"}
WIDE = {"started_at": 26, "ended_at": 26, "site": 30, "vehicle": 16, "network": 18}


def annexure_xlsx(title: str, facts: Iterable[Facts]) -> bytes:
    """Figures are numbers, everything else is text: nothing a person wrote is ever a formula."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"constant_memory": True, "strings_to_formulas": False, "in_memory": False})
    sheet = book.add_worksheet("Sessions")
    bold, money = book.add_format({"bold": True, "bg_color": "#EEF2FF"}), book.add_format({"num_format": "#,##0.00"})
    book.set_properties({"title": title})
    sheet.freeze_panes(1, 0)
    for column, (name, heading) in enumerate(COLUMNS.items()):
        sheet.set_column(column, column, WIDE.get(name, 12))
        sheet.write_string(0, column, heading, bold)
    for number, row in enumerate(facts, start=1):
        for column, name in enumerate(COLUMNS):
            value = number if name == "position" else row[name]
            if name in MONEY:
                sheet.write_number(number, column, value / 100, money)
            elif name in NUMBERS:
                sheet.write_number(number, column, float(value))
            else:
                sheet.write_string(number, column, str(value))
    book.close()
    return out.getvalue()
