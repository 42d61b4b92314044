"""Bills that finance uploads: a small one is read at once, a large one by a worker; tried, looked at, then taken."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime
from typing import TypedDict, Unpack

from django.db import transaction

from billing.cpo_bills import workbook, working
from billing.cpo_bills.reading import Layout
from billing.jobs import engine
from billing.jobs.models import Job
from billing.models import BillUpload
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from stations.models import Source

JOB = "network_bill"
MOST_BYTES = 25_000_000
AT_ONCE_BYTES = 300_000
SLICE_S = 60
State, Stage = BillUpload.State, BillUpload.Stage


class Told(TypedDict):
    """What is said of a file."""

    organisation: Organisation
    source: Source
    number: str
    starts_on: date
    ends_on: date
    file_name: str
    content: bytes
    layout: Layout
    is_trial: bool
    skips_problems: bool
    actor: User | None
    at: datetime


@transaction.atomic
def upload(**told: Unpack[Told]) -> BillUpload:
    """Keep the file and read it, or let a worker do so. Raises Conflict for one that is too large."""
    row = _keep(**told)
    return _begin(row, _bytes_to_read(told["content"]), told["at"])


def run(**told: Unpack[Told]) -> BillUpload:
    """Keep the file and read it here and now, in portions, however long that takes."""
    return working.through(upload_id=_keep(**told).pk, now=told["at"])


@transaction.atomic
def _keep(**told: Unpack[Told]) -> BillUpload:
    if len(told["content"]) > MOST_BYTES:
        raise Conflict("The file is too large.", code="too_large")
    layout, organisation = told["layout"], told["organisation"]
    row = BillUpload.objects.create(
        organisation=organisation, source=told["source"], number=told["number"], starts_on=told["starts_on"],
        ends_on=told["ends_on"], file_name=told["file_name"][:120], content=told["content"],
        layout={**asdict(layout), "columns": dict(layout.columns)}, is_trial=told["is_trial"],
        skips_problems=told["skips_problems"], uploaded_by=told["actor"], uploaded_at=told["at"],
    )  # fmt: skip
    audit(
        action="network_bill.upload", target=row, actor=told["actor"], organisation=organisation,
        after={"network": row.source.slug, "number": row.number, "file": row.file_name,
               "bytes": len(told["content"]), "is_trial": row.is_trial},
    )  # fmt: skip
    return row


@transaction.atomic
def take(*, upload_id: int, skips_problems: bool, actor: User, at: datetime) -> BillUpload:
    """What was tried is compared again and taken. Raises Conflict when there is nothing to take, or not as it is."""
    row = _locked(upload_id)
    if row.state != State.TRIED or row.forgotten_at is not None:
        raise Conflict("Only what was tried can be taken.", code="not_tried")
    if row.unusable and not skips_problems:
        raise Conflict("Some lines cannot be used: leave them out, or correct the file.", code="unusable_lines")
    row.is_trial, row.skips_problems, row.state, row.uploaded_by = False, skips_problems, State.WAITING, actor
    row.stage, row.reached, row.error = Stage.FIND, 0, ""
    if row.bill_id is None:  # tried before drafts were kept
        working.from_the_beginning(row)
    row.save()
    audit(
        action="network_bill.take", target=row, actor=actor, organisation=row.organisation,
        after={"lines": row.lines, "left_out": row.unusable},
    )  # fmt: skip
    return _begin(row, _bytes_to_read(bytes(row.content)), at)


@transaction.atomic
def try_again(*, upload_id: int, actor: User, at: datetime) -> BillUpload:
    """What was refused is tried from its beginning, as long as its file is kept. Raises Conflict otherwise."""
    row = _locked(upload_id)
    if not _set_back(row, actor):
        raise Conflict("Only what was refused, and is still kept, can be tried again.", code="not_refused")
    return _begin(row, _bytes_to_read(bytes(row.content)), at)


def _set_back(row: BillUpload, actor: User | None) -> bool:
    if row.state != State.REFUSED or not row.content:
        return False
    row.is_trial, row.state, row.bill, row.error = True, State.WAITING, None, ""
    working.from_the_beginning(row)
    row.save()
    audit(action="network_bill.try_again", target=row, actor=actor, organisation=row.organisation)
    return True


def _locked(upload_id: int) -> BillUpload:
    rows = BillUpload.objects.select_for_update(of=("self",)).select_related("organisation", "source")
    return rows.get(pk=upload_id)


def _begin(row: BillUpload, bytes_to_read: int, at: datetime) -> BillUpload:
    if bytes_to_read <= AT_ONCE_BYTES:
        return working.through(upload_id=row.pk, now=at)
    if not engine.add(kind=JOB, keys=[(str(row.pk), row.organisation_id)], now=at):  # one that was given up
        engine.try_again(job_ids=[job.pk for job in Job.objects.filter(kind=JOB, key=str(row.pk))], now=at)
    return row


def _bytes_to_read(content: bytes) -> int:
    """A small workbook may unpack to a large one; one that cannot be opened is refused at once."""
    if not content.startswith(workbook.MAGIC):
        return len(content)
    try:
        return max(len(content), workbook.unpacked_bytes(content))
    except workbook.UnusableWorkbook:
        return 0


def _give_up(key: str, problem: str, now: datetime) -> None:
    working.refuse(upload_id=int(key), why=f"It was given up after several tries. The last one: {problem}", at=now)


def _revive(key: str, actor: User | None, now: datetime) -> None:
    """Its job is tried again among the jobs; one whose file is not kept any more only loses its job."""
    _set_back(_locked(int(key)), actor)


@engine.does_long(JOB, gave_up=_give_up, revived=_revive)
def _work(key: str, lease: engine.Lease) -> Iterator[None]:
    yield from working.go_on(upload_id=int(key), at=lease.at, keep=lease.keep)


def work_waiting(*, now: datetime) -> bool:
    """Go on with one large bill for about a minute; False when none waits."""
    return engine.work_long(kind=JOB, now=now, slice_s=SLICE_S)


def job_of(row: BillUpload) -> Job | None:
    """Of one that waits for a worker, or is with one."""
    return Job.objects.filter(kind=JOB, key=str(row.pk)).first() if row.state == State.WAITING else None
