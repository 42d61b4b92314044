"""Money that two people must agree on: one asks, another decides, and the database knows them apart."""

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import DatabaseError
from django.test import Client
from django.urls import reverse

from billing.approvals import services, write_offs
from billing.approvals.models import Approval
from billing.models import BillingException, Wallet
from billing.services import ledger, wallets
from billing.services.exceptions import open_exception
from billing.services.ledger import Leg
from billing.tests.factories import NOON, fund
from billing.tests.test_api import client_for
from fleetcharge.accounts.models import AuditEntry, Organisation, Scope, User
from fleetcharge.lib.api import Conflict


@pytest.fixture
def chief(db: None) -> User:
    return User.objects.create_superuser("chief@fleetcharge.example", "correct horse", full_name="Chief")


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_superuser("clerk@fleetcharge.example", "correct horse", full_name="Clerk")


@pytest.fixture
def debtor(organisation: Organisation) -> Iterator[Organisation]:
    """Owes ₹500 beyond its wallet, which takes no new sessions."""
    fund(organisation, 0)
    code = ledger.receivable_code(organisation.pk)
    ledger.post(entry_key="owed", legs=[Leg(code, "revenue:charging", 500_00, "charge")], occurred_at=NOON)
    Wallet.objects.update(state=Wallet.State.HOLD_ONLY)
    yield organisation


def ask(debtor: Organisation, by: User, paise: int = 500_00, **fields: object) -> Approval:
    return write_offs.ask(
        organisation_id=debtor.pk, amount_paise=paise, asked_by=by, reason="insolvent", now=NOON, **fields
    )  # type: ignore[arg-type]


def owed(debtor: Organisation) -> int:
    return ledger.balance_paise(ledger.receivable_code(debtor.pk))


def test_nothing_moves_before_a_second_person_agrees(debtor: Organisation, clerk: User, chief: User) -> None:
    wish = ask(debtor, clerk)
    assert owed(debtor) == 500_00
    with pytest.raises(ValueError, match="Another person"):
        services.approve(approval_id=wish.pk, decided_by=clerk, now=NOON)
    services.approve(approval_id=wish.pk, decided_by=chief, now=NOON, reason="seen the papers")
    assert owed(debtor) == 0
    assert ledger.balance_paise("writeoff") == 500_00
    assert Wallet.objects.get().state == Wallet.State.ACTIVE
    assert AuditEntry.objects.filter(action="approved_write_off", actor=chief, reason="seen the papers").exists()
    with pytest.raises(Conflict):
        services.approve(approval_id=wish.pk, decided_by=chief, now=NOON)
    assert ledger.balance_paise("writeoff") == 500_00


def test_a_fleet_does_not_write_off_what_it_owes_us(debtor: Organisation, clerk: User, finance: User) -> None:
    wish = ask(debtor, clerk)
    with pytest.raises(ValueError, match="our own books"):
        services.approve(approval_id=wish.pk, decided_by=finance, now=NOON)
    assert owed(debtor) == 500_00


def test_what_was_paid_meanwhile_is_not_written_off(debtor: Organisation, clerk: User, chief: User) -> None:
    wish = ask(debtor, clerk)
    wallets.top_up(organisation_id=debtor.pk, amount_paise=100_00, key="late", at=NOON)
    with pytest.raises(Conflict):
        services.approve(approval_id=wish.pk, decided_by=chief, now=NOON)
    wish.refresh_from_db()
    assert (wish.state, owed(debtor), ledger.balance_paise("writeoff")) == ("asked", 400_00, 0)


def test_one_wish_waits_per_subject_and_a_decline_frees_it(debtor: Organisation, clerk: User, chief: User) -> None:
    first = ask(debtor, clerk, 100_00)
    with pytest.raises(Conflict):
        ask(debtor, clerk, 200_00)
    with pytest.raises(ValueError, match="reason"):
        services.decline(approval_id=first.pk, decided_by=chief, now=NOON, reason=" ")
    services.decline(approval_id=first.pk, decided_by=chief, now=NOON, reason="they will pay")
    services.withdraw(approval_id=ask(debtor, clerk, 200_00).pk, by=clerk, now=NOON, reason="paid")
    with pytest.raises(ValueError, match="More than is owed"):
        ask(debtor, clerk, 500_01)
    assert owed(debtor) == 500_00


def test_the_exception_is_resolved_with_it(debtor: Organisation, clerk: User, chief: User) -> None:
    exception = open_exception(
        organisation_id=debtor.pk, kind=BillingException.Kind.OVER_CAPTURE, title="short", at=NOON, reference="x"
    )
    wish = ask(debtor, clerk, exception_id=exception.pk)
    services.approve(approval_id=wish.pk, decided_by=chief, now=NOON)
    exception.refresh_from_db()
    assert exception.resolution == "Written off."


def test_its_fleet_does_not_read_why(debtor: Organisation, clerk: User, chief: User) -> None:
    question = open_exception(
        organisation_id=debtor.pk, kind=BillingException.Kind.OVER_CAPTURE, title="short", at=NOON, reference="x"
    )
    wish = ask(debtor, clerk, exception_id=question.pk)
    services.approve(approval_id=wish.pk, decided_by=chief, now=NOON, reason="hopeless")
    api = client_for(debtor, Scope.BILLING_READ)
    for page in ("ledger", "exceptions", "approvals"):
        told = api.get(f"/api/v1/{page}/").content.decode()
        assert "insolvent" not in told and "hopeless" not in told
    assert [row["kind"] for row in api.get("/api/v1/ledger/").json()["results"]] == ["write_off"]
    trail = AuditEntry.objects.filter(organisation=debtor).values_list("reason", flat=True)
    assert not {"insolvent", "hopeless"} & set(trail)


@pytest.mark.parametrize(
    "change",
    ["amount_paise = 1", "asked_by_id = NULL", "state = 'approved', decided_by_id = asked_by_id, decided_at = now()"],
)
def test_the_database_refuses_what_the_service_would(debtor: Organisation, clerk: User, change: str) -> None:
    wish = ask(debtor, clerk)
    with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE billing_approval SET {change}")
    with pytest.raises(DatabaseError), transaction.atomic():
        wish.delete()
    assert Approval.objects.get().amount_paise == 500_00


def test_the_desk_decides_with_a_reason(client: Client, debtor: Organisation, clerk: User, chief: User) -> None:
    wish = ask(debtor, clerk)
    client.force_login(chief)
    url = reverse("admin:billing_approval_approve", args=[wish.pk])
    assert "insolvent" in client.get(url).content.decode()
    client.post(url, {"reason": ""})
    assert owed(debtor) == 500_00
    client.post(url, {"reason": "agreed"})
    assert owed(debtor) == 0
    page = client.get(reverse("admin:billing_approval_changelist"), {"decided": "all"})
    assert dict(page.context_data["totals"])["Amount"] == "₹500.00"
