"""What every network promises about promises: kept on both sides, given back, refused, late, or held by us alone."""

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.services.authorisation import group_of
from dispatch import services, tasks
from dispatch.models import Reservation
from stations.cpo.base import Capability, CPOError, ReserveRequest
from tests.contract.adapters.network import Network, becomes, lacks, needs, only_for, until

pytestmark = pytest.mark.django_db(transaction=True)
reserving = needs(Capability.RESERVE, why="it is held by us alone")


def request(network: Network, row: Reservation) -> ReserveRequest:
    """The very question that dispatch asked."""
    group_id = group_of(row.vehicle_id)
    return ReserveRequest(network.plug(), str(row.key), row.number, row.id_token, row.expires_at, group_id=group_id)


def pass_time(row: Reservation, seconds: float) -> None:
    """As if it had been asked for so long ago."""
    Reservation.objects.filter(pk=row.pk).update(sent_at=timezone.now() - timedelta(seconds=seconds))


@reserving
def test_a_promise_is_kept_on_both_sides_and_given_back_on_both(network: Network) -> None:
    row = becomes(network.reserve(), "confirmed")
    assert row.way == "network"
    assert network.plug().is_held
    until("the peer to keep it", lambda: network.held() == [network.reference(row)])
    network.cancel(row)
    assert row.state == "cancelled"
    until("our plug to be let go", lambda: not network.plug().is_held)
    if network.can_cancel:
        until("the peer to have let go", lambda: network.held() == [])
        until("the row to say so", lambda: Reservation.objects.get(pk=row.pk).given_back_at is not None)
    again = becomes(network.reserve(network.other_van), "confirmed")
    assert again.pk != row.pk


@reserving
def test_asking_and_giving_back_twice_is_harmless(network: Network) -> None:
    row = becomes(network.reserve(), "confirmed")
    assert network.reserve().pk == row.pk
    until("the peer to keep it", lambda: network.held() == [network.reference(row)])
    asked = network.requests
    assert not services.send_reservation(row.number, timezone.now())
    assert network.requests == asked
    network.adapter().reserve(request(network, row))
    network.rest()  # its second answer, which is no late one, has come
    assert network.held() == [network.reference(row)]
    row.refresh_from_db()
    assert row.state == "confirmed"
    network.cancel(row)
    network.cancel(row)
    until("the network to be told", lambda: Reservation.objects.get(pk=row.pk).given_back_at is not None)
    network.rest()
    asked = network.requests
    assert not services.cancel_at_network(row.number, timezone.now())
    tasks.sweep_reservations()
    assert network.requests == asked
    if network.can_cancel:
        until("the peer to have let go", lambda: network.held() == [])
    network.adapter().cancel(network.plug(), str(row.key), row.number)
    row.refresh_from_db()
    assert row.state == "cancelled"


@reserving
def test_another_question_under_the_same_key_breaks_nothing(network: Network) -> None:
    row = becomes(network.reserve(), "confirmed")
    until("the peer to keep it", lambda: network.held() == [network.reference(row)])
    another = replace(request(network, row), id_token="ANOTHER", group_id="")
    with contextlib.suppress(CPOError):
        network.adapter().reserve(another)
    row.refresh_from_db()
    assert row.state == "confirmed"


@reserving
def test_a_refusal_says_why_and_leaves_nothing_behind(network: Network) -> None:
    network.answers("no")
    row = becomes(network.reserve(), "rejected")
    assert len(row.reason) > 3
    assert row.reason not in {"rejected", "no result"}
    shown = network.client().get(f"/api/v1/reservations/{row.number}/").json()
    assert (shown["state"], shown["reason"]) == ("rejected", row.reason)
    assert not network.plug().is_held
    assert network.held() == []
    network.answers("yes")
    until("the plug to be free", lambda: network.plug().status in {"available", "reserved"})
    becomes(network.reserve(network.other_van), "confirmed")


@reserving
def test_silence_is_given_up_and_a_late_yes_is_given_back(network: Network) -> None:
    network.answers("never")
    row = becomes(network.reserve(), "requested")
    until("it to be asked", lambda: Reservation.objects.get(pk=row.pk).sent_at)
    tasks.sweep_reservations()
    row.refresh_from_db()
    assert row.state == "requested"  # it has a minute
    pass_time(row, 61)
    tasks.sweep_reservations()
    row.refresh_from_db()
    assert (row.state, row.reason) == ("failed", "no answer")
    assert not network.plug().is_held
    other = network.reserve(network.other_van, number=1)  # another plug answers, or will
    assert other.state in {"requested", "confirmed"}
    network.answer_late()
    if network.can_cancel:
        until("the late yes to be given back", lambda: not network.keeps(row))
    tasks.sweep_reservations()
    row.refresh_from_db()
    assert row.state == "failed"


@only_for(lambda network: network.can_time_out, "has no word for a charger that does not answer it: it stays silent")
def test_a_time_out_by_word_frees_the_place_and_a_late_yes_is_given_back(network: Network) -> None:
    network.answers("timeout")
    row = becomes(network.reserve(), "failed")
    assert row.reason == "TIMEOUT"
    assert not network.plug().is_held
    network.answers("yes")
    if network.can_cancel:  # it may have been granted all the same
        until("the network to be told", lambda: Reservation.objects.get(pk=row.pk).given_back_at is not None)
    again = becomes(network.reserve(network.other_van), "confirmed")
    network.answer_late()
    network.rest()
    again.refresh_from_db()
    row.refresh_from_db()
    assert (row.state, again.state) == ("failed", "confirmed")
    session = network.start(network.other_van)
    assert session.state in {"sent", "accepted"}


@reserving
def test_what_is_promised_here_is_promised_to_nobody_else_of_ours(network: Network) -> None:
    becomes(network.reserve(), "confirmed")
    wish = {"vehicle_id": network.other_van.pk, "connector_id": network.plugs[0]}
    answer = network.client().post("/api/v1/reservations/", wish, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "connector_taken")


@lacks(Capability.RESERVE)
def test_without_reservations_our_own_vehicles_are_kept_apart(network: Network) -> None:
    asked = network.requests
    row = becomes(network.reserve(), "confirmed")
    assert (row.way, row.reason) == ("soft", "held in FleetCharge only")
    plug = network.plug()
    assert (plug.is_held, plug.status, plug.status_reason) == (True, "reserved", "reserved by us")
    wish = {"vehicle_id": network.other_van.pk, "connector_id": network.plugs[0]}
    answer = network.client().post("/api/v1/reservations/", wish, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "connector_taken")
    network.cancel(row)
    assert network.plug().status == "available"
    assert becomes(network.reserve(network.other_van), "confirmed").way == "soft"
    assert network.requests == asked


@lacks(Capability.RESERVE)
def test_who_declares_no_reservations_refuses_them_clearly(network: Network) -> None:
    row, asked = network.reserve(), network.requests
    with pytest.raises(CPOError, match="takes no reservations") as refused:
        network.adapter().reserve(request(network, row))
    assert refused.value.code == "not_supported"
    with pytest.raises(CPOError, match="takes no reservations"):
        network.adapter().cancel(network.plug(), str(row.key), row.number)
    assert network.requests == asked
