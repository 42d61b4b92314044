"""What is wanted of a session at a charger of our own becomes its goal, where the site shares a limit."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from billing.tests.factories import Fleet, make_fleet, start
from dispatch import pages
from dispatch.models import SessionCommand
from dispatch.services import commands, wishing
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.charging import sites
from ocpp_bridge.models import ChargingGoal, ChargingSite

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation)
    sites.manage(
        location_id=fleet.location.pk, organisation_id=organisation.pk, actor=None, actor_label="test",
        now=timezone.now(), limit_w=50_000,
    )  # fmt: skip
    return fleet


@pytest.fixture
def session(fleet: Fleet) -> ChargingSession:
    return ChargingSession.objects.get(pk=start(fleet).session_id)


def wished(session: ChargingSession, **said: Any) -> tuple[str, str]:
    now = timezone.now()
    asked = wishing.wish(session_id=session.pk, kind="prefer", parameters=said, actor=None, now=now)
    commands.send_command(asked.pk, now)
    return SessionCommand.objects.values_list("state", "reason").get(pk=asked.pk)


def offered(fleet: Fleet) -> bool:
    [row] = pages.plugs_of(fleet.location, fleet.organisation, now=timezone.now())
    return row.offer.can_prefer


def test_a_wish_becomes_the_goal_and_the_site_is_planned_anew(fleet: Fleet, session: ChargingSession) -> None:
    ChargingSite.objects.update(due_at=None)
    leaves_at = timezone.now() + timedelta(hours=2)
    assert offered(fleet)
    assert wished(session, style="REGULAR", departure_at=leaves_at.isoformat(), energy_wh=30_000) == ("done", "")
    goal = ChargingGoal.objects.get()
    assert (goal.session_id, goal.departure_at, goal.energy_wh) == (session.pk, leaves_at, 30_000)
    assert ChargingSite.objects.get().due_at is not None
    assert wished(session, style="REGULAR") == ("done", "")
    assert not ChargingGoal.objects.exists()


def test_a_later_departure_keeps_how_much_is_wanted_and_how_much_keeps_the_departure(session: ChargingSession) -> None:
    soon, later = (timezone.now() + timedelta(hours=hours) for hours in (2, 3))
    sites.set_goal(
        session=session, departure_at=soon, target_soc_percent=70, energy_wh=None, actor="test", now=timezone.now()
    )
    assert wished(session, style="FAST", departure_at=later.isoformat()) == ("done", "")
    assert goal_of(session) == (later, 70, None)
    assert wished(session, style="REGULAR", energy_wh=9_000) == ("done", "")
    assert goal_of(session) == (later, None, 9_000)
    assert wished(session, style="REGULAR", departure_at=soon.isoformat()) == ("done", "")
    assert goal_of(session) == (soon, None, 9_000)


def goal_of(session: ChargingSession) -> tuple[Any, ...]:
    return ChargingGoal.objects.values_list("departure_at", "target_soc_percent", "energy_wh").get(session=session)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"style": "CHEAP"}, "PROFILE_TYPE_NOT_SUPPORTED"),
        ({"style": "FAST"}, "DEPARTURE_REQUIRED"),
        ({"style": "FAST", "departure_at": "2020-01-01T00:00:00Z"}, "NOT_POSSIBLE"),
    ],
)
def test_what_a_site_cannot_weigh_is_refused_in_ocpis_words(
    session: ChargingSession, said: dict[str, str], reason: str
) -> None:
    assert wished(session, **said) == ("rejected", reason)
    assert not ChargingGoal.objects.exists()


def test_where_no_site_is_managed_nothing_is_offered_or_taken(fleet: Fleet, session: ChargingSession) -> None:
    ChargingSite.objects.update(is_active=False)
    assert not offered(fleet)
    with pytest.raises(wishing.CommandRefused) as refused:
        wished(session, style="REGULAR")
    assert refused.value.code == "not_supported"
