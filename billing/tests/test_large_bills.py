"""Large bills: portions that survive their worker, the same answer however they are cut, an end in any case."""

import io
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest
import xlsxwriter
from django.conf import settings as django_settings
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import tasks
from billing.cpo_bills import files, forgetting, services, uploads, workbook, working
from billing.cpo_bills.reading import Layout, Line, UnusableBill, read_file
from billing.jobs import engine
from billing.models import BillingException, BillUpload, Job, NetworkBill, NetworkBillRow
from billing.tests import test_network_bills, test_roaming
from billing.tests.test_bill_uploads import UPLOAD, form, packed_with, text_of, url
from billing.tests.test_network_bills import LAYOUT, csv_of, line, take
from billing.tests.test_roaming import NOW, bill
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Source

source = test_roaming.source
records = test_network_bills.records
MINUTE = timedelta(minutes=1)
OLD = timedelta(days=django_settings.BILL_FILE_RETENTION_DAYS, seconds=1)


class Killed(BaseException):
    """As if the process were gone: nothing of the engine's comes after it."""


@pytest.fixture
def desk(client: Client, finance: User) -> Client:
    client.force_login(finance)
    return client


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "AT_ONCE_BYTES", 10)
    monkeypatch.setattr(working, "LINES_A_READ", 2)
    monkeypatch.setattr(working, "LINES_A_PASS", 2)


@pytest.fixture
def waiting(
    small_portions: None, organisation: Organisation, source: Source, records: list[RoamingCDR], finance: User
) -> BillUpload:
    """Five lines for a worker."""
    content = csv_of(*(line(told) for told in records), "NOBODY,,,12.50")
    return uploads.upload(
        organisation=organisation, source=source, number="B-1", starts_on=date(2026, 11, 1),
        ends_on=date(2026, 11, 30), file_name="bill.csv", content=content, layout=LAYOUT, is_trial=False,
        skips_problems=False, actor=finance, at=NOW,
    )  # fmt: skip


def judged(row: BillUpload) -> list[tuple[Any, ...]]:
    rows = NetworkBillRow.objects.filter(bill=row.bill).order_by("line", "reference")
    return list(rows.values_list("line", "reference", "roaming_cdr", "is_guessed", "outcome", "difference_paise"))


# --- portions -----------------------------------------------------------------------------------------------------
def test_a_killed_worker_loses_no_line_and_doubles_none(waiting: BillUpload, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, kept = services.keep, []

    def die_at_the_second(bill: NetworkBill, lines: list[Line]) -> None:
        keep(bill, lines)
        kept.append([each.number for each in lines])
        if len(kept) == 2:
            raise Killed

    monkeypatch.setattr(services, "keep", die_at_the_second)
    with pytest.raises(Killed):
        uploads.work_waiting(now=NOW)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.lines, waiting.reached, Job.objects.get().attempts) == ("waiting", 2, 3, 1)
    assert not uploads.work_waiting(now=NOW + MINUTE)  # its lease runs
    assert uploads.work_waiting(now=Job.objects.get().next_try_at)
    waiting.refresh_from_db()
    assert kept == [[2, 3], [4, 5], [4, 5], [6]]
    assert (waiting.state, waiting.outcomes) == ("taken", {"agrees": 4, "unknown_to_us": 1})
    assert [number for number, *_ in judged(waiting)] == [2, 3, 4, 5, 6]


