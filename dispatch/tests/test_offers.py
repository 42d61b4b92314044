"""What the drawer offers at a plug follows from its network and its unit, and tells one fleet nothing of another."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import ChargingSession
from dispatch import pages
from dispatch.models import Reservation, SessionCommand
from dispatch.offers import Offer
from dispatch.services import commands, wishing
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation, User
from stations.models import EVSE, Connector, Location, NetworkAccess, Source
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


def test_bays_stand_in_the_order_of_their_numbers(organisation: Organisation) -> None:
    site = factories.location(factories.public_network(organisation))
    for painted in ("Bay 10", "Bay 9", "B2", "Bay 2", "Bay 1", "B1"):
        bay = factories.connector(site, at=timezone.now()).evse
        bay.physical_reference = painted
        bay.save()
    rows = pages.plugs_of(site, organisation, now=timezone.now())
    assert [row.bay for row in rows] == ["B1", "B2", "1", "2", "9", "10"]


# --- sessions -----------------------------------------------------------------------------------------------------
CAN_ALL = {name: f"https://cpo.example/{name}" for name in ("chargingprofiles", "sessions", "commands")}
OF_SESSIONS = ("can_stop", "can_limit", "can_look", "can_prefer")


def charging(plug: Connector, fleet: Organisation, source: Source) -> ChargingSession:
    return ChargingSession.objects.create(
        organisation=fleet, source=source, connector=plug, transaction_ref="S1", start_key=f"s{plug.pk}",
        started_at=timezone.now() - timedelta(minutes=10), state="active",
    )  # fmt: skip


def offered(plug: Connector, fleet: Organisation) -> tuple[bool, ...]:
    found = offer(plug, fleet)
    return tuple(getattr(found, name) for name in OF_SESSIONS)


def taken(session: ChargingSession) -> tuple[bool, ...]:
    """What the services would take of it, asked one by one and undone."""
    kinds = {"can_limit": "limit", "can_look": "outlook", "can_prefer": "prefer"}
    asks = [lambda: commands.stop_charging(session_id=session.pk, actor=None, now=timezone.now())] + [
        lambda kind=kinds[name]: wishing.wish(
            session_id=session.pk, kind=kind, parameters={}, actor=None, now=timezone.now()
        )
        for name in OF_SESSIONS[1:]
    ]
    return tuple(_is_taken(ask) for ask in asks)


def _is_taken(ask: Any) -> bool:
    try:
        ask()
    except wishing.CommandRefused as refused:
        assert refused.code == "not_supported"
        return False
    SessionCommand.objects.all().delete()
    return True


def test_the_network_that_tells_of_a_session_decides_its_buttons(plug: Connector, organisation: Organisation) -> None:
    """Of the site's own network and of another that speaks of the same plug, whichever of them can."""
    able, unable = plug.evse.location.source, Source.objects.create(slug="kav", name="Kaveri", kind="webhook")
    Source.objects.filter(pk=able.pk).update(endpoints=CAN_ALL)
    EVSE.objects.update(capabilities=["CHARGING_PROFILE_CAPABLE", "CHARGING_PREFERENCES_CAPABLE"])
    session = charging(plug, organisation, able)
    assert offered(plug, organisation) == taken(session) == (True, True, True, True)
    ChargingSession.objects.update(source=unable)
    assert offered(plug, organisation) == taken(session) == (False, False, False, False)
    Location.objects.update(source=unable)
    assert offered(plug, organisation) == taken(session) == (False, False, False, False)
    ChargingSession.objects.update(source=able)
    assert offered(plug, organisation) == taken(session) == (True, True, True, True)
    NetworkAccess.objects.all().delete()  # whoever charges already may still stop
    assert offered(plug, organisation) == taken(session) == (True, True, True, True)


def test_a_wish_under_way_offers_no_second_one(plug: Connector, organisation: Organisation) -> None:
    Source.objects.update(endpoints=CAN_ALL)
    EVSE.objects.update(capabilities=["CHARGING_PROFILE_CAPABLE", "CHARGING_PREFERENCES_CAPABLE"])
    session = charging(plug, organisation, plug.evse.location.source)
    wishing.wish(session_id=session.pk, kind="outlook", parameters={}, actor=None, now=timezone.now())
    assert offered(plug, organisation) == (True, False, False, False)


