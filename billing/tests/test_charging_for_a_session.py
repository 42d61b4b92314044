"""From CDR to ledger: priced once by the pinned tariff, charged exactly once, never silently nothing."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction

from billing import tasks
from billing.events import CDRCaptured, WalletChanged
from billing.models import CDR, BillingException, ChargingSession, Hold, LedgerTransfer, MeterValue, Wallet
from billing.services import exceptions, holds, ledger, rating, sessions
from billing.services.tariffs import tariff_for
from billing.tests.factories import NOON, PER_KWH_18, Fleet, make_fleet, make_site, make_tariff, start, stop
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib import events
from stations.models import Connector, NetworkAccess, Source, Tariff

LATER = NOON + timedelta(hours=1)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation)


def charge(fleet: Fleet, **stopped: object) -> CDR:
    stop(fleet, start(fleet).transaction_ref, **stopped)
    cdr = CDR.objects.latest("pk")
    rating.rate_and_capture(cdr_id=cdr.pk, now=LATER)
    cdr.refresh_from_db()
    return cdr


def legs(cdr: CDR) -> list[tuple[str, str, int]]:
    rows = LedgerTransfer.objects.filter(entry_key=f"charge:{cdr.session_id}").order_by("leg")
    return list(rows.values_list("debit__code", "credit__code", "amount_paise"))


def test_a_session_is_priced_and_paid_from_the_wallet(fleet: Fleet) -> None:
    cdr = charge(fleet)
    wallet = f"wallet:{fleet.organisation.pk}"
    assert (cdr.taxable_paise, cdr.cgst_paise, cdr.sgst_paise, cdr.total_paise) == (180_00, 16_20, 16_20, 212_40)
    assert legs(cdr) == [
        (wallet, "revenue:charging", 180_00), (wallet, "output_cgst", 16_20), (wallet, "output_sgst", 16_20),
    ]  # fmt: skip
    assert [line["dimension"] for line in cdr.explanation] == ["ENERGY", "CGST", "SGST"]
    purse = Wallet.objects.get()
    assert (purse.posted_paise, purse.held_paise) == (1_000_00 - 212_40, 0)
    assert (cdr.captured_at, Hold.objects.get().state) == (LATER, Hold.State.CAPTURED)
    transfer = LedgerTransfer.objects.filter(kind="charge").first()
    assert (transfer.vehicle, transfer.driver_ref, transfer.location) == (
        fleet.vehicle, fleet.driver.driver_ref, fleet.location,
    )  # fmt: skip


def test_running_twice_charges_once(fleet: Fleet) -> None:
    cdr = charge(fleet)
    assert not rating.rate_and_capture(cdr_id=cdr.pk, now=LATER)
    tasks.rate_and_capture(cdr.pk)
    tasks.sweep_unrated()
    assert LedgerTransfer.objects.filter(kind="charge").count() == 3


def test_the_database_refuses_a_second_charge_under_another_key(fleet: Fleet) -> None:
    cdr = charge(fleet)
    leg = ledger.Leg(f"wallet:{fleet.organisation.pk}", "revenue:charging", 1, "charge")
    with pytest.raises(Error, match="one_charge_per_session"), transaction.atomic():
        ledger.post(
            entry_key="charge-again", legs=[leg], occurred_at=NOON, about=ledger.Dimensions(session_id=cdr.session_id)
        )


def test_the_sweep_finds_what_the_event_missed(fleet: Fleet) -> None:
    stop(fleet, start(fleet).transaction_ref)
    tasks.sweep_unrated()
    tasks.sweep_unreconciled()
    assert CDR.objects.get().captured_at is not None
    assert ChargingSession.objects.get().reconciled_at is not None


def test_a_rated_record_is_final(fleet: Fleet) -> None:
    cdr = charge(fleet)
    for change in ("total_paise = 1", "energy_wh = 1", "explanation = '[]'", "captured_at = NULL"):
        with pytest.raises(Error), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE billing_cdr SET {change} WHERE id = %s", [cdr.pk])
    with pytest.raises(Error, match="is rated"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM billing_cdr WHERE id = %s", [cdr.pk])
    cdr.refresh_from_db()
    assert cdr.total_paise == 212_40


def test_a_missing_tariff_waits_in_the_queue_and_is_priced_once_decided(
    organisation: Organisation, finance: User
) -> None:
    fleet = make_fleet(organisation, has_tariff=False)
    cdr = charge(fleet)
    assert (cdr.total_paise, cdr.is_blocked) == (None, True)
    assert Hold.objects.get().state == Hold.State.ACTIVE  # never released silently
    row = BillingException.objects.get(kind=BillingException.Kind.MISSING_TARIFF)
    tariff = make_tariff(fleet.source)
    Connector.objects.filter(pk=fleet.connector.pk).update(tariff=tariff)
    exceptions.resolve_exception(exception_id=row.pk, actor=finance, reason="price list received", at=LATER)
    tasks.sweep_unrated()
    cdr.refresh_from_db()
    assert (cdr.total_paise, cdr.tariff) == (212_40, tariff)


def test_a_tariff_we_cannot_measure_is_not_free(organisation: Organisation) -> None:
    fleet = make_fleet(organisation, elements=[{**PER_KWH_18[0], "restrictions": {"min_power": 20}}])
    cdr = charge(fleet)
    assert (cdr.total_paise, cdr.is_blocked) == (None, True)
    assert "min_power" in BillingException.objects.get().details["why"]


def test_the_price_is_the_one_in_force_at_the_start(fleet: Fleet) -> None:
    old = fleet.tariff
    Tariff.objects.filter(pk=old.pk).update(valid_to=NOON + timedelta(minutes=5))
    dear = [{"price_components": [{"type": "ENERGY", "price": "99"}]}]
    new = make_tariff(
        fleet.source, dear, external_id=old.external_id, version=2, valid_from=NOON + timedelta(minutes=5)
    )
    Connector.objects.filter(pk=fleet.connector.pk).update(tariff=new)
    assert charge(fleet).tariff == old
    connector = Connector.objects.get(pk=fleet.connector.pk)
    assert tariff_for(connector=connector, at=NOON + timedelta(minutes=5)) == new
    assert tariff_for(connector=connector, at=NOON - timedelta(days=400)) == old  # the first one we ever knew
    Tariff.objects.filter(pk=new.pk).update(valid_to=NOON + timedelta(minutes=9))
    assert tariff_for(connector=connector, at=NOON + timedelta(minutes=10)) is None  # withdrawn


def test_the_meter_series_decides_which_hour_the_energy_belongs_to(organisation: Organisation) -> None:
    elements = [
        {"price_components": [{"type": "ENERGY", "price": "10"}], "restrictions": {"end_time": "12:15"}},
        {"price_components": [{"type": "ENERGY", "price": "20"}]},
    ]
    fleet = make_fleet(organisation, elements=elements)
    started = start(fleet)
    MeterValue.objects.create(  # nine of ten kWh flowed in the first quarter of an hour
        charger=fleet.charger, evse_number=1, transaction_ref=started.transaction_ref,
        at=NOON + timedelta(minutes=15), energy_wh=10_000, sampled=[], dedupe_key=b"1" * 16,
    )  # fmt: skip
    stop(fleet, started.transaction_ref)
    rating.rate_and_capture(cdr_id=CDR.objects.get().pk, now=LATER)
    assert CDR.objects.get().taxable_paise == 9 * 10_00 + 1 * 20_00


def test_idle_time_is_taken_from_the_samples(organisation: Organisation) -> None:
    elements = [{"price_components": [{"type": "PARKING_TIME", "price": "60"}]}]
    fleet = make_fleet(organisation, elements=elements)
    started = start(fleet)
    for minute, power_w in ((5, 20_000), (19, 20_000), (20, 0), (25, 0)):
        MeterValue.objects.create(
            charger=fleet.charger, evse_number=1, transaction_ref=started.transaction_ref,
            at=NOON + timedelta(minutes=minute), power_w=power_w, sampled=[], dedupe_key=bytes([minute]) * 16,
        )  # fmt: skip
    stop(fleet, started.transaction_ref, idle_seconds=None)
    cdr = CDR.objects.get()
    assert (cdr.charging_seconds, cdr.idle_seconds) == (1200, 600)


def test_another_state_pays_integrated_tax(organisation: Organisation, settings) -> None:
    settings.SUPPLIER_GSTIN = "29AAACF0000A1Z5"
    Organisation.objects.filter(pk=organisation.pk).update(gstin="27AAACN0000A1Z5")
    cdr = charge(make_fleet(Organisation.objects.get(pk=organisation.pk)))
    assert (cdr.igst_paise, cdr.cgst_paise, cdr.total_paise) == (32_40, 0, 212_40)
    assert legs(cdr)[1][1] == "output_igst"


def test_a_networks_session_is_owed_to_its_cpo(organisation: Organisation, fleet: Fleet) -> None:
    source, location = make_site(None, kind=Source.Kind.OCPI_221)
    NetworkAccess.objects.create(organisation=organisation, source=source)
    fleet.charger.location = location
    fleet.charger.save()
    type(fleet.connector.evse).objects.filter(pk=fleet.connector.evse_id).update(location=location)
    cdr = charge(fleet)
    assert legs(cdr) == [(f"wallet:{organisation.pk}", f"cpo_payable:{source.slug}", 212_40)]


def test_nothing_drawn_costs_nothing_and_frees_the_hold(fleet: Fleet) -> None:
    cdr = charge(fleet, meter_stop_wh=1_000)
    assert (cdr.total_paise, legs(cdr), cdr.captured_at) == (0, [], LATER)
    assert Wallet.objects.get().held_paise == 0


def test_a_session_beyond_the_wallet_is_delivered_and_owed(organisation: Organisation) -> None:
    cdr = charge(make_fleet(organisation, money_paise=150_00))
    assert sum(amount for debit, _, amount in legs(cdr) if debit.startswith("receivable:")) == 62_40
    assert BillingException.objects.get().kind == BillingException.Kind.OVER_CAPTURE
    assert ledger.balance_paise("output_cgst") == ledger.balance_paise("output_sgst") == 16_20


def test_the_answer_at_the_stop_is_the_price_that_is_booked(fleet: Fleet) -> None:
    ended = stop(fleet, start(fleet).transaction_ref)
    tasks.sweep_unrated()
    assert ended.total_paise == CDR.objects.get().total_paise == 212_40


def test_money_movements_are_told_after_the_commit(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks
) -> None:
    told: list[object] = []
    for kind in (CDRCaptured, WalletChanged):
        monkeypatch.setitem(events._handlers, kind, [told.append])
    with django_capture_on_commit_callbacks(execute=True):
        cdr = charge(fleet)
    assert CDRCaptured(cdr.pk, cdr.session_id, fleet.organisation.pk, 212_40, 0) in told
    assert told[-1] == CDRCaptured(cdr.pk, cdr.session_id, fleet.organisation.pk, 212_40, 0)
    last = [event for event in told if isinstance(event, WalletChanged)][-1]
    assert (last.posted_paise, last.held_paise, last.available_paise) == (787_60, 0, 787_60)


def test_a_long_session_holds_more_while_it_runs(fleet: Fleet) -> None:
    started = start(fleet)
    held = Hold.objects.get().amount_paise
    ChargingSession.objects.filter(pk=started.session_id).update(energy_wh=30_000)
    assert holds.extend_running(now=LATER) == 1
    assert Hold.objects.get().amount_paise == 30 * 1800 * 118 // 100 * 150 // 100 > held
    assert holds.extend_running(now=LATER) == 0


def test_a_session_that_never_ends_is_reported_and_keeps_its_hold(fleet: Fleet) -> None:
    start(fleet)
    assert holds.report_never_ended(now=NOON + timedelta(hours=13)) == 1
    holds.report_never_ended(now=NOON + timedelta(hours=14))
    assert BillingException.objects.get().kind == BillingException.Kind.NEVER_ENDED
    assert Hold.objects.get().state == Hold.State.ACTIVE


def test_the_books_verify_and_a_forged_row_is_found(fleet: Fleet, capsys) -> None:
    charge(fleet)
    call_command("verify_ledger")
    assert "1 captured sessions: all 16 checks hold, 0 days sealed" in capsys.readouterr().out
    with connection.cursor() as cursor:  # somebody with the owner's rights switches the guard off
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE billing_wallet DISABLE TRIGGER wallet_balance_is_derived")
        cursor.execute("UPDATE billing_wallet SET posted_paise = posted_paise + 1")
    with pytest.raises(CommandError, match="1 of 16 checks failed"):
        call_command("verify_ledger")
    assert "wallet balance differs" in capsys.readouterr().err


def test_resolving_needs_a_reason_and_happens_once(fleet: Fleet, finance: User) -> None:
    start(fleet, id_token="NOBODY")
    row = BillingException.objects.get()
    with pytest.raises(ValueError, match="reason"):
        exceptions.resolve_exception(exception_id=row.pk, actor=finance, reason=" ", at=LATER)
    exceptions.resolve_exception(exception_id=row.pk, actor=finance, reason="guest", at=LATER)
    with pytest.raises(exceptions.Conflict):
        exceptions.resolve_exception(exception_id=row.pk, actor=finance, reason="again", at=LATER)
    row.refresh_from_db()
    assert row.resolution == "guest"


def test_an_unknown_tokens_session_is_priced_after_the_decision(fleet: Fleet, finance: User) -> None:
    stop(fleet, start(fleet, id_token="NOBODY").transaction_ref)
    tasks.sweep_unrated()
    assert CDR.objects.get().rated_at is None
    row = BillingException.objects.get(kind=BillingException.Kind.UNKNOWN_TOKEN)
    exceptions.resolve_exception(exception_id=row.pk, actor=finance, reason="ours", at=LATER)
    tasks.sweep_unrated()
    assert CDR.objects.get().total_paise == 212_40


def test_a_retried_start_after_the_end_changes_nothing(fleet: Fleet) -> None:
    started = start(fleet, start_key="k")
    stop(fleet, started.transaction_ref)
    again = sessions.start_session(
        charger_id=fleet.charger.pk, evse_number=None, connector_id=1, id_token=fleet.token.uid, started_at=NOON,
        received_at=LATER, meter_start_wh=1_000, start_key="k",
    )  # fmt: skip
    assert (again.session_id, again.is_new) == (started.session_id, False)
    assert ChargingSession.objects.get().state == "ended"