def test_who_lost_its_lease_writes_nothing_more(waiting: BillUpload, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, others = services.keep, []

    def somebody_else_came(bill: NetworkBill, lines: list[Line]) -> None:
        keep(bill, lines)
        others.append(Job.objects.update(attempts=7))

    monkeypatch.setattr(services, "keep", somebody_else_came)
    assert uploads.work_waiting(now=NOW)
    waiting.refresh_from_db()
    assert (len(others), waiting.lines, NetworkBillRow.objects.count()) == (1, 0, 0)
    assert (waiting.state, Job.objects.get().error) == ("waiting", "")


def test_a_minute_is_over_and_the_next_goes_on_without_an_attempt_lost(
    waiting: BillUpload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SLICE_S", 0)
    slices = 0
    while uploads.work_waiting(now=NOW + MINUTE * (slices + 1)):
        slices += 1
        assert not Job.objects.exists() or Job.objects.get().attempts == 0
    waiting.refresh_from_db()
    assert (waiting.state, waiting.lines) == ("taken", 5)
    assert slices > engine.MOST_ATTEMPTS


def test_it_ends_the_same_however_it_is_cut(
    organisation: Organisation, source: Source, records: list[RoamingCDR], monkeypatch: pytest.MonkeyPatch
) -> None:
    bill(source, "C9", start_date_time="2026-11-20T02:00:00Z")
    alone = RoamingCDR.objects.get(key__endswith="C9")
    content = csv_of(
        line(alone, name="GUESS-1"), line(records[0]), line(records[1], more_paise=7), line(alone, name="GUESS-2"),
        line(records[0]), str(alone.pk) + ",,,5.00", "NOBODY,,,1.00", "nobody,,,1.00", line(records[2], more_wh=9),
    )  # fmt: skip
    whole = take(organisation, source, content, is_trial=True)
    for lines in (1, 2, 3):
        monkeypatch.setattr(working, "LINES_A_READ", lines)
        monkeypatch.setattr(working, "LINES_A_PASS", lines)
        monkeypatch.setattr(working, "PARTS_OF_DAYS", lines)
        cut = take(organisation, source, content, is_trial=True)
        assert (judged(cut), cut.outcomes, cut.total_paise) == (judged(whole), whole.outcomes, whole.total_paise)
    assert whole.outcomes == {
        "agrees": 2, "amount_differs": 1, "billed_twice": 3, "energy_differs": 1, "missing": 1, "unknown_to_us": 2,
    }  # fmt: skip


def test_a_bill_taken_meanwhile_is_seen_before_this_one_is(
    waiting: BillUpload, organisation: Organisation, source: Source, records: list[RoamingCDR],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    outcomes, other = services.outcomes, csv_of(line(records[0]))

    def another_is_taken(draft: NetworkBill) -> dict[str, int]:
        if draft.number == "B-1" and not NetworkBill.objects.taken().exists():
            assert take(organisation, source, other, number="B-2").state == "taken"
        return outcomes(draft)

    monkeypatch.setattr(services, "outcomes", another_is_taken)
    assert uploads.work_waiting(now=NOW)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.outcomes) == ("taken", {"agrees": 3, "billed_twice": 1, "unknown_to_us": 1})


# --- the end ------------------------------------------------------------------------------------------------------
def test_what_is_given_up_is_refused_with_the_reason_and_can_be_tried_again(
    waiting: BillUpload, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(services, "compare_lines", lambda *told: 1 / 0)
        now = NOW
        assert uploads.work_waiting(now=now)
        page = desk.get(url("change", waiting)).content.decode()
        assert "Try 1 failed: ZeroDivisionError" in page and 'id="bill-progress"' in page
        for _ in range(engine.MOST_ATTEMPTS - 1):
            now = Job.objects.get().next_try_at
            assert uploads.work_waiting(now=now)
    waiting.refresh_from_db()
    assert waiting.state == "refused" and "given up" in waiting.error and "ZeroDivisionError" in waiting.error
    page = desk.get(url("change", waiting)).content.decode()
    assert "ZeroDivisionError" in page and 'id="bill-progress"' not in page
    assert BillingException.objects.open().get(kind="job_dead").reference == f"job:network_bill:{waiting.pk}"
    assert not NetworkBill.objects.taken().exists()

    desk.post(url("try_again", waiting))
    assert uploads.work_waiting(now=timezone.now() + MINUTE)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.lines, waiting.error) == ("tried", 5, "")
    assert not BillingException.objects.open().filter(kind="job_dead").exists()


def test_a_file_that_kills_its_worker_each_time_is_refused(
    waiting: BillUpload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*told: Any) -> None:
        raise Killed

    monkeypatch.setattr(services, "keep", die)
    now = NOW
    for _ in range(engine.MOST_ATTEMPTS):
        with pytest.raises(Killed):
            uploads.work_waiting(now=now)
        now = Job.objects.get().next_try_at
    assert uploads.work_waiting(now=now)
    waiting.refresh_from_db()
    assert waiting.state == "refused" and engine.KILLED in waiting.error


def test_what_is_wrong_behind_many_lines_refuses_all_of_them(waiting: BillUpload) -> None:
    BillUpload.objects.update(content=csv_of(*(f"A{number},,,1.00" for number in range(9))) + b"\n\xff,,,1\n")
    assert uploads.work_waiting(now=NOW)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error) == ("refused", "The file is not UTF-8")
    assert (NetworkBill.objects.taken().count(), Job.objects.count()) == (0, 0)


def test_beat_goes_on_with_large_bills_beside_all_other_jobs(waiting: BillUpload) -> None:
    assert tasks.work_jobs() == 0  # not among those that nothing may hold up
    tasks.work_network_bills()
    waiting.refresh_from_db()
    assert waiting.state == "taken"


def test_what_was_tried_before_there_were_drafts_is_read_again_when_it_is_taken(
    desk: Client, source: Source, records: list[RoamingCDR]
) -> None:
    desk.post(UPLOAD, form(source, csv_of(line(records[0]), line(records[1]), "BAD,,,x")))
    row = BillUpload.objects.get()
    NetworkBill.objects.all().delete()
    desk.post(url("take", row), {"skips_problems": "on"})
    row.refresh_from_db()
    assert (row.state, row.lines, row.unusable, len(row.problems)) == ("taken", 2, 1, 1)
    bill = NetworkBill.objects.taken().get()
    assert bill.total_paise == row.total_paise == sum(map(test_network_bills.paise, records[:2]))


def test_what_an_older_version_tried_and_left_waiting_is_not_counted_twice(
    waiting: BillUpload, records: list[RoamingCDR]
) -> None:
    BillUpload.objects.update(
        lines=5, total_paise=999, unusable=1, problems=[[7, "no number"]], report=[{"line": 2}], outcomes={"agrees": 5}
    )
    assert uploads.work_waiting(now=NOW)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.lines, waiting.unusable, waiting.problems) == ("taken", 5, 0, [])
    billed = sum(map(test_network_bills.paise, records)) + 12_50
    assert waiting.total_paise == NetworkBill.objects.taken().get().total_paise == billed


