"""How often a charger samples is set after its boot, read back, and left to people where they decide it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import configuration, sampling, tasks
from ocpp_bridge.models import Command, ConfigurationChange, ConfigurationValue, DesiredConfiguration
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect, until
from stations.models import Charger, Connector

KEY = "MeterValueSampleInterval"
BOOT = {"chargePointVendor": "Delta", "chargePointModel": "DC60"}
S = ConfigurationChange.State


class Box:
    """A charger's setting, as it says it and as it takes it."""

    def __init__(self, socket: Socket, seconds: str, *, keeps: bool = True, word: str = "Accepted") -> None:
        self.socket, self.seconds, self.keeps, self.word = socket, seconds, keeps, word
        self.told: list[str] = []
        self.taken: list[Any] = []
        self._say()

    def _say(self) -> None:
        row = {"key": KEY, "readonly": False, "value": self.seconds}
        self.socket.replies["GetConfiguration"] = {"configurationKey": [row], "unknownKey": []}
        self.socket.replies["ChangeConfiguration"] = {"status": self.word}

    async def live(self, what: Any) -> Any:
        """Answer what it is asked until `what` has come true; every answer is taken as the worker does."""
        while not (value := what()):
            await self.socket.receive()
            action, asked = self.socket.asked[-1]
            if action == "ChangeConfiguration" and asked["key"] == KEY:
                self.told.append(asked["value"])
                self.seconds = asked["value"] if self.keeps and self.word == "Accepted" else self.seconds
                self._say()
            await until(lambda: not Command.objects.filter(state=Command.State.SENT).exists())
            for command in Command.objects.exclude(pk__in=self.taken).exclude(state__in=Command.OPEN_STATES):
                self.taken.append(command.pk)
                tasks.take_command_answer(str(command.pk))
        return value


@pytest.fixture
def charger(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-1")


async def booted(connect: Connect, seconds: str, **behaviour: Any) -> Box:
    socket: Socket = await connect("BLR-1")
    box = Box(socket, seconds, **behaviour)
    await socket.call("BootNotification", BOOT)
    assert configuration.ask_after_boots(now=timezone.now()) == 1
    return box


def change() -> ConfigurationChange | None:
    return ConfigurationChange.objects.filter(state__in=[S.SET, S.FAILED]).first()


def is_verified() -> bool:
    return Command.objects.filter(actor=sampling.ACTOR, action="GetConfiguration", state="accepted").exists()


@pytest.mark.parametrize(("power_type", "seconds"), [("DC", "30"), ("AC_3_PHASE", "60")])
async def test_the_interval_is_set_and_read_back(
    connect: Connect, charger: Charger, power_type: str, seconds: str
) -> None:
    Connector.objects.update(power_type=power_type)
    box = await booted(connect, "900")
    await box.live(is_verified)
    assert box.told == [seconds]
    assert ConfigurationValue.objects.get(key=KEY).value == seconds
    assert ConfigurationChange.objects.get().state == S.SET
    assert tasks.sweep_configurations() == 0
    assert not Command.objects.filter(state__in=Command.OPEN_STATES).exists()


async def test_a_promise_that_is_not_kept_is_a_failed_change(connect: Connect, charger: Charger) -> None:
    box = await booted(connect, "900", keeps=False)
    await box.live(is_verified)
    failed = await until(lambda: ConfigurationChange.objects.filter(state=S.FAILED).first())
    assert failed.reason == "accepted, and still 900"
    assert [gap.found for gap in configuration.drift_of(Charger.objects.get()) if gap.key == KEY] == ["900"]
    tasks.sweep_configurations()
    assert box.told == ["30"]  # once per boot


@pytest.mark.parametrize("word", ["Rejected", "NotSupported"])
async def test_a_refusal_is_not_repeated_before_the_next_boot(connect: Connect, charger: Charger, word: str) -> None:
    box = await booted(connect, "900", word=word)
    await box.live(change)
    tasks.sweep_configurations()
    assert not Command.objects.filter(state__in=Command.OPEN_STATES).exists()
    await box.socket.call("BootNotification", BOOT)
    assert configuration.ask_after_boots(now=timezone.now() + timedelta(minutes=1)) == 1
    await box.live(lambda: len(box.told) == 2)


async def test_what_is_as_it_should_be_is_left_alone(connect: Connect, charger: Charger) -> None:
    box = await booted(connect, "30.0")
    await box.live(lambda: ConfigurationValue.objects.filter(key=KEY).exists())
    assert tasks.sweep_configurations() == 0
    assert not ConfigurationChange.objects.exists()


def reported(charger: Charger, value: str = "900", **fields: Any) -> None:
    Charger.objects.update(last_boot_at=timezone.now() - timedelta(minutes=1), is_online=True, **fields)
    configuration.store(charger_id=charger.pk, rows=[(KEY, value, False, False)], at=timezone.now())


@pytest.mark.parametrize("wish", ["120", None])
def test_a_desired_configuration_of_the_fleet_decides(charger: Charger, wish: str | None) -> None:
    desired = DesiredConfiguration.objects.create(
        organisation=charger.organisation, name="ours", model_pattern="DC*", values={KEY: wish}
    )
    reported(charger, model="DC60")
    assert sampling.sweep(now=timezone.now()) == 0
    DesiredConfiguration.objects.filter(pk=desired.pk).update(model_pattern="Other*")
    assert sampling.sweep(now=timezone.now()) == 1


def test_a_setting_switches_it_off(charger: Charger, settings: Any) -> None:
    settings.OCPP_SET_SAMPLING = False
    reported(charger)
    assert sampling.sweep(now=timezone.now()) == 0
    assert not sampling.set_after_boot(charger_id=charger.pk, now=timezone.now())
    settings.OCPP_SET_SAMPLING = True
    assert sampling.sweep(now=timezone.now()) == 1


@pytest.mark.parametrize("registration", ["Pending", "Rejected"])
def test_only_accepted_chargers_are_told(charger: Charger, registration: str) -> None:
    reported(charger, registration=registration)
    assert sampling.sweep(now=timezone.now()) == 0


def test_a_sweep_finds_what_an_event_missed(charger: Charger) -> None:
    reported(charger)
    assert [sampling.sweep(now=timezone.now()) for _ in range(3)] == [1, 0, 0]
    assert Command.objects.get().parameters == {"key": KEY, "value": "30"}
