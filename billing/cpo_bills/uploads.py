"""Bills that finance uploads: a small one is read at once, a large one by a worker; tried, looked at, then taken."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from django.core.cache import cache
from django.db import transaction

from billing import dispute
from billing.cpo_bills import services, workbook
from billing.cpo_bills.reading import Layout, UnusableBill
from billing.jobs import engine
from billing.models import BillUpload, NetworkBill, NetworkBillRow
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from stations.models import Source

JOB = "network_bill"
MOST_BYTES = 25_000_000
AT_ONCE_BYTES = 300_000
PROGRESS_FOR_S = 3_600
HEADER = (
    "line", "reference", "outcome", "billed, Rs", "record, Rs", "asked too much, Rs", "billed, Wh", "record, Wh",
    "meter, Wh",
)  # fmt: skip
State = BillUpload.State


@transaction.atomic
def upload(
    *, organisation: Organisation, source: Source, number: str, starts_on: date, ends_on: date, file_name: str,
    content: bytes, layout: Layout, is_trial: bool, skips_problems: bool, actor: User | None, at: datetime,
) -> BillUpload:  # fmt: skip
    """Keep the file and read it, or let a worker do so. Raises Conflict for one that is too large."""
    if len(content) > MOST_BYTES:
        raise Conflict("The file is too large.", code="too_large")
    row = BillUpload.objects.create(
        organisation=organisation, source=source, number=number, starts_on=starts_on, ends_on=ends_on,
        file_name=file_name[:120], content=content, layout={**asdict(layout), "columns": dict(layout.columns)},
        is_trial=is_trial, skips_problems=skips_problems, uploaded_by=actor, uploaded_at=at,
    )  # fmt: skip
    audit(
        action="network_bill.upload", target=row, actor=actor, organisation=organisation,
        after={"network": source.slug, "number": number, "file": row.file_name, "bytes": len(content),
               "is_trial": is_trial},
    )  # fmt: skip
    return _begin(row, at)


@transaction.atomic
def take(*, upload_id: int, skips_problems: bool, actor: User, at: datetime) -> BillUpload:
    """What was tried is taken now. Raises Conflict when there is nothing to take."""
    row = BillUpload.objects.select_for_update(of=("self",)).select_related("organisation", "source").get(pk=upload_id)
    if row.state != State.TRIED or not row.content:
        raise Conflict("Only what was tried can be taken.", code="not_tried")
    row.is_trial, row.skips_problems, row.state, row.uploaded_by = False, skips_problems, State.WAITING, actor
    row.save(update_fields=["is_trial", "skips_problems", "state", "uploaded_by"])
    audit(action="network_bill.take", target=row, actor=actor, organisation=row.organisation)
    return _begin(row, at)


def _begin(row: BillUpload, at: datetime) -> BillUpload:
    if _bytes_to_read(bytes(row.content)) <= AT_ONCE_BYTES:
        return work(upload_id=row.pk, now=at)
    engine.add(kind=JOB, keys=[(str(row.pk), row.organisation_id)], now=at)
    return row


def _bytes_to_read(content: bytes) -> int:
    """A small workbook may unpack to a large one; one that cannot be opened is refused at once."""
    if not content.startswith(workbook.MAGIC):
        return len(content)
    try:
        return max(len(content), workbook.unpacked_bytes(content))
    except workbook.UnusableWorkbook:
        return len(content)


@engine.does(JOB)
def _work(key: str, now: datetime) -> None:
    work(upload_id=int(key), now=now)


@transaction.atomic
def work(*, upload_id: int, now: datetime) -> BillUpload:
    """Read, compare and keep it, or only try; once. What is wrong with the file is its outcome, no failure of ours."""
    rows = BillUpload.objects.select_for_update(of=("self",)).select_related("organisation", "source", "uploaded_by")
    row = rows.get(pk=upload_id)
    if row.state != State.WAITING:
        return row
    try:
        with transaction.atomic():
            done = services.import_bill(
                organisation=row.organisation, source=row.source, number=row.number, starts_on=row.starts_on,
                ends_on=row.ends_on, content=bytes(row.content), layout=Layout(**row.layout), actor=row.uploaded_by,
                at=now, is_dry_run=row.is_trial, skips_problems=row.skips_problems,
                tell=lambda lines: cache.set(_progress_key(row.pk), lines, PROGRESS_FOR_S),
            )  # fmt: skip
    except (UnusableBill, Conflict) as error:
        row.state, row.error = State.REFUSED, str(error)[:500]
    else:
        row.bill, row.lines, row.total_paise = done.bill, done.lines, done.total_paise
        row.outcomes, row.problems, row.report = done.outcomes, done.problems, done.rows
        row.state = State.TRIED if row.is_trial else State.TAKEN if done.bill else State.REFUSED
        row.error = "Some lines cannot be used; nothing was kept." if row.state == State.REFUSED else ""
    if row.state != State.TRIED:
        row.content = b""
    row.finished_at = now
    row.save()
    return row


def progress(row: BillUpload) -> int:
    """Lines stored so far, of one that is being read."""
    return int(cache.get(_progress_key(row.pk)) or 0) if row.state == State.WAITING else row.lines


def _progress_key(upload_id: int) -> str:
    return f"network-bill-upload:{upload_id}"


# --- files --------------------------------------------------------------------------------------------------------
def report_csv(row: BillUpload) -> str:
    """Every row of a bill that was taken, the first ones of a trial; below them the lines that could not be used."""
    rows = services.rows_of(row.bill, most=None) if row.bill else row.report
    problems = [(line, "", "cannot be used", "", "", "", "", "", "", why) for line, why in row.problems]
    return dispute.table((*HEADER, "why"), [*((*_cells(each), "") for each in rows), *problems])


def dispute_csv(bill: NetworkBill) -> str:
    """What the bill asks wrongly, dearest first, to be sent to the network."""
    outcomes = [str(each) for each in services.ASKED]
    rows = [each for each in services.rows_of(bill, most=None) if each["outcome"] in outcomes]
    head: list[tuple[Any, ...]] = [
        ("bill", bill.number), ("network", bill.source.name), ("from", bill.starts_on), ("to", bill.ends_on),
        ("billed, Rs", dispute.rupees(bill.total_paise)),
        ("asked too much, Rs", dispute.rupees(sum(each["difference_paise"] for each in rows))), (), HEADER,
    ]  # fmt: skip
    return dispute.table(head[0], [*head[1:], *map(_cells, rows)])


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    paise = (dispute.rupees(row[name]) for name in ("total_paise", "record_paise", "difference_paise"))
    energy = ("" if row[name] is None else row[name] for name in ("energy_wh", "record_wh", "meter_wh"))
    return (row["line"] or "", row["reference"], NetworkBillRow.Outcome(row["outcome"]).label, *paise, *energy)
