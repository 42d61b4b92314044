"""Signed webhooks of the emulated gateway: on time, or late, doubled and shuffled; retried until they are taken."""

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from billing.gateways.emulator.bank import Bank, Event
from billing.gateways.signing import signature

logger = logging.getLogger(__name__)
FIRST_RETRY_S, LONGEST_RETRY_S, GIVE_UP_S = 1.0, 3600.0, 86_400.0
ANSWER_WITHIN_S = 5.0
LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Delivery:
    """One POST: what a real one carries."""

    event_id: str
    raw: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Mischief:
    """How badly webhooks arrive; the same seed, the same order."""

    seed: int = 1
    copies: int = 1
    is_shuffled: bool = False
    late_s: float = 0.0


def delivery(event: Event, secret: str) -> Delivery:
    raw = json.dumps(event.body, separators=(",", ":")).encode()
    headers = {
        "content-type": "application/json", "x-razorpay-event-id": event.id,
        "x-razorpay-signature": signature(raw, secret),
    }  # fmt: skip
    return Delivery(event.id, raw, headers)


def in_disorder(deliveries: Sequence[Delivery], mischief: Mischief) -> list[Delivery]:
    """Each `copies` times, in an order that nobody can rely on."""
    many = [each for each in deliveries for _ in range(mischief.copies)]
    if mischief.is_shuffled:
        random.Random(mischief.seed).shuffle(many)  # noqa: S311 - repeatable on purpose
    return many


@dataclass
class _Waiting:
    delivery: Delivery
    due_at: float
    attempts: int = 0
    first_at: float = 0.0


@dataclass
class Courier:
    """Takes events from the bank and sends them to one address."""

    bank: Bank
    url: str
    secret: str
    mischief: Mischief = field(default_factory=Mischief)
    waiting: list[_Waiting] = field(default_factory=list)
    delivered: int = 0
    is_disabled: bool = False

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=ANSWER_WITHIN_S, trust_env=False) as http:
            while True:
                await self.step(http)
                await asyncio.sleep(LOOK_EVERY_S)

    async def step(self, http: httpx.AsyncClient) -> None:
        """Send what is due now."""
        now = asyncio.get_running_loop().time()
        self._collect(now)
        due = [each for each in self.waiting if each.due_at <= now]
        for each in due:
            self.waiting.remove(each)
            if not await self._send(http, each):
                self._later(each, asyncio.get_running_loop().time())

    def _collect(self, now: float) -> None:
        with self.bank.lock:
            events, self.bank.events = self.bank.events, []
        fresh = in_disorder([delivery(event, self.secret) for event in events], self.mischief)
        self.waiting += [_Waiting(each, now + self.mischief.late_s, first_at=now) for each in fresh]

    async def _send(self, http: httpx.AsyncClient, waiting: _Waiting) -> bool:
        if self.is_disabled:
            return True
        with contextlib.suppress(httpx.HTTPError):
            answer = await http.post(self.url, content=waiting.delivery.raw, headers=waiting.delivery.headers)
            self.delivered += answer.is_success
            return answer.is_success
        return False

    def _later(self, waiting: _Waiting, now: float) -> None:
        if now - waiting.first_at > GIVE_UP_S:
            logger.error("webhooks to %s are switched off: not taken for a day", self.url)
            self.is_disabled = True
            return
        waiting.attempts += 1
        waiting.due_at = now + min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(waiting.attempts, 12))
        self.waiting.append(waiting)