# --- a job for as long as it waits --------------------------------------------------------------------------------
def and_then(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Right after a worker's last portion, before it turns to anything else."""
    work = engine._long[uploads.JOB]

    def work_and_then(key: str, lease: engine.Lease) -> Iterator[None]:
        yield from work(key, lease)
        do()

    monkeypatch.setitem(engine._long, uploads.JOB, work_and_then)


def test_what_is_taken_in_the_instant_its_trial_ends_has_a_job(
    waiting: BillUpload, finance: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    BillUpload.objects.update(is_trial=True)
    with monkeypatch.context() as moment:
        take_it = partial(uploads.take, upload_id=waiting.pk, skips_problems=False, actor=finance, at=NOW)
        and_then(moment, take_it)
        assert uploads.work_waiting(now=NOW)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.stage) == ("waiting", "find")
    assert uploads.work_waiting(now=NOW)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.lines, Job.objects.count()) == ("taken", 5, 0)


def test_what_is_tried_again_in_the_instant_it_is_refused_has_a_job(
    waiting: BillUpload, finance: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    BillUpload.objects.update(content=csv_of("A,,,1.00", "B,,,1.00") + b"\n\xff,,,1\n")
    with monkeypatch.context() as moment:
        and_then(moment, partial(uploads.try_again, upload_id=waiting.pk, actor=finance, at=NOW))
        assert uploads.work_waiting(now=NOW)
    assert uploads.work_waiting(now=NOW)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error, Job.objects.count()) == ("refused", "The file is not UTF-8", 0)