def drawer(client: Client, session: ChargingSession) -> str:
    url = reverse("vehicle-drawer", args=[session.vehicle_id])
    return client.get(url, headers={"X-Requested-With": "drawer"}).content.decode()


def test_the_drawer_of_a_vehicle_offers_what_its_session_can_be_asked(
    client: Client, plug: Connector, organisation: Organisation, dispatcher: User
) -> None:
    Source.objects.update(endpoints=CAN_ALL)
    EVSE.objects.update(capabilities=["CHARGING_PROFILE_CAPABLE", "UNLOCK_CAPABLE"])
    session = charging(plug, organisation, plug.evse.location.source)
    session.vehicle = factories.vehicle(organisation, at=timezone.now())
    session.save()
    other = factories.vehicle(organisation, at=timezone.now())
    promised(plug, other)
    client.force_login(dispatcher)
    shown = drawer(client, session)
    assert set(re.findall(r'data-deed="(\w+)"', shown)) == {"stop", "limit", "outlook", "unlock", "word"}
    assert f'data-session="{session.pk}"' in shown
    assert other.registration not in shown  # places of others stand at the site
    wishing.wish(session_id=session.pk, kind="outlook", parameters={}, actor=None, now=timezone.now())
    asked = drawer(client, session)
    assert "data-pending" in asked
    assert set(re.findall(r'data-deed="(\w+)"', asked)) == {"stop", "unlock", "word"}
    EVSE.objects.update(capabilities=[])
    SessionCommand.objects.all().delete()
    assert 'data-deed="outlook"' not in drawer(client, session)


def test_the_plug_of_a_session_costs_as_much_beside_many_as_alone(
    organisation: Organisation, django_assert_max_num_queries: Any
) -> None:
    """At chargers of one's own, where limits and preferences are looked up by plug."""
    depot = factories.location(factories.source(organisation), organisation=organisation)
    for bays in (1, 6):
        while depot.evses.count() < bays:
            plug = factories.connector(depot, charger=factories.charger(depot, organisation), at=timezone.now())
            session = charging(plug, organisation, depot.source)
        with django_assert_max_num_queries(9):
            found = pages.plug_of_session(session, organisation, now=timezone.now())
        assert found is not None
        assert (found.id, found.bay, found.session) == (plug.pk, str(bays), session)
        assert (found.offer.can_stop, found.offer.can_limit, found.offer.can_unlock) == (True, True, True)


PERIODS = [{"start_period": 0, "limit": 30_000.0}, {"start_period": 1_800, "limit": 11_000.0}]


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"charging_rate_unit": "W", "charging_profile_period": PERIODS}, "30 kW; 11 kW from 16:30"),
        ({"charging_rate_unit": "A", "charging_profile_period": [{"start_period": 0, "limit": 16}]}, "16 A"),
        ({"charging_rate_unit": "W", "charging_profile_period": PERIODS * 3}, "30 kW; 11 kW from 16:30; 30 kW from"),
        ({"charging_rate_unit": "W", "charging_profile_period": [{"limit": "x"}, None]}, "it named no power"),
        ({"charging_rate_unit": "W"}, "it named no power"),
        (None, "it named no power"),
    ],
)
def test_what_a_session_will_be_given_stands_at_its_plug(
    plug: Connector, organisation: Organisation, profile: dict[str, Any] | None, words: str
) -> None:
    session = charging(plug, organisation, plug.evse.location.source)
    result = {"result": "ACCEPTED", "profile": {"start_date_time": "2026-11-21T10:30:00Z", "charging_profile": profile}}
    SessionCommand.objects.create(
        organisation=organisation, kind="outlook", state="done", connector=plug, session=session, result=result,
        answered_at=timezone.now(),
    )  # fmt: skip
    [note] = offer(plug, organisation).notes
    assert (note.kind, note.state) == ("outlook", "done")
    assert str(note.reason).startswith(words)
