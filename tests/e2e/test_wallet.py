"""Money by hand in a browser: a low wallet, a top-up through the gateway's checkout, a mandate, an invoice."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Page, expect

from billing.approvals import services as approvals
from billing.approvals import spend_limits
from billing.gateways import choice
from billing.gateways.emulator.bank import Bank
from billing.gateways.emulator.server import Emulator, EmulatorThread
from billing.gateways.emulator.webhooks import Courier, Mischief
from billing.models import ChargingPolicy, LedgerTransfer, Mandate, SpendLimit, Wallet
from billing.payments import inbox
from billing.services import wallets
from billing.tests import factories
from fleetcharge.accounts.models import Membership, Organisation, User
from fleetcharge.lib import hints
from tests.belongings import belongings_of
from tests.e2e.conftest import Server, Watched

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("WALLET_SHOTS", "")


class Workers:
    """What Celery does elsewhere: a hint is worked on at once, in a thread of its own."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def start(self, task: Any, *args: object, countdown: float | None = None) -> None:
        if task.name.startswith("billing.payments"):
            thread = threading.Thread(target=self._run, args=(task, args))
            self.threads.append(thread)
            thread.start()

    def _run(self, task: Any, args: tuple[object, ...]) -> None:
        try:
            task(*args)
        finally:
            connection.close()

    def end(self) -> None:
        for thread in self.threads:
            thread.join(60)


@dataclass
class Bankside:
    """The gateway: its books, and the courier that brings its webhooks to the product, each twice."""

    bank: Bank
    url: str
    courier: Courier

    def deliver(self, server: Server) -> None:
        async def step() -> None:
            import httpx

            async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
                await self.courier.step(http)

        server.call(step())
        while inbox.work(now=timezone.now()):
            pass


@pytest.fixture
def bankside(server: Server, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bankside]:
    key_id, key_secret = choice.credentials()
    bank = Bank()
    workers = Workers()
    monkeypatch.setattr(hints, "start", workers.start)
    with EmulatorThread(Emulator(key_id, key_secret, bank)) as thread:
        settings.PAYMENT_EMULATOR_URL = thread.url
        (secret,) = choice.webhook_secrets()
        yield Bankside(bank, thread.url, Courier(bank, f"{server.url}/payments/webhook", secret, Mischief(copies=2)))
        workers.end()


@pytest.fixture
def wallet(transactional_db: None, organisation: Organisation) -> Wallet:
    """₹12,000 with ₹4,500 held, and a warning below ₹10,000: low."""
    found = factories.fund(organisation, 12_000_00, low_threshold_paise=10_000_00)
    wallets.hold(organisation_id=organisation.pk, session_key="session:0", amount_paise=4_500_00, now=timezone.now())
    return found


