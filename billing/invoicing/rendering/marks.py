"""The font with the rupee sign, and a QR code drawn as squares: what ReportLab does not bring along."""

import functools
from itertools import groupby

import segno
from django.conf import settings
from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable

MASK = 3  # any of the eight is valid; to try them all would take longer than the rest of the document
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
