"""Rules 1-8: who may open a socket, and what keeps it open."""

import contextlib
from typing import Any
from urllib.parse import quote

import pytest

from fleetcharge.lib import crypto
from stations.models import Charger
from tests.flows.ocpp.station import (
    ALL_VERSIONS,
    V16,
    V21,
    V201,
    Refusal,
    basic,
    connect,
    now,
    refused,
    until,
)
from tests.flows.ocpp.world import KEY, World


async def test_rule_01_the_identity_is_the_decoded_end_of_the_path(world: World) -> None:
    charger = world.charger(identity="DEPOT ä/7 #1")
    path = quote(charger.ocpp_identity, safe="")
    headers = basic(charger.ocpp_identity, KEY)
    for url in (f"{world.ocpp}/{path}", f"{world.ocpp}/{path}/"):
        station = await connect(url, charger.ocpp_identity, headers=headers)
        assert (await station.boot())["status"] == "Accepted"
        await station.close()
    assert world.fresh(charger).last_boot_at is not None
    twice = quote(path, safe="")
    for wrong in (twice, "A" * 49, "A%3AB", "A%00B", "", "%20%0d"):
        assert await refused(f"{world.ocpp}/{wrong}", headers=headers) == 404


@pytest.mark.parametrize(
    ("offered", "allowed", "chosen"),
    [
        ((V16, V201), [], V16),
        ((V21, V201, V16), [], V21),
        (("ocpp9", V201), [], V201),
        ((V16, V201), [V201], V201),
        (("ocpp1.5",), [], ""),
        ((V16,), [V201], ""),
        ((), [], ""),
    ],
)
async def test_rule_02_the_first_version_both_sides_allow(
    world: World, offered: tuple[str, ...], allowed: list[str], chosen: str
) -> None:
    charger = world.charger(subprotocols=allowed)
    if chosen:
        station = await world.connect(charger, versions=offered)
        assert station.version == chosen
        await station.boot()
        assert world.fresh(charger).protocol == chosen
    else:
        url, headers = f"{world.ocpp}/{charger.ocpp_identity}", basic(charger.ocpp_identity, KEY)
        assert await refused(url, versions=offered, headers=headers) == 400
        assert not world.fresh(charger).is_online


async def test_rule_03_refusals_say_why(world: World) -> None:
    from_elsewhere = {"X-Forwarded-For": "198.51.100.3"}
    charger = world.charger()
    url = f"{world.ocpp}/{charger.ocpp_identity}"
    assert await refused(f"{world.ocpp}/NOBODY-3", headers=basic("NOBODY-3", KEY) | from_elsewhere) == 404
    assert await refused(url, headers=basic(charger.ocpp_identity, "wrong") | from_elsewhere) == 401
    assert await refused(url, headers=from_elsewhere) == 401
    tls_only = world.charger(min_security_profile=2)
    url = f"{world.ocpp}/{tls_only.ocpp_identity}"
    plain = basic(tls_only.ocpp_identity, KEY) | from_elsewhere
    assert await refused(url, headers=plain) == 401  # profile 2 over plain ws
    encrypted = plain | {"X-Forwarded-Proto": "https"}  # ended by a trusted proxy
    station = await connect(url, tls_only.ocpp_identity, headers=encrypted)
    assert (await station.boot())["status"] == "Accepted"
    await station.close()
    for reason in ("unknown_charger", "wrong_key", "no_credentials"):
        assert reason in world.log()


@pytest.mark.parametrize("form", [KEY, KEY.upper(), bytes.fromhex(KEY)], ids=["text", "capitals", "bytes"])
async def test_rule_04_the_key_in_every_form_a_charger_sends(world: World, form: str | bytes) -> None:
    charger = world.charger()
    station = await world.connect(charger, key=form)
    assert (await station.boot())["status"] == "Accepted"
    raw = bytes(range(128, 148)).hex()  # not UTF-8 once decoded, and a colon among the bytes
    odd = world.charger(key=raw[:-2] + "3a")
    station = await world.connect(odd, key=bytes.fromhex(raw[:-2] + "3a"))
    assert (await station.boot())["status"] == "Accepted"
    elsewhere = {"X-Forwarded-For": "198.51.100.4"}
    headers = basic("somebody-else", KEY) | elsewhere
    assert await refused(f"{world.ocpp}/{charger.ocpp_identity}", headers=headers) == 401
    assert "wrong_user" in world.log()
    assert KEY not in world.log()
    for number in range(10):
        with contextlib.suppress(Exception):
            await refused(
                f"{world.ocpp}/{odd.ocpp_identity}", headers=basic(odd.ocpp_identity, f"{number}") | elsewhere
            )
    good = basic(odd.ocpp_identity, raw[:-2] + "3a")
    assert await refused(f"{world.ocpp}/{odd.ocpp_identity}", headers=good | elsewhere) == 429
    station = await world.connect(odd, key=raw[:-2] + "3a")  # its own line is not locked out
    assert (await station.boot())["status"] == "Accepted"


