"""A session is recorded whatever the station says; the first stop wins; nothing is silently zero."""

from datetime import timedelta

import pytest

from billing.models import CDR, BillingException, ChargingSession, Hold, Wallet
from billing.services import wallets
from billing.tests.factories import NOON, Fleet, make_fleet, sample, start, stop
from fleetcharge.accounts.models import Organisation
from stations.models import Connector

Kind = BillingException.Kind


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation)


def kinds() -> list[str]:
    return sorted(BillingException.objects.values_list("kind", flat=True))


def test_a_start_gets_a_positive_transaction_id_and_holds_money(fleet: Fleet) -> None:
    started = start(fleet)
    session = ChargingSession.objects.get(pk=started.session_id)
    assert 0 < int(started.transaction_ref) <= 2**31 - 1
    assert started.is_new
    assert started.decision.is_accepted
    assert (session.vehicle, session.driver, session.id_token) == (fleet.vehicle, fleet.driver, fleet.token)
    # nothing known of the battery: 20 kWh at 18.00 + 18 % GST, with 15 % on top
    assert Hold.objects.get().amount_paise == 20 * 1800 * 118 // 100 * 115 // 100
    assert Wallet.objects.get().held_paise == Hold.objects.get().amount_paise
    assert Connector.objects.get(pk=fleet.connector.pk).has_session


def test_the_same_start_again_is_the_same_session(fleet: Fleet) -> None:
    first = start(fleet, start_key="k")
    again = start(fleet, start_key="k")
    assert (again.session_id, again.transaction_ref, again.is_new) == (first.session_id, first.transaction_ref, False)
    assert again.decision == first.decision
    assert Hold.objects.count() == ChargingSession.objects.count() == 1


def test_an_unknown_token_is_recorded_for_the_chargers_owner_and_reported(fleet: Fleet) -> None:
    started = start(fleet, id_token="NOBODY")
    session = ChargingSession.objects.get(pk=started.session_id)
    assert (started.decision.is_accepted, started.decision.reason) == (False, "unknown_token")
    assert session.organisation == fleet.charger.organisation
    assert (session.quality, session.vehicle) == ("review", None)
    assert kinds() == [Kind.UNKNOWN_TOKEN]
    stop(fleet, started.transaction_ref)
    assert CDR.objects.get().is_blocked


def test_a_start_without_money_is_recorded_but_not_accepted(organisation: Organisation) -> None:
    fleet = make_fleet(organisation, money_paise=49_99)
    started = start(fleet)
    assert (started.decision.is_accepted, started.decision.reason) == (False, "insufficient")
    assert not Hold.objects.exists()
    assert ChargingSession.objects.get().authorisation_reason == "insufficient"


def test_a_small_wallet_holds_the_floor(organisation: Organisation) -> None:
    fleet = make_fleet(organisation, money_paise=60_00)
    assert start(fleet).decision.is_accepted
    assert Hold.objects.get().amount_paise == wallets.FLOOR_HOLD_PAISE


def test_the_first_stop_wins_and_its_repeat_changes_nothing(fleet: Fleet) -> None:
    ref = start(fleet).transaction_ref
    first = stop(fleet, ref)
    again = stop(fleet, ref)
    assert (first.is_new, first.energy_wh, first.total_paise) == (True, 10_000, 10 * 1800 * 118 // 100)
    assert (again.is_new, again.session_id, again.energy_wh) == (False, first.session_id, 10_000)
    assert kinds() == []
    assert CDR.objects.get().energy_wh == 10_000


def test_a_different_second_stop_is_kept_as_a_conflict(fleet: Fleet) -> None:
    ref = start(fleet).transaction_ref
    stop(fleet, ref)
    stop(fleet, ref, meter_stop_wh=99_000)
    assert ChargingSession.objects.get().meter_stop_wh == 11_000
    assert kinds() == [Kind.CONFLICTING_STOP]


@pytest.mark.parametrize("ref", ["-1", "0", ""])
def test_a_stop_that_lost_its_id_means_the_only_open_session(fleet: Fleet, ref: str) -> None:
    started = start(fleet)
    assert stop(fleet, ref, id_token=fleet.token.uid.lower()).session_id == started.session_id


def test_a_stop_for_an_unknown_transaction_is_kept_once(fleet: Fleet) -> None:
    start(fleet)
    for _ in range(2):
        assert stop(fleet, "77777").session_id is None
    assert kinds() == [Kind.ORPHAN_STOP]
    assert ChargingSession.objects.get().state == "active"


def test_a_stop_that_overtook_its_start_is_applied_when_the_start_arrives(fleet: Fleet) -> None:
    stop(fleet, "tx-9")
    started = start(fleet, transaction_ref="tx-9", evse_number=1, received_at=NOON + timedelta(hours=5))
    session = ChargingSession.objects.get(pk=started.session_id)
    assert (session.state, session.energy_wh, session.ended_at) == ("ended", 10_000, NOON + timedelta(minutes=30))
    assert not BillingException.objects.open().exists()


def test_an_offline_replay_keeps_the_stations_clock(fleet: Fleet) -> None:
    long_ago = NOON - timedelta(hours=30)
    started = start(fleet, started_at=long_ago)
    stop(fleet, started.transaction_ref, ended_at=long_ago + timedelta(minutes=30))
    cdr = CDR.objects.get()
    assert (cdr.started_at, cdr.charging_seconds) == (long_ago, 1800)


def test_a_meter_that_ran_backwards_blocks_the_record(fleet: Fleet) -> None:
    ref = start(fleet, meter_start_wh=50_000).transaction_ref
    ended = stop(fleet, ref, meter_stop_wh=40_000)
    assert (ended.energy_wh, ended.total_paise) == (0, None)
    assert CDR.objects.get().is_blocked
    assert kinds() == [Kind.ODD_METER]


def test_more_energy_than_the_plug_can_give_needs_review(organisation: Organisation) -> None:
    fleet = make_fleet(organisation, max_power_w=7_000)
    stop(fleet, start(fleet).transaction_ref)  # 10 kWh in half an hour at 7 kW
    assert ChargingSession.objects.get().quality == "review"
    assert kinds() == [Kind.ODD_METER]


def test_energy_falls_back_to_the_last_register(fleet: Fleet) -> None:
    started = start(fleet)
    sample(fleet, started.transaction_ref, 20, 6_000)
    assert stop(fleet, started.transaction_ref, meter_stop_wh=None).energy_wh == 5_000
    assert ChargingSession.objects.get().quality == "estimated"


def test_a_stop_before_its_start_lasts_no_time(fleet: Fleet) -> None:
    ref = start(fleet, meter_start_wh=0).transaction_ref
    stop(fleet, ref, ended_at=NOON - timedelta(minutes=1), meter_stop_wh=0)
    assert CDR.objects.get().charging_seconds == 0


def test_a_plug_nobody_told_us_of_still_gets_its_session(fleet: Fleet) -> None:
    started = start(fleet, connector_id=2)
    connector = ChargingSession.objects.get(pk=started.session_id).connector
    assert (connector.connector_id, connector.evse.evse_number, connector.evse.charger) == (2, 2, fleet.charger)
