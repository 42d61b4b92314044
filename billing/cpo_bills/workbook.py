"""The first sheet of an XLSX as rows of text, as a spreadsheet shows them; no formula is run. Pure."""

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO
from xml.etree import ElementTree

MOST_BYTES = 20_000_000  # of one part, unpacked, where the caller names no other; a longer one comes as CSV
MOST_PARTS = 10_000
MOST_COLUMNS = 200
MOST_ROWS = 1_048_576  # what a spreadsheet holds; so for the characters of a cell
MOST_CHARACTERS = 32_767
MOST_TEXTS = 400_000
MOST_INSIDE = 200_000  # elements below one row, text or section
MOST_DEPTH = 50
PIECE = 250_000
LINKS = "xl/_rels/workbook.xml.rels"
MAGIC, ENTRY = b"PK\x03\x04", b"PK\x01\x02"
EPOCH, EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)
BUILT_IN_DATES = {14, 15, 16, 17, 22}
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DATE_CODE = re.compile(r"[dyDY]")
_PLACE = re.compile(r"([A-Z]{1,3})[0-9]{1,7}")
_NUMBER = re.compile(r"[0-9]{1,7}")
_ENCODING = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^>]*?\sencoding\s*=\s*[\"']([^\"']*)")
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')


UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, ElementTree.ParseError, KeyError, IndexError, ValueError, EOFError,
    StopIteration, NotImplementedError, RuntimeError, OSError, OverflowError, struct.error,
)  # fmt: skip


class UnusableWorkbook(ValueError):
    """No XLSX, or one that is not to be opened."""


@dataclass(frozen=True)
class _Book:
    """The packed file and how much one part of it may unpack to."""

    parts: zipfile.ZipFile
    most_bytes: int


@dataclass(frozen=True)
class _Looks:
    """What a cell refers to."""

    texts: list[str]
    dates: set[int]
    epoch: datetime
    date_format: str


