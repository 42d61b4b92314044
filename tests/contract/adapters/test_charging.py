"""What every network promises about starts and stops: accepted, refused, late, or not offered at all."""

import contextlib
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from dispatch import services, tasks
from dispatch.models import SessionCommand
from stations.cpo import registry
from stations.cpo.base import Capability
from tests.contract.adapters.network import Network, becomes, lacks, needs, only_for, until

pytestmark = pytest.mark.django_db(transaction=True)
charging = needs(Capability.START_STOP)
SILENT = "has no word for a charger that does not answer it: it stays silent"


def session_of(command: SessionCommand) -> ChargingSession:
    becomes(command, "done")
    assert command.session is not None
    return command.session


@charging
def test_a_start_is_proven_by_its_session_and_ended_by_a_stop(network: Network) -> None:
    network.car_arrives()
    command = network.start()
    network.session_begins(command)
    session = session_of(command)
    assert (session.organisation_id, session.vehicle_id) == (network.fleet.pk, network.van.pk)
    assert session.connector_id == network.plugs[0]
    stop = network.stop(session)
    with contextlib.suppress(services.CommandRefused):  # unless the first has been answered already
        network.stop(session)
    network.session_ends(command)
    becomes(stop, "done")
    until("the session to be over", lambda: ChargingSession.objects.get(pk=session.pk).state != "active")
    with pytest.raises(services.CommandRefused) as late:
        network.stop(ChargingSession.objects.get(pk=session.pk))
    assert late.value.code == "not_running"


@charging
def test_a_refused_start_says_why_and_blocks_nothing(network: Network) -> None:
    network.answers("no")
    command = becomes(network.start(), "rejected", "failed")
    assert len(command.reason) > 3
    assert command.reason != command.state
    shown = network.client().get(f"/api/v1/session-commands/{command.key}/").json()
    assert (shown["state"], shown["reason"]) == (command.state, command.reason)
    assert not ChargingSession.objects.exists()
    network.answers("yes")
    network.car_arrives()
    again = network.start()
    network.session_begins(again)
    session_of(again)


@charging
def test_a_start_nobody_answers_is_closed_by_the_watchdog_and_a_late_session_still_counts(network: Network) -> None:
    network.car_arrives()
    network.answers("never")
    command = becomes(network.start(), "sent")
    with pytest.raises(services.CommandRefused, match="under way"):
        network.start()
    tasks.sweep_commands()
    command.refresh_from_db()
    assert command.state == "sent"  # it has two minutes
    SessionCommand.objects.update(sent_at=timezone.now() - timedelta(minutes=3))
    tasks.sweep_commands()
    command.refresh_from_db()
    assert (command.state, command.reason) == ("timed_out", "no answer")
    network.answer_late()
    network.session_begins(command)
    session_of(command)
    assert ChargingSession.objects.get().state == "active"


@only_for(lambda network: network.can_time_out, SILENT)
def test_a_time_out_by_word_keeps_no_session_away_and_nobody_from_trying_again(network: Network) -> None:
    """OCPI issue 475: the charger did not answer the CPO in time, and charges all the same."""
    network.answers("timeout")
    first = becomes(network.start(), "timed_out")
    assert first.reason == "TIMEOUT"
    again = becomes(network.start(network.other_van), "timed_out")
    network.session_begins(first)
    session = session_of(first)
    assert (session.vehicle_id, session.state) == (network.van.pk, "active")
    again.refresh_from_db()
    assert (again.state, again.session_id) == ("timed_out", None)
    network.answers("yes")
    stop = network.stop(session)
    network.session_ends(first)
    becomes(stop, "done")
    third = becomes(network.start(), "accepted")
    assert third.pk not in {first.pk, again.pk}


@only_for(lambda network: network.can_time_out, SILENT)
def test_a_stop_that_timed_out_by_word_may_be_asked_again(network: Network) -> None:
    command = network.start()
    network.session_begins(command)
    session = session_of(command)
    network.answers("timeout")
    stop = becomes(network.stop(session), "timed_out")
    assert ChargingSession.objects.get(pk=session.pk).state == "active"
    network.answers("yes")
    again = becomes(network.stop(session), "accepted")
    network.session_ends(command)
    assert {becomes(row, "done").state for row in (stop, again)} == {"done"}


@charging
def test_after_a_time_out_the_driver_may_press_again(network: Network) -> None:
    network.car_arrives()
    network.answers("never")
    first = becomes(network.start(), "sent")
    SessionCommand.objects.update(sent_at=timezone.now() - timedelta(minutes=3))
    tasks.sweep_commands()
    second = network.start()
    assert second.pk != first.pk
    network.answer_late()
    network.session_begins(second)
    until("one of them to be proven", lambda: SessionCommand.objects.filter(state="done").exists())
    assert ChargingSession.objects.count() == 1


@charging
def test_a_promised_place_is_started_for_its_vehicle_alone(network: Network) -> None:
    row = becomes(network.reserve(), "confirmed")
    with pytest.raises(services.CommandRefused) as refused:
        network.start(network.other_van)
    assert refused.value.code == "reserved"
    if network.slug == "own":
        return  # a charger lets the holder of the promise plug in by itself
    command = network.start()
    network.session_begins(command)
    session_of(command)
    becomes(row, "used")


@lacks(Capability.START_STOP)
def test_who_declares_no_starts_offers_none(network: Network) -> None:
    asked = network.requests
    assert registry.starter_for(network.source()) is None
    assert registry.stopper_for(network.source()) is None
    wish = {"vehicle_id": network.van.pk, "connector_id": network.plugs[0]}
    answer = network.client().post("/api/v1/session-commands/start/", wish, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_supported")
    assert answer.json()["detail"] == "This network cannot be told to start."
    assert not SessionCommand.objects.exists()
    assert network.requests == asked


def test_the_drawer_has_the_buttons_that_are_declared(network: Network) -> None:
    page = network.drawer()
    assert ('data-deed="start"' in page) == network.has(Capability.START_STOP)
    assert f'data-way="{"network" if network.has(Capability.RESERVE) else "soft"}"' in page
    assert ('data-way="network"' in page) == network.has(Capability.RESERVE)


def test_bookings_are_offered_where_they_are_declared(network: Network) -> None:
    offers = registry.booker_for(network.source()) is not None
    assert offers == (network.name == "ocpi-2.3.0")