def test_a_job_that_was_given_up_is_tried_again_with_its_upload(
    waiting: BillUpload, desk: Client, finance: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(services, "compare_lines", lambda *told: 1 / 0)
        for _ in range(engine.MOST_ATTEMPTS):
            assert uploads.work_waiting(now=Job.objects.get().next_try_at)
    waiting.refresh_from_db()
    assert (waiting.state, Job.objects.get().state) == ("refused", "dead")
    jobs = reverse("admin:billing_job_changelist")
    desk.post(jobs, {"action": "try_again", "_selected_action": [Job.objects.get().pk]})
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error, waiting.lines) == ("waiting", "", 0)
    assert AuditEntry.objects.get(action="network_bill.try_again").actor == finance
    assert uploads.work_waiting(now=Job.objects.get().next_try_at)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.lines, Job.objects.count()) == ("tried", 5, 0)


# --- what is told -------------------------------------------------------------------------------------------------
def test_every_unusable_line_is_counted_on_the_page_in_the_report_and_in_the_audit_trail(
    desk: Client, source: Source, records: list[RoamingCDR]
) -> None:
    desk.post(UPLOAD, form(source, csv_of(line(records[0]), *(f"BAD{number},,,x" for number in range(250)))))
    row = BillUpload.objects.get()
    assert (row.unusable, len(row.problems)) == (250, working.MOST_PROBLEMS)
    page = desk.get(url("change", row))
    assert ("Cannot be used", "250", "") in page.context["original"].page["told"]
    assert "50 more lines cannot be used" in page.content.decode()
    assert text_of(desk.get(url("report", row))).splitlines()[-1] == ",,cannot be used,,,,,,,and 50 more lines"
    desk.post(url("take", row), {"skips_problems": "on"})
    for action in ("network_bill.take", "network_bill.import"):
        assert AuditEntry.objects.get(action=action).after["left_out"] == 250


def test_the_report_of_a_trial_has_every_row_and_is_streamed(
    desk: Client, source: Source, records: list[RoamingCDR]
) -> None:
    more = services.MOST_SHOWN + 50
    desk.post(UPLOAD, form(source, csv_of(*(f"X{number},,,1.00" for number in range(more)))))
    row = BillUpload.objects.get()
    answer = desk.get(url("report", row))
    assert isinstance(answer, StreamingHttpResponse)
    assert len(text_of(answer).splitlines()) == 1 + more + len(records)
    assert len(row.report) == services.MOST_SHOWN


def test_a_draft_is_nobodys_bill(desk: Client, source: Source, records: list[RoamingCDR]) -> None:
    desk.post(UPLOAD, form(source, csv_of(line(records[0]), line(records[1], more_paise=5))))
    draft = NetworkBill.objects.get()
    assert draft.is_draft
    assert "B-1" not in desk.get(reverse("admin:billing_networkbill_changelist")).content.decode()
    assert desk.get(reverse("admin:billing_networkbill_change", args=[draft.pk])).status_code == 302
    rows = desk.get(reverse("admin:billing_networkbillrow_changelist"))
    assert rows.context["cl"].result_count == 0
    assert records[0].key not in rows.content.decode()


# --- memory -------------------------------------------------------------------------------------------------------
def many_lines(count: int) -> Iterator[str]:
    yield "CDR,Start,kWh,Rs\n"
    for number in range(count):
        yield f"IN*VLT*CDR{number:09},2026-11-21 11:30:00,12.5,250.00\n"


def large_sheet(count: int) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"constant_memory": True})
    page = book.add_worksheet("Bill")
    page.write_row(0, 0, ("CDR", "Start", "kWh", "Rs"))
    for number in range(count):
        page.write_row(number + 1, 0, (f"IN*VLT*CDR{number:09}", "2026-11-21 11:30:00", 12.5, 250))
    book.close()
    return out.getvalue()


def peak_of_reading(content: bytes, count: int) -> int:
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_file(io.BytesIO(content), LAYOUT)) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_csv_is_read_in_the_same_memory_however_long() -> None:
    assert peak_of_reading("".join(many_lines(60_000)).encode(), 60_000) < 2_000_000


def test_a_workbook_of_any_length_is_read_in_the_same_memory() -> None:
    shorter, longer = (peak_of_reading(large_sheet(count), count) for count in (4_000, 16_000))
    assert longer < shorter * 1.2


