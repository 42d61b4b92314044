"""The shapes vendors push in: OCPI PATCH, Monta, OICP, and a vendor of its own; each answered in its own words."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from stations.cpo.webhooks import presets, route
from stations.cpo.webhooks.models import DeadLetter, WebhookFeed
from stations.models import Connector, Location
from stations.news import announcer
from stations.tests.hooks import Hooks, before, make_feed, make_plug
from stations.tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = {"Authorization": "Token c3RhdGljLWtleS1vZi1hLXZlbmRvcg=="}  # base64 of the key below, as OCPI sends it
KEY = "static-key-of-a-vendor"


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with serve(route.hooks) as base:
        yield Hooks(base)
    route.threads.close()
    announcer.close()


def shown(connector: Connector) -> str:
    return Connector.objects.get(pk=connector.pk).status


# --- OCPI ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def ocpi() -> WebhookFeed:
    return make_feed(style="ocpi", mapping={}, algorithm="static", signature_header="Authorization", secret=KEY)


SITE = {
    "country_code": "IN", "party_id": "VGR", "id": "LOC1", "publish": True, "name": "Hebbal Hub",
    "address": "Ring Road", "city": "Bengaluru", "country": "IND",
    "coordinates": {"latitude": "13.0358", "longitude": "77.5970"},
    "time_zone": "Asia/Kolkata", "last_updated": "2026-01-01T00:00:00Z",
    "evses": [
        {"uid": uid, "status": "AVAILABLE", "last_updated": "2026-01-01T00:00:00Z",
         "connectors": [{"id": "1", "standard": "IEC_62196_T2_COMBO", "format": "CABLE", "power_type": "DC",
                         "max_voltage": 500, "max_amperage": 120, "last_updated": "2026-01-01T00:00:00Z"}]}
        for uid in ("E1", "E2")
    ],
}  # fmt: skip


def test_an_ocpi_vendor_puts_a_site_and_patches_its_evses(hooks: Hooks, ocpi: WebhookFeed) -> None:
    put = hooks.push(SITE, path="/IN/VGR/LOC1", method="PUT", headers=TOKEN)
    assert (put.status_code, put.json()["status_code"]) == (200, 1000)
    assert Location.objects.get().name == "Hebbal Hub"
    first, second = Connector.objects.order_by("evse__uid")
    assert (first.plug, first.max_power_w, first.status) == ("ccs2", 60_000, "available")
    patch = {"status": "CHARGING", "last_updated": before(5).isoformat()}
    answer = hooks.push(patch, path="/IN/VGR/LOC1/E1", method="PATCH", headers=TOKEN)
    assert answer.json() == {"status_code": 1000, "status_message": "Success", "timestamp": answer.json()["timestamp"]}
    assert (shown(first), shown(second)) == ("charging", "available")
    # the same EVSE in another spelling of its address, and older news
    old = {"status": "OUTOFORDER", "last_updated": before(60).isoformat()}
    assert hooks.push(old, path="/in/vgr/loc1/e1", method="PATCH", headers=TOKEN).json()["status_code"] == 1000
    assert shown(first) == "charging"


def test_a_site_that_is_not_to_be_published_is_hidden(hooks: Hooks, ocpi: WebhookFeed) -> None:
    secret = {**SITE, "publish": False}
    assert hooks.push(secret, path="/IN/VGR/LOC1", method="PUT", headers=TOKEN).json()["status_code"] == 1000
    assert not Location.objects.exists()
    for body, is_shown in ((SITE, True), (secret, False), ({**SITE, "name": "Back"}, True)):
        hooks.push(body, path="/IN/VGR/LOC1", method="PUT", headers=TOKEN)
        assert Location.objects.filter(is_removed=False).exists() is is_shown


def test_a_site_is_hidden_and_shown_in_the_order_of_its_words(hooks: Hooks, ocpi: WebhookFeed) -> None:
    def put(hour: int, is_published: bool) -> bool:
        body = {**SITE, "publish": is_published, "last_updated": f"2026-01-01T0{hour}:00:00Z", "name": f"At {hour}"}
        assert hooks.push(body, path="/IN/VGR/LOC1", method="PUT", headers=TOKEN).json()["status_code"] == 1000
        return Location.objects.filter(is_removed=False).exists()

    assert put(2, True)
    assert put(1, False)  # it comes late: the newer word stands
    assert not put(4, False)
    assert not put(3, True)
    assert put(5, True)


def test_an_ocpi_patch_of_a_whole_location_moves_each_evse(hooks: Hooks, ocpi: WebhookFeed) -> None:
    hooks.push(SITE, path="/IN/VGR/LOC1", method="PUT", headers=TOKEN)
    at = before(5).isoformat()
    body = {"last_updated": at, "evses": [{"uid": "E1", "status": "RESERVED", "last_updated": at},
                                          {"uid": "E2", "status": "SOMETHING_NEW"},
                                          {"uid": "E9", "status": "AVAILABLE"}]}  # fmt: skip
    answer = hooks.push(body, path="/IN/VGR/LOC1", method="PATCH", headers=TOKEN)
    assert [result["code"] for result in answer.json()["data"]] == ["applied", "unknown_word", "unknown_evse"]
    assert answer.json()["status_code"] == 2003
    assert [shown(plug) for plug in Connector.objects.order_by("evse__uid")] == ["reserved", "unknown"]


@pytest.mark.parametrize(
    ("path", "body", "status_code", "code"),
    [
        ("/IN/VGR/LOC1/E9", {"status": "CHARGING", "last_updated": "2026-01-02T00:00:00Z"}, 2003, "unknown_evse"),
        ("/IN/VGR/LOC1/E1", {"status": "CHARGING"}, 2001, "no_last_updated"),
        ("/IN/VGR/LOC1/E1", {"status": "CHARGING", "last_updated": "soon"}, 2001, "bad_time"),
        ("/IN/VGR/LOC1", {"status": "CHARGING", "last_updated": "2026-01-02T00:00:00Z"}, 2001, "no_evse"),
        ("/IN/VGR/LOC2", {**SITE, "coordinates": {"latitude": "x", "longitude": "y"}}, 2001, "bad_entry"),
    ],
)
def test_an_ocpi_push_that_cannot_be_used_says_so_in_ocpi(
    hooks: Hooks, ocpi: WebhookFeed, path: str, body: Any, status_code: int, code: str
) -> None:
    hooks.push(SITE, path="/IN/VGR/LOC1", method="PUT", headers=TOKEN)
    answer = hooks.push(body, path=path, method="PATCH", headers=TOKEN)
    assert (answer.status_code, answer.json()["status_code"]) == (200, status_code)
    assert answer.json()["status_message"].startswith(code)
    assert DeadLetter.objects.get().code == code
    assert {plug.status for plug in Connector.objects.all()} == {"available"}


def test_two_evses_may_say_the_same_in_the_same_second(hooks: Hooks, ocpi: WebhookFeed) -> None:
    """A PATCH does not name its EVSE, only its address does: equal bytes are no replay."""
    hooks.push(SITE, path="/IN/VGR/LOC1", method="PUT", headers=TOKEN)
    patch = {"status": "CHARGING", "last_updated": before(5).isoformat()}
    for uid in ("E1", "E2"):
        assert hooks.push(patch, path=f"/IN/VGR/LOC1/{uid}", method="PATCH", headers=TOKEN).status_code == 200
    assert {plug.status for plug in Connector.objects.all()} == {"charging"}


def test_a_static_key_is_taken_bare_or_in_base64_and_no_other(hooks: Hooks, ocpi: WebhookFeed) -> None:
    for value in (KEY, f"Bearer {KEY}", f"Token {KEY}", TOKEN["Authorization"]):
        assert hooks.push([], headers={"Authorization": value}).status_code == 200
    for value in (f"Bearer {KEY}x", "Bearer", "", KEY[:-1]):
        assert hooks.push([], headers={"Authorization": value}).status_code == 401


# --- Monta --------------------------------------------------------------------------------------------------------
def monta(state: str, *, entity: str = "charge-point", event: str = "updated", **payload: Any) -> dict[str, Any]:
    facts = {"id": 71, "name": "Depot 1", "state": state, "maxKW": 22,
             "connectors": [{"identifier": "type2", "name": "Type 2"}],
             "location": {"coordinates": {"latitude": 12.97, "longitude": 77.6},
                          "address": {"address1": "MG Road", "city": "Bengaluru", "zip": "560001"}}}  # fmt: skip
    return {"entityType": entity, "entityId": "71", "eventType": event, "payload": {**facts, **payload}}


def monta_push(*entries: Any, ago: float = 0) -> dict[str, Any]:
    return {"entries": list(entries), "pending": 0, "timestamp": int((time.time() - ago) * 1000)}


def test_monta_entries_make_charge_points_and_move_them(hooks: Hooks) -> None:
    make_feed(style="monta", mapping=presets.MONTA, signed="{body}", timestamp_header="")
    answer = hooks.push(monta_push(monta("available"), monta("x", entity="charge"), ago=30), headers=None)
    assert answer.status_code == 401  # signed over more than the body
    first = push_plain(hooks, monta_push(monta("available"), monta("x", entity="charge"), ago=30))
    assert [result["code"] for result in first.json()["results"]] == ["applied", "ignored"]
    plug = Connector.objects.get()
    assert (plug.plug, plug.max_power_w, plug.status) == ("type2_socket", 22_000, "available")
    assert (plug.evse.location.city, plug.evse.location.name) == ("Bengaluru", "Depot 1")
    moved = {"entityType": "charge-point", "entityId": "71", "eventType": "updated", "payload": {"state": "busy"}}
    assert push_plain(hooks, monta_push(moved, ago=20)).json()["results"][0]["code"] == "applied"
    assert shown(plug) == "charging"
    late = push_plain(hooks, monta_push(moved, ago=400))
    assert (late.status_code, late.json()["code"]) == (401, "expired")
    gone = {**moved, "eventType": "deleted", "payload": None}
    assert push_plain(hooks, monta_push(gone, ago=10)).json()["results"][0]["code"] == "applied"
    plug.refresh_from_db()
    assert (plug.status, plug.evse.is_removed) == ("unavailable", True)


def push_plain(hooks: Hooks, body: Any) -> Any:
    import hashlib
    import hmac

    import orjson

    from stations.tests.hooks import SECRET

    raw = orjson.dumps(body)
    return hooks.push(raw, headers={"X-Signature": hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()})


# --- OICP ---------------------------------------------------------------------------------------------------------
def oicp(action: str, **statuses: str) -> dict[str, Any]:
    records = [{"EvseID": name.replace("_", "*"), "EvseStatus": status} for name, status in statuses.items()]
    return {"ActionType": action, "OperatorEvseStatus": {"OperatorID": "IN*KVR", "EvseStatusRecord": records}}


def test_oicp_updates_full_loads_and_deletes(hooks: Hooks) -> None:
    feed = make_feed(style="oicp", mapping=presets.OICP)
    plugs = {name: make_plug(feed, name) for name in ("IN*KVR*E1", "IN*KVR*E2", "IN*KVR*E3")}

    def statuses() -> list[str]:
        return [shown(plug) for plug in plugs.values()]

    answer = hooks.push(oicp("update", IN_KVR_E1="Available", IN_KVR_E2="Occupied", IN_KVR_E3="OutOfService"))
    assert answer.json()["Result"] is True
    assert answer.json()["StatusCode"] == {"Code": "000", "Description": "Success"}
    assert statuses() == ["available", "charging", "faulted"]
    assert hooks.push(oicp("fullLoad", IN_KVR_E1="Reserved", IN_KVR_E2="Available")).json()["Result"] is True
    assert statuses() == ["reserved", "available", "unknown"]
    assert hooks.push(oicp("delete", IN_KVR_E2="Available")).json()["Result"] is True
    assert statuses() == ["reserved", "unavailable", "unknown"]
    bad = hooks.push(oicp("update", IN_KVR_E9="Available", IN_KVR_E2="Available"))
    assert (bad.json()["Result"], bad.json()["StatusCode"]["Code"]) == (False, "021")
    assert [result["code"] for result in bad.json()["results"]] == ["unknown_evse", "applied"]
    assert statuses() == ["reserved", "available", "unknown"]
