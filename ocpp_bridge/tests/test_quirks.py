"""A charger model that gets meters or clocks wrong is read as its profile says; every other one pays nothing for it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.models import ChargingSession, MeterValue
from billing.tests.factories import fund
from fleetcharge.accounts.models import Organisation
from ocpp_bridge import quirks
from ocpp_bridge.metering import normalise_odd
from ocpp_bridge.quirks import BadProfile, QuirkProfile
from ocpp_bridge.station import digest
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger

NOW = datetime.now(UTC).replace(microsecond=0)
POWER = [{"value": "1", "measurand": "Power.Active.Import"}]
PHASES = [{"value": "100", "phase": phase} for phase in ("L1", "L2", "L3")]

OWN = """
[[profile]]
name = "Everything wrong at once"
vendor = "Acme*"
model = "Quirk-?"
firmware = "1.*"
register_unit = "kWh"
power_unit = "kW"
clock_ahead_minutes = 330
is_register_relative = true
"""


@pytest.fixture
def own_profiles(settings: Any, tmp_path: Path) -> Any:
    path = tmp_path / "quirks.toml"
    path.write_text(OWN)
    settings.OCPP_QUIRKS_FILE = str(path)
    quirks.profiles.cache_clear()
    yield
    quirks.profiles.cache_clear()


def test_shipped_profiles_load_and_leave_other_chargers_alone() -> None:
    assert quirks.profiles()
    assert quirks.find("ABB", "Terra 54", "4.1") is None
    assert quirks.find("", "", "") is None


@pytest.mark.parametrize(
    ("who", "is_found"),
    [
        (("ACME Power", "quirk-7", "1.2"), True),
        (("ACME Power", "quirk-77", "1.2"), False),
        (("ACME Power", "quirk-7", "2.0"), False),
        (("Other", "quirk-7", "1.2"), False),
    ],
)
def test_a_profile_is_found_by_vendor_model_and_firmware(
    own_profiles: None, who: tuple[str, str, str], is_found: bool
) -> None:
    assert (quirks.find(*who) is not None) == is_found


@pytest.mark.parametrize(
    "text", ['[[profile]]\nvendor = "x"', '[[profile]]\nname = "x"\nregister_units = "kWh"'], ids=["no name", "typo"]
)
def test_a_profile_with_a_mistake_is_refused(text: str) -> None:
    with pytest.raises(BadProfile):
        quirks.load(text)


@pytest.mark.parametrize(
    ("profile", "samples", "energy_wh", "power_w"),
    [
        ({"register_unit": "kWh"}, [{"value": "1.5"}], 1500, None),
        ({"register_unit": "kWh"}, [{"value": "1500", "unit": "Wh"}], 1500, None),
        ({"power_unit": "kW"}, [{"value": "7.2", "measurand": "Power.Active.Import"}], None, 7200),
        ({"energy_scale": Decimal("0.1")}, [{"value": "15000"}], 1500, None),
        ({"are_phases_ignored": True}, PHASES, None, None),
        ({"is_total_wrong": True}, [{"value": "7"}, *PHASES], 300, None),
        ({"ignored_measurands": ("Power.Active.Import",)}, POWER, None, None),
    ],
)  # fmt: skip
def test_what_a_profile_changes(
    profile: dict[str, Any], samples: list[dict[str, Any]], energy_wh: int | None, power_w: int | None
) -> None:
    before = [dict(sample) for sample in samples]
    read = normalise_odd(samples, QuirkProfile(name="x", **profile))
    assert (read.energy_wh, read.power_w) == (energy_wh, power_w)
    assert samples == before


def test_start_and_stop_registers_may_be_scaled_or_worthless() -> None:
    assert QuirkProfile(name="x", transaction_meter_scale=Decimal(10)).transaction_meter(150) == 1500
    assert QuirkProfile(name="x", is_transaction_meter_wrong=True).transaction_meter(150) is None


@pytest.fixture
def station(transactional_db: None, own_profiles: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    fund(organisation, 1_000_00)
    return factories.charger(organisation, "BLR-1", vendor="Acme", model="Quirk-1", firmware_version="1.0")


def local(minutes: float) -> str:
    """Indian time, called UTC."""
    return (NOW + timedelta(minutes=330 + minutes)).isoformat()


def values(transaction: int, minutes: float, kwh: str) -> dict[str, Any]:
    sampled = [{"value": kwh}, {"value": "6", "measurand": "Power.Active.Import"}]
    moment = {"timestamp": local(minutes), "sampledValue": sampled}
    return {"connectorId": 1, "transactionId": transaction, "meterValue": [moment]}


async def test_a_whole_session_of_an_odd_charger_is_right_also_after_a_reconnect(
    connect: Connect, station: Charger
) -> None:
    socket: Socket = await connect("BLR-1")
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 80_000, "timestamp": local(-60)}
    transaction = (await socket.call("StartTransaction", start))["transactionId"]
    assert await socket.call("MeterValues", values(transaction, -40, "2.5")) == {}
    again: Socket = await connect("BLR-1")  # the new socket has forgotten where the session began
    assert await again.call("MeterValues", values(transaction, -20, "5.0")) == {}
    assert list(MeterValue.objects.order_by("at").values_list("at", "energy_wh", "power_w")) == [
        (NOW - timedelta(minutes=40), 82_500, 6_000),
        (NOW - timedelta(minutes=20), 85_000, 6_000),
    ]
    stop = {"transactionId": transaction, "meterStop": 86_000, "timestamp": local(-10), "idTag": "TAG1"}
    await again.call("StopTransaction", stop)
    session = ChargingSession.objects.get()
    assert (session.started_at, session.ended_at) == (NOW - timedelta(minutes=60), NOW - timedelta(minutes=10))
    assert (session.energy_wh, session.quality_reasons) == (6_000, [])


async def test_the_profile_is_found_again_at_boot(connect: Connect, station: Charger) -> None:
    socket: Socket = await connect("BLR-1")
    boot = {"chargePointVendor": "Acme", "chargePointModel": "Quirk-1", "firmwareVersion": "2.0"}
    await socket.call("BootNotification", boot)  # the update has mended it
    await socket.call("MeterValues", {**values(0, 0, "2500"), "transactionId": 0})
    assert MeterValue.objects.get().energy_wh == 2_500


async def test_a_start_is_known_again_when_its_clock_is_read_another_way(connect: Connect, station: Charger) -> None:
    """The update between the two tellings has mended the clock, and the frame is as it was."""
    socket: Socket = await connect("BLR-1")
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 80_000, "timestamp": local(-60)}
    first = await socket.call("StartTransaction", start)
    boot = {"chargePointVendor": "Acme", "chargePointModel": "Quirk-1", "firmwareVersion": "2.0"}
    await socket.call("BootNotification", boot)
    assert await socket.call("StartTransaction", start) == first
    assert ChargingSession.objects.count() == 1


@pytest.mark.parametrize("key", ["as written", "as read"])
async def test_a_start_of_a_wrong_clock_stored_under_a_key_of_before_is_found(
    connect: Connect, station: Charger, key: str
) -> None:
    """It is told again after an upgrade; the quirk's minutes were taken off in one of the former keys."""
    socket: Socket = await connect("BLR-1")
    written = local(-60).replace("+00:00", "Z")
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 80_000, "timestamp": written}
    first = await socket.call("StartTransaction", start)
    said = written if key == "as written" else (NOW - timedelta(minutes=60)).isoformat()
    former = digest(station.pk, 1, "TAG1", said, 80_000)
    assert await ChargingSession.objects.exclude(start_key=former).aupdate(start_key=former) == 1
    assert await socket.call("StartTransaction", start) == first
    assert ChargingSession.objects.count() == 1


async def test_the_start_of_another_time_is_not_taken_for_a_former_one(connect: Connect, station: Charger) -> None:
    """What the second says, less the quirk's minutes, is what the first said."""
    socket: Socket = await connect("BLR-1")
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 80_000}
    first = await socket.call("StartTransaction", {**start, "timestamp": local(-390)})
    second = await socket.call("StartTransaction", {**start, "timestamp": local(-60)})
    assert first["transactionId"] != second["transactionId"]