def rows(file: BinaryIO, *, date_format: str, most_bytes: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """Each with its number in the sheet, from 1; empty ones are passed over. Unpacked while it is read.

    Dates are written by `date_format`; figures with at most 15 digits, as a spreadsheet keeps them.
    """
    try:
        with _open(file) as parts:
            book = _Book(parts, MOST_BYTES if most_bytes is None else most_bytes)
            sheet, epoch = _first_sheet(book)
            looks, line = _Looks(_texts(book), _date_styles(book), epoch, date_format), 0
            for row in _elements(book, sheet, "row"):
                line = _row_number(row.get("r"), line)
                if cells := _cells(row, looks):
                    yield line, cells
    except UnusableWorkbook:
        raise
    except UNREADABLE as error:
        raise UnusableWorkbook(f"The workbook cannot be read: {error}") from error


def is_one(file: BinaryIO) -> bool:
    """By its first bytes; the file is at its beginning afterwards."""
    file.seek(0)
    begin = file.read(len(MAGIC))
    file.seek(0)
    return begin == MAGIC


def unpacked_bytes(content: bytes) -> int:
    """How much a workbook says that it unpacks to, before anything of it is."""
    try:
        with _open(io.BytesIO(content)) as parts:
            return sum(part.file_size for part in parts.infolist())
    except UNREADABLE as error:
        raise UnusableWorkbook(f"The workbook cannot be read: {error}") from error


def _open(file: BinaryIO) -> zipfile.ZipFile:
    if sum(1 for _ in _found(_pieces(file), ENTRY)) > MOST_PARTS:
        raise UnusableWorkbook("The workbook has too many parts")
    return zipfile.ZipFile(file)


def _pieces(file: Any) -> Iterator[bytes]:
    """In large ones: a parser reads what is unfinished again with each."""
    while piece := file.read(PIECE):
        yield piece


def _found(pieces: Iterable[bytes], word: bytes) -> Iterator[None]:
    """Once for each place where the word is, also one that two pieces share."""
    rest = b""
    for piece in pieces:
        text = rest + piece
        yield from (None for _ in range(text.count(word)))
        rest = text[max(0, len(text) - len(word) + 1) :]


def _part(book: _Book, name: str) -> Iterator[bytes]:
    """In UTF-8, and without entities: UTF-16 and UTF-32 would hide them from this look, but cannot do without NUL."""
    part = book.parts.getinfo(name)
    if part.file_size > book.most_bytes:
        raise UnusableWorkbook("The workbook is too large: send it as CSV")
    if part.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UnusableWorkbook("The workbook is packed in a way that no spreadsheet uses")
    rest: bytes | None = None
    with book.parts.open(part) as raw:
        for piece in _pieces(raw):
            told = _ENCODING.match(piece) if rest is None else None
            if b"\0" in piece or (told and told[1].lower() not in {b"utf-8", b"us-ascii"}):
                raise UnusableWorkbook("The workbook is not UTF-8")
            text = (rest or b"") + piece
            if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
                raise UnusableWorkbook("The workbook declares what it must not")
            rest = text[-len(b"<!DOCTYPE") + 1 :]
            yield piece


def _elements(book: _Book, name: str, *tags: str) -> Iterator[ElementTree.Element]:
    """Those of a part, each forgotten once it was looked at, as is everything around them."""
    wanted, inside, within = {_MAIN + tag for tag in tags}, 0, 0
    parents: list[ElementTree.Element] = []
    for event, element in _events(_part(book, name)):
        if event == "start":
            within += element.tag in wanted
            inside += within > 0
            parents.append(element)
            if len(parents) > MOST_DEPTH or inside > MOST_INSIDE:
                raise UnusableWorkbook("The workbook is nested too deeply, or a row of it has no end")
            continue
        parents.pop()
        if element.tag in wanted:
            within -= 1
            if not within:
                yield element
                inside = 0
        if not within:
            element.clear()
            if parents:
                del parents[-1][:]


def _events(pieces: Iterable[bytes]) -> Iterator[tuple[str, ElementTree.Element]]:
    parser: Any = ElementTree.XMLPullParser(["start", "end"])  # no entities: `_part`
    for piece in pieces:
        parser.feed(piece)
        yield from parser.read_events()
    parser.close()
    yield from parser.read_events()


def _first_sheet(book: _Book) -> tuple[str, datetime]:
    """The name of its part, and the day from which the workbook counts."""
    sheet, epoch = None, EPOCH
    for each in _elements(book, "xl/workbook.xml", "workbookPr", "sheet"):
        if each.tag == _MAIN + "workbookPr":
            epoch = EPOCH_1904 if each.get("date1904") in {"1", "true"} else EPOCH
        else:
            sheet = sheet or each.get(_REL)
    links = ElementTree.fromstring(b"".join(_part(book, LINKS)))  # noqa: S314 (no entities: `_part`)
    target = next(link.get("Target", "") for link in links if link.get("Id") == sheet)
    return (target.lstrip("/") if target.startswith("/") else f"xl/{target}"), epoch


def _texts(book: _Book) -> list[str]:
    found: list[str] = []
    if "xl/sharedStrings.xml" not in book.parts.namelist():
        return found
    for item in _elements(book, "xl/sharedStrings.xml", "si"):
        found.append(_text(item))
        if len(found) > MOST_TEXTS:
            raise UnusableWorkbook("The workbook has too many texts: send it as CSV")
    return found


def _text(element: ElementTree.Element) -> str:
    return _bounded("".join(each.text or "" for each in element.iter(_MAIN + "t")))


def _bounded(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        raise UnusableWorkbook(f"A cell has more than {MOST_CHARACTERS:,} characters")
    return text


def _date_styles(book: _Book) -> set[int]:
    """Which cell styles show a date."""
    if "xl/styles.xml" not in book.parts.namelist():
        return set()
    dates, found = set(BUILT_IN_DATES), set()
    for section in _elements(book, "xl/styles.xml", "numFmts", "cellXfs"):
        if section.tag == _MAIN + "numFmts":
            codes = {int(each.get("numFmtId", 0)): _bounded(each.get("formatCode", "")) for each in section}
            dates |= {pk for pk, code in codes.items() if _DATE_CODE.search(_QUOTED.sub("", code))}
        else:
            found = {place for place, each in enumerate(section) if int(each.get("numFmtId", 0)) in dates}
    return found


def _row_number(told: str | None, last: int) -> int:
    if told is None:
        return last + 1
    if not _NUMBER.fullmatch(told) or not last < int(told) <= MOST_ROWS:
        raise UnusableWorkbook(f"No row number after {last}: {told[:20]}")
    return int(told)


def _cells(row: ElementTree.Element, looks: _Looks) -> list[str]:
    found: list[str] = []
    for cell in row.iter(_MAIN + "c"):
        told = cell.get("r")
        place = len(found) if told is None else _column(told)
        if place >= MOST_COLUMNS:
            break
        found += [""] * (place - len(found) + 1)
        found[place] = _bounded(_shown(cell, looks))
    return found


def _column(reference: str) -> int:
    """`AB12` is column 27."""
    found = _PLACE.fullmatch(reference)
    if found is None:
        raise UnusableWorkbook(f"No place of a cell: {reference[:20]}")
    number = 0
    for letter in found[1]:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _shown(cell: ElementTree.Element, looks: _Looks) -> str:
    kind, value = cell.get("t", "n"), _bounded(cell.findtext(_MAIN + "v") or "")
    if kind == "inlineStr":
        return _text(cell)
    if kind == "s":
        return looks.texts[int(value)] if _NUMBER.fullmatch(value) else _no_text(value)
    if kind != "n" or not value:
        return value
    try:
        number = float(value)
        if int(cell.get("s", 0)) in looks.dates:
            return (looks.epoch + timedelta(seconds=round(number * 86_400))).strftime(looks.date_format)
    except (ValueError, OverflowError):
        return value
    return str(int(number)) if number.is_integer() and abs(number) < 10**15 else f"{number:.15g}"


def _no_text(value: str) -> str:
    raise UnusableWorkbook(f"No text of the workbook: {value[:20]}")