def test_a_workbook_that_is_too_large_for_a_request_is_not_too_large_for_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = large_sheet(300)
    monkeypatch.setattr(workbook, "MOST_BYTES", 20_000)
    assert workbook.unpacked_bytes(content) > workbook.MOST_BYTES
    assert sum(1 for _ in read_file(io.BytesIO(content), LAYOUT)) == 300
    with pytest.raises(workbook.UnusableWorkbook, match="too large"):
        list(workbook.rows(io.BytesIO(content), date_format="%Y"))


def test_what_a_workbook_must_not_declare_is_seen_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed_with("xl/worksheets/sheet1.xml", b" " * 95 + b'<!DOCTYPE x [<!ENTITY a "b">]><x/>')
    for piece in (100, 101, 103):  # within <!DOCTYPE
        monkeypatch.setattr(workbook, "PIECE", piece)
        with pytest.raises(UnusableBill, match="must not"):
            list(read_file(io.BytesIO(content), Layout({"reference": "CDR", "total": "Rs"})))


def test_a_file_comes_from_the_database_in_pieces(waiting: BillUpload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIECE", 7)
    with files.opened(waiting.pk) as file:
        assert file.read() == bytes(waiting.content)


# --- retention ----------------------------------------------------------------------------------------------------
def test_files_that_were_only_tried_or_refused_are_forgotten_after_their_days(
    desk: Client, source: Source, records: list[RoamingCDR]
) -> None:
    desk.post(UPLOAD, form(source, csv_of(line(records[0]))))
    desk.post(UPLOAD, form(source, b"X,Y\n1,2\n", number="B-2"))
    tried, refused = BillUpload.objects.order_by("pk")
    assert (tried.state, refused.state) == ("tried", "refused") and tried.finished_at and refused.finished_at
    assert forgetting.forget_files(now=tried.finished_at + OLD - MINUTE) == 0
    assert bytes(refused.content) == b"X,Y\n1,2\n"

    later = refused.finished_at + OLD
    assert [forgetting.forget_files(now=later), forgetting.forget_files(now=later)] == [2, 0]
    assert set(BillUpload.objects.values_list("content", "forgotten_at")) == {(b"", later)}
    told = [each.after for each in AuditEntry.objects.filter(action="network_bill.forget_file").order_by("pk")]
    assert told == [
        {"file": "bill.csv", "bytes": len(csv_of(line(records[0]))), "state": "tried", "after_days": 30},
        {"file": "bill.csv", "bytes": 8, "state": "refused", "after_days": 30},
    ]
    assert forgetting.sweep_drafts() > 0
    assert not NetworkBill.objects.exists() and not NetworkBillRow.objects.exists()

    for page, row in (("take", tried), ("try_again", refused)):
        desk.post(url(page, row), {})
    assert set(BillUpload.objects.values_list("state", flat=True)) == {"tried", "refused"}
    assert "The file is not kept any more" in desk.get(url("change", tried)).content.decode()
    assert records[0].key in text_of(desk.get(url("report", tried)))


def test_what_waits_or_was_taken_is_not_touched_by_the_sweep(
    waiting: BillUpload, small_portions: None, desk: Client, source: Source, records: list[RoamingCDR],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(uploads, "SLICE_S", 0)
    assert uploads.work_waiting(now=NOW)  # a part of it is read
    assert (forgetting.forget_files(now=NOW + OLD), forgetting.sweep_drafts()) == (0, 0)
    assert NetworkBillRow.objects.count() == 2
    monkeypatch.setattr(uploads, "SLICE_S", 60)
    assert uploads.work_waiting(now=NOW + MINUTE)
    assert (forgetting.forget_files(now=NOW + OLD), forgetting.sweep_drafts()) == (0, 0)
    assert NetworkBill.objects.taken().get().rows.count() == 5


def test_a_refused_draft_goes_in_portions(waiting: BillUpload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SLICE_S", 0)
    monkeypatch.setattr(forgetting, "ROWS_A_PORTION", 1)
    for turn in range(2):
        assert uploads.work_waiting(now=NOW + MINUTE * turn)
    working.refuse(upload_id=waiting.pk, why="because", at=NOW)
    assert forgetting.sweep_drafts() == 4
    assert not NetworkBill.objects.exists()
    assert BillUpload.objects.get().bill is None
