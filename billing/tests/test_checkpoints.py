"""Sealed days: somebody who may do anything in the database still cannot change the past unseen."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction

from billing.models import BillingException, JournalCheckpoint, Wallet
from billing.services import checkpoints, ledger, verification
from billing.services.ledger import Leg
from billing.tests.factories import fund
from fleetcharge.accounts.models import Organisation

pytestmark = pytest.mark.django_db
FIRST = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


@pytest.fixture
def journal() -> None:
    """Two entries on the 18th, none on the 19th, one on the 20th; all days sealed on the 21st."""
    for number, at in enumerate((FIRST, FIRST + timedelta(hours=11, minutes=59), FIRST + 2 * DAY), start=1):
        with time_machine.travel(at, tick=False):
            leg = Leg("bank", "revenue:platform", 100 * number, "fee")
            ledger.post(entry_key=f"e{number}", legs=[leg], occurred_at=at)
    assert checkpoints.seal(now=NOW) == 3


def past_the_triggers(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET LOCAL session_replication_role = origin")


def days() -> list[str]:
    return [f"{day:%d}: {why}" for day, why in checkpoints.broken()]


def test_a_day_is_sealed_once_in_order_and_not_before_it_is_over(journal: None) -> None:
    rows = list(JournalCheckpoint.objects.order_by("day").values_list("transfers", "total_paise"))
    assert rows == [(2, 300), (0, 0), (1, 300)]
    hashes = list(JournalCheckpoint.objects.order_by("day").values_list("previous_sha256", "sha256"))
    assert hashes[0][0] == "" and [one[1] for one in hashes[:-1]] == [one[0] for one in hashes[1:]]
    assert (checkpoints.seal(now=NOW), days()) == (0, [])
    assert checkpoints.seal(now=NOW.replace(hour=0) + DAY) == 0  # somebody may still be committing
    assert checkpoints.seal(now=NOW + DAY) == 1


@pytest.mark.parametrize(
    ("forgery", "day"),
    [
        ("UPDATE billing_ledgertransfer SET amount_paise = 101 WHERE entry_key = 'e1'", "18"),
        ("UPDATE billing_ledgertransfer SET memo = 'gift' WHERE entry_key = 'e3'", "20"),
        ("UPDATE billing_ledgertransfer SET debit_id = credit_id, credit_id = debit_id WHERE entry_key = 'e2'", "18"),
        ("UPDATE billing_ledgertransfer SET recorded_at = recorded_at + interval '1 minute' WHERE entry_key = 'e2'",
         "18"),
        ("DELETE FROM billing_ledgertransfer WHERE entry_key = 'e3'", "20"),
        ("INSERT INTO billing_ledgertransfer (entry_key, leg, debit_id, credit_id, amount_paise, currency, kind, memo,"
         " cost_centre, request_hash, actor, occurred_at, recorded_at) SELECT 'late', 1, debit_id, credit_id, 5,"
         " 'INR', 'fee', '', '', '', 'me', occurred_at, recorded_at + interval '1 day' FROM billing_ledgertransfer"
         " WHERE entry_key = 'e1'", "19"),
        ("UPDATE billing_journalcheckpoint SET sha256 = repeat('0', 64) WHERE day = '2026-11-18'", "18"),
    ],
)  # fmt: skip
def test_a_change_of_the_past_is_found_by_its_day(journal: None, forgery: str, day: str) -> None:
    past_the_triggers(forgery)
    assert f"{day}: its rows are not those that were sealed" in days()
    with pytest.raises(CommandError, match="checks failed"):
        call_command("verify_ledger")


def test_a_day_taken_out_of_the_chain_is_missed(journal: None) -> None:
    past_the_triggers("DELETE FROM billing_journalcheckpoint WHERE day = '2026-11-19'")
    assert "20: days before it are missing" in days()


@pytest.mark.parametrize("sql", ["UPDATE {} SET total_paise = 1", "DELETE FROM {}", "TRUNCATE {}"])
def test_a_seal_cannot_be_changed(journal: None, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_journalcheckpoint ENABLE TRIGGER checkpoints_are_never_emptied")
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.format("billing_journalcheckpoint"))
    assert days() == []


def test_the_nightly_proof_seals_and_asks_the_platform_about_what_it_finds(
    journal: None, organisation: Organisation
) -> None:
    fund(organisation, 100_00)
    assert verification.prove(now=NOW) == 0
    past_the_triggers("DELETE FROM billing_ledgertransfer WHERE entry_key = 'e1'")
    assert [verification.prove(now=NOW), verification.prove(now=NOW)] == [1, 1]
    asked = BillingException.objects.get()
    assert (asked.kind, asked.organisation, asked.reference) == ("books_differ", None, verification.BROKEN_CHAIN)
    assert Wallet.objects.get().state == Wallet.State.ACTIVE  # it is about no wallet
