"""What every network promises about unlocking, limits and preferences: granted, refused, late, or not offered."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from dispatch import tasks
from dispatch.models import SessionCommand
from fleetcharge.accounts.models import AuditEntry, Scope
from fleetcharge.accounts.services import create_api_key
from stations.cpo.base import Capability
from tests.contract.adapters.network import Network, becomes, lacks, needs, only_for

pytestmark = pytest.mark.django_db(transaction=True)
COMMANDS = "/api/v1/session-commands/"
roaming = only_for(lambda network: network.name in ("ocpi-2.2.1", "ocpi-2.3.0"), "takes no wishes for sessions")
unlocking = needs(Capability.UNLOCK)


def asked(network: Network, kind: str, **said: Any) -> SessionCommand:
    answer = network.client().post(f"{COMMANDS}{kind}/", said, content_type="application/json")
    assert answer.status_code == 201, answer.content
    return SessionCommand.objects.get(key=answer.json()["key"])


def refused(network: Network, kind: str, **said: Any) -> str:
    answer = network.client().post(f"{COMMANDS}{kind}/", said, content_type="application/json")
    assert answer.status_code == 409, answer.content
    return str(answer.json()["code"])


def charging(network: Network) -> ChargingSession:
    network.car_arrives()
    command = network.start()
    network.session_begins(command)
    becomes(command, "done")
    assert command.session is not None
    return command.session


@unlocking
def test_a_cable_of_ours_is_freed_and_it_is_told_who_asked(network: Network) -> None:
    session = charging(network)
    assert 'data-deed="unlock"' in network.drawer()
    row = becomes(asked(network, "unlock", connector_id=network.plugs[0], reason="cable stuck"), "done", "rejected")
    words = ("done", "") if network.name != "own-ocpp2.0.1" else ("rejected", "OngoingAuthorizedTransaction")
    assert (row.state, row.reason if row.state == "rejected" else "") == words
    assert (row.session_id, row.vehicle_id) == (session.pk, network.van.pk)
    told = AuditEntry.objects.get(action="session.unlock")
    assert (told.reason, told.target_id) == ("cable stuck", str(row.pk))


@unlocking
def test_nobody_elses_vehicle_is_let_go(network: Network) -> None:
    """At a network, a stranger's vehicle may hang there; at a charger of one's own it is one's own business."""
    if network.slug == "own":
        assert 'data-deed="unlock"' in network.drawer()
        becomes(asked(network, "unlock", connector_id=network.plugs[0]), "done", "rejected", "failed")
        return
    before = network.requests
    assert 'data-deed="unlock"' not in network.drawer()
    assert refused(network, "unlock", connector_id=network.plugs[0]) == "not_yours"
    long_ago = timezone.now() - timedelta(hours=3)
    session = charging(network)
    ChargingSession.objects.filter(pk=session.pk).update(
        state="ended", started_at=long_ago - timedelta(hours=1), ended_at=long_ago
    )
    assert refused(network, "unlock", connector_id=network.plugs[0]) == "not_yours"
    ChargingSession.objects.filter(pk=session.pk).update(ended_at=timezone.now() - timedelta(hours=1))
    becomes(asked(network, "unlock", connector_id=network.plugs[0]), "done")
    assert network.requests > before


@lacks(Capability.UNLOCK)
def test_who_declares_no_unlocking_offers_none(network: Network) -> None:
    assert 'data-deed="unlock"' not in network.drawer()
    assert refused(network, "unlock", connector_id=network.plugs[0]) == "not_supported"
    assert not SessionCommand.objects.exists()


@roaming
def test_a_session_is_limited_looked_at_and_let_go(network: Network) -> None:
    session = charging(network)
    page = network.drawer()
    assert 'data-deed="limit"' in page
    assert 'data-deed="prefer"' in page
    becomes(asked(network, "limit", session_id=session.pk, max_power_w=22_000), "done")
    method, session_ref, body = network.peer.profiles[-1]
    assert (method, session_ref) == ("PUT", session.transaction_ref)
    assert body["charging_profile"]["charging_profile_period"] == [{"start_period": 0, "limit": 22_000.0}]
    look = becomes(asked(network, "outlook", session_id=session.pk, seconds=900), "done")
    assert look.result["profile"]["charging_profile"]["charging_rate_unit"] == "W"
    shown = network.client().get(f"{COMMANDS}{look.key}/").json()
    assert (shown["result"], shown["parameters"]) == (look.result, {"seconds": 900})
    becomes(asked(network, "limit", session_id=session.pk, max_power_w=None), "done")
    assert [method for method, _, _ in network.peer.profiles[-2:]] == ["GET", "DELETE"]