async def test_rule_05_a_certificate_from_the_proxy_and_keys_that_change(world: World) -> None:
    charger = world.charger(min_security_profile=3)
    url = f"{world.ocpp}/{charger.ocpp_identity}"
    tls = {"X-Forwarded-Proto": "https"}
    right = f"CN={charger.ocpp_identity},O=Namma Logistics"
    elsewhere = {"X-Forwarded-For": "198.51.100.5"}
    assert await refused(url, headers=tls | elsewhere) == 401
    assert await refused(url, headers=tls | elsewhere | verified("CN=OTHER-9,O=Namma Logistics")) == 401
    station = await connect(url, charger.ocpp_identity, headers=tls | verified(right))
    assert (await station.boot())["status"] == "Accepted"
    await station.close()
    renewed = world.charger(next_auth_key_hash=crypto.keyed_hash("ff" * 16, purpose=Charger.KEY_PURPOSE))
    station = await world.connect(renewed)  # the old key holds until the new one was used
    await station.boot()
    station = await world.connect(renewed, key="ff" * 16)
    await station.boot()
    url = f"{world.ocpp}/{renewed.ocpp_identity}"
    assert await refused(url, headers=basic(renewed.ocpp_identity, KEY) | elsewhere) == 401


def verified(subject: str) -> dict[str, str]:
    return {"X-Client-Cert-Verified": "SUCCESS", "X-Client-Cert-Subject": subject}


async def test_rule_06_the_newest_socket_is_the_charger(world: World) -> None:
    charger, old = await world.ready()
    reference = await old.start(world.tag(), 1000)
    epoch = world.fresh(charger).connection_epoch
    old.socket.transport.pause_reading()  # it does not know yet that it is replaced
    new = await world.connect(charger)
    await old.send([2, "late", *old.metered(reference, 9000, now())])
    await old.send([2, "later", *old.stopped(reference, 9000, now())])
    await new.status("Charging")
    await new.meter(reference, 1500)
    old.socket.transport.resume_reading()
    assert await old.closed() in (1008, 4000)
    assert world.fresh(charger).connection_epoch > epoch
    session = await world.session(charger)
    assert (session["state"], session["energy_wh"]) == ("active", 500)
    assert old.frames == []  # no answer either: the charger says it again on its new socket
    command = await world.command(charger, "TriggerMessage", message="StatusNotification")
    await new.next("TriggerMessage")
    assert (await world.outcome(command))["state"] == "accepted"


async def test_rule_07_a_dead_line_is_noticed_and_an_idle_one_kept(world: World) -> None:
    charger, dead = await world.ready()
    idle_charger, idle = await world.ready()
    dead.socket.transport.pause_reading()  # no pong will come: half-open
    await until(lambda: not world.fresh(charger).is_online, "the dead line to be noticed")
    assert world.fresh(idle_charger).is_online
    assert "currentTime" in await idle.call("Heartbeat", {})
    assert (await world.plug(charger))["status"] in ("available", "unknown")


async def test_rule_08_big_deep_and_fast(world: World) -> None:
    charger, station = await world.ready()
    tag = world.tag()
    big = {"vendorId": "x", "data": "x" * 1_100_000}
    with pytest.raises(Refusal, match=r"Violation|larger"):
        await station.call("DataTransfer", big, "big")
    deep = '[2,"deep","DataTransfer",{"vendorId":"x","data":' + "[" * 40 + "]" * 40 + "}]"
    assert await station.refusal_of(deep, "deep") == "FormationViolation"
    reference = await station.start(tag, 0)
    for number in range(300):  # a replay, far above 20 a second: slowed perhaps, but nothing lost
        action, payload = station.metered(reference, 10 * number + 10, now())
        await station.send([2, f"v{number}", action, payload])
    await station.send([2, "stop", *station.stopped(reference, 3000, now())])
    for number in range(300):
        assert await station.answer_to(f"v{number}") == {}
    await station.answer_to("stop")
    session = await world.session(charger)
    assert (session["state"], session["energy_wh"]) == ("ended", 3000)
    assert station.socket.protocol.extensions == []  # no permessage-deflate


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_a_session_in_every_version(world: World, version: str) -> None:
    """The plain case, as the measure of all the others."""
    charger, station = await world.ready(version)
    tag = world.tag()
    assert await station.authorize(tag) == "Accepted"
    began_at = now()
    reference = await station.start(tag, 10_000, began_at)
    await station.meter(reference, 10_400)
    running: Any = await world.session(charger)
    assert (running["state"], running["energy_wh"]) == ("active", 400)
    await station.stop(reference, 10_900, token=tag)
    done = await world.session(charger)
    assert (done["state"], done["energy_wh"], done["quality"]) == ("ended", 900, "billable")
    assert done["vehicle"] is not None
