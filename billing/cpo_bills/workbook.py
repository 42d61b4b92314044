"""The first sheet of an XLSX as rows of text, as a spreadsheet shows them; no formula is run. Pure."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from xml.etree import ElementTree

MOST_BYTES = 200_000_000
MOST_COLUMNS = 200
MAGIC = b"PK\x03\x04"
EPOCH = datetime(1899, 12, 30)
BUILT_IN_DATES = {14, 15, 16, 17, 22}
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DATE_CODE = re.compile(r"[dyDY]")
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')


UNREADABLE = (
    zipfile.BadZipFile, zlib.error, ElementTree.ParseError, KeyError, IndexError, ValueError, EOFError,
    StopIteration, NotImplementedError, RuntimeError,
)  # fmt: skip


class UnusableWorkbook(ValueError):
    """No XLSX, or one that is not to be opened."""


def rows(content: bytes, *, date_format: str) -> Iterator[list[str]]:
    """Dates are written by `date_format`; figures with at most 15 digits, as a spreadsheet keeps them."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            if sum(part.file_size for part in book.infolist()) > MOST_BYTES:
                raise UnusableWorkbook("The workbook is too large")
            texts, dates = _texts(book), _date_styles(book)
            line = 0
            for row in _elements(book, _first_sheet(book), "row"):
                number = int(row.get("r", line + 1))
                yield from ([] for _ in range(number - line - 1))  # left out of the file, and counted
                yield _cells(row, texts, dates, date_format)
                line = number
    except UnusableWorkbook:
        raise
    except UNREADABLE as error:
        raise UnusableWorkbook(f"The workbook cannot be read: {error}") from error


def _part(book: zipfile.ZipFile, name: str) -> bytes:
    """Nothing of a workbook declares entities or another encoding."""
    raw = book.read(name)
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise UnusableWorkbook("The workbook declares what it must not")
    return raw


def _elements(book: zipfile.ZipFile, name: str, tag: str) -> Iterator[ElementTree.Element]:
    for _, element in ElementTree.iterparse(io.BytesIO(_part(book, name))):  # noqa: S314 (no entities: `_part`)
        if element.tag == _MAIN + tag:
            yield element
            element.clear()


def _first_sheet(book: zipfile.ZipFile) -> str:
    sheet = next(each.get(_REL) for each in _elements(book, "xl/workbook.xml", "sheet"))
    links = ElementTree.fromstring(_part(book, "xl/_rels/workbook.xml.rels"))  # noqa: S314 (no entities: `_part`)
    target = next(link.get("Target", "") for link in links if link.get("Id") == sheet)
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _texts(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    return [_text(item) for item in _elements(book, "xl/sharedStrings.xml", "si")]


def _text(element: ElementTree.Element) -> str:
    return "".join(each.text or "" for each in element.iter(_MAIN + "t"))


def _date_styles(book: zipfile.ZipFile) -> set[int]:
    """Which cell styles show a date."""
    if "xl/styles.xml" not in book.namelist():
        return set()
    styles = ElementTree.fromstring(_part(book, "xl/styles.xml"))  # noqa: S314 (no entities: `_part`)
    codes = {int(each.get("numFmtId", 0)): each.get("formatCode", "") for each in styles.iter(_MAIN + "numFmt")}
    dates = {pk for pk, code in codes.items() if _DATE_CODE.search(_QUOTED.sub("", code))} | BUILT_IN_DATES
    formats = styles.find(_MAIN + "cellXfs")
    return {place for place, each in enumerate(formats or ()) if int(each.get("numFmtId", 0)) in dates}


def _cells(row: ElementTree.Element, texts: list[str], dates: set[int], date_format: str) -> list[str]:
    found: list[str] = []
    for cell in row.iter(_MAIN + "c"):
        place = _column(cell.get("r", "")) if cell.get("r") else len(found)
        if place >= MOST_COLUMNS:
            break
        found += [""] * (place - len(found) + 1)
        found[place] = _shown(cell, texts, dates, date_format)
    return found


def _column(reference: str) -> int:
    """`AB12` is column 27."""
    number = 0
    for letter in reference.rstrip("0123456789"):
        number = number * 26 + ord(letter) - 64
    return number - 1


def _shown(cell: ElementTree.Element, texts: list[str], dates: set[int], date_format: str) -> str:
    kind, value = cell.get("t", "n"), cell.findtext(_MAIN + "v") or ""
    if kind == "inlineStr":
        return _text(cell)
    if kind == "s":
        return texts[int(value)]
    if kind != "n" or not value:
        return value
    try:
        number = float(value)
        if int(cell.get("s", 0)) in dates:
            return (EPOCH + timedelta(seconds=round(number * 86_400))).strftime(date_format)
    except (ValueError, OverflowError):
        return value
    return str(int(number)) if number.is_integer() and abs(number) < 10**15 else f"{number:.15g}"
