"""/metrics: the format of Prometheus, true figures, and a door."""

import re

import pytest
from django.db import connection
from django.test import Client

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import metrics
from ocpp_bridge.recorder import recorder
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from ocpp_bridge.tests.test_commands import ask, outcome_of, ready
from ocpp_bridge.threads import in_database

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? [0-9.+-e]+$')
BOOT = {"chargePointVendor": "Zz", "chargePointModel": "Z1"}


@pytest.fixture(autouse=True)
def _from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for counter in metrics.COUNTERS:
        monkeypatch.setattr(counter, "totals", {})
    monkeypatch.setattr(metrics.answers, "counts", {})
    monkeypatch.setattr(metrics.answers, "sums", {})


async def test_what_a_socket_did_is_counted(connect: Connect, organisation: Organisation) -> None:
    await in_database(factories.charger, organisation, "BLR-1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT)
    await charger.call("NoSuchThing", {})
    again = await connect("BLR-1")
    await again.call("BootNotification", BOOT)
    with pytest.raises(Exception, match="404"):
        await connect("NOBODY")
    await recorder.flush()
    text = await in_database(metrics.render)
    for line in (
        'ocpp_frames_total{direction="in",action="BootNotification"} 2',
        'ocpp_frames_total{direction="out",action="BootNotification"} 2',
        'ocpp_call_errors_total{direction="out",code="NotImplemented"} 1',
        'ocpp_handshakes_refused_total{reason="unknown_charger"} 1',
        'ocpp_connects_total{protocol="ocpp1.6"} 2',
        'ocpp_reconnects_total{protocol="ocpp1.6"} 1',
        'ocpp_answer_seconds_count{direction="out"} 3',
        'ocpp_answer_seconds_bucket{direction="out",le="+Inf"} 3',
    ):
        assert line in text.splitlines()
    assert re.search(r'ocpp_chargers_online\{protocol="ocpp1\.6",node="[^"]+"\} 1', text)


async def test_commands_are_counted_by_what_became_of_them(connect: Connect, organisation: Organisation) -> None:
    station = factories.charger(organisation, "BLR-017")
    socket = await ready(connect)
    await outcome_of(socket, ask(station, "ClearCache", {}))
    ask(factories.charger(organisation, "AWAY"), "ClearCache", {}, "k2")
    lines = (await in_database(metrics.render)).splitlines()
    assert 'ocpp_commands_finished_total{action="ClearCache",state="accepted"} 1' in lines
    assert 'ocpp_commands_open{state="queued"} 1' in lines
    assert 'ocpp_commands_open{state="sent"} 0' in lines


def test_a_scrape_never_walks_the_ledger(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "open_commands_by_deadline" in metrics.open_commands().explain()


def test_every_line_is_one_prometheus_reads(db: None) -> None:
    metrics.frames.add((0, 'odd "action"\\\n'))
    metrics.answered(1, "NotSupported", 0.003)
    lines = metrics.render().splitlines()
    assert [line for line in lines if not line.startswith("# ") and not SAMPLE.match(line)] == []
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_endless_names_do_not_fill_the_memory() -> None:
    counter = metrics.Counter(
        "frames", "of a test", ("direction", "action"), known=metrics._actions, strange=metrics.MAX_STRANGE
    )
    for number in range(metrics.MAX_STRANGE + 50):
        counter.add((0, f"Odd{number}"))
    counter.add((0, "Long" * 1_000_000))
    counter.add((0, "MeterValues"))  # seen for the first time after all that
    counter.add((0, "MeterValues"))
    assert counter.totals[0, "(other)"] == 51
    assert counter.totals[0, "MeterValues"] == 2
    assert len(counter.totals) == metrics.MAX_STRANGE + 2
    assert max(len(action) for _, action in counter.totals) < metrics.LONGEST_WORD


def test_codes_that_chargers_make_up_are_one() -> None:
    for code in ("NotSupported", "OccurenceConstraintViolation", "E-17", "E-18", "E-18", "x" * 10_000):
        metrics.answered(0, code, None)
    assert metrics.call_errors.totals == {
        (0, "NotSupported"): 1, (0, "OccurenceConstraintViolation"): 1, (0, "(other)"): 4,
    }  # fmt: skip


def test_loopback_may_read_and_the_world_may_not(client: Client, db: None) -> None:
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="198.51.100.7").json()["code"] == "forbidden"
    through_our_proxy = client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1, 198.51.100.7"})
    assert through_our_proxy.status_code == 403


def test_a_token_opens_it_from_anywhere_and_a_wrong_one_does_not(client: Client, db: None, settings) -> None:
    settings.METRICS_TOKEN = "t0ken"
    outside = {"REMOTE_ADDR": "198.51.100.7"}
    assert client.get("/metrics", headers={"Authorization": "Bearer t0ken"}, **outside).status_code == 200
    assert client.get("/metrics", headers={"Authorization": "Bearer other"}, **outside).status_code == 403
    assert client.get("/metrics", **outside).status_code == 403
