"""Sockets that open, boot and close by the hundred: one commit for many, and to each what it would be told alone."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from fleetcharge.lib.db import conninfo
from stations import services
from stations.events import ChargerBooted, ChargerCameBack, ConnectorStatusChanged
from stations.models import Charger, Connector, StatusChange
from stations.services import Arrival, Boot, Departure, StatusReport
from stations.tests.factories import make_charger

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOBODY = 999_999_999


@pytest.fixture
def chargers(organisation: Organisation) -> list[Charger]:
    return [make_charger(organisation, f"BLR-{number:03d}") for number in range(4)]


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """Every event of presence, as those who listen to many hear them."""
    heard: list[Any] = []
    kinds = ChargerCameBack, ChargerBooted, ConnectorStatusChanged
    listen: Callable[[tuple[Any, ...]], None] = heard.append
    events.subscribe_many(*kinds)(listen)
    yield heard
    for kind in kinds:
        events._gatherers[kind].remove(listen)


def arrival(charger: Charger, node: str = "a", at: datetime = NOON, **changes: Any) -> Arrival:
    return Arrival(charger.pk, node, "ocpp1.6", at, **changes)


def boot(charger_id: int, vendor: str = "Acme", at: datetime = NOON) -> Boot:
    return Boot(charger_id, vendor, "One", "S-1", "1.0", at)


def fall_silent(charger: Charger, epoch: int | None) -> None:
    services.report_statuses([StatusReport(charger.pk, None, 1, "Available", "available", NOON, NOON)])
    services.charger_disconnected(charger_id=charger.pk, epoch=epoch or 0, at=NOON)
    services.show_silent(charger_id=charger.pk, at=NOON + timedelta(seconds=61))


# --- opening ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_two_sockets_of_one_charger_in_one_batch_are_told_apart(chargers: list[Charger]) -> None:
    one, other = chargers[:2]
    batch = [arrival(one, "a"), arrival(other, "a"), arrival(one, "b", NOON + timedelta(seconds=1))]
    assert services.chargers_connected(batch) == [1, 1, 2]
    one.refresh_from_db()
    assert (one.node, one.connection_epoch, one.connected_at, one.is_online) == ("b", 2, batch[2].at, True)
    assert services.chargers_connected([arrival(one)]) == [3]


@pytest.mark.django_db
def test_a_charger_that_was_deleted_meanwhile_keeps_no_other_waiting(chargers: list[Charger]) -> None:
    nobody = Arrival(NOBODY, "a", "ocpp1.6", NOON)
    assert services.chargers_connected([nobody, arrival(chargers[0])]) == [None, 1]
    assert services.register_boots([boot(NOBODY), boot(chargers[0].pk)]) == [None, "Accepted"]
    assert services.chargers_disconnected([Departure(NOBODY, 1, NOON), Departure(chargers[0].pk, 1, NOON)]) == [
        False, True,
    ]  # fmt: skip


@pytest.mark.django_db
def test_only_who_used_the_key_to_come_retires_the_old_one(chargers: list[Charger]) -> None:
    Charger.objects.update(auth_key_hash="old", next_auth_key_hash="next")
    one, other, wrong, twice = chargers
    services.chargers_connected([
        arrival(one, used_key_hash="next"), arrival(other), arrival(wrong, used_key_hash="staged before"),
        arrival(twice, used_key_hash="next"), arrival(twice),
    ])  # fmt: skip
    keys = {pk: (key, coming) for pk, key, coming in Charger.objects.values_list(
        "pk", "auth_key_hash", "next_auth_key_hash")}  # fmt: skip
    assert keys == {one.pk: ("next", ""), other.pk: ("old", "next"), wrong.pk: ("old", "next"), twice.pk: ("next", "")}


@pytest.mark.django_db(transaction=True)
def test_those_that_were_given_up_are_shown_again_and_told_of_together(
    chargers: list[Charger], told: list[Any]
) -> None:
    silent, lost, blinked, new = chargers
    epochs = services.chargers_connected([arrival(one) for one in (silent, lost, blinked)])
    for charger, epoch in zip((silent, lost), epochs, strict=False):
        fall_silent(charger, epoch)
    told.clear()
    later = NOON + timedelta(minutes=5)
    services.chargers_connected([arrival(one, at=later) for one in chargers])
    came_back, shown = told
    assert [event.charger_id for event in came_back] == [silent.pk, lost.pk]
    assert {(event.old, event.new, event.at) for event in shown} == {("unknown", "available", later)}
    assert len(shown) == 2
    statuses = dict(Connector.objects.values_list("evse__charger_id", "status"))
    assert statuses == {silent.pk: "available", lost.pk: "available", blinked.pk: "unknown", new.pk: "unknown"}
    assert {change.pk for change in StatusChange.objects.filter(at=later)} == {event.change_id for event in shown}


# --- closing ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_old_socket_in_the_same_batch_closes_nothing(chargers: list[Charger]) -> None:
    one, other = chargers[:2]
    services.chargers_connected([arrival(one), arrival(one, "b"), arrival(other)])
    gone = [Departure(one.pk, 1, NOON), Departure(other.pk, 1, NOON)]
    assert services.chargers_disconnected(gone) == [False, True]
    assert services.chargers_disconnected(gone) == [False, False]
    assert list(Charger.objects.online().values_list("pk", "node")) == [(one.pk, "b")]


# --- booting ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_boots_are_kept_and_told_of_together(chargers: list[Charger], told: list[Any]) -> None:
    one, pending, rejected, _ = chargers
    Charger.objects.filter(pk=pending.pk).update(registration="Pending")
    Charger.objects.filter(pk=rejected.pk).update(registration="Rejected")
    again = boot(one.pk, "B" * 60, NOON + timedelta(seconds=1))
    batch = [boot(one.pk), boot(pending.pk), boot(rejected.pk), again]
    assert services.register_boots(batch) == ["Accepted", "Pending", "Rejected", "Accepted"]
    one.refresh_from_db()
    assert (one.vendor, one.last_boot_at) == ("B" * 50, again.at)
    assert [[(event.charger_id, event.registration) for event in batch] for batch in told] == [
        [(one.pk, "Accepted"), (pending.pk, "Pending"), (rejected.pk, "Rejected"), (one.pk, "Accepted")]
    ]


# --- many ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("how_many", [1, 40])
def test_a_hundred_cost_as_many_statements_as_one(
    organisation: Organisation, how_many: int, django_assert_num_queries: Any
) -> None:
    chargers = [make_charger(organisation, f"BLR-{number:03d}") for number in range(how_many)]
    services.chargers_connected([arrival(charger) for charger in chargers])
    with django_assert_num_queries(6):  # a savepoint and its end, two locks, the rows, their plugs
        epochs = services.chargers_connected([arrival(charger) for charger in chargers])
    with django_assert_num_queries(4):
        services.register_boots([boot(charger.pk) for charger in chargers])
    with django_assert_num_queries(1):
        services.chargers_disconnected([
            Departure(charger.pk, epoch or 0, NOON) for charger, epoch in zip(chargers, epochs, strict=True)
        ])  # fmt: skip
    assert not Charger.objects.online().exists()


@pytest.mark.django_db(transaction=True)
def test_only_those_that_nobody_holds_are_taken(chargers: list[Charger]) -> None:
    held, with_held_plug, referred_to, free = (charger.pk for charger in chargers)
    everybody = {held, with_held_plug, referred_to, free, NOBODY}
    with psycopg.connect(conninfo()) as other, psycopg.connect(conninfo()) as third:
        other.execute("SELECT 1 FROM stations_charger WHERE id = %s FOR UPDATE", [held])
        other.execute("SELECT 1 FROM stations_charger WHERE id = %s FOR KEY SHARE", [referred_to])
        [plug] = Connector.objects.filter(evse__charger_id=with_held_plug)[:1]
        other.execute("SELECT 1 FROM stations_connector WHERE id = %s FOR UPDATE", [plug.pk])
        with transaction.atomic():
            assert services.take_free_chargers(everybody) == everybody - {held}
        with transaction.atomic():
            assert services.take_free_chargers(everybody, with_plugs=True) == {referred_to, free, NOBODY}
            third.execute("SET lock_timeout = '10ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                third.execute("SELECT 1 FROM stations_charger WHERE id = %s FOR UPDATE", [free])


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_take_the_same_chargers_in_any_order_wait_in_turn(chargers: list[Charger]) -> None:
    rounds = 20
    epochs: list[int] = []
    failures: list[Exception] = []
    start = threading.Barrier(2)

    def process(order: list[Charger]) -> None:
        try:
            for _ in range(rounds):
                start.wait(60)
                epochs.extend(epoch or 0 for epoch in services.chargers_connected(list(map(arrival, order))))
                services.register_boots([boot(charger.pk) for charger in order])
        except Exception as error:
            failures.append(error)
            start.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=process, args=[order]) for order in (chargers, chargers[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(epochs) == sorted(list(range(1, 2 * rounds + 1)) * len(chargers))
