"""What `verify_ledger` finds: each difference is made past the application, and named by the check that is about it."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext

from billing.invoicing.models import BilledItem
from billing.invoicing.services import advances, checklist, months
from billing.limits import proving, sql
from billing.limits.models import LimitUsage
from billing.models import CDR, BillingException, Wallet
from billing.services import adjustments, ledger, verification, wallets
from billing.services.ledger import Leg
from billing.tests.factories import NOON, fund, limit, make_fleet, start
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import AuditEntry, Organisation

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=3)
OTHER_INDEXES = """
SELECT indexname FROM pg_indexes WHERE tablename = 'billing_chargingsession'
    AND indexdef NOT LIKE '% UNIQUE %' AND indexdef NOT LIKE '%(vehicle_id%'
"""


def found() -> list[str]:
    return list(verification.differences())


def past_the_triggers(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_a_wallet_without_new_sessions_is_frozen_too_and_no_top_up_reopens_it(organisation: Organisation) -> None:
    fund(organisation, 1_000_00)
    Wallet.objects.update(held_paise=1, state=Wallet.State.HOLD_ONLY)
    code = ledger.receivable_code(organisation.pk)
    ledger.post(entry_key="owed", legs=[Leg(code, "revenue:charging", 5_00, "test")], occurred_at=NOON)
    assert verification.prove(now=NOON) == 1
    wallets.top_up(organisation_id=organisation.pk, amount_paise=10_00, key="k", at=NOON)
    assert Wallet.objects.get().state == Wallet.State.FROZEN


def test_energy_that_no_hold_reserves_is_found(organisation: Organisation) -> None:
    fleet = make_fleet(organisation, money_paise=10_000_00)
    limit(organisation, period="month", energy_wh=500_000)
    start(fleet)
    assert found() == []
    LimitUsage.objects.update(reserved_wh=LimitUsage.objects.get().reserved_wh + 1)
    assert found() == ["limit reserves other energy than what its holds do"]


@pytest.mark.parametrize("column", ["spent_paise", "spent_wh"])
@pytest.mark.parametrize("scope", ["organisation", "vehicle", "driver"])
def test_what_a_limit_has_spent_is_what_its_sessions_cost(organisation: Organisation, scope: str, column: str) -> None:
    """Adjustments and sessions without a hold counted; tampered with, it is found, and counted anew with a trace."""
    fleet = make_fleet(organisation, money_paise=100_000_00)
    bound = limit(
        organisation, period="month", amount_paise=50_000_00, energy_wh=10**9,
        **({} if scope == "organisation" else {scope: getattr(fleet, scope)}),
    )  # fmt: skip
    cdr = charge(fleet)
    adjustments.charge_nothing(cdr=adjustments.locked(charge(fleet, at=LATER).pk), reason="no", now=LATER)
    usage = LimitUsage.objects.get()
    assert (usage.limit, usage.spent_paise, usage.spent_wh) == (bound, cdr.total_paise, cdr.energy_wh)
    assert found() == []
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE billing_limitusage SET {column} = {column} - 1")
    assert found() == [proving.SPENT]
    assert verification.prove(now=NOON) == 1
    assert BillingException.objects.get().reference == proving.SPENT
    output = StringIO()
    call_command("verify_ledger", "--recount-limits", stdout=output)
    assert output.getvalue().startswith("1 limits counted anew")
    usage.refresh_from_db()
    assert (usage.spent_paise, usage.spent_wh, found()) == (cdr.total_paise, cdr.energy_wh, [])
    entry = AuditEntry.objects.get(action="recount_limit")
    assert entry.after == {"spent_paise": cdr.total_paise, "spent_wh": cdr.energy_wh}


def test_one_limit_that_cannot_be_counted_anew_keeps_no_other_waiting(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of them there are: each look begins behind those of the look before."""
    fleet = make_fleet(organisation, money_paise=100_000_00)
    for whose in ({}, {"vehicle": fleet.vehicle}, {"driver": fleet.driver}):
        limit(organisation, period="month", amount_paise=50_000_00, **whose)
    cdr = charge(fleet)
    first, *others = LimitUsage.objects.order_by("pk")
    LimitUsage.objects.update(spent_paise=1)
    repaired = proving._repair

    def odd(usage_id: int, actor_label: str) -> bool:
        if usage_id == first.pk:
            raise DataError("out of range")
        return repaired(usage_id, actor_label)

    monkeypatch.setattr(proving, "AT_ONCE", 1)
    monkeypatch.setattr(proving, "_repair", odd)
    assert proving.repair(actor_label="test") == len(others) == 2
    spent = dict(LimitUsage.objects.values_list("pk", "spent_paise"))
    assert spent == {first.pk: 1} | {usage.pk: cdr.total_paise for usage in others}


