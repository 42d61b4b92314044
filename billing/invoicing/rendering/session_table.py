"""The sessions of the annexure as a table that is drawn as plain text: thousands of cells need no layout engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reportlab.lib import colors
from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from billing.invoicing.rendering.marks import BOLD, INK, PLAIN, RULE, SAME_WIDTH, fitting, width_of
from fleetcharge.lib.money import format_inr

SIZE, LEADING, HEAD, GAP = 6.5, 12.0, 14.0, 2.5
ESCAPED = str.maketrans({"(": "\\(", ")": "\\)", "\\": "\\\\"})
BAND, STRIPE = colors.HexColor("#eef2ff"), colors.HexColor("#f8faff")


@dataclass(frozen=True)
class Column:
    """`name`: of the fact it shows; '' is the position. `width` in millimetres, 0 takes what is left."""

    heading: str
    name: str
    width: float
    is_figure: bool = False


COLUMNS = (
    Column("#", "", 8, is_figure=True), Column("From (IST)", "started_at", 23),
    Column("Min", "minutes", 8, is_figure=True), Column("Vehicle", "vehicle", 22), Column("Site", "site", 0),
    Column("kWh", "kwh", 13, is_figure=True), Column("Taxable", "taxable_paise", 16, is_figure=True),
    Column("GST", "tax_paise", 14, is_figure=True), Column("Charged", "total_paise", 16, is_figure=True),
    Column("Evidence", "verdict", 17),
)  # fmt: skip


class SessionTable(Flowable):  # type: ignore[misc]
    """Header and rows; it splits between rows, and the header comes again on each page."""

    def __init__(self, facts: Sequence[dict[str, Any]], width: float, first: int = 1) -> None:
        super().__init__()
        self.width, self._facts, self._first = width, facts, first
        self.height = HEAD + LEADING * len(facts)
        rest = width - sum(column.width for column in COLUMNS) * mm
        self._widths = [column.width * mm or rest for column in COLUMNS]

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        return self.width, self.height

    def split(self, available_width: float, available_height: float) -> list[Flowable]:
        rows = int((available_height - HEAD) // LEADING)
        if rows < 1:
            return []
        return [
            SessionTable(self._facts[:rows], self.width, self._first),
            SessionTable(self._facts[rows:], self.width, self._first + rows),
        ]

    def draw(self) -> None:
        self._draw_ground()
        self._write(BOLD, [(self.height - HEAD + 4.5, [column.heading for column in COLUMNS])])
        rows = [
            (self.height - HEAD - LEADING * line + 3.5, _cells(self._first + line - 1, facts))
            for line, facts in enumerate(self._facts, start=1)
        ]
        self._write(PLAIN, rows)

    def _draw_ground(self) -> None:
        canvas, top = self.canv, self.height - HEAD
        canvas.setFillColor(BAND)
        canvas.rect(0, top, self.width, HEAD, stroke=0, fill=1)
        canvas.setFillColor(STRIPE)
        for line in range(2, len(self._facts) + 1, 2):
            canvas.rect(0, top - LEADING * line, self.width, LEADING, stroke=0, fill=1)
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.5)
        canvas.line(0, top, self.width, top)
        canvas.line(0, 0, self.width, 0)

    def _write(self, font: str, rows: Sequence[tuple[float, Sequence[str]]]) -> None:
        """ASCII is the font's first subset, letter for letter; ReportLab's way there takes half of a whole document."""
        text = self.canv.beginText()
        text.setFont(font, SIZE)
        text.setFillColor(INK)
        left = 0.0
        for index, (column, width) in enumerate(zip(COLUMNS, self._widths, strict=True)):
            for y, cells in rows:  # column by column: the font's letters are numbered in the same order every time
                shown = fitting(cells[index], width - 2 * GAP, font, SIZE)
                x = (
                    left + width - GAP - width_of(shown.translate(SAME_WIDTH), font, SIZE)
                    if column.is_figure
                    else left + GAP
                )
                if text._curSubset == 0 and shown.isascii():
                    text._code.append(f"1 0 0 1 {x:.2f} {y:.2f} Tm ({shown.translate(ESCAPED)}) Tj")
                else:
                    text.setTextOrigin(x, y)
                    text.textLine(shown)
            left += width
        self.canv.drawText(text)


def _cells(position: int, facts: dict[str, Any]) -> list[str]:
    return [_cell(column.name, facts) if column.name else str(position) for column in COLUMNS]


def _cell(name: str, facts: dict[str, Any]) -> str:
    if name.endswith("_paise"):
        return format_inr(facts[name]).replace("₹", "")
    if name == "site" and facts["network"]:
        return f"{facts['site']}, {facts['network']}"
    if name == "started_at":
        return str(facts[name])[:16].replace("T", " ")
    if name == "verdict" and facts["kind"] != "session":
        return str(facts["kind"])
    return str(facts[name])
