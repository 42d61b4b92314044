"""Documents as files: a PDF with the rupee sign and the sessions, a CSV whose hash is on it, a spreadsheet."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import re
import zipfile
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from billing.gst.words import in_words
from billing.invoicing import annexure
from billing.invoicing.models import EInvoice, TaxDocument
from billing.invoicing.rendering import pdf, xlsx
from billing.invoicing.rendering.marks import PLAIN, fitting, register_fonts, width_of
from billing.invoicing.rendering.session_table import HEAD, LEADING, SIZE, SessionTable
from billing.invoicing.rendering.sheet import sheet_of, sheet_of_draft
from billing.invoicing.services import months
from billing.tests.factories import NOON, Fleet, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    make_supplier()
    make_registration(organisation, legal_name="Namma & Sons <Logistics>")
    fleet = make_fleet(organisation, money_paise=100_000_00)
    fleet.location.name = "=cmd|' /C calc'!A0"
    fleet.location.save()
    for hour in range(3):
        charge(fleet, at=NOON + timedelta(hours=hour))
    return fleet


@pytest.fixture
def invoice(fleet: Fleet) -> TaxDocument:
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    return TaxDocument.objects.get(kind="invoice")


def pages_of(file: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", file))


def rupee_is_embedded(file: bytes) -> bool:
    """The table from glyphs back to letters of an embedded font names U+20B9."""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", file, re.DOTALL):
        with contextlib.suppress(zlib.error):
            text = zlib.decompress(stream)
            if b"begincmap" in text and b"20B9" in text.upper():
                return True
    return False


def texts_of(file: bytes) -> list[bytes]:
    """The drawing of each page; ASCII stands in it letter for letter."""
    packed = [raw for raw in re.findall(rb"stream\r?\n(.*?)endstream", file, re.DOTALL) if raw[:1] == b"x"]
    streams = [zlib.decompressobj().decompress(raw) for raw in packed]
    return [stream for stream in streams if b"BT" in stream and b"(page " in stream]


def test_who_signs_stands_below_the_total_and_never_alone_on_a_page(invoice: TaxDocument) -> None:
    sheet = dataclasses.replace(sheet_of(invoice), annexure=[])
    [line] = sheet.lines
    for number in range(1, 60):
        pages = texts_of(pdf.render(dataclasses.replace(sheet, lines=[line] * number)))
        [signed] = [page for page in pages if b"(Authorised signatory)" in page]
        assert b"(Taxable value)" in signed, number


def test_the_total_stands_on_the_first_page_with_what_was_drawn(invoice: TaxDocument) -> None:
    sheet = sheet_of(invoice)
    [line] = sheet.lines
    first, *_ = texts_of(pdf.render(dataclasses.replace(sheet, lines=[line] * 100)))
    assert b"637.00" in first
    assert b"3 sessions" in first


def test_figures_take_the_room_they_need_and_the_description_the_rest(invoice: TaxDocument) -> None:
    register_fonts()
    figures = ["998714", "1,23,45,678.900 kWh", "98,76,54,321.00", "18 %", "17,77,77,777.78", "1,16,54,32,098.78"]
    widths = pdf._widths([["#", "Description", "SAC", "Quantity", "Taxable", "Rate", "IGST", "Total"],
                          ["1", "x" * 300, *figures]])  # fmt: skip
    assert sum(widths) == pytest.approx(pdf.WIDTH)
    for figure, width in zip(figures, widths[2:], strict=True):
        assert width >= width_of(figure, PLAIN, 7) + 2 * pdf.CELL


def test_a_long_name_at_the_foot_leaves_room_for_the_number_of_the_page(invoice: TaxDocument) -> None:
    sheet = sheet_of(invoice)
    name = "Bharat Sustainable Electric Mobility and Last Mile Delivery Infrastructure Services (South) Private Limited"
    [*_, last] = texts_of(pdf.render(dataclasses.replace(sheet, supplier={**sheet.supplier, "legal_name": name})))
    assert b"(page 2 of 2)" in last
    assert b"Infrastructure Services" in last
    assert b"Limited" not in last


def test_a_receipt_voucher_names_the_payment_it_is_about(invoice: TaxDocument) -> None:
    voucher = TaxDocument.objects.get(kind="receipt_voucher")
    assert voucher.advance is not None
    sheet = sheet_of(voucher)
    assert f"topup:{voucher.organisation_id}:{sheet.payment}" == voucher.advance.entry_key
    [page] = texts_of(pdf.render(sheet))
    assert b"(Received from)" in page


def test_a_registered_invoice_shows_number_and_day_of_its_acknowledgement(invoice: TaxDocument) -> None:
    at = datetime(2026, 11, 30, 20, tzinfo=UTC)  # the first of December in India
    EInvoice.objects.create(document=invoice, state="registered", irn="a" * 64, ack_number="112610000000007", ack_at=at)
    assert sheet_of(TaxDocument.objects.get(pk=invoice.pk)).ack == "112610000000007 of 01 Dec 2026"


def test_the_pdf_is_the_same_every_time_and_has_the_rupee_sign(invoice: TaxDocument) -> None:
    file = pdf.render(sheet_of(invoice))
    assert file.startswith(b"%PDF-")
    assert pages_of(file) == 2
    assert rupee_is_embedded(file)
    assert file == pdf.render(sheet_of(TaxDocument.objects.get(pk=invoice.pk)))


def test_every_session_is_a_row_of_the_annexure_over_as_many_pages_as_it_needs(invoice: TaxDocument) -> None:
    sheet = sheet_of(invoice)
    [row, *_] = sheet.annexure
    many = dataclasses.replace(sheet, annexure=[{**row, "transaction": str(number)} for number in range(1, 202)])
    table = SessionTable(many.annexure, 500)
    first, rest = table.split(500, HEAD + 59 * LEADING + 1)
    assert [len(part._facts) for part in (first, rest)] == [59, 142]
    assert table.split(500, HEAD) == []  # no header without a row below it
    assert pages_of(pdf.render(many)) == 5
    assert pages_of(pdf.render(dataclasses.replace(sheet, annexure=[row] * 1_001))) == 18


def test_a_long_name_ends_where_its_column_does() -> None:
    register_fonts()
    assert fitting("Hebbal Hub", 100, PLAIN, SIZE) == "Hebbal Hub"
    assert fitting("A very long name of a very long site", 40, PLAIN, SIZE) == "A very lon…"


def test_the_hash_on_the_invoice_is_that_of_its_csv(invoice: TaxDocument) -> None:
    text = "".join(annexure.csv_lines(sheet_of(invoice).annexure))
    assert hashlib.sha256(text.encode()).hexdigest() == invoice.annexure_sha256
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["No."] for row in rows] == ["1", "2", "3"]
    assert {row["Site"] for row in rows} == {"'=cmd|' /C calc'!A0"}  # a spreadsheet must not run it
    assert sum(float(row["Charged, Rs"]) for row in rows) == pytest.approx(invoice.charged_paise / 100)


def test_the_spreadsheet_has_figures_and_no_formulas(invoice: TaxDocument) -> None:
    file = xlsx.annexure_xlsx(invoice.number, sheet_of(invoice).annexure)
    sheet = zipfile.ZipFile(io.BytesIO(file)).read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert sheet.count("<row ") == 4
    assert "<v>212.4</v>" in sheet


def test_the_spreadsheet_has_instants_that_sort_by_the_clock_on_the_wall(invoice: TaxDocument) -> None:
    """Days since 30 December 1899; the same second as the CSV beside it, whatever the offset."""
    facts = sheet_of(invoice).annexure
    file = xlsx.annexure_xlsx(invoice.number, facts)
    sheet = zipfile.ZipFile(io.BytesIO(file)).read("xl/worksheets/sheet1.xml").decode()
    [serial] = re.findall(r'<c r="B2" s="\d+"><v>([\d.]+)</v></c>', sheet)
    told = datetime(1899, 12, 30) + timedelta(seconds=round(float(serial) * 86_400))
    assert f"{told.isoformat()}+05:30" == facts[0]["started_at"]


def test_a_draft_looks_like_an_invoice_without_a_number(fleet: Fleet) -> None:
    [draft] = months.drafts(day=NOVEMBER, organisation=fleet.organisation)
    sheet = sheet_of_draft(draft)
    assert (sheet.number, sheet.total_paise, sheet.charged_paise) == ("", 637_00, 637_20)
    assert pages_of(pdf.render(sheet)) == 2
    assert not TaxDocument.objects.exists()


def test_a_sheet_costs_a_constant_number_of_queries(invoice: TaxDocument, django_assert_max_num_queries) -> None:
    document = TaxDocument.objects.get(pk=invoice.pk)
    with django_assert_max_num_queries(6):
        sheet_of(document)


@pytest.mark.parametrize(
    ("paise", "words"),
    [
        (0, "Rupees Zero Only"), (1_00, "Rupees One Only"), (1_50, "Rupees One and Fifty Paise Only"),
        (1_23_456_78, "Rupees One Lakh Twenty Three Thousand Four Hundred Fifty Six and Seventy Eight Paise Only"),
        (10_00_00_000_00, "Rupees Ten Crore Only"), (-1_00, "Minus Rupees One Only"),
        (12_345_00_00_000_00, "Rupees Twelve Thousand Three Hundred Forty Five Crore Only"),
    ],
)  # fmt: skip
def test_amounts_in_words(paise: int, words: str) -> None:
    assert in_words(paise) == words
