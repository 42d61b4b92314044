"""Documents as files: a PDF with the rupee sign and the sessions, a CSV whose hash is on it, a spreadsheet."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import re
import zipfile
import zlib
from datetime import timedelta

import pytest

from billing.gst.words import in_words
from billing.invoicing import annexure
from billing.invoicing.models import TaxDocument
from billing.invoicing.rendering import pdf, xlsx
from billing.invoicing.rendering.marks import register_fonts
from billing.invoicing.rendering.session_table import HEAD, LEADING, SessionTable, fitting
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
    assert fitting("Hebbal Hub", 100) == "Hebbal Hub"
    assert fitting("A very long name of a very long site", 40) == "A very lon…"


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
