"""A network's bill as a draft: its lines kept, compared three ways in portions, and taken, each bill once."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Case, Count, Q, QuerySet, Sum, Value, When

from billing.cpo_bills import statements
from billing.cpo_bills.reading import Layout, Line
from billing.gst.numbering import INDIA
from billing.models import BillFormat, BillingException, BillUpload, NetworkBill, NetworkBillRow
from billing.services.exceptions import assign_exception, open_exception
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from stations.models import Source

Outcome, Stage = NetworkBillRow.Outcome, BillUpload.Stage
ASKED = (Outcome.AMOUNT, Outcome.ENERGY, Outcome.METER, Outcome.UNKNOWN, Outcome.TWICE)
IS_ASKED = Q(outcome__in=ASKED) | Q(outcome=Outcome.MISSING, difference_paise__gt=0)  # a credit that is left off
WORDS = {
    Outcome.AMOUNT: "The bill asks another amount than the record",
    Outcome.ENERGY: "The bill names another energy than the record",
    Outcome.METER: "The record names another energy than the meter",
    Outcome.UNKNOWN: "The bill names a session that we do not know",
    Outcome.TWICE: "The bill names a session twice",
    Outcome.MISSING: "No bill names the credit of a record that was billed",
}
PASSES = {
    Stage.FIND: (statements.FORGET, statements.FIND), Stage.GUESS: (statements.GUESS,),
    Stage.FILL: (statements.FILL,), Stage.JUDGE: (statements.JUDGE,),
}  # fmt: skip
MOST_EXCEPTIONS = 200
MOST_SHOWN = 300
ANALYZED_FROM = 10_000
ONE_AT_A_TIME = 0x62696C6C
SHOWN = (
    "line", "reference", "outcome", "total_paise", "record_paise", "difference_paise", "energy_wh", "record_wh",
    "meter_wh",
)  # fmt: skip


def layout_of(organisation: Organisation, source: Source) -> Layout | None:
    """As the organisation said for this network."""
    row = BillFormat.objects.filter(organisation=organisation, source=source).first()
    if row is None:
        return None
    return Layout(row.columns, row.date_format, row.time_zone, row.is_energy_in_wh, row.separator)


def draft(
    *, organisation: Organisation, source: Source, number: str, starts_on: date, ends_on: date, file_sha256: str,
    owner: User | None, at: datetime,
) -> NetworkBill:  # fmt: skip
    """Counts for nothing until it is taken. Raises Conflict for a number or a file that was taken before."""
    bill = NetworkBill(
        organisation=organisation, source=source, number=number, starts_on=starts_on, ends_on=ends_on,
        file_sha256=file_sha256, owner=owner, imported_at=at, is_draft=True,
    )  # fmt: skip
    beside = _beside(bill)
    if beside.filter(number=number).exists() or beside.filter(file_sha256=file_sha256).exists():
        raise _taken_before()
    bill.save()
    return bill


def keep(bill: NetworkBill, lines: Sequence[Line]) -> None:
    NetworkBillRow.objects.bulk_create(
        NetworkBillRow(
            bill=bill, line=line.number, reference=line.reference, started_at=line.started_at,
            energy_wh=line.energy_wh, total_paise=line.total_paise,
        )
        for line in lines
    )  # fmt: skip


def analyze(lines: int) -> None:
    """So that the passes are planned for what is there now."""
    if lines >= ANALYZED_FROM:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE billing_networkbillrow")


def compare_lines(bill: NetworkBill, stage: str, first: int, last: int) -> None:
    """One pass over some lines of the file; each pass needs the one before over all of them."""
    _run(PASSES[Stage(stage)], bill, first=first, last=last)


def begin_judging(bill: NetworkBill) -> int:
    """How many bills of the network it is judged beside: what they name is named twice."""
    NetworkBillRow.objects.filter(bill=bill, line=0).delete()
    return _beside(bill).count()


def list_missing(bill: NetworkBill, first: date, last: date) -> None:
    """Records of these days, and credits that came in them, that no bill names."""
    since, until = (datetime.combine(day, time(), INDIA) for day in (first, last + timedelta(days=1)))
    _run((statements.MISSING, statements.MISSING_CREDITS), bill, since=since, until=until)


def outcomes(bill: NetworkBill) -> dict[str, int]:
    rows = NetworkBillRow.objects.filter(bill=bill).order_by().values_list("outcome")
    return dict(rows.annotate(count=Count("pk")).values_list("outcome", "count"))


def take(
    bill: NetworkBill, *, beside: int, lines: int, left_out: int, found: dict[str, int], actor: User | None,
    at: datetime,
) -> bool:  # fmt: skip
    """False when another bill of the network was taken meanwhile: judge again. Raises Conflict for one taken before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [ONE_AT_A_TIME, bill.source_id])
    if _beside(bill).count() != beside:
        return False
    bill.is_draft, bill.owner, bill.imported_at = False, actor, at
    bill.lines, bill.outcomes, bill.asked_paise = lines, found, asked_too_much_paise(bill)
    try:
        with transaction.atomic():
            bill.save(update_fields=["is_draft", "owner", "imported_at", "lines", "outcomes", "asked_paise"])
    except IntegrityError as error:
        raise _taken_before() from error
    _ask(bill, at)
    audit(
        action="network_bill.import", target=bill, actor=actor, organisation=bill.organisation,
        after={"lines": lines, "left_out": left_out, "total_paise": bill.total_paise, **found},
    )  # fmt: skip
    return True


