"""The self-test tells a CPO that keeps the rules of OCPI from one that does not, over HTTP."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import datetime
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from httpx import MockTransport, Response

from fleetcharge.demo.peers import objects
from fleetcharge.demo.peers.ocpi import OCPIPeer, Refusal
from fleetcharge.embedded.ports import random_free_port
from stations.cpo.ocpi.finding import BY_EYE, WITH_WRITES, Finding
from stations.cpo.ocpi.selftest import Probe
from stations.cpo.ocpi.visiting import Door, Visit, opened
from stations.tests.ocpi_peers import VERSIONS
from stations.tests.serving import serve


@pytest.fixture(params=VERSIONS)
def peer(request: Any, settings: Any) -> Iterator[OCPIPeer]:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    peer = OCPIPeer(request.param)
    peer.lists["sessions"] = [objects.session(request.param, f"N{number}") for number in range(3)]
    peer.lists["cdrs"] = [objects.cdr(request.param, f"C{number}", session_id=f"N{number}") for number in range(3)]
    with serve(peer) as base:
        peer.base_url = base
        yield peer


def broken(peer: OCPIPeer) -> set[str]:
    probe = Probe(f"{peer.base_url}/versions", "TOKEN_A", tries_writes=True)
    return {f.rule for f in probe.run() if f.is_good is False}


def test_a_good_peer_breaks_no_rule(peer: OCPIPeer) -> None:
    encoded = {"a token in base64 is taken"} if peer.version == "2.1.1" else set()
    assert broken(peer) == encoded


def lose_a_price(peer: OCPIPeer) -> None:
    peer.lists["tariffs"] = []


def swap_nothing_for_something(peer: OCPIPeer) -> None:
    peer.lists["locations"][1]["coordinates"] = {"latitude": "0", "longitude": "0"}


def invent_a_status(peer: OCPIPeer) -> None:
    peer.lists["locations"][2]["evses"][0]["status"] = "DREAMING"


def loop(peer: OCPIPeer) -> None:
    peer.links_loop = True


def speak_html(peer: OCPIPeer) -> None:
    peer.broken = b"<html>"


def hide_locations(peer: OCPIPeer) -> None:
    peer.without = {"locations"}


def list_twice(peer: OCPIPeer) -> None:
    peer.lists["tariffs"].append(peer.lists["tariffs"][0])


def tell_local_time(peer: OCPIPeer) -> None:
    peer.lists["locations"][0]["last_updated"] = "2026-11-21T11:30:00+05:30"


def swap_coordinates(peer: OCPIPeer) -> None:
    place = peer.lists["locations"][0]["coordinates"]
    place["latitude"], place["longitude"] = place["longitude"], place["latitude"]


def mind_the_case(peer: OCPIPeer) -> None:
    peer.minds_case = True


def keep_bad_hours(peer: OCPIPeer) -> None:
    hours = [{"weekday": 1, "period_begin": "08:00", "period_end": "24:00"}]
    peer.lists["locations"][0]["opening_times"] = {"regular_hours": hours, "twentyfourseven": False}


def close_by_inoperative(peer: OCPIPeer) -> None:
    """Open for a minute on a day that is not today."""
    day = (datetime.now(ZoneInfo("Asia/Kolkata")).isoweekday() + 2) % 7 + 1
    hours = [{"weekday": day, "period_begin": "08:00", "period_end": "08:01"}]
    site = peer.lists["locations"][0]
    site["opening_times"] = {"regular_hours": hours, "twentyfourseven": False}
    for evse in site["evses"]:
        evse["status"] = "INOPERATIVE"


def know_nothing(peer: OCPIPeer) -> None:
    for site in peer.lists["locations"]:
        for evse in site["evses"]:
            evse["status"] = "UNKNOWN"


def tell_status_of_plugs(peer: OCPIPeer) -> None:
    peer.lists["locations"][0]["evses"][0]["connectors"][0]["status"] = "AVAILABLE"


def show_private_images(peer: OCPIPeer) -> None:
    image = {"url": "ftp://10.0.0.1/a.png", "category": "CHARGER", "type": "png"}
    peer.lists["locations"][0]["images"] = [image]


def live_in_1970(peer: OCPIPeer) -> None:
    peer.lists["cdrs"][0]["start_date_time"] = "1970-01-01T00:00:00Z"


def name_another_token(peer: OCPIPeer) -> None:
    peer.names_token = "TOKEN_B"


def take_any_patch(peer: OCPIPeer) -> None:
    peer.takes_any_patch = True


def want_no_date(peer: OCPIPeer) -> None:
    peer.without_date_from = True


def lose_prices_of_cdrs(peer: OCPIPeer) -> None:
    for cdr in peer.lists["cdrs"]:
        cdr["tariffs"] = []


def lose_a_session(peer: OCPIPeer) -> None:
    del peer.lists["sessions"][0]


def lose_the_unit(peer: OCPIPeer) -> None:
    peer.lists["sessions"][0]["evse_uid"] = "#NA"


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (keep_bad_hours, "locations: opening times can be read"),
        (close_by_inoperative, "locations: INOPERATIVE does not mean closed"),
        (know_nothing, "locations: statuses say something"),
        (tell_status_of_plugs, "locations: a status is the EVSE's"),
        (show_private_images, "locations: addresses of images may be called"),
        (live_in_1970, "cdrs: times are of our days"),
        (name_another_token, "its token is the one for us"),
        (take_any_patch, "tokens: a PATCH without last_updated is refused"),
        (take_any_patch, "tokens: a PATCH of an unknown one is refused"),
        (want_no_date, "sessions: want date_from"),
        (lose_prices_of_cdrs, "cdrs: name the prices they were made with"),
        (lose_a_session, "cdrs: their sessions are listed too"),
        (lose_the_unit, "sessions: say where they charge"),
        (list_twice, "tariffs: no object is listed twice"),
        (tell_local_time, "locations: times are UTC"),
        (swap_coordinates, "locations: coordinates are in India, latitude first"),
        (mind_the_case, "locations: ids are found in any case"),
        (swap_nothing_for_something, "locations: every object can be read"),
        (invent_a_status, "locations: every object can be read"),
        (loop, "locations: pages lead on"),
        (lose_a_price, "tariffs that plugs name exist"),
        (speak_html, "versions and details can be read"),
        (hide_locations, "credentials and locations are offered"),
    ],
)
def test_what_is_broken_is_named(peer: OCPIPeer, spoil: Callable[[OCPIPeer], None], rule: str) -> None:
    spoil(peer)
    assert rule in broken(peer)


def test_the_command_prints_a_report_and_fails_when_a_rule_is_broken(peer: OCPIPeer) -> None:
    invent_a_status(peer)
    report = StringIO()
    with pytest.raises(CommandError, match="rules are broken"):
        call_command("ocpi_selftest", f"{peer.base_url}/versions", "TOKEN_A", stdout=report)
    assert (
        "BAD locations: every object can be read (L3: EVSE status DREAMING is no word of OCPI) [pitfall 10]"
        in report.getvalue()
    )
    assert "eye the call-back while our POST is open" in report.getvalue()
    assert "--try-writes asks" in report.getvalue()


def test_every_pitfall_is_looked_at_or_left_to_the_eye_with_its_reason(peer: OCPIPeer) -> None:
    def looked_at(*, tries_writes: bool) -> set[int]:
        probe = Probe(f"{peer.base_url}/versions", "TOKEN_A", tries_writes=tries_writes)
        return {finding.pitfall for finding in probe.run()} - {0}

    numbers = set(range(1, 26))
    assert looked_at(tries_writes=True) == numbers - set(BY_EYE)
    assert looked_at(tries_writes=False) == numbers - set(BY_EYE) - set(WITH_WRITES)


def visited(peer: OCPIPeer, *, port: int = 0) -> dict[str, Finding]:
    """The handshake, with a door of ours that the peer really calls."""
    probe = Probe(f"{peer.base_url}/versions", "TOKEN_A")
    assert list(probe.run())
    port = port or random_free_port()
    door = Door(f"http://127.0.0.1:{port}", peer.version)
    with opened(door, "127.0.0.1", port):
        return {finding.rule: finding for finding in Visit(probe, door).run()}


def test_a_visit_registers_rotates_writes_and_leaves(peer: OCPIPeer) -> None:
    found = visited(peer)
    dead = {"TOKEN_A is dead once it was used"}
    assert {rule for rule, finding in found.items() if not finding.is_good} == set()
    assert dead <= set(found)
    assert {finding.pitfall for finding in found.values()} - {0} == set(BY_EYE)
    assert (peer.accepted, peer.their) == ("TOKEN_A", {})
    [left] = peer.tokens.values()
    assert (left["valid"], left["uid"][:8]) == (False, "SELFTEST")


@pytest.mark.parametrize(
    ("habit", "rule"),
    [
        ("calls_back", "credentials: it reads ours while our POST is open"),
        ("keeps_old_token", "tokens: the old one is taken until the new one is used"),
    ],
)
def test_what_only_a_handshake_shows_is_named(peer: OCPIPeer, habit: str, rule: str) -> None:
    setattr(peer, habit, False)
    assert {name for name, finding in visited(peer).items() if not finding.is_good} == {rule}


def test_a_write_that_is_answered_without_ocpi_is_named_and_the_peer_is_left(
    peer: OCPIPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(method: str, uid: str, body: Any) -> None:
        raise Refusal(200, 3000)

    monkeypatch.setattr(peer, "_token", refuse)
    broken = {name for name, finding in visited(peer).items() if not finding.is_good}
    assert broken == {"tokens: a PUT is answered in OCPI, whatever its data"}
    assert peer.their == {}


def test_the_command_leaves_nothing_to_the_eye_when_it_may_register(peer: OCPIPeer) -> None:
    report, port = StringIO(), random_free_port()
    options = {"register_as": f"http://127.0.0.1:{port}", "listen": f"127.0.0.1:{port}", "try_writes": True}
    try:
        call_command("ocpi_selftest", f"{peer.base_url}/versions", "TOKEN_A", stdout=report, **options)
    except CommandError:
        assert peer.version == "2.1.1"  # it wants its token raw, which is told as well
    lines = report.getvalue().splitlines()
    assert not [line for line in lines if line.startswith("eye")]
    assert "ok  credentials: it reads ours while our POST is open [pitfall 4]" in lines


def test_a_look_changes_nothing_at_the_peer(peer: OCPIPeer) -> None:
    before = deepcopy((peer.lists, peer.tokens, peer.accepted, peer.their))
    broken(peer)
    assert (peer.lists, peer.tokens, peer.accepted, peer.their) == before
    assert {method for method, _, _, _ in peer.calls} == {"GET", "PUT", "PATCH"}


def test_a_peer_that_says_wait_says_for_how_long(settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    for headers, is_good in (({"Retry-After": "3"}, True), ({}, False)):
        probe = Probe(
            "http://127.0.0.1:9/v", "t", transport=MockTransport(lambda _, h=headers: Response(429, headers=h))
        )
        probe.get("http://127.0.0.1:9/v")
        assert all(probe.pauses) is is_good


def test_nobody_at_home_is_one_finding(settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    findings = list(Probe("http://127.0.0.1:9/versions", "x").run())
    assert findings[0].rule == "the address answers"
    assert all(finding.is_good is False for finding in findings)


def test_an_address_inside_our_network_is_not_looked_at(settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = False
    assert all(f.is_good is False for f in Probe("https://127.0.0.1/versions", "x").run())
