"""A month is closed while others charge, pay back and issue: nobody waits for finance, and nothing is done twice."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, connections, transaction

from billing.invoicing import voucher_jobs
from billing.invoicing.models import AccountingMonth, AdvanceReturn, TaxDocument
from billing.invoicing.services import advances, boundary, figures, fleets, months, returns
from billing.invoicing.tasks import sweep_advances
from billing.jobs.models import Job
from billing.models import BillingException, ChargingSession, GatewayPayment, LedgerTransfer, ReconciliationVerdict
from billing.services import verification, wallets
from billing.tests.factories import NOON, Fleet, fund, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation

pytestmark = pytest.mark.django_db(transaction=True)
Kind = TaxDocument.Kind
AT_ONCE = 8
WAITS_FOR_US = """
SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))
"""


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    make_supplier()
    make_registration(organisation)
    return make_fleet(organisation, money_paise=100_000_00)


@pytest.fixture
def payment(organisation: Organisation) -> GatewayPayment:
    make_supplier()
    make_registration(organisation)
    fund(organisation, 500_00)
    for number in (1, 2, 3):
        wallets.top_up(organisation_id=organisation.pk, amount_paise=1_000_00, key=f"pay_{number}", at=NOON)
    sweep_advances()
    return GatewayPayment.objects.create(
        payment_id="pay_1", organisation=organisation, amount_paise=1_000_00, credited_at=NOON, paid_at=NOON,
        status=GatewayPayment.Status.CAPTURED,
    )  # fmt: skip


def together(*works: Callable[[], object]) -> list[BaseException]:
    """Each on a connection of its own, all let go at once; what they raised."""
    gate, raised = threading.Barrier(len(works)), list[BaseException]()

    def run(work: Callable[[], object]) -> None:
        try:
            gate.wait()
            work()
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return raised


@contextmanager
def finance_at_its_sums(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> Iterator[None]:
    """`do` runs on a connection of its own in the midst of the last step of the close, which waits for it to end."""
    summary = months.summary

    def summed(month: AccountingMonth, begun: figures.Begun) -> dict[str, object]:
        assert together(do) == []
        return summary(month, begun)

    with monkeypatch.context() as patch:
        patch.setattr(months, "summary", summed)
        yield


def test_a_capture_goes_through_while_a_month_is_closed(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for ever if the close kept the ledger to itself: the close waits for the capture here."""
    charge(fleet)
    late: list[int] = []

    def capture() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20s'")
        late.append(charge(fleet, at=NOON + timedelta(hours=3)).pk)

    with finance_at_its_sums(monkeypatch, capture):
        closed = months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    figures_of_it = closed.month.figures
    assert (figures_of_it["unexplained_paise"], figures_of_it["late_paise"]) == (0, 212_40)
    assert set(figures_of_it["unexplained_tax_paise"].values()) == {0}
    own = LedgerTransfer.objects.filter(session__cdr=late[0])
    assert own.exists()
    assert all(row.pk > (closed.month.last_transfer_id or 0) for row in own)  # of the next month's books
    months.close(day=date(2026, 12, 1), now=datetime(2027, 1, 2, tzinfo=UTC))
    assert figures.charged_and_explained(before=datetime(2027, 1, 1, tzinfo=UTC))["unexplained_paise"] == 0
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert verification.differences() == {}


@pytest.mark.parametrize("how", ["judged", "accepted", "looked at again"])
def test_what_can_be_billed_only_after_its_fleet_was_is_late(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    charge(fleet)
    session_id = (late := charge(fleet, at=NOON + timedelta(hours=3))).session_id
    session, verdict = (
        rows.filter(**{name: session_id})
        for rows, name in [(ChargingSession.objects, "pk"), (ReconciliationVerdict.objects, "session")]
    )
    issue = months._issue_all

    def reopened(*args: object) -> int:
        session.update(reconciled_at=None)
        return issue(*args)

    def judge() -> None:
        if how == "accepted":
            verdict.update(outcome="dismissed", outcome_at=AFTER_NOVEMBER)
        else:  # by a worker whose clock was read before the close began, or by one after it
            session.update(reconciled_at=NOON if how == "judged" else AFTER_NOVEMBER + timedelta(minutes=1))

    if how == "accepted":
        verdict.update(verdict="blocked", points=110)
    elif how == "judged":
        session.update(reconciled_at=None)
    else:
        monkeypatch.setattr(months, "_issue_all", reopened)
    with finance_at_its_sums(monkeypatch, judge):
        closed = months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="one is not judged")
    found = closed.month.figures
    assert (found["unexplained_paise"], found["late_paise"]) == (0, late.total_paise)
    months.close(day=date(2026, 12, 1), now=datetime(2027, 1, 2, tzinfo=UTC))
    assert figures.charged_and_explained(before=datetime(2027, 1, 1, tzinfo=UTC))["unexplained_paise"] == 0