def rows_of(bill: NetworkBill) -> QuerySet[NetworkBillRow]:
    """As they are shown and argued about: what agrees last, the dearest first."""
    agrees = Case(When(outcome=Outcome.AGREES, then=Value(1)), default=Value(0))
    return NetworkBillRow.objects.filter(bill=bill).order_by(agrees, "-difference_paise", "line", "pk")


def shown(rows: QuerySet[NetworkBillRow]) -> Iterator[dict[str, Any]]:
    """As they come from the database, never all of them at once."""
    yield from rows.values(*SHOWN).iterator(chunk_size=2_000)


def asked_too_much_paise(bill: NetworkBill) -> int:
    rows = NetworkBillRow.objects.filter(IS_ASKED, bill=bill)
    return rows.aggregate(paise=Sum("difference_paise"))["paise"] or 0


def _beside(bill: NetworkBill) -> QuerySet[NetworkBill]:
    return NetworkBill.objects.taken().filter(organisation=bill.organisation_id, source=bill.source_id)


def _taken_before() -> Conflict:
    return Conflict("This bill, or this file, was imported before.", code="already_imported")


def _run(wanted: Sequence[str], bill: NetworkBill, **values: Any) -> None:
    known = {"bill": bill.pk, "source": bill.source_id, "organisation": bill.organisation_id, **values}
    with connection.cursor() as cursor:
        for statement in wanted:
            cursor.execute(statement, known)


def _ask(bill: NetworkBill, at: datetime) -> None:
    """One question per line, the dearest first; what is beyond the limit stays on the bill's own page."""
    rows = NetworkBillRow.objects.filter(IS_ASKED, bill=bill).order_by("-difference_paise", "line")
    for row in rows[:MOST_EXCEPTIONS]:
        question = open_exception(
            organisation_id=bill.organisation_id, kind=BillingException.Kind.CPO_BILL, session_id=None,
            reference=f"bill:{bill.pk}:{row.line or f'record-{row.roaming_cdr_id}'}",
            title=WORDS[Outcome(row.outcome)], amount_paise=row.difference_paise,
            details={"bill": bill.number, "network": bill.source.name, "line": row.line, "reference": row.reference,
                     "billed_paise": row.total_paise, "record_paise": row.record_paise, "billed_wh": row.energy_wh,
                     "record_wh": row.record_wh, "meter_wh": row.meter_wh, "session": row.session_id},
            at=at,
        )  # fmt: skip
        if bill.owner is not None:
            assign_exception(exception_id=question.pk, owner=bill.owner, actor=bill.owner)
