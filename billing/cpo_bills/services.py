"""Import a network's bill (or only try), compare it three ways, ask about what differs; each bill once."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Case, Value, When

from billing.cpo_bills import reading, statements
from billing.cpo_bills.reading import Layout, Line
from billing.gst.numbering import INDIA
from billing.models import BillFormat, BillingException, NetworkBill, NetworkBillRow
from billing.services.exceptions import assign_exception, open_exception
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from stations.models import Source

Outcome = NetworkBillRow.Outcome
ASKED = (Outcome.AMOUNT, Outcome.ENERGY, Outcome.METER, Outcome.UNKNOWN, Outcome.TWICE)
WORDS = {
    Outcome.AMOUNT: "The bill asks another amount than the record",
    Outcome.ENERGY: "The bill names another energy than the record",
    Outcome.METER: "The record names another energy than the meter",
    Outcome.UNKNOWN: "The bill names a session that we do not know",
    Outcome.TWICE: "The bill names a session twice",
}
MOST_EXCEPTIONS = 200
MOST_SHOWN = 300
BATCH = 5_000
SHOWN = (
    "line", "reference", "outcome", "total_paise", "record_paise", "difference_paise", "energy_wh", "record_wh",
    "meter_wh",
)  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """`bill` is None after a dry run, or when lines were unusable. `rows`: the first, what differs most before all."""

    bill: NetworkBill | None
    lines: int
    total_paise: int
    problems: list[tuple[int, str]]
    outcomes: dict[str, int]
    rows: list[dict[str, Any]] = field(default_factory=list)


def layout_of(organisation: Organisation, source: Source) -> Layout | None:
    """As the organisation said for this network."""
    row = BillFormat.objects.filter(organisation=organisation, source=source).first()
    if row is None:
        return None
    return Layout(row.columns, row.date_format, row.time_zone, row.is_energy_in_wh, row.separator)


def import_bill(
    *, organisation: Organisation, source: Source, number: str, starts_on: date, ends_on: date, content: bytes,
    layout: Layout, actor: User | None, at: datetime, is_dry_run: bool = False, skips_problems: bool = False,
    tell: Callable[[int], None] = lambda lines: None,
) -> Imported:  # fmt: skip
    """All lines or none, unless problems are to be skipped. A dry run compares too, and leaves nothing behind.

    `tell` hears how many lines are stored, now and then. Raises UnusableBill, and Conflict for a number or a file that
    was imported before.
    """
    read = reading.read_file(content, layout)
    if read.problems and not (is_dry_run or skips_problems):
        return Imported(None, len(read.lines), read.total_paise, read.problems, {})
    with transaction.atomic():
        try:
            with transaction.atomic():
                bill = NetworkBill.objects.create(
                    organisation=organisation, source=source, number=number, starts_on=starts_on, ends_on=ends_on,
                    file_sha256=hashlib.sha256(content).hexdigest(), total_paise=read.total_paise, owner=actor,
                    imported_at=at,
                )  # fmt: skip
        except IntegrityError as error:
            raise Conflict("This bill, or this file, was imported before.", code="already_imported") from error
        _keep(bill, read.lines, tell)
        outcomes = compare(bill, at=at)
        rows = rows_of(bill)
        if is_dry_run:
            transaction.set_rollback(True)
        else:
            _ask(bill, at)
            audit(action="network_bill.import", target=bill, actor=actor, organisation=organisation,
                  after={"lines": len(read.lines), "total_paise": read.total_paise, **outcomes})  # fmt: skip
    kept = None if is_dry_run else bill
    return Imported(kept, len(read.lines), read.total_paise, read.problems, outcomes, rows)


def rows_of(bill: NetworkBill, *, most: int | None = MOST_SHOWN) -> list[dict[str, Any]]:
    """As they are shown and argued about: what agrees last, the dearest first (one query)."""
    agrees = Case(When(outcome=Outcome.AGREES, then=Value(1)), default=Value(0))
    rows = NetworkBillRow.objects.filter(bill=bill).order_by(agrees, "-difference_paise", "line", "pk")
    found: list[dict[str, Any]] = list(rows.values(*SHOWN)[:most])
    return found


@transaction.atomic
def compare(bill: NetworkBill, *, at: datetime) -> dict[str, int]:
    """Bill x record x meter, in a few statements whatever the number of lines; how many of each outcome."""
    begin, end = (datetime.combine(day, time(), INDIA) for day in (bill.starts_on, bill.ends_on + timedelta(days=1)))
    values: dict[str, Any] = {
        "bill": bill.pk, "source": bill.source_id, "organisation": bill.organisation_id, "since": begin, "until": end,
    }  # fmt: skip
    NetworkBillRow.objects.filter(bill=bill, line=0).delete()
    with connection.cursor() as cursor:
        for statement in (
            statements.FIND, statements.GUESS, statements.FILL, statements.JUDGE, statements.MISSING,
        ):  # fmt: skip
            cursor.execute(statement, values)
    bill.compared_at = at
    bill.save(update_fields=["compared_at"])
    return dict(Counter(NetworkBillRow.objects.filter(bill=bill).values_list("outcome", flat=True)))


def _keep(bill: NetworkBill, lines: Sequence[Line], tell: Callable[[int], None]) -> None:
    for first in range(0, len(lines), BATCH):
        NetworkBillRow.objects.bulk_create(
            NetworkBillRow(
                bill=bill, line=line.number, reference=line.reference, started_at=line.started_at,
                energy_wh=line.energy_wh, total_paise=line.total_paise,
            )
            for line in lines[first : first + BATCH]
        )  # fmt: skip
        tell(min(first + BATCH, len(lines)))


def _ask(bill: NetworkBill, at: datetime) -> None:
    """One question per line, the dearest first; what is beyond the limit stays on the bill's own page."""
    rows = NetworkBillRow.objects.filter(bill=bill, outcome__in=ASKED).order_by("-difference_paise", "line")
    for row in rows[:MOST_EXCEPTIONS]:
        question = open_exception(
            organisation_id=bill.organisation_id, kind=BillingException.Kind.CPO_BILL, session_id=None,
            reference=f"bill:{bill.pk}:{row.line}", title=WORDS[Outcome(row.outcome)],
            amount_paise=row.difference_paise,
            details={"bill": bill.number, "network": bill.source.name, "line": row.line, "reference": row.reference,
                     "billed_paise": row.total_paise, "record_paise": row.record_paise, "billed_wh": row.energy_wh,
                     "record_wh": row.record_wh, "meter_wh": row.meter_wh, "session": row.session_id},
            at=at,
        )  # fmt: skip
        if bill.owner is not None:
            assign_exception(exception_id=question.pk, owner=bill.owner, actor=bill.owner)
