"""The 25 pitfalls of OCPI in the field, one test each and more, against a live server over HTTP."""

import asyncio
import base64
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from billing.services.tariffs import tariff_for
from fleetcharge.accounts import throttling
from fleetcharge.accounts.models import Organisation
from fleetcharge.demo.peers import objects
from stations import tasks
from stations.cpo.base import CPOError, CPOUnavailable, StartRequest
from stations.cpo.guard import check_url
from stations.cpo.ocpi import pacing, registration
from stations.cpo.ocpi.adapter import OCPIAdapter, push_tokens
from stations.cpo.ocpi.client import OCPIClient
from stations.cpo.ocpi.models import RoamingCDR, RoamingSession
from stations.models import EVSE, Connector, CPOCommand, Location, Source, StatusChange, Tariff
from stations.tests.ocpi_peers import Network, code, give_access, network

pytestmark = pytest.mark.django_db(transaction=True)
LATER, LATEST = "2026-11-21T07:00:00Z", "2026-11-21T08:00:00Z"


def versions(net: Network, authorization: str) -> int:
    return httpx.get(f"{net.ours}/ocpi/versions", headers={"Authorization": authorization}).status_code


def encoded(token: str) -> str:
    return "Token " + base64.b64encode(token.encode()).decode()


def test_01_tokens_come_encoded_or_raw_and_a_newline_is_no_part_of_them(everywhere: Network) -> None:
    token = everywhere.peer.their["token"]
    assert versions(everywhere, encoded(token)) == 200
    assert versions(everywhere, encoded(f"{token}\n")) == 200
    assert versions(everywhere, f"Token {token}") == 200
    assert versions(everywhere, encoded(f"{token}x")) == 401
    assert versions(everywhere, f"Bearer {token}") == 401
    assert token not in repr(Source.objects.values())


def test_02_each_token_opens_one_direction_only(everywhere: Network) -> None:
    presented_to_them = everywhere.source.peer_token
    assert presented_to_them != everywhere.peer.their["token"]
    assert versions(everywhere, encoded(presented_to_them)) == 401
    everywhere.peer.accepted = everywhere.peer.their["token"]
    with pytest.raises(CPOError, match="401"), OCPIClient(everywhere.source) as client:
        client.call("GET", everywhere.source.endpoints["locations"])


def test_03_the_old_token_lives_until_the_new_one_is_used(usual: Network) -> None:
    old = usual.peer.their["token"]
    new = registration.new_token_for(usual.source)
    assert versions(usual, encoded(old)) == 200
    assert versions(usual, encoded(new)) == 200
    assert versions(usual, encoded(old)) == 401


