"""What chargers report becomes rows, history and facts; replays and old news change nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleetcharge.accounts.models import Organisation
from stations import services
from stations.models import Charger, Connector, StatusChange
from stations.services import Arrival, StatusReport
from stations.services.statuses import MAX_PLUGS
from stations.tests.factories import make_charger

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def charger(organisation: Organisation) -> Charger:
    return make_charger(organisation)


@pytest.fixture
def connector(charger: Charger) -> Connector:
    return Connector.objects.get(evse__charger=charger)


def report(charger: Charger, status: str = "available", at: datetime = NOON, **changes: Any) -> StatusReport:
    words = {"charger_id": charger.pk, "evse_number": None, "connector_id": 1, "raw_status": status.title()}
    return StatusReport(**{**words, "status": status, "at": at, "received_at": at, **changes})


def connected(charger: Charger, node: str, at: datetime) -> int:
    [epoch] = services.chargers_connected([Arrival(charger.pk, node, "ocpp1.6", at)])
    assert epoch is not None
    return epoch


def test_a_report_is_shown_with_its_history(charger: Charger, connector: Connector) -> None:
    assert services.report_statuses([report(charger)]) == [True]
    connector.refresh_from_db()
    assert (connector.status, connector.raw_status, connector.status_since) == ("available", "Available", NOON)
    change = StatusChange.objects.get()
    assert (change.old, change.new, change.at) == ("unknown", "available", NOON)


def test_a_replayed_report_changes_nothing(charger: Charger, connector: Connector) -> None:
    services.report_statuses([report(charger), report(charger, "charging", NOON + timedelta(minutes=5))])
    assert services.report_statuses([report(charger, "faulted", NOON)]) == [False]
    connector.refresh_from_db()
    assert connector.status == "charging"
    assert StatusChange.objects.count() == 2


def test_the_same_status_again_is_no_transition_but_keeps_it_fresh(charger: Charger, connector: Connector) -> None:
    services.report_statuses([report(charger)])
    services.report_statuses([report(charger, at=NOON + timedelta(minutes=9))])
    connector.refresh_from_db()
    assert (connector.status_since, connector.heard_at) == (NOON, NOON + timedelta(minutes=9))
    assert StatusChange.objects.count() == 1


def test_a_clock_in_the_future_does_not_block_later_news(charger: Charger, connector: Connector) -> None:
    services.report_statuses([report(charger, at=NOON + timedelta(hours=5), received_at=NOON)])
    later = NOON + timedelta(minutes=3)
    assert services.report_statuses([report(charger, "charging", later)]) == [True]
    connector.refresh_from_db()
    assert connector.status == "charging"


def test_connector_0_speaks_for_the_whole_station(charger: Charger, connector: Connector) -> None:
    services.report_statuses([report(charger), report(charger, "faulted", connector_id=0)])
    connector.refresh_from_db()
    assert (connector.status, connector.status_reason) == ("faulted", "station fault")
    services.report_statuses([report(charger, "available", connector_id=0)])
    connector.refresh_from_db()
    assert connector.status == "available"


def test_a_replayed_word_about_the_station_changes_nothing(charger: Charger, connector: Connector) -> None:
    services.report_statuses([report(charger), report(charger, "available", connector_id=0)])
    old = NOON - timedelta(minutes=1)
    assert services.report_statuses([report(charger, "faulted", old, connector_id=0)]) == [False]
    connector.refresh_from_db()
    assert connector.status == "available"


def test_a_session_closed_late_does_not_make_a_silent_charger_free(charger: Charger, connector: Connector) -> None:
    epoch = connected(charger, "a", NOON)
    services.report_statuses([report(charger)])
    services.set_session(connector_id=connector.pk, has_session=True, is_delivering=True, at=NOON)
    services.charger_disconnected(charger_id=charger.pk, epoch=epoch, at=NOON)
    services.show_silent(charger_id=charger.pk, at=NOON + timedelta(minutes=2))
    services.set_session(connector_id=connector.pk, has_session=False, is_delivering=False, at=NOON)
    connector.refresh_from_db()
    assert (connector.status, connector.has_session) == ("unknown", False)


def test_a_connector_nobody_registered_is_discovered(charger: Charger) -> None:
    assert services.report_statuses([report(charger, connector_id=2)]) == [True]
    found = Connector.objects.get(evse__charger=charger, connector_id=2)
    assert (found.plug, found.evse.evse_number, found.status) == ("unknown", 2, "available")


def test_ocpp_2_counts_connectors_inside_the_evse(charger: Charger) -> None:
    services.report_statuses([report(charger, evse_number=2, connector_id=1)])
    assert Connector.objects.get(evse__charger=charger, evse__evse_number=2).connector_id == 1


def test_a_session_and_a_hold_outrank_the_raw_word(charger: Charger, connector: Connector) -> None:
    services.report_statuses([report(charger)])
    services.set_hold(connector_id=connector.pk, is_held=True, at=NOON)
    connector.refresh_from_db()
    assert connector.status == "reserved"
    services.set_session(connector_id=connector.pk, has_session=True, is_delivering=True, at=NOON)
    connector.refresh_from_db()
    assert connector.status == "charging"


def test_an_old_socket_cannot_take_the_charger_offline(charger: Charger) -> None:
    first = connected(charger, "a", NOON)
    second = connected(charger, "b", NOON)
    assert not services.charger_disconnected(charger_id=charger.pk, epoch=first, at=NOON)
    charger.refresh_from_db()
    assert (charger.is_online, charger.node) == (True, "b")
    assert services.charger_disconnected(charger_id=charger.pk, epoch=second, at=NOON)


def test_a_lost_socket_is_unknown_only_after_the_grace(charger: Charger, connector: Connector) -> None:
    epoch = connected(charger, "a", NOON)
    services.report_statuses([report(charger)])
    services.charger_disconnected(charger_id=charger.pk, epoch=epoch, at=NOON)
    services.report_statuses([report(charger, at=NOON + timedelta(seconds=30))])
    connector.refresh_from_db()
    assert connector.status == "available"
    services.show_silent(charger_id=charger.pk, at=NOON + timedelta(seconds=61))
    connector.refresh_from_db()
    assert (connector.status, connector.status_reason) == ("unknown", "charger is offline")
    connected(charger, "a", NOON + timedelta(seconds=90))
    connector.refresh_from_db()
    assert connector.status == "available"


def test_many_reports_cost_a_handful_of_queries(organisation: Organisation, django_assert_max_num_queries: Any) -> None:
    chargers = [make_charger(organisation, f"BLR-{n:03d}") for n in range(20)]
    services.report_statuses([report(charger) for charger in chargers])
    again = [report(charger, at=NOON + timedelta(minutes=1)) for charger in chargers]
    with django_assert_max_num_queries(6):  # two locks, one write, transaction
        assert services.report_statuses(again) == [True] * 20


def blink(charger: Charger, times: int, *, every: timedelta, worst: str = "unavailable") -> datetime:
    at = NOON
    for number in range(times):
        at = NOON + number * every
        services.report_statuses([report(charger, "available" if number % 2 else worst, at=at)])
    return at


@pytest.mark.parametrize("worst", ["unavailable", "faulted", "occupied"])
def test_a_blinking_plug_is_held_at_its_worst_until_it_is_calm(
    charger: Charger, connector: Connector, worst: str
) -> None:
    at = blink(charger, 60, every=timedelta(seconds=2), worst=worst)
    connector.refresh_from_db()
    shown = "faulted" if worst == "faulted" else "unavailable"
    assert (connector.status, connector.status_reason) == (shown, "its status keeps changing")
    assert connector.reported_status == "available"
    assert StatusChange.objects.count() <= 20
    assert services.calm_connectors(now=at + timedelta(seconds=29)) == 0
    assert services.calm_connectors(now=at + timedelta(seconds=30)) == 1
    connector.refresh_from_db()
    assert connector.status == "available"


def test_a_busy_day_told_at_once_is_no_blinking(charger: Charger, connector: Connector) -> None:
    blink(charger, 60, every=timedelta(minutes=5))
    connector.refresh_from_db()
    assert (connector.status, connector.is_flapping) == ("available", False)


def test_a_charger_has_no_more_plugs_than_any_charger_has(charger: Charger) -> None:
    answers = services.report_statuses([report(charger, connector_id=number) for number in range(1, 200)])
    assert answers == [True] * MAX_PLUGS + [None] * (199 - MAX_PLUGS)
    assert Connector.objects.filter(evse__charger=charger).count() == MAX_PLUGS
    again = [report(charger, at=NOON + timedelta(minutes=1), connector_id=number) for number in (MAX_PLUGS, 500)]
    assert services.report_statuses(again) == [True, None]