@roaming
def test_a_limit_is_refused_or_not_answered_and_may_be_asked_again(network: Network) -> None:
    session = charging(network)
    network.peer.async_result = "REJECTED"
    row = becomes(asked(network, "limit", session_id=session.pk, max_power_w=11_000), "rejected")
    assert row.reason == "REJECTED"
    assert "refused: it gave no reason" in network.drawer()
    network.peer.async_result = ""
    row = becomes(asked(network, "limit", session_id=session.pk, max_power_w=11_000), "sent")
    assert refused(network, "prefer", session_id=session.pk, style="FAST") == "in_progress"
    assert 'data-deed="limit"' not in network.drawer()
    SessionCommand.objects.update(sent_at=timezone.now() - timedelta(minutes=3))
    tasks.sweep_commands()
    becomes(row, "timed_out")
    network.answers("yes")
    becomes(asked(network, "limit", session_id=session.pk, max_power_w=11_000), "done")


@roaming
def test_what_is_wanted_of_a_session_is_answered_at_once(network: Network) -> None:
    session = charging(network)
    row = becomes(asked(network, "prefer", session_id=session.pk, style="FAST"), "rejected")
    assert row.reason == "DEPARTURE_REQUIRED"
    assert "it wants to know when the vehicle leaves" in network.drawer()
    said = {"departure_at": "2026-11-22T18:00:00+05:30", "energy_wh": 30_000}
    becomes(asked(network, "prefer", session_id=session.pk, style="GREEN", **said), "done")
    assert network.peer.preferences[session.transaction_ref] == {
        "profile_type": "GREEN", "departure_time": "2026-11-22T12:30:00Z", "energy_need": 30.0,
    }  # fmt: skip
    ChargingSession.objects.filter(pk=session.pk).update(state="ended", ended_at=timezone.now())
    assert refused(network, "prefer", session_id=session.pk, style="FAST") == "not_running"


@only_for(lambda network: network.slug == "own", "is no charger of ours")
def test_a_charger_of_ours_keeps_the_limit_and_says_so(network: Network) -> None:
    """No site shares its power: the limit is the session's own, and a preference has nobody to weigh it."""
    session = charging(network)
    page = network.drawer()
    assert 'data-deed="limit"' in page
    assert 'data-deed="prefer"' not in page
    becomes(asked(network, "limit", session_id=session.pk, max_power_w=22_000), "done")
    look = becomes(asked(network, "outlook", session_id=session.pk, seconds=900), "done")
    profile = look.result["profile"]["charging_profile"]
    assert (profile["charging_rate_unit"], profile["charging_profile_period"][0]["limit"]) == ("W", 22_000)
    becomes(asked(network, "limit", session_id=session.pk, max_power_w=None), "done")
    look = becomes(asked(network, "outlook", session_id=session.pk, seconds=900), "done")
    assert look.result["profile"]["charging_profile"]["charging_profile_period"][0]["limit"] > 22_000


@only_for(lambda network: network.name in ("ocpi-2.1.1", "ubc"), "takes them, or tells of no session")
def test_who_takes_no_wishes_offers_none(network: Network) -> None:
    session = charging(network)
    page = network.drawer()
    assert 'data-deed="limit"' not in page
    assert 'data-deed="prefer"' not in page
    assert refused(network, "limit", session_id=session.pk, max_power_w=1) == "not_supported"
    assert refused(network, "prefer", session_id=session.pk, style="FAST") == "not_supported"


@needs(Capability.START_STOP)
def test_who_may_only_look_asks_nothing_and_strangers_know_of_nothing(network: Network) -> None:
    session = charging(network)
    wishes: dict[str, dict[str, Any]] = {
        "unlock": {"connector_id": network.plugs[0]}, "limit": {"session_id": session.pk, "max_power_w": 1},
        "outlook": {"session_id": session.pk}, "prefer": {"session_id": session.pk, "style": "FAST"},
    }  # fmt: skip
    secret = create_api_key(organisation=network.fleet, name="look", scopes=[Scope.DISPATCH_READ])[1]
    for kind, said in wishes.items():
        path = f"{COMMANDS}{kind}/"
        looking = network.client().post(path, said, content_type="application/json", headers={"X-API-Key": secret})
        assert looking.status_code == 403, kind
        stranger = network.client(network.stranger).post(path, said, content_type="application/json")
        assert stranger.status_code == 404, kind
    assert set(SessionCommand.objects.values_list("kind", flat=True)) == {"start"}
