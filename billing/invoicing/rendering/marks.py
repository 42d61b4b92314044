"""The font with the rupee sign, feet of pages, and a QR code drawn as squares: what ReportLab does not bring along."""

import functools
from itertools import groupby
from typing import Any

import segno
from django.conf import settings
from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable

MARGIN = 14 * mm
FAINT = "#5b6b8c"
MASK = 3  # any of the eight is valid; to try them all would take longer than the rest of the document
SAME_WIDTH = str.maketrans("123456789", "000000000")  # every digit of the font is as wide as the others
PLAIN, BOLD = "DejaVuSans", "DejaVuSans-Bold"
INK, RULE = colors.HexColor("#1b2748"), colors.HexColor("#c9d3e6")


@functools.cache
def register_fonts() -> None:
    """Once per process; ReportLab embeds only the letters that a document uses."""
    rl_config.useA85 = 0  # streams as bytes: a fifth smaller, and nothing is written letter by letter in Python
    folder = settings.BASE_DIR / "static" / "fonts"
    for name in (PLAIN, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))
    pdfmetrics.registerFontFamily(PLAIN, normal=PLAIN, bold=BOLD, italic=PLAIN, boldItalic=BOLD)


@functools.cache
def style(size: float, *, is_bold: bool = False, align: int = 0, colour: str = "#1b2748") -> ParagraphStyle:
    """`align` 0 left, 1 centre, 2 right."""
    return ParagraphStyle(
        f"{size}{is_bold}{align}", fontName=BOLD if is_bold else PLAIN, fontSize=size, leading=size * 1.3,
        alignment=align,
        textColor=colors.HexColor(colour),
    )  # fmt: skip


@functools.lru_cache(maxsize=20_000)
def width_of(text: str, font: str, size: float) -> float:
    return float(pdfmetrics.stringWidth(text, font, size))


@functools.lru_cache(maxsize=20_000)
def fitting(text: str, room: float, font: str, size: float) -> str:
    """As much of it as there is room for, in points."""
    if width_of(text.translate(SAME_WIDTH), font, size) <= room:
        return text
    while text and pdfmetrics.stringWidth(f"{text}…", font, size) > room:
        text = text[:-1]
    return f"{text}…"


class NumberedCanvas(Canvas):  # type: ignore[misc]
    """Writes what a page is of, and `page 2 of 5` once all pages are known, at its foot."""

    def __init__(self, *args: Any, foot: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._foot, self._pages = foot, list[dict[str, Any]]()

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
        counted = f"page {number} of {len(self._pages)}"
        room = A4[0] - 2 * MARGIN - pdfmetrics.stringWidth(counted, PLAIN, 7) - 4 * mm
        self.drawString(MARGIN, 8 * mm, fitting(self._foot, room, PLAIN, 7))
        self.drawRightString(A4[0] - MARGIN, 8 * mm, counted)


class QRCode(Flowable):  # type: ignore[misc]
    """Runs of dark modules as rectangles of the page; nothing is a picture."""

    def __init__(self, text: str, side: float) -> None:
        super().__init__()
        self.width = self.height = side
        self._rows = [
            bytes(row) for row in segno.make(text, error="l", micro=False, boost_error=False, mask=MASK).matrix
        ]

    def draw(self) -> None:
        size = self.width / len(self._rows)
        self.canv.saveState()
        self.canv.translate(0, self.height)
        self.canv.scale(size, -size)
        path = self.canv.beginPath()
        for y, row in enumerate(self._rows):
            x = 0
            for is_dark, run in groupby(row):
                length = len(list(run))
                if is_dark:  # what path.rect() writes, whose formatting of floats took half of the whole document
                    path._code.append(f"{x} {y} {length} 1 re")
                x += length
        self.canv.drawPath(path, stroke=0, fill=1)
        self.canv.restoreState()