def test_a_close_and_a_job_confirm_a_top_up_once(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fund(organisation, 500_00)
    transfer = LedgerTransfer.objects.get(kind="top_up")
    is_made, found = threading.Event(), list[TaxDocument | None]()

    def first() -> None:
        with transaction.atomic():
            found.append(advances.confirm(transfer=transfer, at=NOON))
            is_made.set()
            with connection.cursor() as cursor:
                while True:  # until the second waits for us
                    cursor.execute(WAITS_FOR_US)
                    if cursor.fetchone()[0]:
                        return

    def second() -> None:
        assert is_made.wait(30)
        found.append(advances.confirm(transfer=transfer, at=NOON))

    assert together(first, second) == []
    assert found == [TaxDocument.objects.get(), TaxDocument.objects.get()]


def test_the_boundary_waits_for_rows_that_are_on_their_way(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has its number already and comes after the boundary was asked for: it must not appear behind it."""
    has_number, seen = threading.Event(), list[int]()
    writers = boundary._writers

    def write() -> None:
        with transaction.atomic():
            wallets.top_up(organisation_id=fleet.organisation.pk, amount_paise=5_00, key="slow", at=NOON)
            has_number.set()
            assert looked.wait(30)

    looked = threading.Event()

    def look() -> set[str]:
        found = writers()
        looked.set()
        return found

    def ask() -> None:
        assert has_number.wait(30)
        seen.append(boundary.last_transfer())
        seen.append(LedgerTransfer.objects.filter(entry_key__contains="slow").count())

    monkeypatch.setattr(boundary, "_writers", look)
    assert together(write, ask) == []
    assert seen == [LedgerTransfer.objects.latest("pk").pk, 1]


def test_a_document_dated_into_a_closed_month_is_refused(fleet: Fleet) -> None:
    charge(fleet)
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    invoice = TaxDocument.objects.get(kind=Kind.INVOICE)
    same = {field.attname: getattr(invoice, field.attname) for field in invoice._meta.concrete_fields}
    with pytest.raises(IntegrityError, match="month is closed"), transaction.atomic():
        TaxDocument.objects.create(**{**same, "id": None, "month_id": None, "number": "X/1", "request_key": "late"})


def test_many_who_report_one_refund_make_its_vouchers_once(payment: GatewayPayment) -> None:
    def report() -> None:
        returns.give_back(payment_id=payment.pk, amount_paise=1_300_00, key="refund:RF1", at=NOON + timedelta(days=1))

    assert together(*[report] * AT_ONCE) == []
    made = TaxDocument.objects.filter(kind=Kind.REFUND_VOUCHER)
    assert sorted(made.values_list("total_paise", flat=True)) == [300_00, 1_000_00]
    assert [row.vouchers_paise for row in AdvanceReturn.objects.all()] == [1_300_00]
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}


def test_different_refunds_at_once_never_give_back_more_than_came(payment: GatewayPayment) -> None:
    def refund(number: int) -> Callable[[], object]:
        return lambda: returns.give_back(
            payment_id=payment.pk, amount_paise=600_00, key=f"refund:{number}", at=NOON + timedelta(days=1)
        )

    assert together(*map(refund, range(AT_ONCE))) == []
    made = TaxDocument.objects.filter(kind=Kind.REFUND_VOUCHER)
    assert sum(made.values_list("total_paise", flat=True)) == 3_500_00  # all that came; 8 x 600 were asked
    assert figures.gaps() == []


def test_many_workers_confirm_each_top_up_once(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fund(organisation, 500_00)
    for number in range(20):
        wallets.top_up(organisation_id=organisation.pk, amount_paise=100_00, key=f"pay_{number}", at=NOON)
    assert together(*[sweep_advances] * AT_ONCE) == []
    assert TaxDocument.objects.filter(kind=Kind.RECEIPT_VOUCHER).count() == 21
    assert figures.gaps() == []
    assert not Job.objects.exists()


def test_a_top_up_that_cannot_be_confirmed_keeps_no_other_waiting(
    payment: GatewayPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest fails for ever; at one job a turn the next is done all the same, and finance hears of the first."""
    organisation_id = payment.organisation_id
    for key in ("bad", "good"):
        wallets.top_up(organisation_id=organisation_id, amount_paise=100_00, key=key, at=NOON)
    bad = LedgerTransfer.objects.get(kind="top_up", entry_key__endswith=":bad")
    confirm = voucher_jobs.advances.confirm

    def fails(*, transfer: LedgerTransfer, at: datetime) -> object:
        if transfer.pk == bad.pk:
            raise RuntimeError("a state nobody knows")
        return confirm(transfer=transfer, at=at)

    monkeypatch.setattr(voucher_jobs.advances, "confirm", fails)
    now = NOON + timedelta(days=1)
    voucher_jobs.find(now=now, limit=200)
    for turn in range(14):
        voucher_jobs.engine.work(now=now + timedelta(hours=2 * turn), limit=1, kinds=voucher_jobs.KINDS)
    assert TaxDocument.objects.filter(advance__entry_key__endswith=":good").count() == 1
    assert Job.objects.get().state == Job.State.DEAD
    assert BillingException.objects.get(kind="job_dead").details["error"].startswith("RuntimeError")
    assert voucher_jobs.find(now=now, limit=200) == 0


def test_a_month_of_many_fleets_is_closed_by_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    make_supplier()
    owners = [Organisation.objects.create(name=f"Fleet {number}", slug=f"fleet-{number}") for number in range(3)]
    for owner in owners:
        make_registration(owner)
        charge(make_fleet(owner, money_paise=10_000_00))
    monkeypatch.setattr(fleets, "MOST_FLEETS", 1)
    monkeypatch.setattr(months, "FEW", 0)
    closed = months.close(day=NOVEMBER, now=AFTER_NOVEMBER, processes=2)
    invoices = TaxDocument.objects.filter(kind=Kind.INVOICE)
    assert closed.documents == 6
    assert set(invoices.values_list("organisation", flat=True)) == {owner.pk for owner in owners}
    assert sorted(invoices.values_list("number", flat=True)) == [f"FC/26-27/000000{number}" for number in (1, 2, 3)]
    assert closed.month.figures["unexplained_paise"] == 0
    assert verification.differences() == {}