def shot(page: Page, name: str) -> None:
    """Pictures to look at, where WALLET_SHOTS names a folder."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def strangers_but(web: Watched, url: str) -> list[str]:
    return [one for one in web.strangers if not one.startswith(url)]


def test_a_low_wallet_is_filled_and_never_runs_dry_again(
    web: Watched, server: Server, bankside: Bankside, wallet: Wallet, finance: User, organisation: Organisation
) -> None:
    """Low, warned, paid in the checkout, confirmed by a signed webhook that comes twice; then a mandate."""
    page = web.sign_in(web.page(), finance, "/wallet/")
    expect(page.locator("#low-warning")).to_contain_text("The wallet is low. Less than ₹10,000.00 can be spent.")
    expect(page.locator("#spendable")).to_have_text("₹7,500.00")
    page.get_by_role("link", name="Top up").first.click()
    page.get_by_label("Amount in rupees").fill("25,000")
    page.get_by_role("button", name="UPI, card or net banking").click()
    page.get_by_role("button", name="Pay ₹25,000.00").click()
    page.wait_for_url(f"{bankside.url}/v1/checkout/embedded")
    shot(page, "checkout")
    page.get_by_role("button", name="Pay by UPI").click()
    page.wait_for_url("**/wallet/top-up/*/?back=1")
    bankside.deliver(server)
    expect(page.get_by_role("heading", name="₹25,000.00 is in the wallet")).to_be_visible()
    page.get_by_role("link", name="To the wallet").click()
    expect(page.locator("#spendable")).to_have_text("₹32,500.00")
    expect(page.locator("#low-warning")).to_have_count(0)
    assert LedgerTransfer.objects.filter(kind="top_up", amount_paise=25_000_00).count() == 1

    page.get_by_role("link", name="Mandates", exact=True).click()
    page.get_by_label("Payer's mobile number").fill("+91 99001 12233")
    page.get_by_role("button", name="Ask the payer").click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open the payer's link").click()
    opened.value.get_by_role("button", name="Allow").click()
    expect(opened.value.get_by_text("Allowed.")).to_be_visible()
    opened.value.close()
    bankside.deliver(server)
    expect(page.locator(".mandate .chip").first).to_have_text("In force")
    expect(page.locator(".mandate")).to_contain_text("Now: up to ₹15,000.00 without approval")
    assert Mandate.objects.get().state == "confirmed"
    assert web.errors == []
    assert strangers_but(web, bankside.url) == []


def test_the_balance_rises_while_somebody_looks(
    web: Watched, server: Server, bankside: Bankside, wallet: Wallet, finance: User, organisation: Organisation
) -> None:
    """A UPI code on one page, the wallet on another."""
    page = web.sign_in(web.page(), finance, "/wallet/top-up/")
    page.get_by_label("Amount in rupees").fill("3000")
    page.get_by_role("button", name="Show a UPI code").click()
    expect(page.locator(".qr svg")).to_be_visible()
    other = page.context.new_page()
    other.goto(f"{server.url}/wallet/")
    expect(other.locator("#spendable")).to_have_text("₹7,500.00")
    (code,) = bankside.bank.every("qr_code")
    from billing.gateways.emulator import receivers

    with bankside.bank.lock:
        receivers.pay_qr(bankside.bank, code["id"])
    bankside.deliver(server)
    expect(other.locator("#spendable")).to_have_text("₹10,500.00")
    other.close()
    page.bring_to_front()
    expect(page.get_by_role("heading", name="₹3,000.00 is in the wallet")).to_be_visible()
    assert web.errors == []


def test_an_invoice_and_a_statement_are_downloaded(
    web: Watched, server: Server, transactional_db: None, organisation: Organisation, finance: User
) -> None:
    belongings_of(organisation)
    page = web.sign_in(web.page(), finance, "/wallet/invoices/")
    with page.expect_download() as download:
        page.get_by_role("link", name="FC/26-27/4711 PDF").click()
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF")
    page.get_by_role("link", name="Statement", exact=True).click()
    for form, first in (("CSV", b"Booked,"), ("XLSX", b"PK"), ("PDF", b"%PDF")):
        with page.expect_download() as download:
            page.get_by_role("link", name=form, exact=True).click()
        assert Path(download.value.path()).read_bytes().startswith(first), form
    assert (web.errors, web.strangers) == ([], [])


def test_the_wallet_reads_in_hindi(web: Watched, wallet: Wallet, finance: User) -> None:
    """What is wrong with its pages, if anything, test_every_page finds."""
    page = web.page()
    page.context.add_cookies([{"name": "django_language", "value": "hi", "url": web.server.url}])
    web.sign_in(page, finance, "/wallet/")
    expect(page.get_by_role("heading", name="वॉलेट", exact=True)).to_be_visible()
    expect(page.locator("#spendable")).to_contain_text("₹")
    shot(page, "overview-hindi")
    assert (web.errors, web.strangers) == ([], [])


def _wishes(organisation: Organisation) -> None:
    """One of one's own, one of somebody else's, and one that was declined."""
    ChargingPolicy.objects.update_or_create(organisation=organisation, defaults={"limit_raise_free_paise": 0})
    me = User.objects.get(memberships__organisation=organisation, memberships__role="finance")
    colleague = User.objects.create_user("meera@namma.example", "correct horse", full_name="Meera Iyer")
    Membership.objects.create(user=colleague, organisation=organisation, role="finance")
    now = timezone.now()
    for number, who in enumerate((me, colleague, colleague)):
        limit = SpendLimit.objects.create(
            organisation=organisation, scope="cost_centre", cost_centre=f"Depot {number}", period="month",
            amount_paise=50_000_00,
        )  # fmt: skip
        wish = spend_limits.change_or_ask(
            limit=limit, amount_paise=(2 + number) * 1_00_000_00, energy_wh=None, reason="Diwali deliveries", actor=who,
            now=now,
        )  # fmt: skip
    assert wish is not None
    approvals.decline(approval_id=wish.pk, decided_by=me, reason="After the audit", now=now)


def a_month(organisation: Organisation) -> None:
    """A few sessions, a mandate that failed once, one that is over, and an account number."""
    belongings_of(organisation)
    fleet = factories.make_fleet(organisation, has_wallet=False)
    now = timezone.now()
    for number in range(4):
        at = now - timedelta(hours=30 * number + 3)
        session = factories.start(fleet, started_at=at - timedelta(minutes=40), received_at=at)
        factories.stop(fleet, session.transaction_ref, ended_at=at, received_at=at, meter_stop_wh=9_000 + 700 * number)
    from billing import tasks as billing_tasks

    billing_tasks.sweep_unrated()
    common = {
        "organisation": organisation, "call": "done", "max_amount_paise": 15_000_00, "payer_name": "Namma Logistics",
        "payer_email": "pay@namma.example", "payer_contact": "+919900112233", "expires_at": now + timedelta(days=900),
        "confirmed_at": now, "payer_account": "nam...@okhdfc",
    }  # fmt: skip
    failing = Mandate.objects.create(
        **common, key="MD-1", state="confirmed", token_id="token_1", consecutive_failures=1
    )
    failing.debits.create(
        key="DB-1", organisation=organisation, kind="debit", state="failed", amount_paise=15_000_00, sent_at=now,
        settled_at=now, error={"reason": "insufficient_funds"}, expires_at=now,
    )  # fmt: skip
    Mandate.objects.create(
        **{**common, "confirmed_at": None}, key="MD-2", state="link_sent", link_url="/mandates/inv_1"
    )
    _wishes(organisation)
    Mandate.objects.create(
        **common, key="MD-3", state="cancelled", token_id="token_3", ended_at=now, end_reason="New bank"
    )
