"""A promise that nobody wants any more is given back to its network, whatever gets lost on the way."""

import uuid
from datetime import timedelta

import pytest
import time_machine

from dispatch import handlers, services, tasks
from dispatch.events import ReservationChanged
from dispatch.models import Reservation
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from dispatch.tests.planned import accepted, answer, asked, network, vehicle
from stations.cpo.base import CPOError, CPOUnavailable

__all__ = ["asked", "network", "vehicle"]

pytestmark = pytest.mark.django_db


def test_a_promise_that_is_granted_too_late_is_given_back(network, vehicle, asked, dispatcher):
    """A network may take longer than we wait; its bay must not stay blocked for a van that went elsewhere."""
    accepted(vehicle, dispatcher)
    late = Reservation.objects.get()
    answer(late, "timed_out")
    late.refresh_from_db()
    assert late.state == Reservation.State.FAILED
    assert services.cancel_at_network(late.number, NOW)
    assert not services.cancel_at_network(late.number, NOW)  # it knows
    assert not answer(late, "accepted")
    assert services.cancel_at_network(late.number, NOW)
    assert asked.cancelled == [late.number, late.number]


def test_a_promise_that_ends_any_way_is_told_to_the_network(monkeypatch, django_capture_on_commit_callbacks):
    told = []
    monkeypatch.setattr(tasks.cancel_at_network, "apply_async", lambda args, **how: told.append(*args))
    with django_capture_on_commit_callbacks(execute=True):
        for state in ("cancelled", "expired", "failed", "rejected", "used", "confirmed"):
            handlers.let_go_at_the_network((ReservationChanged(1, 1, 1, 1, state, "", NOW),))
    assert told == [1, 1, 1]


def test_what_the_network_never_heard_is_found_again(network, organisation, asked, dispatcher, caplog):
    """The process died, or the hint was lost; one promise that cannot be worked on keeps no other waiting."""
    lost = []
    for plug in (network.near, network.middle):
        wish = {"connector_id": plug.pk, "expires_at": NOW + timedelta(hours=1), "actor": None, "now": NOW}
        made = services.create_reservation(vehicle_id=factories.vehicle(organisation).pk, **wish)
        assert services.send_reservation(made.number, NOW)
        services.cancel_reservation(number=made.number, actor=dispatcher, now=NOW)
        lost.append(made.number)
    assert services.give_back(now=NOW + timedelta(seconds=5)) == 0  # the hint has its time
    later, honest = NOW + timedelta(minutes=1), type(asked).cancel

    def broken(connector, key, number):
        if number == lost[0]:
            raise RuntimeError("a bug")
        return honest(asked, connector, key, number)

    asked.cancel = broken
    assert services.give_back(now=later) == 1
    assert asked.cancelled == [lost[1]]
    assert f"could not work on reservation {lost[0]}" in caplog.text
    del asked.cancel
    for _ in range(2):
        with time_machine.travel(later, tick=False):
            tasks.sweep_reservations()
    assert asked.cancelled == [lost[1], lost[0]]


def test_a_network_that_is_away_is_told_when_it_is_back(network, organisation, asked, dispatcher):
    for plug in (network.near, network.middle):
        wish = {"connector_id": plug.pk, "expires_at": NOW + timedelta(hours=1), "actor": None, "now": NOW}
        made = services.create_reservation(vehicle_id=factories.vehicle(organisation).pk, **wish)
        services.send_reservation(made.number, NOW)
        services.cancel_reservation(number=made.number, actor=dispatcher, now=NOW)
    later, tried = NOW + timedelta(minutes=1), []

    def away(connector, key, number):
        tried.append(number)
        raise CPOUnavailable("down")

    asked.cancel = away
    assert (services.give_back(now=later), len(tried)) == (0, 1)  # once is enough to know
    asked.cancel = lambda connector, key, number: (_ for _ in ()).throw(CPOError("unknown", "never heard of it"))
    assert services.give_back(now=later) == 2
    del asked.cancel
    assert services.give_back(now=later) == 0  # it has answered, and what is long over is nobody's any more
    Reservation.objects.update(given_back_at=None)
    assert services.give_back(now=NOW + timedelta(hours=2)) == 0


def test_what_a_network_grants_while_we_give_it_back_is_given_back_again(network, vehicle, asked, dispatcher):
    accepted(vehicle, dispatcher)
    late = Reservation.objects.get()
    answer(late, "timed_out")
    honest = type(asked).cancel

    def grants_meanwhile(connector, key, number):
        services.answer_reservation(reservation_key=key, state="accepted", reason="", at=NOW + timedelta(seconds=1))
        return honest(asked, connector, key, number)

    asked.cancel = grants_meanwhile
    assert services.cancel_at_network(late.number, NOW + timedelta(seconds=1))
    del asked.cancel
    assert [services.give_back(now=NOW + timedelta(minutes=1)) for _ in range(2)] == [1, 0]
    assert asked.cancelled == [late.number, late.number]


def test_what_was_never_asked_of_a_network_is_not_given_back(network, vehicle, asked, dispatcher):
    wish = {"connector_id": network.near.pk, "expires_at": NOW + timedelta(hours=1), "actor": None, "now": NOW}
    made = services.create_reservation(vehicle_id=vehicle.pk, **wish)
    services.cancel_reservation(number=made.number, actor=dispatcher, now=NOW)
    assert services.give_back(now=NOW + timedelta(minutes=1)) == 0
    assert asked.cancelled == []


def test_cancelling_what_is_over_leaves_the_newer_promise_of_its_plan(network, vehicle, asked, dispatcher):
    accepted(vehicle, dispatcher)
    newer = Reservation.objects.get()
    answer(newer, "accepted")
    older = Reservation.objects.get()
    older.pk, older.key, older.state, older._state.adding = None, uuid.uuid4(), Reservation.State.CANCELLED, True
    older.save()
    assert not services.cancel_reservation(number=older.number, actor=dispatcher, now=NOW)
    newer.refresh_from_db()
    assert (newer.state, newer.plan.state) == (Reservation.State.CONFIRMED, "reserved")
    assert services.cancel_reservation(number=newer.number, actor=dispatcher, now=NOW)
    newer.refresh_from_db()
    assert (newer.state, newer.plan.state) == (Reservation.State.CANCELLED, "dismissed")
