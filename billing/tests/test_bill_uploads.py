"""Finance uploads a network's bill at its desk: tried, looked at row by row, taken, and argued about."""

import io
import zipfile
from datetime import datetime, timedelta
from typing import Any

import pytest
import xlsxwriter
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.cpo_bills import reading, uploads, workbook, working
from billing.cpo_bills.reading import Layout, Line, UnusableBill, read_file
from billing.models import BillFormat, BillUpload, Job, NetworkBill, NetworkBillRow
from billing.tests import test_network_bills, test_roaming
from billing.tests.test_network_bills import COLUMNS, LAYOUT, csv_of, line
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Source

source = test_roaming.source
records = test_network_bills.records
UPLOAD = reverse("admin:billing_billupload_upload")


def url(page: str, row: BillUpload) -> str:
    return reverse(f"admin:billing_billupload_{page}", args=[row.pk])


def form(source: Source, content: bytes, **fields: Any) -> dict[str, Any]:
    values = {
        "source": source.pk, "number": "B-1", "starts_on": "2026-11-01", "ends_on": "2026-11-30",
        "file": SimpleUploadedFile("bill.csv", content), "reference": "CDR", "started_at": "Start", "energy": "kWh",
        "total": "Rs", "is_trial": "on",
    }  # fmt: skip
    return {**values, **fields}


