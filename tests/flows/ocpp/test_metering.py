"""Rules 30-32: what a register says, how much was drawn, and how often a charger shall tell."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from billing.models import BillingException, ChargingSession, MeterValue
from ocpp_bridge import configuration, sampling
from ocpp_bridge.models import Command, ConfigurationChange
from stations.models import Charger
from tests.flows.ocpp.station import ALL_VERSIONS, DEFAULT_REPLIES, V16, V201, Station, now, until
from tests.flows.ocpp.world import World

MINUTE = timedelta(minutes=1)
SIGNED = 'OCMF|{"FV":"1.0","RD":[{"RV":"1.234"}]}|{"SD":"3045022100"}'
Sample = dict[str, Any]


def energy(value: object, **more: Any) -> Sample:
    return {"value": value, "measurand": "Energy.Active.Import.Register", **more}


WAYS_16: tuple[tuple[str, list[Sample]], ...] = (  # every one of them says 2,500 Wh
    ("nothing but a value", [{"value": "2500"}]),
    ("kWh as long text", [energy("2.50000000000000004", unit="kWh")]),
    ("a float as text", [energy("2500.0", unit="Wh")]),
    ("phases beside the total", [energy("2500"), *(energy("900", phase=phase) for phase in ("L1", "L2", "L3"))]),
    ("phases alone", [energy("1000", phase="L1"), energy("800", phase="L2"), energy("700", phase="L3")]),
    ("a signed value beside", [energy("2500"), energy(SIGNED, format="SignedData")]),
    ("the inlet beside the outlet", [energy("2500", location="Outlet"), energy("2600", location="Inlet")]),
    ("the inlet before the default", [energy("2600", location="Inlet"), energy("2500"), energy("2", location="EV")]),
    ("an inlet alone", [energy("2500", location="Inlet"), energy("9", location="EV")]),
    ("kWh in capitals", [energy("2.5", unit="KWH")]),
)
WAYS_2: tuple[tuple[str, list[Sample]], ...] = (
    ("nothing but a value", [{"value": 2500}]),
    ("kWh", [energy(2.5, unitOfMeasure={"unit": "kWh"})]),
    ("ten to the power of", [energy(25, unitOfMeasure={"unit": "Wh", "multiplier": 2})]),
    ("phases beside the total", [energy(2500), *(energy(900, phase=phase) for phase in ("L1", "L2", "L3"))]),
    ("phases alone", [energy(1000, phase="L1"), energy(800, phase="L2"), energy(700, phase="L3")]),
    (
        "a signed value beside",
        [energy(2500, signedMeterValue={"signedMeterData": SIGNED, "signingMethod": "", "encodingMethod": "OCMF",
                                        "publicKey": ""})],
    ),
    ("the inlet beside the outlet", [energy(2500, location="Outlet"), energy(2600, location="Inlet")]),
    ("the inlet before the default", [energy(2600, location="Inlet"), energy(2500), energy(2, location="EV")]),
    ("an inlet alone", [energy(2500, location="Inlet"), energy(9, location="EV")]),
    ("kWh in small letters", [energy(2.5, unitOfMeasure={"unit": "kwh"})]),
    ("a multiplier that is a float", [energy(2.5, unitOfMeasure={"unit": "Wh", "multiplier": 3.0})]),
)  # fmt: skip


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_30_every_way_to_say_the_same_energy(world: World, version: str) -> None:
    began_at = now() - timedelta(hours=1)
    for name, samples in WAYS_16 if version == V16 else WAYS_2:
        charger, station = await world.ready(version)
        reference = await station.start(world.tag(), 1000, began_at)
        await station.meter(reference, 0, began_at + 5 * MINUTE, samples=samples)
        row = ChargingSession.objects.get(charger=charger)
        assert row.energy_wh == 1500, name
        if "signed" in name:
            stored = MeterValue.objects.filter(charger=charger).latest("at")
            assert SIGNED in str(stored.sampled)  # byte for byte
        await station.stop(reference, 2600, began_at + 6 * MINUTE)
        assert (await world.session(charger))["energy_wh"] == 1600, name


async def charge(station: Station, world: World, start_wh: int, registers: list[int], stop_wh: int) -> ChargingSession:
    """One sample a minute; the stop a minute after the last."""
    began_at = now() - timedelta(hours=2)
    reference = await station.start(world.tag(), start_wh, began_at)
    for minute, register in enumerate(registers, start=1):
        await station.meter(reference, register, began_at + minute * MINUTE, seq=minute)
    await station.stop(reference, stop_wh, began_at + (len(registers) + 1) * MINUTE, seq=len(registers) + 1)
    return ChargingSession.objects.filter(id_token_uid__startswith="SC").latest("pk")


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_31_energy_is_what_can_be_trusted(world: World, version: str) -> None:
    odd = BillingException.Kind.ODD_METER

    charger, station = await world.ready(version)  # plain
    session = await charge(station, world, 1000, [1500, 2000], 2500)
    assert (session.energy_wh, session.quality) == (1500, "billable")
    assert world.exceptions(charger) == set()

    charger, station = await world.ready(version)  # a jump no plug can do (60 kW: 1 kWh a minute)
    session = await charge(station, world, 1000, [1500, 900_000, 2000], 2500)
    assert session.energy_wh == 1500
    assert session.quality_reasons

    charger, station = await world.ready(version)  # backwards and on
    session = await charge(station, world, 1000, [2000, 1500, 2500], 3000)
    assert session.energy_wh == 2000
    assert session.quality_reasons

    charger, station = await world.ready(version)  # a stop below the start
    session = await charge(station, world, 5000, [5500, 6000], 10)
    assert session.energy_wh in ((1000,) if version == V16 else (1000, 1010))  # 2.x: a register that began anew
    assert session.quality == "review"
    assert odd in world.exceptions(charger)

    charger, station = await world.ready(version)  # registers that begin at 0 with each session
    session = await charge(station, world, 0, [500, 900], 1200)
    assert session.energy_wh == 1200
    session = await charge(station, world, 0, [300], 700)
    assert session.energy_wh == 700

    if version == V16:  # meterStart says 0 although the register counts for ever
        charger, station = await world.ready(version)
        session = await charge(station, world, 0, [8_000_500, 8_001_000], 8_001_500)
        assert session.energy_wh <= 1500
        assert session.quality == "review" or session.quality_reasons

    charger, station = await world.ready(version)  # state of charge: from the vehicle, 0-100
    reference = await station.start(world.tag(), 0)
    for soc in (41, 250, -3):
        value = str(soc) if version == V16 else soc
        sample = {"value": value, "measurand": "SoC", "location": "EV"}
        await station.meter(reference, 0, now(), samples=[sample])
    assert ChargingSession.objects.get(charger=charger).soc_percent == 41


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_32_contexts_and_how_often(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    began_at = now() - timedelta(minutes=30)
    reference = await station.start(world.tag(), 1000, began_at)
    contexts = ("Transaction.Begin", "Sample.Periodic", "Interruption.Begin", "Interruption.End", "Trigger")
    for minute, context in enumerate(contexts):
        value: object = 1000 + 100 * minute
        sample = {"value": str(value) if version == V16 else value, "context": context}
        await station.meter(reference, 0, began_at + minute * MINUTE, samples=[sample], seq=minute)
    assert (await world.session(charger))["energy_wh"] == 400
    clock = {"value": "77000" if version == V16 else 77_000, "context": "Sample.Clock"}
    if version == V16:
        await station.meter("", 0, began_at + 9 * MINUTE, samples=[clock])
    else:
        moment = {"timestamp": began_at.isoformat(), "sampledValue": [clock]}
        await station.call("MeterValues", {"evseId": 1, "meterValue": [moment]})
    assert MeterValue.objects.filter(charger=charger, context="Sample.Clock").exists()
    assert (await world.session(charger))["energy_wh"] == 400  # of the plug, not of the session

    fresh, station = await world.ready(version)
    _samples_every(station, "300")
    _obeys_at_once(station)
    configuration.ask_after_boots(now=now())
    reads = "GetConfiguration" if version == V16 else "GetVariables"
    await station.next(reads)
    wanted = await until(lambda: _interval(station), "the sampling interval to be set, by itself")
    assert wanted == 30  # a DC charger
    wanted_name = ["MeterValueSampleInterval" if version == V16 else "TxUpdatedInterval"]
    while _named(await station.next(reads)) != wanted_name:
        pass  # it is asked about other things, too
    looked = Command.objects.filter(charger=fresh, actor=sampling.ACTOR, action="GetConfiguration", state="accepted")
    await until(looked.exists, "the look whether it was kept")
    await until(lambda: "MeterValueSampleInterval" not in _drift(world, fresh), "the answer to be kept")
    kept = ConfigurationChange.objects.filter(charger=fresh, state="set")
    await until(lambda: kept.count() == 1, "the change to be set")


def _drift(world: World, charger: Charger) -> list[str]:
    return [difference.key for difference in configuration.drift_of(world.fresh(charger))]


def _named(asked: dict[str, Any]) -> list[str]:
    """What a charger is asked for by name."""
    return asked.get("key") or [one["variable"]["name"] for one in asked.get("getVariableData", [])]


def _samples_every(station: Station, seconds: str) -> None:
    row = {"key": "MeterValueSampleInterval", "readonly": False, "value": seconds}
    station.replies["GetConfiguration"] = {"configurationKey": [row]}
    station.replies["GetVariables"] = lambda asked: {
        "getVariableResult": [
            {"attributeStatus": "Accepted", "attributeValue": seconds, "component": one["component"],
             "variable": one["variable"]}
            if one["variable"]["name"] == "TxUpdatedInterval"
            else {"attributeStatus": "UnknownVariable", "component": one["component"], "variable": one["variable"]}
            for one in asked["getVariableData"]
        ]
    }  # fmt: skip


def _obeys_at_once(station: Station) -> None:
    """It says the new interval from its yes on: the look whether it was kept follows within milliseconds."""

    def obey(action: str, asked: dict[str, Any]) -> dict[str, Any]:
        if seconds := _interval_of(asked):
            _samples_every(station, str(seconds))
        usual = DEFAULT_REPLIES.get(action, lambda _: {"status": "Accepted"})
        return dict(usual(asked))

    for action in ("ChangeConfiguration", "SetVariables"):
        station.replies[action] = partial(obey, action)


def _interval(station: Station) -> int:
    """Seconds between samples as the system asked for them; 0 when it has not yet."""
    for action in ("ChangeConfiguration", "SetVariables"):
        while not station.asked[action].empty():
            if seconds := _interval_of(station.asked[action].get_nowait()):
                return seconds
    return 0


def _interval_of(asked: dict[str, Any]) -> int:
    """Seconds between samples in a ChangeConfiguration or SetVariables; 0 when it is about other keys."""
    if asked.get("key") == "MeterValueSampleInterval":
        return int(asked["value"])
    wanted = [one for one in asked.get("setVariableData", []) if one["variable"]["name"] == "TxUpdatedInterval"]
    return int(wanted[0]["attributeValue"]) if wanted else 0


async def test_no_sample_is_read_as_a_float(world: World) -> None:
    """Rule 30: Decimal all the way; ten samples of 0.1 kWh are exactly 1 kWh."""
    charger, station = await world.ready(V201)
    began_at = now() - timedelta(hours=1)
    reference = await station.start(world.tag(), 0, began_at)
    for number in range(1, 11):
        samples = [energy(round(0.1 * number, 1), unitOfMeasure={"unit": "kWh"})]
        await station.meter(reference, 0, began_at + number * MINUTE, samples=samples, seq=number)
    assert (await world.session(charger))["energy_wh"] == 1000
