"""The emulated gateway on a real port, and the real SDK pointed at it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.gateways import choice
from billing.gateways.breaker import Breaker
from billing.gateways.emulator.bank import Bank
from billing.gateways.emulator.server import Emulator, EmulatorThread
from billing.gateways.razorpay import RazorpayGateway

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)  # 12:00 in Bengaluru
TIMEOUT_S = 0.4  # of a call in a test that lets the gateway sleep; all others answer at once


@dataclass
class World:
    """The gateway's side and ours."""

    emulator: Emulator
    bank: Bank
    gateway: RazorpayGateway
    url: str


class Door:
    """One port for all tests; behind it the emulator of the test that runs."""

    def __init__(self) -> None:
        self.emulator: Emulator | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.emulator is not None:
            await self.emulator(scope, receive, send)


@pytest.fixture(scope="session")
def door() -> Iterator[tuple[Door, str]]:
    door = Door()
    with EmulatorThread(door) as thread:
        yield door, thread.url


@pytest.fixture
def world(settings, door: tuple[Door, str]) -> World:
    """Frozen time on the gateway's side: only `bank.advance` moves it."""
    behind, url = door
    key_id, key_secret = choice.credentials()
    bank = Bank(clock=NOON.timestamp)
    behind.emulator = Emulator(key_id, key_secret, bank)
    settings.PAYMENT_EMULATOR_URL = url
    gateway = RazorpayGateway(
        key_id=key_id, key_secret=key_secret, base_url=url, timeout_s=30.0, breaker=Breaker(failures=1000)
    )
    return World(behind.emulator, bank, gateway, url)


@pytest.fixture
def hasty(world: World) -> RazorpayGateway:
    """The same gateway for somebody who does not wait."""
    key_id, key_secret = choice.credentials()
    return RazorpayGateway(
        key_id=key_id, key_secret=key_secret, base_url=world.url, timeout_s=TIMEOUT_S, breaker=Breaker(failures=1000)
    )
