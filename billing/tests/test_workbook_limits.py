"""What a workbook may make of us: no long number, no second encoding, no rows out of nothing, no more than fits."""

import io
import tracemalloc
import zipfile

import pytest

from billing.cpo_bills import uploads, workbook
from billing.cpo_bills.reading import Layout, UnusableBill, read, read_file
from billing.tests.test_bill_uploads import packed_with, sheet

LAYOUT = Layout({"reference": "CDR", "total": "Rs"})
SHEET, TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def rows_of(inner: str) -> bytes:
    return packed_with(SHEET, f"<worksheet {MAIN}><sheetData>{inner}</sheetData></worksheet>".encode())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (rows_of(f'<row r="1"><c r="{"A" * 80_000}1"><v>1</v></c></row>'), "No place of a cell"),
        (rows_of('<row r="999999999999"/>'), "No row number"),
        (rows_of('<row r="1048577"/>'), "No row number"),
        (rows_of('<row r="2"/><row r="2"/>'), "No row number"),
        (rows_of('<row r="1"><c t="s"><v>-1</v></c></row>'), "No text of the workbook"),
        (rows_of("<row><c><v>" + "9" * 40_000 + "</v></c></row>"), "more than 32,767 characters"),
        (rows_of("<a>" * 60 + "</a>" * 60), "nested too deeply"),
        (rows_of("<row>" + "<c/>" * 200_001 + "</row>"), "no end"),
        (packed_with(TEXTS, f"<sst {MAIN}>{'<si/>' * 400_001}</sst>".encode()), "too many texts"),
        (packed_with(SHEET, '<!DOCTYPE x [<!ENTITY a "b">]><x/>'.encode("utf-16-le")), "not UTF-8"),
        (packed_with(SHEET, b'<?xml version="1.0" encoding="utf-7"?><x/>'), "not UTF-8"),
    ],
    ids=["column", "row", "last row", "row again", "text", "long", "deep", "wide", "texts", "UTF-16", "UTF-7"],
)
def test_what_no_spreadsheet_writes_is_refused_by_name(content: bytes, why: str) -> None:
    with pytest.raises(UnusableBill, match=why):
        list(read_file(io.BytesIO(content), LAYOUT))


def test_other_ways_of_packing_are_refused() -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(sheet(("CDR", "Rs")))) as book,
        zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as other,
    ):
        for each in book.namelist():
            other.writestr(each, book.read(each))
    with pytest.raises(UnusableBill, match="no spreadsheet uses"):
        list(read_file(out, LAYOUT))


def test_empty_rows_are_passed_over_and_what_was_read_is_let_go() -> None:
    many = "".join(f'<row r="{number}"><q><w/></q></row>' for number in range(2, 60_000))
    content = rows_of(many + '<row r="1048576"><c r="B1048576"><v>7</v></c></row>')
    tracemalloc.start()
    try:
        assert list(workbook.rows(io.BytesIO(content), date_format="%Y")) == [(1_048_576, ["", "7"])]
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_days_count_from_1904_where_the_workbook_says_so() -> None:
    out = io.BytesIO()
    content = sheet(("A",))
    with zipfile.ZipFile(io.BytesIO(content)) as book, zipfile.ZipFile(out, "w") as other:
        for each in book.namelist():
            raw = book.read(each)
            other.writestr(each, raw.replace(b"<workbookPr ", b'<workbookPr date1904="1" '))
    with zipfile.ZipFile(out) as book:
        assert workbook._first_sheet(workbook._Book(book, 10**6)) == (SHEET, workbook.EPOCH_1904)
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        assert workbook._first_sheet(workbook._Book(book, 10**6)) == (SHEET, workbook.EPOCH)


def test_what_unpacks_to_much_is_not_read_at_once() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(SHEET, b" " * 5_000_000)
    assert len(out.getvalue()) < uploads.AT_ONCE_BYTES < uploads._bytes_to_read(out.getvalue())


def test_a_way_to_write_dates_that_is_none_is_named() -> None:
    how = {"columns": {"reference": "CDR", "total": "Rs", "started_at": "Start"}}
    for date_format in ("%Y%Y", "%Q", "\0"):
        with pytest.raises(UnusableBill, match="No such way to write dates"):
            list(read(["CDR,Start,Rs", "A,2026,1"], Layout(**how, date_format=date_format)))
    with pytest.raises(UnusableBill) as refused:
        list(read(["CD\0R,Rs", "A,1"], Layout(**how)))
    assert "\0" not in str(refused.value)
