"""One way to reserve, start and stop, at CPOs that really speak OCPI over HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from billing.tests.factories import fund
from dispatch import services, tasks
from dispatch.models import Alert, Reservation, SessionCommand
from dispatch.services.untold import to_give_back
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation
from fleetcharge.celery import app as celery
from fleetcharge.demo.peers import objects
from stations.models import Connector, NetworkAccess, Source
from stations.tests import conftest as peers
from stations.tests.ocpi_peers import Network
from tests.running import wait_for
from vehicles.models import IdToken, Vehicle

pytestmark = pytest.mark.django_db(transaction=True)
ours, usual, modern, everywhere = peers.ours, peers.usual, peers.modern, peers.everywhere


@pytest.fixture(autouse=True)
def _work_at_once(ours: str) -> Iterator[None]:
    """Tasks run where they are started."""
    celery.conf.task_always_eager = True
    yield
    celery.conf.task_always_eager = False


@pytest.fixture
def van(organisation: Organisation) -> Vehicle:
    van = factories.vehicle(organisation, at=timezone.now(), soc_percent=60)
    IdToken.objects.update(uid="CARD1")
    fund(organisation, 1_000_000)
    return van


def reserve(van: Vehicle, connector: Connector, minutes: int = 30, hours: float = 0, **more: Any) -> Reservation:
    NetworkAccess.objects.get_or_create(source=connector.evse.location.source, organisation=van.organisation)
    now = timezone.now()
    begin = now + timedelta(hours=hours)
    made = services.create_reservation(
        vehicle_id=van.pk, connector_id=connector.pk, starts_at=begin, expires_at=begin + timedelta(minutes=minutes),
        actor=None, now=now, **more,
    )  # fmt: skip
    assert made is not None
    return made


def becomes(state: str, row: Any) -> Any:
    """The row once it is in that state."""

    def look() -> bool:
        row.refresh_from_db()
        return bool(row.state == state)

    wait_for(f"{row!r} to be {state}", look)
    return row


def sent(net: Network, kind: str) -> list[dict[str, Any]]:
    return [body for name, body in net.peer.commands if name == kind]


# --- hold, extend, cancel -----------------------------------------------------------------------------------------
def test_a_place_is_held_extended_and_given_back_in_every_version(everywhere: Network, van: Vehicle) -> None:
    row = becomes("confirmed", reserve(van, everywhere.plug()))
    assert row.way == "network"
    assert everywhere.plug().is_held
    later = row.expires_at + timedelta(minutes=20)
    assert services.extend_reservation(number=row.number, expires_at=later, actor=None, now=timezone.now())
    wait_for("the longer time to be agreed", lambda: Reservation.objects.get().agreed_until is None)
    first, second = sent(everywhere, "RESERVE_NOW")
    assert first["reservation_id"] == second["reservation_id"]
    assert first["expiry_date"] < second["expiry_date"]
    services.cancel_reservation(number=row.number, actor=None, now=timezone.now())
    row.refresh_from_db()
    assert (row.state, row.expires_at) == ("cancelled", later)
    assert row.given_back_at is not None
    assert len(sent(everywhere, "CANCEL_RESERVATION")) == (0 if everywhere.version == "2.1.1" else 1)
    assert not everywhere.plug().is_held


def test_a_refused_extension_leaves_what_was_agreed(usual: Network, van: Vehicle) -> None:
    row = becomes("confirmed", reserve(van, usual.plug()))
    agreed = row.expires_at
    usual.peer.async_result = "EVSE_OCCUPIED"
    services.extend_reservation(
        number=row.number, expires_at=agreed + timedelta(hours=1), actor=None, now=timezone.now()
    )
    wait_for("the refusal", lambda: Reservation.objects.get().agreed_until is None)
    row.refresh_from_db()
    assert (row.state, row.expires_at) == ("confirmed", agreed)


def test_what_could_not_be_told_is_told_by_the_sweep(usual: Network, van: Vehicle) -> None:
    row = becomes("confirmed", reserve(van, usual.plug()))
    celery.conf.task_always_eager = False  # the event about it is lost
    services.cancel_reservation(number=row.number, actor=None, now=timezone.now())
    Source.objects.filter(pk=usual.source.pk).update(state="failing")
    Reservation.objects.update(answered_at=timezone.now() - timedelta(minutes=1))
    assert services.give_back(now=timezone.now()) == 0
    assert list(to_give_back(timezone.now())) == [row]
    Source.objects.filter(pk=usual.source.pk).update(state="connected")
    tasks.sweep_reservations()
    assert len(sent(usual, "CANCEL_RESERVATION")) == 1
    assert not to_give_back(timezone.now()).exists()
    tasks.sweep_reservations()
    assert len(sent(usual, "CANCEL_RESERVATION")) == 1


# --- for later ----------------------------------------------------------------------------------------------------
def booked(net: Network) -> dict[str, Any]:
    return next(iter(net.peer.bookings.values()))


def tell_booking(net: Network, status: str, second: int) -> None:
    body = {**booked(net), "reservation_status": status, "last_updated": f"2026-11-21T07:00:{second:02d}Z"}
    net.peer.put("bookings", body["id"], body=body)


def test_a_time_slot_is_booked_changed_and_cancelled(modern: Network, van: Vehicle) -> None:
    """OCPI 2.3.0 Bookings: the same request_id for every change."""
    row = reserve(van, modern.plug(), hours=3)
    row.refresh_from_db()
    assert (row.way, row.state) == ("booking", "requested")
    assert not sent(modern, "RESERVE_NOW")
    tell_booking(modern, "RESERVED", 1)
    becomes("confirmed", row)
    assert not modern.plug().is_held  # not before its time
    later = row.expires_at + timedelta(minutes=15)
    services.extend_reservation(number=row.number, expires_at=later, actor=None, now=timezone.now())
    tell_booking(modern, "RESERVED", 2)
    wait_for("the change to be agreed", lambda: Reservation.objects.get().agreed_until is None)
    assert booked(modern)["request_id"] == str(row.key)
    assert booked(modern)["period"]["end_before"] == later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    services.cancel_reservation(number=row.number, actor=None, now=timezone.now())
    assert booked(modern)["booking_requests"][0]["booking_request"]["canceled"]["who_canceled"] == "EMSP"


def test_a_time_slot_is_given_back_when_its_network_is_there_again(modern: Network, van: Vehicle) -> None:
    row = reserve(van, modern.plug(), hours=3)
    tell_booking(modern, "RESERVED", 1)
    becomes("confirmed", row)
    celery.conf.task_always_eager = False  # the event about it is lost
    services.cancel_reservation(number=row.number, actor=None, now=timezone.now())
    later = timezone.now() + timedelta(minutes=1)
    Source.objects.filter(pk=modern.source.pk).update(state="failing")
    assert services.give_back(now=later) == 0
    Source.objects.filter(pk=modern.source.pk).update(state="connected")
    assert [services.give_back(now=later) for _ in range(2)] == [1, 0]
    assert booked(modern)["booking_requests"][0]["booking_request"]["canceled"]["who_canceled"] == "EMSP"


def test_a_no_show_is_not_booked_anew(modern: Network, van: Vehicle) -> None:
    row = reserve(van, modern.plug(), hours=3)
    tell_booking(modern, "RESERVED", 1)
    becomes("confirmed", row)
    tell_booking(modern, "NO_SHOW", 2)
    becomes("expired", row)
    assert Reservation.objects.count() == 1


def test_without_bookings_a_promise_for_later_is_ours_until_it_is_near(usual: Network, van: Vehicle) -> None:
    row = becomes("confirmed", reserve(van, usual.plug(), hours=2))
    assert (row.way, sent(usual, "RESERVE_NOW")) == ("soft", [])
    tasks.sweep_reservations()
    assert not sent(usual, "RESERVE_NOW")
    began = timezone.now() + timedelta(minutes=20)
    Reservation.objects.update(starts_at=began, expires_at=began + timedelta(minutes=30))
    tasks.sweep_reservations()
    row.refresh_from_db()
    assert (row.way, row.state, len(sent(usual, "RESERVE_NOW"))) == ("network", "confirmed", 1)


# --- soft holds ---------------------------------------------------------------------------------------------------
def test_our_own_vehicles_never_collide_where_a_network_reserves_nothing(
    usual: Network, van: Vehicle, organisation: Organisation
) -> None:
    plug = usual.plug()
    plug.evse.capabilities = []
    plug.evse.save()
    beside = Connector.objects.create(evse=plug.evse, connector_id=2, plug="type2", max_power_w=22_000)
    row = becomes("confirmed", reserve(van, plug))
    assert (row.way, sent(usual, "RESERVE_NOW")) == ("soft", [])
    other, now = factories.vehicle(organisation, at=timezone.now()), timezone.now()
    for place in (plug, beside):  # an EVSE charges one vehicle at a time
        assert services.create_reservation(
            vehicle_id=other.pk, connector_id=place.pk, expires_at=now + timedelta(minutes=10), actor=None, now=now
        ) is None  # fmt: skip
    after = services.create_reservation(
        vehicle_id=other.pk, connector_id=plug.pk, starts_at=row.expires_at, actor=None, now=now,
        expires_at=row.expires_at + timedelta(minutes=10),
    )  # fmt: skip
    assert after is not None
    assert services.extend_reservation(
        number=row.number, expires_at=row.expires_at + timedelta(minutes=5), actor=None, now=now
    ) is None  # fmt: skip


# --- lost and found -----------------------------------------------------------------------------------------------
def take_back(net: Network) -> None:
    """The CPO calls the result address of a granted reservation once more (OCPI 2.2.1 commands)."""
    import asyncio

    asyncio.run(net.peer.tell(sent(net, "RESERVE_NOW")[0]["response_url"], "CANCELED_RESERVATION"))


def test_a_place_that_its_cpo_takes_back_is_reserved_elsewhere(usual: Network, van: Vehicle) -> None:
    lost = becomes("confirmed", reserve(van, usual.plug("E1-1")))
    take_back(usual)
    becomes("cancelled", lost)
    made = becomes("confirmed", Reservation.objects.get(replaces=lost))
    assert (made.connector, made.expires_at) == (usual.plug("E2-1"), lost.expires_at)
    assert len(sent(usual, "RESERVE_NOW")) == 2
    assert Alert.objects.open().get().title == f"{van.registration} was moved to Volt 2"
    assert services.rebook(lost.number, timezone.now()) is None  # once


def test_a_broken_plug_moves_the_promise(usual: Network, van: Vehicle) -> None:
    lost = becomes("confirmed", reserve(van, usual.plug("E1-1")))
    body = {"status": "OUTOFORDER", "last_updated": timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")}
    usual.peer.patch("locations", "L1", "E1-1", body=body)
    becomes("cancelled", lost)
    found = wait_for("another place", Reservation.objects.filter(replaces=lost).first)
    assert becomes("confirmed", found).connector == usual.plug("E2-1")
    wait_for("the network to hear of it", lambda: sent(usual, "CANCEL_RESERVATION"))
    assert len(sent(usual, "CANCEL_RESERVATION")) == 1


def test_a_person_hears_when_there_is_no_other_place(usual: Network, van: Vehicle) -> None:
    lost = becomes("confirmed", reserve(van, usual.plug("E1-1")))
    Connector.objects.exclude(pk=lost.connector_id).update(status="faulted")
    take_back(usual)
    becomes("cancelled", lost)
    wait_for("the alert", Alert.objects.open().filter(severity="bad").exists)
    assert Reservation.objects.count() == 1


def test_whoever_wants_only_this_place_is_not_moved(usual: Network, van: Vehicle) -> None:
    lost = becomes("confirmed", reserve(van, usual.plug("E1-1"), is_rebooked=False))
    take_back(usual)
    becomes("cancelled", lost)
    tasks.sweep_reservations()
    assert Reservation.objects.count() == 1


# --- starts and stops ---------------------------------------------------------------------------------------------
def start(van: Vehicle, connector: Connector) -> SessionCommand:
    NetworkAccess.objects.get_or_create(source=connector.evse.location.source, organisation=van.organisation)
    now = timezone.now()
    command = services.start_charging(vehicle_id=van.pk, connector_id=connector.pk, actor=None, now=now)
    services.send_command(command.pk, now)
    return command


def push_session(net: Network, command: SessionCommand, **changes: Any) -> None:
    at = timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    name = "start_datetime" if net.version == "2.1.1" else "start_date_time"
    facts = {name: at, "last_updated": at, **changes}
    body = objects.session(net.version, "S1", "CARD1", str(command.key), **facts)
    net.peer.put("sessions", "S1", body=body)


def test_a_start_is_proven_by_its_session_and_ended_by_a_stop(everywhere: Network, van: Vehicle) -> None:
    command = becomes("accepted", start(van, everywhere.plug()))
    push_session(everywhere, command)
    becomes("done", command)
    assert command.session == ChargingSession.objects.get()
    stop = services.stop_charging(session_id=command.session_id, actor=None, now=timezone.now())
    with pytest.raises(services.CommandRefused, match="already"):
        services.stop_charging(session_id=command.session_id, actor=None, now=timezone.now())
    services.send_command(stop.pk, timezone.now())
    becomes("accepted", stop)
    assert [body["session_id"] for body in sent(everywhere, "STOP_SESSION")] == ["S1"]
    ended = timezone.now() + timedelta(minutes=1)
    push_session(everywhere, command, status="COMPLETED", last_updated=ended.strftime("%Y-%m-%dT%H:%M:%SZ"))
    becomes("done", stop)


@pytest.mark.parametrize("result", ["TIMEOUT", "FAILED"])
def test_a_start_without_an_answer_blocks_nothing(usual: Network, van: Vehicle, result: str) -> None:
    """OCPI issue 475: the session began after the TIMEOUT all the same."""
    usual.peer.async_result = result
    first = becomes("timed_out" if result == "TIMEOUT" else "failed", start(van, usual.plug()))
    usual.peer.async_result = ""
    again = start(van, usual.plug())  # the driver presses once more
    push_session(usual, first)
    becomes("done", again)
    assert ChargingSession.objects.get().state == "active"


def test_an_accepted_start_that_no_session_follows_is_closed(usual: Network, van: Vehicle) -> None:
    command = becomes("accepted", start(van, usual.plug()))
    SessionCommand.objects.update(answered_at=timezone.now() - timedelta(minutes=6))
    assert tasks.sweep_commands() == 1
    becomes("no_session", command)
    push_session(usual, command)
    becomes("done", command)


def test_a_start_nobody_answers_is_given_up(usual: Network, van: Vehicle) -> None:
    usual.peer.async_result = ""
    command = becomes("sent", start(van, usual.plug()))
    with pytest.raises(services.CommandRefused, match="under way"):
        start(van, usual.plug())
    SessionCommand.objects.update(sent_at=timezone.now() - timedelta(minutes=3))
    tasks.sweep_commands()
    becomes("timed_out", command)


def test_a_click_that_could_not_be_sent_is_not_sent_much_later(usual: Network, van: Vehicle) -> None:
    now = timezone.now()
    NetworkAccess.objects.create(source=usual.source, organisation=van.organisation)
    command = services.start_charging(vehicle_id=van.pk, connector_id=usual.plug().pk, actor=None, now=now)
    SessionCommand.objects.update(created_at=now - timedelta(minutes=2))
    tasks.sweep_commands()
    becomes("failed", command)
    assert not sent(usual, "START_SESSION")


def test_who_may_not_charge_is_not_started(usual: Network, van: Vehicle, organisation: Organisation) -> None:
    plug, now = usual.plug(), timezone.now()

    def refusal(vehicle: Vehicle) -> str:
        with pytest.raises(services.CommandRefused) as refused:
            start(vehicle, plug)
        return refused.value.code

    reserve(van, plug)
    other = factories.vehicle(organisation, at=now)
    assert refusal(other) == "reserved"
    IdToken.objects.update(is_active=False)
    assert refusal(van) == "no_token"
    Source.objects.filter(pk=usual.source.pk).update(kind="import")
    assert not SessionCommand.objects.exists()
