"""The self-test tells a CPO that keeps the rules of OCPI from one that does not, over HTTP."""

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fleetcharge.demo.peers import objects
from fleetcharge.demo.peers.ocpi import OCPIPeer
from stations.cpo.ocpi.selftest import OURS_TO_KEEP, Probe
from stations.tests.ocpi_peers import VERSIONS
from stations.tests.serving import serve


@pytest.fixture(params=VERSIONS)
def peer(request: Any, settings: Any) -> Iterator[OCPIPeer]:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    peer = OCPIPeer(request.param)
    for name, build in (("sessions", objects.session), ("cdrs", objects.cdr)):
        peer.lists[name] = [build(request.param, f"N{number}") for number in range(3)]
    with serve(peer) as base:
        peer.base_url = base
        yield peer


def broken(peer: OCPIPeer) -> set[str]:
    return {f.rule for f in Probe(f"{peer.base_url}/versions", "TOKEN_A").run() if f.is_good is False}


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


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
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
    assert "Pitfalls 2, 3, 4" in report.getvalue()


def test_every_pitfall_is_looked_at_or_named_as_ours(peer: OCPIPeer) -> None:
    looked_at = {finding.pitfall for finding in Probe(f"{peer.base_url}/versions", "TOKEN_A").run()} - {0}
    elsewhere = {int(number) for number in OURS_TO_KEEP.split(", ")}
    in_the_reader = {13, 14, 15, 22, 24}  # what every object and every answer is read by
    assert looked_at | elsewhere | in_the_reader == set(range(1, 26))


def test_nobody_at_home_is_one_finding(settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    findings = list(Probe("http://127.0.0.1:9/versions", "x").run())
    assert findings[0].rule == "the address answers"
    assert all(finding.is_good is False for finding in findings)


def test_an_address_inside_our_network_is_not_looked_at(settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = False
    assert all(f.is_good is False for f in Probe("https://127.0.0.1/versions", "x").run())
