"""What a CPO writes into our copy: whole objects and parts of them, in any order, and what we tell it we hold."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from stations.models import EVSE, Connector, Location, Party, Source, StatusChange, Tariff
from stations.tests.cpo_peer import EARLIER, LATER, STAMP, TARIFF, CPOPeer, evse, location, url

pytestmark = pytest.mark.django_db(transaction=True)
LATEST = "2026-11-21T07:00:00Z"


def plug(**changes: Any) -> dict[str, Any]:
    return {**evse("any")["connectors"][0], **changes}


def code(answer: Any) -> tuple[int, int]:
    return answer.status_code, answer.json()["status_code"]


def test_a_new_object_is_201_and_a_known_one_200(connected: Source, peer: CPOPeer, ours: str) -> None:
    assert code(peer.push("PUT", url(ours, "L8"), location(8))) == (201, 1000)
    assert code(peer.push("PUT", url(ours, "L8"), location(8, last_updated=LATER))) == (200, 1000)
    assert code(peer.push("PUT", url(ours, "L8", "NEW"), evse("NEW", updated=LATER))) == (201, 1000)
    assert code(peer.push("PUT", url(ours, "L8", "NEW"), evse("NEW", updated=LATER))) == (200, 1000)
    assert code(peer.push("PUT", url(ours, "L8", "NEW", "2"), plug(id="2", last_updated=LATER))) == (201, 1000)
    assert Connector.objects.filter(evse__uid="NEW").count() == 2


def test_a_connector_is_replaced_and_patched(connected: Source, peer: CPOPeer, ours: str) -> None:
    address = url(ours, "L1", "E1-1", "1")
    changed = plug(standard="CHADEMO", max_electric_power=120_000, last_updated=LATER)
    assert code(peer.push("PUT", address, changed)) == (200, 1000)
    assert code(peer.push("PATCH", address, {"max_electric_power": 50_000, "last_updated": LATEST})) == (200, 1000)
    assert code(peer.push("PATCH", address, {"max_electric_power": 1, "last_updated": STAMP})) == (200, 1000)  # old
    connector = Connector.objects.get(evse__uid="E1-1")
    assert (connector.plug, connector.max_power_w, connector.status) == ("chademo", 50_000, "available")
    shown = peer.push("GET", address, None).json()["data"]
    assert (shown["max_electric_power"], shown["last_updated"], shown["tariff_ids"]) == (50_000, LATEST, ["DAY"])


def test_a_status_at_a_connector_is_an_unknown_field(connected: Source, peer: CPOPeer, ours: str) -> None:
    body = {"status": "OUTOFORDER", "last_updated": LATER}
    assert code(peer.push("PATCH", url(ours, "L1", "E1-1", "1"), body)) == (200, 1000)
    assert Connector.objects.get(evse__uid="E1-1").status == "available"


def test_a_patch_of_a_site_changes_only_what_it_names(connected: Source, peer: CPOPeer, ours: str) -> None:
    assert code(peer.push("PATCH", url(ours, "L1"), {"name": "Old", "last_updated": EARLIER})) == (200, 1000)
    body = {"name": "Volt One", "postal_code": "560038", "last_updated": LATER}
    assert code(peer.push("PATCH", url(ours, "l1"), body)) == (200, 1000)
    site = Location.objects.get(name="Volt One")
    assert (site.postal_code, site.address, site.evses.filter(is_removed=False).count()) == (
        "560038", "Outer Ring Road", 2,
    )  # fmt: skip
    assert Party.objects.get().name == "VoltGrid"


def test_evses_in_a_patch_of_a_site_replace_the_list(connected: Source, peer: CPOPeer, ours: str) -> None:
    body = {"evses": [evse("E1-1", "OUTOFORDER", LATER)], "last_updated": LATER}
    assert code(peer.push("PATCH", url(ours, "L1"), body)) == (200, 1000)
    assert Connector.objects.get(evse__uid="E1-1").status == "faulted"
    assert EVSE.objects.get(uid="E1-2").is_removed


def test_a_patch_of_an_evse_keeps_its_status(connected: Source, peer: CPOPeer, ours: str) -> None:
    body = {"physical_reference": "B7", "capabilities": [], "last_updated": LATER}
    assert code(peer.push("PATCH", url(ours, "L1", "E1-2"), body)) == (200, 1000)
    unit = EVSE.objects.get(uid="E1-2")
    assert (unit.physical_reference, unit.is_reservable, unit.connectors.get().status) == ("B7", False, "charging")


def test_an_older_put_of_an_evse_is_answered_and_ignored(connected: Source, peer: CPOPeer, ours: str) -> None:
    peer.push("PATCH", url(ours, "L1", "E1-1"), {"physical_reference": "B7", "last_updated": LATEST})
    old = {**evse("E1-1", "OUTOFORDER", EARLIER), "physical_reference": "B1"}
    assert code(peer.push("PUT", url(ours, "L1", "E1-1"), old)) == (200, 1000)
    unit = EVSE.objects.get(uid="E1-1")
    assert (unit.physical_reference, unit.connectors.get().status) == ("B7", "available")


def test_removed_hides_an_evse_and_its_next_status_brings_it_back(connected: Source, peer: CPOPeer, ours: str) -> None:
    unit = url(ours, "L1", "E1-1")
    peer.push("PATCH", unit, {"status": "REMOVED", "last_updated": LATER})
    assert EVSE.objects.get(uid="E1-1").is_removed
    assert peer.push("GET", unit, None).json()["data"]["status"] == "REMOVED"
    peer.push("PATCH", unit, {"capabilities": [], "last_updated": LATER})
    assert EVSE.objects.get(uid="E1-1").is_removed
    peer.push("PATCH", unit, {"status": "AVAILABLE", "last_updated": LATEST})
    assert not EVSE.objects.get(uid="E1-1").is_removed


def test_a_site_that_is_not_to_be_published_is_hidden(connected: Source, peer: CPOPeer, ours: str) -> None:
    assert code(peer.push("PATCH", url(ours, "L1"), {"publish": False, "last_updated": LATER})) == (200, 1000)
    assert Location.objects.get(name="Volt 1").is_removed
    peer.push("PUT", url(ours, "L7"), location(7, publish=False))
    assert not Location.objects.filter(name="Volt 7").exists()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (("L1",), location(1, party_id="EVL")),
        (("L1",), location(1, country_code="DE")),
        (("L1", "E1-1"), evse("E1-2")),
        (("L1", "E1-1", "1"), plug(id="2")),
        (("L1",), {"name": "no id at all"}),
        (("L1",), ["a list"]),
        (("L1",), location(1, last_updated=LATER, coordinates={"latitude": "0", "longitude": "0"})),
        (("L1",), location(1, last_updated=LATER, coordinates={"latitude": "nan", "longitude": "77"})),
        (("L1",), location(1, last_updated=LATER, evses=[{**evse("E"), "connectors": [plug(id="x" * 40)]}])),
    ],
)
def test_an_object_we_cannot_use_changes_nothing(
    connected: Source, peer: CPOPeer, ours: str, path: tuple[str, ...], body: Any
) -> None:
    before = list(Location.objects.order_by("pk").values())
    assert code(peer.push("PUT", url(ours, *path), body)) == (200, 2001)
    assert list(Location.objects.order_by("pk").values()) == before
    assert EVSE.objects.count() == 6


def test_the_same_push_twice_is_one_transition(connected: Source, peer: CPOPeer, ours: str) -> None:
    before = StatusChange.objects.count()
    for _ in range(2):
        peer.push("PATCH", url(ours, "L1", "E1-1"), {"status": "OUTOFORDER", "last_updated": LATER})
    assert StatusChange.objects.count() == before + 1


@pytest.mark.parametrize(
    ("word", "shown"),
    [("BLOCKED", "occupied"), ("CHARGING", "charging"), ("INOPERATIVE", "unavailable"), ("OUTOFORDER", "faulted"),
     ("PLANNED", "unavailable"), ("RESERVED", "reserved"), ("UNKNOWN", "unknown"), ("BRAND_NEW_WORD", "unknown")],
)  # fmt: skip
def test_every_word_of_ocpi_has_its_status(connected: Source, peer: CPOPeer, ours: str, word: str, shown: str) -> None:
    peer.push("PATCH", url(ours, "L1", "E1-1"), {"status": word, "last_updated": "2026-11-21T06:30:00.123"})
    connector = Connector.objects.get(evse__uid="E1-1")
    assert (connector.status, connector.raw_status) == (shown, word)


# --- tariffs ---------------------------------------------------------------------------------------------------------
def tariff_url(ours: str, tariff_id: str) -> str:
    return f"{ours}/ocpi/2.2.1/emsp/tariffs/IN/VLT/{tariff_id}"


def test_a_tariff_finds_the_connectors_that_named_it_first(connected: Source, peer: CPOPeer, ours: str) -> None:
    unit = {**evse("E7", updated=LATER), "connectors": [plug(tariff_ids=["night"])]}
    peer.push("PUT", url(ours, "L7"), location(7, evses=[unit]))
    assert Connector.objects.get(evse__uid="E7").tariff is None
    peer.push("PUT", tariff_url(ours, "NIGHT"), {**TARIFF, "id": "NIGHT"})
    tariff = Connector.objects.get(evse__uid="E7").tariff
    assert tariff is not None
    assert tariff.external_id == "NIGHT"


def test_a_changed_tariff_is_a_new_version_and_a_deleted_one_keeps_its_history(
    connected: Source, peer: CPOPeer, ours: str
) -> None:
    dearer = {**TARIFF, "elements": [{"price_components": [{"type": "ENERGY", "price": 21.25, "step_size": 1}]}]}
    for _ in range(2):
        assert code(peer.push("PUT", tariff_url(ours, "day"), {**dearer, "id": "day"})) == (200, 1000)
    assert list(Tariff.objects.order_by("version").values_list("version", flat=True)) == [1, 2]
    assert Tariff.objects.get(valid_to=None).version == 2
    price = peer.push("GET", tariff_url(ours, "DAY"), None).json()["data"]["elements"][0]["price_components"][0]
    assert price["price"] == "21.25"
    assert code(peer.push("DELETE", tariff_url(ours, "DAY"), None)) == (200, 1000)
    assert peer.push("GET", tariff_url(ours, "DAY"), None).status_code == 404
    assert Tariff.objects.count() == 2
    assert code(peer.push("PUT", tariff_url(ours, "DAY"), {"id": "DAY"})) == (200, 2001)
    assert peer.push("PATCH", tariff_url(ours, "DAY"), {}).status_code == 405


def test_freshness_of_a_network_comes_from_its_pushes_and_polls(connected: Source, peer: CPOPeer, ours: str) -> None:
    long_ago = timezone.now() - timedelta(hours=3)
    Connector.objects.update(heard_at=long_ago)
    Source.objects.update(last_polled_at=long_ago, last_push_at=None)
    available = Connector.objects.available()
    assert not available.exists()
    peer.push("PATCH", url(ours, "L1", "E1-2"), {"status": "CHARGING", "last_updated": LATER})
    assert available.count() == 3  # the network pushes, so the silence about the others is news
