"""What the drawer offers at a plug follows from its network and its unit, and tells one fleet nothing of another."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dispatch import pages
from dispatch.models import Reservation
from dispatch.offers import Offer
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation
from stations.models import Connector, NetworkAccess
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db


@pytest.fixture
def plug(organisation: Organisation) -> Connector:
    network = factories.public_network(organisation)
    return factories.connector(factories.location(network), at=timezone.now())


def offer(plug: Connector, fleet: Organisation) -> Offer:
    found = pages.plugs_of(plug.evse.location, fleet, now=timezone.now())
    return next(row.offer for row in found if row.id == plug.pk)


def promised(plug: Connector, van: Vehicle, **facts: Any) -> Reservation:
    now = timezone.now()
    usual = {"starts_at": now, "expires_at": now + timedelta(minutes=30), "state": "confirmed", "way": "network"}
    return Reservation.objects.create(
        organisation=van.organisation, vehicle=van, connector=plug, created_at=now, **{**usual, **facts}
    )


@pytest.mark.parametrize(
    ("capabilities", "hold", "can_start"),
    [
        (["RESERVABLE", "REMOTE_START_STOP_CAPABLE"], "network", True),
        (["RESERVABLE"], "network", False),
        (["REMOTE_START_STOP_CAPABLE"], "soft", True),
        ([], "soft", True),
    ],
)
def test_a_unit_says_what_it_can(
    plug: Connector, organisation: Organisation, capabilities: list[str], hold: str, can_start: bool
) -> None:
    plug.evse.capabilities = capabilities
    plug.evse.save()
    found = offer(plug, organisation)
    assert (found.hold, found.book, found.can_start, found.can_stop) == (hold, hold, can_start, False)


def test_what_is_not_free_or_not_believed_is_not_held_now(plug: Connector, organisation: Organisation) -> None:
    Connector.objects.update(status="charging")
    assert (offer(plug, organisation).hold, offer(plug, organisation).book) == ("", "network")
    Connector.objects.update(status="available", heard_at=timezone.now() - timedelta(hours=2))
    assert (offer(plug, organisation).hold, offer(plug, organisation).can_start) == ("", False)


def test_another_fleet_sees_neither_promise_nor_refusal(
    plug: Connector, organisation: Organisation, other_organisation: Organisation
) -> None:
    van = factories.vehicle(organisation, at=timezone.now())
    NetworkAccess.objects.create(source=plug.evse.location.source, organisation=other_organisation)
    kept = promised(plug, van)
    later = timezone.now() + timedelta(hours=2)
    promised(
        plug, van, state="rejected", reason="EVSE_OCCUPIED", answered_at=timezone.now(),
        starts_at=later, expires_at=later + timedelta(hours=1),
    )  # fmt: skip
    mine, theirs = offer(plug, organisation), offer(plug, other_organisation)
    assert [(held.number, held.is_pending, held.is_later) for held in mine.held] == [(kept.number, False, False)]
    assert [str(note.reason) for note in mine.notes] == ["the bay is occupied"]
    assert (theirs.held, theirs.notes) == ([], [])


def test_without_access_nothing_can_be_done(plug: Connector, organisation: Organisation) -> None:
    NetworkAccess.objects.all().delete()
    found = offer(plug, organisation)
    assert (found.hold, found.book, found.can_start, found.can_stop) == ("", "", False, False)


def test_five_queries_for_any_number_of_plugs(
    plug: Connector, organisation: Organisation, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(5):
        pages.plugs_of(plug.evse.location, organisation, now=timezone.now())