def test_04_a_call_back_during_our_call_back_is_answered(ours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPO POSTs, we read its versions meanwhile, and it looks at ours before it answers: no deadlock."""
    with network(ours, "2.2.1") as net:
        net.peer.their = {"token": registration.new_token_for(net.source), "url": f"{ours}/ocpi/versions"}
        seen, route = [], net.peer._route

        async def look_back(method: str, path: list[str], body: Any, query: dict[str, str]) -> Any:
            if path == ["versions"]:
                async with httpx.AsyncClient() as client:
                    seen.append((await client.get(f"{ours}/ocpi/versions", headers=net.peer.headers())).status_code)
            return await route(method, path, body, query)

        monkeypatch.setattr(net.peer, "_route", look_back)
        mine = net.peer.credentials("2.2.1", "TOKEN_A")
        answer = httpx.post(f"{ours}/ocpi/2.2.1/credentials", json=mine, headers=net.peer.headers(), timeout=60)
        assert (code(answer), seen) == ((200, 1000), [200])


def test_05_a_patch_has_a_moment_older_ones_are_ignored_equal_ones_apply_once(everywhere: Network) -> None:
    def patch(**body: str) -> tuple[int, int]:
        return code(everywhere.peer.patch("locations", "L1", "E1-1", body=body))

    assert patch(status="OUTOFORDER") == (200, 2001)
    assert patch(status="OUTOFORDER", last_updated="1999-01-01T00:00:00Z") == (200, 1000)
    assert everywhere.plug().status == "available"
    before = StatusChange.objects.count()
    for _ in range(2):
        assert patch(status="OUTOFORDER", last_updated=LATER) == (200, 1000)
    assert (everywhere.plug().status, StatusChange.objects.count()) == ("faulted", before + 1)


def test_06_an_unknown_evse_is_told_so_and_fetched(everywhere: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.fetch_location, "delay", tasks.fetch_location)
    more = [objects.evse(everywhere.version, uid, last_updated=LATER) for uid in ("E1-1", "NEW")]
    everywhere.peer.lists["locations"][0] = objects.location(everywhere.version, 1, evses=more, last_updated=LATER)
    answer = everywhere.peer.patch("locations", "L1", "OTHER", body={"status": "CHARGING", "last_updated": LATER})
    assert code(answer) == (200, 2003)
    assert EVSE.objects.filter(uid="NEW").exists()


def test_07_a_status_at_a_connector_is_ignored_like_any_unknown_field(everywhere: Network) -> None:
    body = {"status": "OUTOFORDER", "colour": "green", "last_updated": LATER}
    assert code(everywhere.peer.patch("locations", "L1", "E1-1", "1", body=body)) == (200, 1000)
    assert everywhere.plug().status == "available"


def test_08_ids_compare_without_case_and_are_sent_as_the_cpo_writes_them(usual: Network) -> None:
    usual.peer.patch("locations", "l1", "e1-1", body={"status": "RESERVED", "last_updated": LATER})
    assert usual.plug().status == "reserved"
    OCPIAdapter().start(StartRequest(usual.plug(), "ref-1", "CARD1"))
    body = usual.peer.commands[0][1]
    assert (body["location_id"], body["evse_uid"]) == ("L1", "E1-1")


def test_09_a_crawl_survives_moving_objects_loops_and_a_lost_limit(ours: str) -> None:
    with network(ours, "2.2.1") as net:
        net.peer.lists["locations"] = [objects.location("2.2.1", number) for number in range(1, 6)]

        def move_first_to_the_end() -> None:
            if net.peer.calls[-1][1].endswith("/locations"):
                net.peer.lists["locations"].append(net.peer.lists["locations"].pop(0))
                net.peer.on_page = lambda: None

        net.peer.on_page = move_first_to_the_end
        net.register()
        net.poll()
        assert Location.objects.count() == 5
        net.peer.links_loop = True
        assert net.poll_since_october().state == "connected"
        crawl = [query for _, path, query, _ in net.peer.calls if path.endswith("/locations")]
        assert all("date_from" in query for query in crawl[-2:])


def test_09_a_list_that_goes_in_a_circle_hides_nothing(usual: Network) -> None:
    usual.peer.lists["locations"] = [objects.location("2.2.1", number) for number in range(1, 6)]
    Source.objects.update(full_synced_at=None)
    usual.poll()
    usual.peer.links_loop = True
    for _ in range(4):
        Source.objects.update(full_synced_at=None)
        usual.poll()
    assert Location.objects.filter(is_removed=False).count() == 5
    assert "go in a circle" in str(usual.source.refusals)
    usual.peer.calls.clear()
    usual.poll()
    lists = [query for _, path, query, _ in usual.peer.calls if path.endswith("/locations")]
    assert lists and all("date_from" in query for query in lists)  # it is not asked for all of it at every poll
    usual.peer.page_size = 10
    usual.peer.lists["locations"].pop()
    for _ in range(3):
        Source.objects.update(full_synced_at=None)
        usual.poll()
    assert Location.objects.filter(is_removed=False).count() == 4  # all that it promised had come, so it was whole


def test_10_one_bad_object_never_stops_a_page(everywhere: Network) -> None:
    good = objects.location(everywhere.version, 9, last_updated=LATER)
    everywhere.peer.lists["locations"] = [{"id": "broken", "last_updated": LATER}, "what", good]
    assert everywhere.poll_since_october().state == "connected"
    assert Location.objects.filter(name="Volt 9").exists()


@pytest.mark.parametrize(
    "moment",
    ["2026-11-21T07:00:00Z", "2026-11-21T07:00:00", "2026-11-21T07:00:00+00:00", "2026-11-21T12:30:00.250+05:30"],
)
def test_11_every_way_to_write_a_moment_is_read(usual: Network, moment: str) -> None:
    body = {"status": "CHARGING", "last_updated": moment}
    assert code(usual.peer.patch("locations", "L1", "E1-1", body=body)) == (200, 1000)
    shown = usual.plug()
    assert shown.status_at is not None
    assert shown.status_at.isoformat()[:16] == "2026-11-21T07:00"


def test_12_swapped_coordinates_are_put_right_and_impossible_ones_refused(everywhere: Network) -> None:
    def put(latitude: str, longitude: str) -> tuple[int, int]:
        where = {"latitude": latitude, "longitude": longitude}
        site = objects.location(everywhere.version, 8, coordinates=where, last_updated=LATER)
        return code(everywhere.peer.put("locations", "L8", body=site))

    assert put("0", "0") == (200, 2001)
    assert put("12.9", "277.7") == (200, 2001)
    assert put("77.7", "12.9") == (201, 1000)
    site = Location.objects.get(name="Volt 8")
    assert (site.latitude, site.longitude) == (12.9, 77.7)


@pytest.mark.parametrize(
    "hours",
    [
        {"weekday": 1, "period_begin": "08:00", "period_end": "24:00"},
        {"weekday": 5, "period_begin": "22:00", "period_end": "06:00"},
        {"weekday": "7", "period_begin": "8:00", "period_end": "20:00"},
    ],
)
def test_13_odd_opening_hours_do_not_cost_us_the_site(everywhere: Network, hours: dict[str, Any]) -> None:
    times = {"twentyfourseven": False, "regular_hours": [hours]}
    site = objects.location(everywhere.version, 8, opening_times=times)
    assert code(everywhere.peer.put("locations", "L8", body=site)) == (201, 1000)
    assert Location.objects.get(name="Volt 8").opening_times == times


@pytest.mark.parametrize("empty", ["", [], {}])
def test_13_what_is_left_empty_does_not_cost_us_site_price_or_session(usual: Network, empty: Any) -> None:
    """PHP writes an empty object as `[]`, others a missing time or text as `""`."""
    site = dict.fromkeys(("opening_times", "operator", "owner", "facilities", "parking_type", "state"), empty)
    unit = dict.fromkeys(("coordinates", "status_schedule", "floor_level", "parking_restrictions"), empty)
    price = dict.fromkeys(("min_price", "max_price", "tariff_alt_text", "type", "end_date_time"), empty)
    use = dict.fromkeys(("end_date_time", "total_cost", "charging_periods", "authorization_reference"), empty)
    units = [objects.evse("2.2.1", "E8-1", **unit)]
    answers = [
        usual.peer.put("locations", "L8", body=objects.location("2.2.1", 8, evses=units, **site)),
        usual.peer.put("tariffs", "T8", body=objects.tariff("2.2.1", id="T8", **price)),
        usual.peer.put("sessions", "S8", body=objects.session("2.2.1", "S8", **use)),
    ]
    assert [code(answer) for answer in answers] == [(201, 1000)] * 3
    assert Location.objects.get(name="Volt 8").opening_times is None


def test_13_an_empty_list_of_taxes_says_without_tax_and_an_empty_currency_nothing(modern: Network) -> None:
    for name, taxes, total in (("S6", [], 90), ("S7", "", None)):
        body = objects.session("2.3.0", name, total_cost={"before_taxes": 90, "taxes": taxes})
        assert code(modern.peer.put("sessions", name, body=body)) == (201, 1000)
        assert RoamingSession.objects.get(key__endswith=name).total_after_taxes == total
    for empty in ("", [], {}):
        session = objects.session("2.3.0", "S8", currency=empty)
        assert code(modern.peer.put("sessions", "S8", body=session)) == (200, 2001)
        tariff = objects.tariff("2.3.0", id="T8", currency=empty)
        assert code(modern.peer.put("tariffs", "T8", body=tariff)) == (200, 2001)
    assert not RoamingSession.objects.filter(key__endswith="S8").exists()
    assert not Tariff.objects.filter(external_id="T8").exists()


def test_14_an_unknown_status_is_not_a_fault(everywhere: Network) -> None:
    everywhere.peer.patch("locations", "L1", "E1-1", body={"status": "UNKNOWN", "last_updated": LATER})
    assert everywhere.plug().status == "unknown"


def test_15_inoperative_is_closed_not_broken(everywhere: Network) -> None:
    everywhere.peer.patch("locations", "L1", "E1-1", body={"status": "INOPERATIVE", "last_updated": LATER})
    assert everywhere.plug().status == "unavailable"


def test_16_a_tariff_may_come_after_the_connector_that_names_it(usual: Network) -> None:
    usual.peer.patch("locations", "L1", "E1-1", "1", body={"tariff_ids": ["NIGHT"], "last_updated": LATER})
    assert usual.plug().tariff is None
    assert code(usual.peer.put("tariffs", "NIGHT", body=objects.tariff("2.2.1", id="NIGHT"))) == (201, 1000)
    named = usual.plug().tariff
    assert named is not None
    assert named.external_id == "NIGHT"


def test_17_a_tariff_that_changes_during_a_session_leaves_its_history(usual: Network) -> None:
    started = timezone.now()
    dearer = objects.tariff("2.2.1", elements=[{"price_components": [{"type": "ENERGY", "price": 30, "step_size": 1}]}])
    usual.peer.put("tariffs", "DAY", body=dearer)
    assert Tariff.objects.get(valid_to=None).elements[0]["price_components"][0]["price"] == "30"
    at_start = tariff_for(connector=usual.plug(), at=started)
    assert at_start is not None
    assert at_start.elements[0]["price_components"][0]["price"] == "19.5"


def test_17_an_older_tariff_that_comes_late_changes_nothing(usual: Network) -> None:
    cheaper = [{"price_components": [{"type": "ENERGY", "price": 1, "step_size": 1}]}]
    old = objects.tariff("2.2.1", elements=cheaper, last_updated="2020-01-01T00:00:00Z")
    assert code(usual.peer.put("tariffs", "DAY", body=old)) == (200, 1000)
    assert Tariff.objects.get().elements[0]["price_components"][0]["price"] == "19.5"


@pytest.mark.parametrize("word", ["RESERVATION", "RESERVED"])
def test_18_a_reservation_is_a_session_without_a_plug(usual: Network, word: str) -> None:
    body = objects.session("2.2.1", evse_uid="#NA", connector_id="#NA", kwh=0, status=word)
    assert code(usual.peer.put("sessions", "S1", body=body)) == (201, 1000)
    held = RoamingSession.objects.get()
    assert (held.status, held.evse_ref, held.connector) == ("RESERVATION", "#NA", None)


def test_19_a_cdr_may_come_before_its_session_and_a_session_after_its_cdr(everywhere: Network) -> None:
    v = everywhere.version
    assert code(everywhere.peer.push("POST", "cdrs", body=objects.cdr(v))) == (201, 1000)
    assert code(everywhere.peer.put("sessions", "S1", body=objects.session(v))) == (201, 1000)
    done = objects.session(v, status="COMPLETED", last_updated=LATEST)
    assert code(everywhere.peer.put("sessions", "S1", body=done)) == (200, 1000)
    assert (RoamingCDR.objects.count(), RoamingSession.objects.get().status) == (1, "COMPLETED")


def test_20_a_cdr_that_is_pushed_and_pulled_is_one(everywhere: Network) -> None:
    everywhere.peer.push("POST", "cdrs", body=objects.cdr(everywhere.version))
    everywhere.peer.lists["cdrs"] = [objects.cdr(everywhere.version)]
    everywhere.poll_since_october()
    assert RoamingCDR.objects.count() == 1


def test_21_moments_of_1970_are_moments(everywhere: Network) -> None:
    site = objects.location(everywhere.version, 8, last_updated="1970-01-01T00:00:00Z")
    assert code(everywhere.peer.put("locations", "L8", body=site)) == (201, 1000)
    start = "start_datetime" if everywhere.version == "2.1.1" else "start_date_time"
    body = objects.session(everywhere.version, **{start: "1970-01-01T00:00:00Z"})
    assert code(everywhere.peer.put("sessions", "S1", body=body)) == (201, 1000)


def test_22_http_200_with_a_2xxx_code_is_a_failure(usual: Network) -> None:
    usual.peer.broken = b'{"status_code": 2001, "status_message": "no", "timestamp": "2026-11-21T06:00:00Z"}'
    with pytest.raises(CPOError) as refused:
        OCPIAdapter().start(StartRequest(usual.plug(), "ref-1", "CARD1"))
    assert refused.value.code == "ocpi_2001"
    assert CPOCommand.objects.get().state == "failed"


@pytest.mark.parametrize("data", [b'""', b"[]", b'{"a": 1}', b"true", b"null"])
def test_23_the_answer_to_a_put_may_hold_anything(usual: Network, organisation: Organisation, data: bytes) -> None:
    give_access(usual.source, organisation, "CARD1")
    usual.peer.broken = b'{"data": ' + data + b', "status_code": 1000, "timestamp": "2026-11-21T06:00:00Z"}'
    with OCPIClient(usual.source) as client:
        assert push_tokens(client, usual.source) == 1


def test_24_a_peer_is_called_at_its_rate_and_told_to_wait_at_ours(
    usual: Network, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OCPI_PEER_RATE, settings.OCPI_PUSH_RATE = "3/min", "2/min"
    monkeypatch.setattr(throttling.time, "time", lambda: 1_700_000_000.0)  # 40 s are left of this minute
    for _ in range(3):
        pacing.wait_for_turn(usual.source)
    with pytest.raises(CPOUnavailable) as late:
        pacing.wait_for_turn(usual.source)
    assert late.value.retry_after_seconds == 40
    answers = [usual.peer.get("locations", "L1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].headers["retry-after"] == "40"


def test_24_a_failing_peer_is_left_alone_until_its_poll_succeeds(usual: Network) -> None:
    usual.peer.broken = b"<html>"
    Source.objects.update(endpoints={**usual.source.endpoints, "commands": "http://127.0.0.1:9/x"})
    for _ in range(3):
        with pytest.raises(CPOUnavailable):
            OCPIAdapter().start(StartRequest(usual.plug(), "ref-1", "CARD1"))
    calls = len(usual.peer.calls)
    with pytest.raises(CPOUnavailable, match="is failing"):
        OCPIAdapter().start(StartRequest(usual.plug(), "ref-1", "CARD1"))
    assert len(usual.peer.calls) == calls
    first = Source.objects.get().next_poll_at
    tasks.poll_source(usual.source.pk)
    source = Source.objects.get()
    assert source.next_poll_at > first + timedelta(seconds=30)  # twice as long, each time
    usual.peer.broken = None
    assert usual.poll().state == "connected"


@pytest.mark.parametrize(
    "hostile",
    ["http://example.com/", "https://127.0.0.1/", "https://10.0.0.8/", "https://[::1]/", "https://169.254.169.254/",
     "file:///etc/passwd", "https://user:pw@8.8.8.8/", "gopher://8.8.8.8/", "https://[64:ff9b::a00:1]/", ""],
)  # fmt: skip
def test_25_an_address_inside_our_network_is_never_called(hostile: str, settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = False
    with pytest.raises(CPOError, match=r"."):
        check_url(hostile)


def test_25_a_cpo_whose_credentials_lead_into_our_network_gets_3001(ours: str, settings: Any) -> None:
    with network(ours, "2.2.1") as net:
        net.peer.their = {"token": registration.new_token_for(net.source), "url": f"{ours}/ocpi/versions"}
        settings.OCPI_ALLOW_PRIVATE_HOSTS = False
        mine = {**net.peer.credentials("2.2.1", "TOKEN_A"), "url": "https://127.0.0.1/versions"}
        answer = httpx.post(f"{ours}/ocpi/2.2.1/credentials", json=mine, headers=net.peer.headers())
        assert code(answer) == (200, 3001)
        assert net.peer.calls == []


# --- the table of status codes ---------------------------------------------------------------------------------------
def test_the_http_layer_answers_only_below_ocpi(usual: Network) -> None:
    url, headers = f"{usual.ours}/ocpi/2.2.1/emsp/sessions/IN/VLT/S1", usual.peer.headers()
    assert httpx.put(url, content=b"{nope", headers=headers).status_code == 400
    assert httpx.put(url, content=b"{}").status_code == 401
    assert httpx.get(url, headers=headers).status_code == 404
    assert httpx.delete(url, headers=headers).status_code == 405
    assert code(httpx.put(url, json={}, headers=headers)) == (200, 2001)
    assert httpx.put(url, content=b" " * (1024 * 1024 + 1), headers=headers).status_code == 413


def test_an_address_with_too_many_parameters_is_refused_by_name(usual: Network) -> None:
    """It is answered in a batch with the pushes of others, who must not pay for it."""
    many = {f"p{number}": "1" for number in range(60)}
    body = {"status": "CHARGING", "last_updated": LATER}
    answer = usual.peer.push("PATCH", "locations", "IN", "VLT", "L1", "E1-1", body=body, **many)
    assert code(answer) == (200, 2001)
    assert usual.plug().status == "available"


@pytest.mark.parametrize(
    "module", ["locations", "tariffs", "sessions", "cdrs", "tokens", "chargingprofiles", "hubclientinfo"]
)
def test_token_a_opens_no_module(ours: str, module: str) -> None:
    with network(ours, "2.2.1") as net:
        net.peer.their = {"token": registration.new_token_for(net.source)}
        answer = httpx.get(f"{ours}/ocpi/2.2.1/emsp/{module}", headers=net.peer.headers())
        assert answer.status_code == 401


def test_many_pushes_at_once_are_all_answered(usual: Network) -> None:
    async def push(client: httpx.AsyncClient, number: int) -> int:
        url = f"{usual.ours}/ocpi/2.2.1/emsp/sessions/IN/VLT/S{number % 5}"
        body = objects.session("2.2.1", f"S{number % 5}", last_updated=f"2026-11-21T07:00:{number:02d}Z", kwh=number)
        return (await client.put(url, json=body, headers=usual.peer.headers())).json()["status_code"]

    async def push_all() -> list[int]:
        async with httpx.AsyncClient(timeout=60) as client:
            return await asyncio.gather(*(push(client, number) for number in range(40)))

    assert set(asyncio.run(push_all())) == {1000}
    assert dict(RoamingSession.objects.values_list("key", "energy_wh")) == {
        f"IN*VLT*S{n}": (35 + n) * 1000 for n in range(5)
    }
    assert Connector.objects.count() == 6