def test_periods_of_another_calendar_are_not_compared(organisation: Organisation) -> None:
    """Half past midnight of the 21st in Bengaluru is the 20th in Dubai, where the fleet says it is from then on."""
    fleet = make_fleet(organisation, money_paise=100_000_00)
    by_day = limit(organisation, period="day", amount_paise=50_000_00)
    for at in (NOON, datetime(2026, 11, 20, 19, tzinfo=UTC)):
        charge(fleet, at=at)
    assert found() == []
    Organisation.objects.filter(pk=organisation.pk).update(time_zone="Asia/Dubai")
    assert found() == []
    charge(fleet, at=datetime(2026, 11, 25, 19, 30, tzinfo=UTC))
    assert [(str(row.period_start), row.zone) for row in by_day.usages.all()] == [
        ("2026-11-25", "Asia/Dubai"), ("2026-11-21", "Asia/Kolkata"), ("2026-11-20", "Asia/Kolkata"),
    ]  # fmt: skip
    assert found() == []
    LimitUsage.objects.filter(period_start="2026-11-25").update(spent_paise=1)
    assert found() == [proving.SPENT]


def test_a_limit_that_has_counted_wrong_stands_in_no_close_s_way(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    limit(organisation, period="month", amount_paise=50_000_00)
    charge(make_fleet(organisation, money_paise=100_000_00))
    LimitUsage.objects.update(spent_paise=1)
    assert found() == [proving.SPENT]
    assert months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="").month.is_closed


def test_the_list_before_a_close_does_not_wait_for_the_limits(organisation: Organisation) -> None:
    limit(organisation, period="month", amount_paise=50_000_00)
    with CaptureQueriesContext(connection) as asked:
        checklist.run(months.month_of(NOVEMBER), now=AFTER_NOVEMBER)
    assert not [query for query in asked.captured_queries if "spent_paise" in query["sql"]]


def test_a_vehicle_s_sessions_are_found_by_the_vehicle(organisation: Organisation) -> None:
    """Not among all those of its fleet, once for each vehicle that has a limit."""
    limit(organisation, period="month", amount_paise=50_000_00, vehicle=make_fleet(organisation).vehicle)
    with connection.cursor() as cursor:
        for dear in ("seqscan", "hashjoin", "mergejoin"):  # cheap only while there are few sessions, or none
            cursor.execute(f"SET LOCAL enable_{dear} = off")
        cursor.execute(OTHER_INDEXES)
        for (name,) in cursor.fetchall():  # as good, where one fleet and one day are all there is
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute(f"EXPLAIN {sql.SPENT_OTHERWISE}", proving._values(limit=1))
        plan = [row[0] for row in cursor.fetchall()]
    assert [line for line in plan if "Index Cond" in line and "vehicle_id = g.vehicle_id" in line]


def test_a_correction_counts_also_on_a_limit_set_after_its_session(organisation: Organisation) -> None:
    """The session's hold knows the first limit only; the second one has counted what the session had cost by then."""
    fleet = make_fleet(organisation, money_paise=100_000_00)
    limit(organisation, period="month", amount_paise=50_000_00)
    first = charge(fleet)
    second = limit(organisation, period="month", amount_paise=50_000_00, vehicle=fleet.vehicle)
    later = charge(fleet, at=LATER)
    adjustments.charge_nothing(cdr=adjustments.locked(first.pk), reason="no", now=LATER)
    assert LimitUsage.objects.get(limit=second).spent_paise == later.total_paise
    assert found() == []


def test_a_top_up_that_is_split_otherwise_is_found(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fund(organisation, 100_00)
    [transfer] = advances.unconfirmed()
    advances.confirm(transfer=transfer, at=NOON)
    assert found() == []
    past_the_triggers(
        f"INSERT INTO billing_debtpayment (transfer_id, amount_paise, decided_at) VALUES ({transfer.pk}, 1, now())"
    )
    assert found() == ["top-up that is not the sum of its receipt voucher and the debts it paid"]


def test_a_debt_below_zero_is_found_where_there_is_a_wallet(organisation: Organisation) -> None:
    leg = Leg("revenue:charging", ledger.receivable_code(organisation.pk), 40_00, "test")
    ledger.post(entry_key="too much", legs=[leg], occurred_at=NOON)
    assert found() == []  # without a wallet there is nowhere else to keep it
    code = ledger.wallet_code(organisation.pk)
    Wallet.objects.create(organisation=organisation, account=ledger.accounts_for([code])[code])
    assert found() == ["fleet with a wallet owes less than nothing"]
    assert verification.prove(now=NOON) == 1
    assert BillingException.objects.get().title == "Fleet with a wallet owes less than nothing"


def test_a_session_billed_with_another_amount_than_charged_is_found(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=100_000_00)
    charge(fleet)
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="")
    assert (BilledItem.objects.count(), found()) == (1, [])
    past_the_triggers("UPDATE billing_billeditem SET taxable_paise = taxable_paise + 1")
    assert found() == ["session on a document with another amount than was charged"]
    past_the_triggers("UPDATE billing_billeditem SET taxable_paise = taxable_paise - 1")
    past_the_triggers(f"UPDATE billing_cdr SET captured_at = NULL WHERE id = {CDR.objects.get().pk}")
    assert "session on a document with another amount than was charged" in found()
