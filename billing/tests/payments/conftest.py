"""The emulated gateway on a real port, and the real SDK pointed at it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

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


@pytest.fixture
def world(settings) -> Iterator[World]:
    """Frozen time on the gateway's side: only `bank.advance` moves it."""
    key_id, key_secret = choice.credentials()
    bank = Bank(clock=NOON.timestamp)
    with EmulatorThread(Emulator(key_id, key_secret, bank)) as thread:
        settings.PAYMENT_EMULATOR_URL = thread.url
        gateway = RazorpayGateway(
            key_id=key_id, key_secret=key_secret, base_url=thread.url, timeout_s=30.0, breaker=Breaker(failures=1000)
        )
        yield World(thread.emulator, bank, gateway, thread.url)


@pytest.fixture
def hasty(world: World) -> RazorpayGateway:
    """The same gateway for somebody who does not wait."""
    key_id, key_secret = choice.credentials()
    return RazorpayGateway(
        key_id=key_id, key_secret=key_secret, base_url=world.url, timeout_s=TIMEOUT_S, breaker=Breaker(failures=1000)
    )
