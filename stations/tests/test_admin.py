"""The registry on the desk: owners connect their networks and complete their plugs, and publish nothing to others."""

import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from fleetcharge.accounts.models import AuditEntry, Organisation, User
from stations import tasks
from stations.models import Charger, Connector, Location, Source
from stations.tests.cpo_peer import CPOPeer
from stations.tests.factories import make_charger, make_public_connector, make_source

pytestmark = pytest.mark.django_db(transaction=True)
WHY = {"reason": "contract signed"}


@pytest.fixture
def desk(owner: User, client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Signed in as the owner; tasks run at once, there is no worker here."""
    for task in (tasks.register_source, tasks.unregister_source, tasks.check_source, tasks.poll_source):
        monkeypatch.setattr(task, "delay", task)
    client.force_login(owner)
    return client


@pytest.fixture
def network(source: Source, organisation: Organisation) -> Source:
    source.organisation, source.peer_token = organisation, ""
    source.save()
    return source


def act(desk: Client, action: str, *rows: Any) -> Any:
    model = rows[0]._meta.model_name
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return desk.post(f"/admin/stations/{model}/", data, follow=True)


def page(network: Source, name: str) -> str:
    return f"/admin/stations/source/{network.pk}/{name}/"


def test_an_owner_connects_rotates_and_leaves_a_network(desk: Client, network: Source, peer: CPOPeer) -> None:
    assert "Token of the CPO" in desk.get(page(network, "connect")).content.decode()
    desk.post(page(network, "connect"), {"token": "TOKEN_A", **WHY})
    network.refresh_from_db()
    assert (network.state, network.peer_token) == ("connected", "TOKEN_C")
    desk.post(page(network, "connect"), WHY)
    network.refresh_from_db()
    assert network.peer_token == "TOKEN_D"
    desk.post(page(network, "disconnect"), WHY)
    network.refresh_from_db()
    assert (network.state, network.endpoints) == ("disabled", {})
    done = AuditEntry.objects.filter(target_type="stations.source").order_by("pk").values_list("action", "reason")
    assert list(done) == [("register", WHY["reason"])] * 2 + [("unregister", WHY["reason"])]


def test_nothing_happens_without_a_reason(desk: Client, network: Source, peer: CPOPeer) -> None:
    desk.post(page(network, "connect"), {"token": "TOKEN_A", "reason": " "})
    network.refresh_from_db()
    assert (network.state, network.peer_token, peer.calls) == ("new", "", [])


def test_a_wrong_token_is_shown_where_one_looks(desk: Client, network: Source) -> None:
    desk.post(page(network, "connect"), {"token": "wrong", **WHY})
    network.refresh_from_db()
    assert (network.state, network.last_error) == ("new", "VoltGrid answers HTTP 401.")


def test_an_invited_cpo_registers_with_the_token_that_is_shown_once(
    desk: Client, network: Source, peer: CPOPeer, ours: str
) -> None:
    said = desk.post(page(network, "invite"), WHY, follow=True).content.decode()
    found = re.search(r"Token for VoltGrid: (\S+) - give it", said)
    assert found
    peer.their_credentials = {"token": found[1]}
    mine = {"token": "TOKEN_A", "url": f"{peer.base_url}/versions", "roles": []}
    assert peer.push("POST", f"{ours}/ocpi/2.2.1/credentials", mine).json()["status_code"] == 1000
    assert found[1] not in desk.get(page(network, "change")).content.decode()


def test_test_poll_and_switch(desk: Client, network: Source, peer: CPOPeer) -> None:
    act(desk, "try_connection", network)
    network.refresh_from_db()
    assert network.last_error == "Test: VoltGrid has given us no token yet."
    network.peer_token = "TOKEN_A"
    network.save()
    act(desk, "poll_now", network)
    assert Location.objects.count() == 3
    act(desk, "switch_off", network)
    act(desk, "poll_now", network)
    network.refresh_from_db()
    assert network.state == "disabled"
    act(desk, "switch_on", network)
    network.refresh_from_db()
    assert network.state == "new"
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")] == ["test", "poll", "switch_off", "switch_on"]


def test_a_public_network_is_not_an_owners_to_change(desk: Client, source: Source, peer: CPOPeer) -> None:
    for name in ("connect", "invite", "disconnect"):
        desk.post(page(source, name), {"token": "TOKEN_A", **WHY})
    for action in ("try_connection", "poll_now", "switch_off"):
        act(desk, action, source)
    source.refresh_from_db()
    assert (source.state, source.our_token_hash, source.last_error, peer.calls) == ("new", "", "", [])
    assert not AuditEntry.objects.exists()


def test_an_owner_publishes_nothing_to_other_fleets(desk: Client, organisation: Organisation) -> None:
    fields = {"name": "Mine", "slug": "mine", "kind": "ocpi-2.2.1", "poll_interval_seconds": 3600, "trust": 50,
              "full_sync_seconds": 86400}  # fmt: skip
    desk.post("/admin/stations/source/add/", {**fields, "organisation": ""})
    assert Source.objects.get(slug="mine").organisation == organisation
    depot = {"source": Source.objects.get(slug="mine").pk, "name": "Depot", "country_code": "IN", "latitude": "12.9",
             "longitude": "77.6", "time_zone": "Asia/Kolkata", "organisation": ""}  # fmt: skip
    forms = {f"evses-{name}": number for name, number in (("TOTAL_FORMS", 0), ("INITIAL_FORMS", 0))}
    desk.post("/admin/stations/location/add/", {**depot, **forms})
    assert Location.objects.get(name="Depot").organisation == organisation


def test_an_owner_completes_a_discovered_plug_and_no_other(desk: Client, organisation: Organisation) -> None:
    own = Connector.objects.get(evse__charger=make_charger(organisation))
    Connector.objects.update(plug="unknown", max_power_w=0)
    public = make_public_connector(make_source(slug="voltgrid", kind="ocpi-2.2.1"))
    facts = {"plug": "chademo", "format": "CABLE", "power_type": "DC", "max_power_w": 50_000, "max_voltage_v": 500,
             "max_current_a": 125, "status": "available"}  # fmt: skip
    for connector in (own, public):
        desk.post(f"/admin/stations/connector/{connector.pk}/change/", facts)
        connector.refresh_from_db()
    assert (own.plug, own.max_power_w, own.status) == ("chademo", 50_000, "unknown")
    assert public.plug == "ccs2"


def test_a_new_charger_shows_its_key_once(desk: Client, organisation: Organisation) -> None:
    site = make_charger(organisation, "BLR-001").location
    fields = {
        "organisation": organisation.pk,
        "location": site.pk,
        "ocpp_identity": "BLR-002",
        "min_security_profile": 0,
    }
    said = desk.post(
        "/admin/stations/charger/add/", {**fields, "registration": "Accepted", "subprotocols": ""}, follow=True
    ).content.decode()
    key = re.search(r"Key of BLR-002: (\S+) - write", said)
    assert key
    charger = Charger.objects.get(ocpp_identity="BLR-002")
    assert charger.auth_key_hash not in ("", key[1])
    assert key[1] not in desk.get(f"/admin/stations/charger/{charger.pk}/change/").content.decode()


@pytest.mark.parametrize(
    "model", ["source", "location", "charger", "connector", "tariff", "statuschange", "cpocommand", "party"]
)
def test_every_list_opens_in_a_fixed_number_of_queries(
    desk: Client, organisation: Organisation, model: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        make_charger(organisation, f"BLR-{number:03d}")
    desk.get(f"/admin/stations/{model}/")
    with django_assert_max_num_queries(16):
        answer = desk.get(f"/admin/stations/{model}/?q=b")
    assert answer.status_code == 200


def test_a_site_shows_its_plugs(desk: Client, organisation: Organisation) -> None:
    site = make_charger(organisation).location
    said = desk.get(f"/admin/stations/location/{site.pk}/change/").content.decode()
    assert "CCS2 60 kW" in said


def test_djangos_own_checks_run_and_find_nothing() -> None:
    """An action that takes the name of a method of ModelAdmin stops every management command."""
    call_command("check", fail_level="WARNING")
