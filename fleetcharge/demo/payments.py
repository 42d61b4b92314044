"""The demo's payment gateway: the emulator on a port of its own, its webhooks, and what a real one does over night."""

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from django.conf import settings

from billing.gateways import choice
from billing.gateways.emulator import payments, settlements
from billing.gateways.emulator.bank import Bank
from billing.gateways.emulator.mandates import debits_fall_due
from billing.gateways.emulator.server import Emulator
from billing.gateways.emulator.webhooks import Courier, Mischief

FILE_NAME = "payments.json"
DEBIT_AFTER_S = 120  # a day and an hour at the real one
LOOK_EVERY_S, REFUND_AFTER_S, SETTLE_EVERY_S = 5.0, 60, 3600


class Gateway:
    """Every webhook comes twice and late, as they do."""

    def __init__(self, var: Path, realtime_url: str) -> None:
        key_id, key_secret = choice.credentials()
        self.bank = Bank(path=var / FILE_NAME, debit_after_s=DEBIT_AFTER_S)
        self.bank.load()
        self.emulator = Emulator(key_id, key_secret, self.bank)
        (secret,) = choice.webhook_secrets()
        self.courier = Courier(self.bank, f"{realtime_url}/payments/webhook", secret, Mischief(copies=2, late_s=1.0))

    async def run(self) -> None:
        config = uvicorn.Config(
            self.emulator, host="127.0.0.1", port=urlsplit(settings.PAYMENT_EMULATOR_URL).port or 8011,
            log_level="warning", access_log=False, lifespan="off", ws="none",
        )  # fmt: skip
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext
        await asyncio.gather(server.serve(), self.courier.run(), self._duties())

    async def _duties(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.do_duties()

    def do_duties(self) -> None:
        """Debits whose hour has come, refunds that have waited, and a settlement now and then."""
        with self.bank.lock:
            now, has_changed = self.bank.now(), debits_fall_due(self.bank) > 0
            for refund in self.bank.every("refund", status="pending"):
                if refund["created_at"] + REFUND_AFTER_S <= now:
                    payments.finish_refund(self.bank, refund["id"])
                    has_changed = True
            last = max((each["created_at"] for each in self.bank.every("settlement")), default=0)
            if last + SETTLE_EVERY_S <= now:
                has_changed |= settlements.settle(self.bank) is not None
            if has_changed:
                self.bank.keep()
