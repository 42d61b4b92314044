"""An upload on its way: read, compared and judged in portions, each committed with how far it came."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice

from django.db import transaction

from billing.cpo_bills import files, reading, services
from billing.cpo_bills.reading import Flaw, Layout, Line, UnusableBill
from billing.models import BillUpload, NetworkBill
from fleetcharge.lib.api import Conflict

State, Stage = BillUpload.State, BillUpload.Stage
Keep = Callable[[bool], None]
LINES_A_READ = 5_000
LINES_A_PASS = 50_000
PARTS_OF_DAYS = 31
MOST_PROBLEMS = 200
MOST_PAISE = 10**18
LEFT_OUT = "Some lines cannot be used, so nothing was kept: take it without them, or correct the file."
NEXT = {
    Stage.READ: Stage.FIND, Stage.FIND: Stage.GUESS, Stage.GUESS: Stage.FILL, Stage.FILL: Stage.JUDGE,
    Stage.JUDGE: Stage.MISSING, Stage.MISSING: Stage.FINISH,
}  # fmt: skip
KEPT = [
    "state", "stage", "reached", "last_line", "beside", "lines", "unusable", "total_paise", "outcomes", "problems",
    "report", "error", "bill", "is_trial", "finished_at",
]  # fmt: skip


class Overtaken(Exception):
    """Somebody else went on with it."""


def go_on(*, upload_id: int, at: Callable[[], datetime], keep: Keep) -> Iterator[None]:
    """From where it was left to its outcome, a step for each portion; what is wrong with the file is its outcome.

    `keep` is called in each portion's transaction with whether more is to come, and undoes it by raising.
    """
    row = _row(upload_id)
    try:
        if row.state == State.WAITING and row.stage == Stage.READ:
            yield from _read(row, at, keep)
        while row.state == State.WAITING:
            with _portion(row, keep):
                _step(row, at())
            yield
    except (UnusableBill, Conflict) as error:
        with transaction.atomic():
            refuse(upload_id=upload_id, why=str(error), at=at())
            keep(False)


def through(*, upload_id: int, now: datetime) -> BillUpload:
    """All of a small one."""
    for _ in go_on(upload_id=upload_id, at=lambda: now, keep=lambda goes_on: None):
        pass
    return _row(upload_id)


def from_the_beginning(row: BillUpload) -> None:
    row.stage, row.finished_at = Stage.READ, None
    row.reached = row.last_line = row.lines = row.unusable = row.total_paise = 0
    row.problems, row.report, row.outcomes = [], [], {}


@transaction.atomic
def refuse(*, upload_id: int, why: str, at: datetime) -> None:
    """One that waits; its draft is swept away later."""
    waiting = BillUpload.objects.filter(pk=upload_id, state=State.WAITING)
    waiting.update(state=State.REFUSED, error=why.replace("\0", " ")[:500], finished_at=at)


def _row(upload_id: int) -> BillUpload:
    rows = BillUpload.objects.select_related("organisation", "source", "uploaded_by", "bill__source")
    return rows.defer("content").get(pk=upload_id)


@contextmanager
def _portion(row: BillUpload, keep: Keep) -> Iterator[None]:
    """All of it or nothing, and only from where the row still is."""
    with transaction.atomic():
        there = BillUpload.objects.select_for_update().values_list("state", "stage", "reached").get(pk=row.pk)
        if there != (row.state, row.stage, row.reached):
            raise Overtaken(f"{row.pk} is at {there}")
        yield
        keep(row.state == State.WAITING)
        row.save(update_fields=KEPT)


def _read(row: BillUpload, at: Callable[[], datetime], keep: Keep) -> Iterator[None]:
    if row.bill is None:
        with _portion(row, keep):
            from_the_beginning(row)  # what was tried before there were drafts left its figures here
            row.bill = services.draft(
                organisation=row.organisation, source=row.source, number=row.number, starts_on=row.starts_on,
                ends_on=row.ends_on, file_sha256=files.sha256_of(row.pk), owner=row.uploaded_by, at=at(),
            )  # fmt: skip
    with files.opened(row.pk) as file:
        lines, known = reading.read_file(file, Layout(**row.layout)), row.reached
        fresh = (line for line in lines if line.number > known)
        while portion := list(islice(fresh, LINES_A_READ)):
            with _portion(row, keep):
                _take_in(row, portion)
            yield
    with _portion(row, keep):
        _end_reading(row)


def _take_in(row: BillUpload, portion: list[Line | Flaw]) -> None:
    lines = [each for each in portion if isinstance(each, Line)]
    flaws = [each for each in portion if isinstance(each, Flaw)]
    services.keep(_bill(row), lines)
    row.reached = portion[-1].number
    row.lines += len(lines)
    row.unusable += len(flaws)
    row.problems = [*row.problems, *([flaw.number, flaw.why] for flaw in flaws)][:MOST_PROBLEMS]
    row.total_paise += sum(line.total_paise for line in lines)
    if abs(row.total_paise) > MOST_PAISE:
        raise UnusableBill("The amounts add up to more than any bill")


def _end_reading(row: BillUpload) -> None:
    """With lines that cannot be used nothing is taken, unless they are to be left out."""
    if row.unusable and not (row.is_trial or row.skips_problems):
        row.is_trial, row.error = True, LEFT_OUT
    bill = _bill(row)
    bill.total_paise = row.total_paise
    bill.save(update_fields=["total_paise"])
    services.analyze(row.lines)
    row.last_line = row.reached
    _next(row)


def _step(row: BillUpload, at: datetime) -> None:
    if row.stage in services.PASSES:
        _pass(row)
    elif row.stage == Stage.MISSING:
        _list_missing(row)
    else:
        _finish(row, at)


def _pass(row: BillUpload) -> None:
    if row.stage == Stage.JUDGE and row.reached == 0:
        row.beside = services.begin_judging(_bill(row))
    last = min(row.reached + LINES_A_PASS, row.last_line)
    services.compare_lines(_bill(row), row.stage, row.reached + 1, last)
    row.reached = last
    if last == row.last_line:
        _next(row)


def _list_missing(row: BillUpload) -> None:
    """`reached` counts parts of the bill's days."""
    length = -(-((row.ends_on - row.starts_on).days + 1) // PARTS_OF_DAYS)
    first = row.starts_on + timedelta(days=row.reached * length)
    if first > row.ends_on:
        _next(row)
        return
    services.list_missing(_bill(row), first, min(row.ends_on, first + timedelta(days=length - 1)))
    row.reached += 1


def _finish(row: BillUpload, at: datetime) -> None:
    bill = _bill(row)
    row.outcomes = services.outcomes(bill)
    row.report = list(services.rows_of(bill).values(*services.SHOWN)[: services.MOST_SHOWN])
    bill.compared_at = at
    bill.save(update_fields=["compared_at"])
    if row.is_trial:
        row.state = State.TRIED
    else:
        _take(row, at)
    row.finished_at = None if row.state == State.WAITING else at


def _take(row: BillUpload, at: datetime) -> None:
    if not services.take(
        _bill(row), beside=row.beside, lines=row.lines, left_out=row.unusable, found=row.outcomes,
        actor=row.uploaded_by, at=at,
    ):  # fmt: skip
        row.stage, row.reached = Stage.JUDGE, 0
        return
    row.state, row.error = State.TAKEN, ""
    BillUpload.objects.filter(pk=row.pk).update(content=b"")


def _next(row: BillUpload) -> None:
    row.stage, row.reached = NEXT[Stage(row.stage)], 0


def _bill(row: BillUpload) -> NetworkBill:
    if row.bill is None:
        raise UnusableBill("What was read of it is not kept any more: upload it again")
    return row.bill
