"""Smart charging over REST: limits of a site, its plan, and the goal of a session."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import ChargingSession
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from ocpp_bridge.charging import planning
from ocpp_bridge.models import ChargingGoal, ChargingSite, Command, HeldProfile
from ocpp_bridge.tests import factories
from stations.models import Charger, Connector

LIMITS = {"limit_w": 40_000, "windows": [{"from": "18:00", "to": "22:00", "limit_w": 20_000}], "safe_percent": 10}


@pytest.fixture
def station(organisation: Organisation) -> Charger:
    made = factories.charger(organisation, "BLR-017", last_seen_at=timezone.now(), is_online=True, protocol="ocpp1.6")
    Connector.objects.update(max_power_w=22_000, power_type=Connector.PowerType.AC_3_PHASE)
    return made


@pytest.fixture
def session(station: Charger, organisation: Organisation) -> ChargingSession:
    plug = Connector.objects.get(evse__charger=station, connector_id=1)
    return ChargingSession.objects.create(
        organisation=organisation, source=station.location.source, charger=station, connector=plug,
        transaction_ref="77", start_key="k", started_at=timezone.now(), power_w=9_000,
    )  # fmt: skip


@pytest.fixture
def desk(client: Client, dispatcher: User) -> Client:
    client.force_login(dispatcher)
    return client


def url(station: Charger) -> str:
    return f"/api/v1/charging-sites/{station.location.public_id}/"


def put(desk: Client, address: str, body: dict[str, Any]) -> Any:
    return desk.put(address, body, content_type="application/json")


def test_a_site_is_managed_once_it_has_limits(desk: Client, station: Charger) -> None:
    assert desk.get(url(station)).status_code == 404
    answer = put(desk, url(station), LIMITS)
    assert (answer.status_code, answer.json()["windows"]) == (200, LIMITS["windows"])
    site = ChargingSite.objects.get()
    assert (site.limit_w, site.safe_percent, site.policy) == (40_000, 10, "deadline")
    assert site.due_at is not None
    assert AuditEntry.objects.get(action="charging.limits").after["limit_w"] == 40_000
    assert [row["location"] for row in desk.get("/api/v1/charging-sites/").json()["results"]] == [
        station.location.public_id
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"limit_w": -1},
        {"limit_w": 2**31},
        {"limit_w": 1, "safe_percent": 101},
        {"limit_w": 1, "policy": "greedy"},
        {"limit_w": 1, "windows": [{"from": "18:00", "to": "18:00", "limit_w": 1}]},
        {"limit_w": 1, "windows": [{"from": "25:00", "to": "18:00", "limit_w": 1}]},
        {"limit_w": 1, "windows": [{"from": "17:00", "to": "18:00"}]},
        {"limit_w": 1, "windows": [{"from": "17:00", "to": "18:00", "limit_w": -5}]},
        {"limit_w": 1, "windows": ["evening"]},
    ],
)
def test_limits_that_make_no_sense_are_refused(desk: Client, station: Charger, wrong: dict[str, Any]) -> None:
    answer = put(desk, url(station), wrong)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert not ChargingSite.objects.exists()


def test_the_view_says_what_each_plug_wants_may_and_draws(
    desk: Client, station: Charger, session: ChargingSession
) -> None:
    put(desk, url(station), LIMITS | {"windows": [], "safe_percent": 0})
    leaves_at = timezone.now() + timedelta(hours=1)
    goal = {"departure_at": leaves_at.isoformat(), "energy_wh": 30_000}
    assert put(desk, f"/api/v1/sessions/{session.pk}/charging-goal/", goal).status_code == 200
    planning.plan(location_id=station.location_id, reason="test", now=timezone.now())
    plan = desk.get(url(station)).json()["plan"]
    assert (plan["limit_now_w"], plan["measured_w"]) == (40_000, 9_000)
    used, free = plan["outlets"]
    assert (used["wanted_w"], used["allowed_w"], used["measured_w"]) == (18_000, 22_000, 9_000)
    assert (used["needed_wh"], used["departure_from"]) == (30_000, "goal")
    assert 11_900 <= used["missing_wh"] <= 12_100
    assert (free["session"], free["wanted_w"], free["allowed_w"]) == (None, None, 22_000)
    assert plan["excess_w"] == 4_000, "nobody has accepted a limit yet"


def test_a_goal_is_set_read_and_dropped(desk: Client, station: Charger, session: ChargingSession) -> None:
    address = f"/api/v1/sessions/{session.pk}/charging-goal/"
    assert desk.get(address).status_code == 404
    assert put(desk, address, {"target_soc_percent": 90}).json()["target_soc_percent"] == 90
    assert put(desk, address, {"target_soc_percent": 101}).status_code == 400
    assert ChargingGoal.objects.get().actor == "Asha R"
    assert desk.delete(address).status_code == 204
    ChargingSession.objects.update(state="ended")
    answer = put(desk, address, {"energy_wh": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "session_over")
    assert not ChargingGoal.objects.exists()


def test_a_site_that_is_given_up_takes_its_profiles_back(desk: Client, station: Charger) -> None:
    put(desk, url(station), LIMITS)
    HeldProfile.objects.create(charger=station, evse_number=1, purpose="tx_default", accepted=[[0, None, 4_000]])
    assert desk.delete(url(station)).status_code == 204
    cleared = Command.objects.get(action="ClearChargingProfile")
    assert cleared.parameters == {"profile_id": 7_301_001}
    assert not HeldProfile.objects.exists() and not ChargingSite.objects.get().is_active
    assert planning.plan(location_id=station.location_id, reason="test", now=timezone.now()) is None


def test_strangers_neither_see_nor_set(
    client: Client, stranger: User, station: Charger, session: ChargingSession, organisation: Organisation
) -> None:
    ChargingSite.objects.create(location=station.location, organisation=organisation, limit_w=1)
    client.force_login(stranger)
    for address in (url(station), f"/api/v1/sessions/{session.pk}/charging-goal/"):
        assert client.get(address).status_code == 404
        assert client.put(address, LIMITS, content_type="application/json").status_code in {403, 404}
        assert client.delete(address).status_code in {403, 404}
    assert ChargingSite.objects.get().limit_w == 1