def text_of(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode()


@pytest.fixture
def desk(client: Client, finance: User) -> Client:
    client.force_login(finance)
    return client


def test_a_bill_is_tried_taken_and_disputed(
    desk: Client, organisation: Organisation, source: Source, records: list[RoamingCDR], finance: User
) -> None:
    assert "Upload a network" in desk.get(UPLOAD).content.decode()
    content = csv_of(line(records[0]), line(records[1], more_paise=100), "NOBODY,,,12.50", "BAD,,,x")
    desk.post(UPLOAD, form(source, content))
    row = BillUpload.objects.get()
    assert (row.state, row.lines, row.uploaded_by, row.organisation) == ("tried", 3, finance, organisation)
    assert not NetworkBill.objects.taken().exists()
    page = desk.get(url("change", row)).content.decode()
    assert "This was a trial" in page and "NOBODY" in page and "amount is no number: x" in page
    report = text_of(desk.get(url("report", row))).splitlines()
    assert report[1].startswith("4,NOBODY,Not known to us,12.50,,12.50") and "5,,cannot be used" in report[-1]

    told = desk.post(url("take", row), {}, follow=True).content.decode()  # nothing is kept
    row.refresh_from_db()
    assert "leave them out" in told
    assert (row.state, NetworkBill.objects.taken().count()) == ("tried", 0)
    desk.post(url("take", row), {"skips_problems": "on"})
    row.refresh_from_db()
    assert (row.state, bytes(row.content), row.bill) == ("taken", b"", NetworkBill.objects.taken().get())
    assert len(text_of(desk.get(url("report", row))).splitlines()) == 1 + 3 + 2 + 1  # two that it does not name
    dispute = text_of(desk.get(reverse("admin:billing_networkbill_dispute", args=[row.bill_id])))
    assert '"asked too much, Rs",13.50' in dispute and records[1].key in dispute and records[0].key not in dispute
    actions = AuditEntry.objects.filter(action__startswith="network_bill").order_by("pk")
    assert list(actions.values_list("action", flat=True)) == [
        "network_bill.upload", "network_bill.take", "network_bill.import",
    ]  # fmt: skip


def test_the_stored_format_is_used_or_the_columns_are_asked_for(
    desk: Client, organisation: Organisation, source: Source, records: list[RoamingCDR]
) -> None:
    empty = dict.fromkeys(COLUMNS, "")
    told = desk.post(UPLOAD, form(source, csv_of(line(records[0])), **empty)).content.decode()
    assert "Which column is it?" in told and not BillUpload.objects.exists()
    BillFormat.objects.create(organisation=organisation, source=source, columns=COLUMNS)
    desk.post(UPLOAD, form(source, csv_of(line(records[0])), **empty))
    assert BillUpload.objects.get().outcomes == {"agrees": 1, "missing": 3}
    told = desk.post(UPLOAD, form(source, b"", ends_on="2026-10-01")).content.decode()
    assert "before the first" in told


def test_a_large_one_is_read_by_a_worker_and_tells_how_far_it_is(
    desk: Client, source: Source, records: list[RoamingCDR], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "AT_ONCE_BYTES", 10)
    desk.post(UPLOAD, form(source, csv_of(line(records[0]), line(records[1])), is_trial=""))
    row = BillUpload.objects.get()
    assert (row.state, NetworkBill.objects.count()) == ("waiting", 0)
    page = desk.get(url("change", row)).content.decode()
    assert 'id="bill-progress"' in page and "0 lines so far" in page
    monkeypatch.setattr(working, "LINES_A_READ", 1)
    monkeypatch.setattr(uploads, "SLICE_S", 0)  # a portion, and somebody else's turn
    later = timezone.now() + timedelta(minutes=1)
    for lines in (1, 2):
        assert uploads.work_waiting(now=later + lines * timedelta(minutes=1))
        assert f"{lines} lines so far" in desk.get(url("change", row)).content.decode()
    monkeypatch.setattr(uploads, "SLICE_S", 60)
    assert uploads.work_waiting(now=later + timedelta(minutes=3))
    row.refresh_from_db()
    assert (row.state, NetworkBillRow.objects.filter(bill=row.bill, line__gt=0).count()) == ("taken", 2)
    assert not Job.objects.exists()


def test_what_is_wrong_with_a_file_is_said(desk: Client, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.post(UPLOAD, form(source, b"X,Y\n1,2\n"))
    row = BillUpload.objects.get()
    assert row.state == "refused" and "No column for: reference, total" in desk.get(url("change", row)).content.decode()
    told = desk.post(url("take", row), {}, follow=True).content.decode()
    assert "Only what was tried can be taken" in told
    monkeypatch.setattr(uploads, "MOST_BYTES", 5)
    assert "too large" in desk.post(UPLOAD, form(source, csv_of("A,,1,1"))).content.decode()
    assert BillUpload.objects.count() == 1


def test_a_rows_own_page_tells_its_state_in_words_and_offers_what_can_be_done(
    desk: Client, source: Source, records: list[RoamingCDR]
) -> None:
    def offered(row: BillUpload) -> set[str]:
        page = desk.get(url("change", row)).content.decode()
        return {name for name in ("take", "try_again", "report") if f'href="{url(name, row)}"' in page}

    desk.post(UPLOAD, form(source, csv_of(line(records[0]))))
    desk.post(UPLOAD, form(source, b"X,Y\n1,2\n", number="B-2"))
    tried, refused = BillUpload.objects.order_by("pk")
    page = desk.get(url("change", tried)).content.decode()
    assert "Tried, nothing kept" in page and "&#x27;tried&#x27;" not in page
    assert (offered(tried), offered(refused)) == ({"take", "report"}, {"try_again"})
    desk.post(url("take", tried), {})
    assert offered(tried) == {"report"}
    row = NetworkBillRow.objects.get(line=2)
    page = desk.get(reverse("admin:billing_networkbillrow_change", args=[row.pk])).content.decode()
    assert "Agrees" in page and "&#x27;agrees&#x27;" not in page


def test_the_history_of_bills_tells_what_each_asked_too_much(
    desk: Client, source: Source, records: list[RoamingCDR]
) -> None:
    desk.post(UPLOAD, form(source, csv_of(line(records[0]), line(records[1], more_paise=4_250)), is_trial=""))
    bill = NetworkBill.objects.taken().get()
    assert (bill.lines, bill.asked_paise, bill.outcomes) == (2, 42_50, {"agrees": 1, "amount_differs": 1, "missing": 2})
    page = desk.get(reverse("admin:billing_networkbill_changelist")).content.decode()
    assert "B-1" in page and "₹42.50" in page
    page = desk.get(reverse("admin:billing_networkbill_change", args=[bill.pk])).content.decode()
    lines = f"{reverse('admin:billing_networkbillrow_changelist')}?bill__id__exact={bill.pk}"
    assert f"{lines}&amp;outcome__exact=amount_differs" in page and records[1].key in page
    found = desk.get(f"{lines}&outcome__exact=amount_differs")
    assert [row.reference for row in found.context["cl"].queryset] == [records[1].key]


def test_nobody_else_sees_or_uploads(
    client: Client, desk: Client, source: Source, stranger: User, dispatcher: User, records: list[RoamingCDR]
) -> None:
    desk.post(UPLOAD, form(source, csv_of(line(records[0]))))
    row = BillUpload.objects.get()
    client.force_login(stranger)
    for page in ("change", "report", "take"):
        assert client.get(url(page, row)).status_code == 302
    client.post(url("take", row), {})
    row.refresh_from_db()
    assert row.state == "tried"
    client.post(UPLOAD, form(source, csv_of(line(records[0]))))
    theirs = BillUpload.objects.exclude(pk=row.pk).get()
    assert theirs.organisation != row.organisation and theirs.outcomes == {"unknown_to_us": 1}
    client.force_login(dispatcher)
    assert client.post(UPLOAD, form(source, csv_of(line(records[0])))).status_code in {302, 403}
    assert BillUpload.objects.count() == 2


# --- workbooks ----------------------------------------------------------------------------------------------------
def sheet(*rows: tuple[Any, ...], in_memory: bool = False) -> bytes:
    """As other software writes it: shared texts, or texts in the cells."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"constant_memory": in_memory, "default_date_format": "dd/mm/yyyy hh:mm"})
    page = book.add_worksheet("Bill")
    book.add_worksheet("Notes").write(0, 0, "not read")
    for number, row in enumerate(rows):
        page.write_row(number, 0, row)
    book.close()
    return out.getvalue()


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_workbook_is_read_as_it_is_shown(in_memory: bool) -> None:
    at = datetime(2026, 11, 21, 11, 30)
    content = sheet(
        ("CDR", "Start", "kWh", "Rs"), ("C-1", at, 12.5, 0.1 + 0.2), (123456789012, None, 1500, "₹ 1,234.50"),
        (), ("C-3", "2026-11-21 11:30:00", 1, 7), in_memory=in_memory,
    )  # fmt: skip
    first, second, last = read_file(io.BytesIO(content), LAYOUT)
    assert isinstance(first, Line) and isinstance(second, Line) and isinstance(last, Line)
    assert (first.reference, first.energy_wh, first.total_paise, first.number) == ("C-1", 12_500, 30, 2)
    assert first.started_at is not None and first.started_at.isoformat() == "2026-11-21T11:30:00+05:30"
    assert (second.reference, second.energy_wh, second.total_paise) == ("123456789012", 1_500_000, 123_450)
    assert second.started_at is None
    assert (last.number, last.total_paise) == (5, 700)


def packed_with(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sheet(("CDR", "Rs"), ("A", 1)))) as book, zipfile.ZipFile(out, "w") as other:
        for each in book.namelist():
            other.writestr(each, content if each == name else book.read(each))
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [workbook.MAGIC + b"rest", packed_with("xl/workbook.xml", b"<a/>"), packed_with("xl/worksheets/sheet1.xml", b"<"),
     packed_with("xl/workbook.xml", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>'),
     packed_with("xl/workbook.xml", "<x/>".encode("utf-16"))],
    ids=["no zip", "no sheet", "no XML", "entities", "another encoding"],
)  # fmt: skip
def test_a_bad_workbook_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableBill):
        list(read_file(io.BytesIO(content), Layout({"reference": "CDR", "total": "Rs"})))


def test_a_workbook_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_UNPACKED_BYTES", 100)
    with pytest.raises(UnusableBill, match="too large"):
        list(read_file(io.BytesIO(sheet(("CDR", "Rs"), ("A", 1))), Layout({"reference": "CDR", "total": "Rs"})))
