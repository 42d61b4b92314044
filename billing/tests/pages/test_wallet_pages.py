"""The wallet's pages: who sees them, what stands on them, and that a second click changes nothing."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing import tasks
from billing.models import AutoTopUp, Mandate, PaymentIntent, PaymentReceiver, SpendLimit, Wallet
from billing.services import wallets
from billing.tests import factories
from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, User

PAGES = ["", "top-up/", "mandates/", "invoices/", "statement/", "limits/", "approvals/", "expenses/"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def wallet(organisation: Organisation) -> Wallet:
    return factories.fund(organisation, 50_000_00, low_threshold_paise=10_000_00)


@pytest.fixture
def money(client: Client, finance: User, wallet: Wallet) -> Client:
    client.force_login(finance)
    return client


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.mark.parametrize("path", PAGES)
def test_each_page_opens_empty_and_filled(client: Client, finance: User, organisation: Organisation, path: str) -> None:
    client.force_login(finance)
    assert client.get(f"/wallet/{path}").status_code == 200
    factories.fund(organisation, 50_000_00)
    answer = client.get(f"/wallet/{path}")
    assert answer.status_code == 200
    assert "'unsafe-inline'" not in answer["Content-Security-Policy"].partition("style-src")[0]


def test_a_driver_is_told_why_not(client: Client, organisation: Organisation) -> None:
    driver = User.objects.create_user("d@namma.example", "correct horse")
    Membership.objects.create(user=driver, organisation=organisation, role=Membership.Role.DRIVER)
    client.force_login(driver)
    answer = client.get("/wallet/")
    assert answer.status_code == 403
    assert "You are signed in as Driver. The wallet is for owners and finance." in text_of(answer)


def test_a_dispatcher_sees_and_does_not_act(client: Client, dispatcher: User, wallet: Wallet) -> None:
    client.force_login(dispatcher)
    assert "Top up" not in text_of(client.get("/wallet/")).partition("Can be spent")[2]
    answer = client.post("/wallet/top-up/", {"amount": "5000", "key": "TU-" + "A" * 18, "way": "checkout"})
    assert answer.status_code == 403
    assert "Only owners and finance move money." in text_of(answer)
    assert not PaymentIntent.objects.exists()


def test_the_overview_adds_up(money: Client, organisation: Organisation) -> None:
    wallets.hold(organisation_id=organisation.pk, session_key="session:0", amount_paise=1_234_50, now=timezone.now())
    text = text_of(money.get("/wallet/"))
    assert "Can be spent ₹48,765.50" in text
    assert "− ₹1,234.50" in text


def test_a_low_wallet_says_so(money: Client, organisation: Organisation) -> None:
    assert "The wallet is low" not in text_of(money.get("/wallet/"))
    wallets.hold(organisation_id=organisation.pk, session_key="session:0", amount_paise=45_000_00, now=timezone.now())
    assert "The wallet is low. Less than ₹10,000.00 can be spent." in text_of(money.get("/wallet/"))


def test_the_warning_limit_is_changed_with_a_reason(money: Client, wallet: Wallet, finance: User) -> None:
    money.post("/wallet/warning/", {"low_threshold": "₹20,000", "reason": "Diwali"})
    wallet.refresh_from_db()
    assert wallet.low_threshold_paise == 20_000_00
    entry = AuditEntry.objects.get(action="set_warning")
    assert (entry.actor, entry.reason) == (finance, "Diwali")


def key_in(page: Any) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page.content.decode())
    assert found
    return found[1]


def test_a_second_click_is_the_same_top_up(money: Client, settings: Any) -> None:
    form = {"amount": "25,000", "key": key_in(money.get("/wallet/top-up/")), "way": "checkout"}
    first, second = money.post("/wallet/top-up/", form), money.post("/wallet/top-up/", form)
    assert first.status_code == second.status_code == 302
    assert first["Location"] == second["Location"]
    assert PaymentIntent.objects.get().amount_paise == 25_000_00
    page = money.get(first["Location"])
    assert (page.status_code, PaymentIntent.objects.get().state) == (200, "created")
    assert f"form-action 'self' {settings.PAYMENT_EMULATOR_URL}" in page["Content-Security-Policy"], "its button comes"


def test_a_second_click_is_the_same_code(money: Client) -> None:
    form = {"amount": "2500.5", "key": key_in(money.get("/wallet/top-up/")), "way": "qr"}
    first, second = money.post("/wallet/top-up/", form), money.post("/wallet/top-up/", form)
    assert first["Location"] == second["Location"]
    assert PaymentReceiver.objects.get().amount_paise == 2_500_50


@pytest.mark.parametrize(
    ("amount", "says"),
    [("", "Please write an amount"), ("much", "Please write an amount"), ("-5", "Please write an amount"),
     ("0", "between ₹1 and ₹5 crore"), ("99999999999", "between ₹1 and ₹5 crore"), ("1e9", "Please write an amount"),
     ("१००", "Please write an amount")],
)  # fmt: skip
def test_an_odd_amount_is_said_at_its_field(money: Client, amount: str, says: str) -> None:
    answer = money.post("/wallet/top-up/", {"amount": amount, "key": "TU-" + "A" * 18, "way": "checkout"})
    assert answer.status_code == 400
    assert says in text_of(answer)
    assert not PaymentIntent.objects.exists()


def test_somebody_elses_top_up_is_not_there(client: Client, stranger: User, organisation: Organisation) -> None:
    factories.fund(organisation, 100_00)
    intent = PaymentIntent.objects.create(
        key="TU-ours", organisation=organisation, kind="order", amount_paise=100, expires_at=timezone.now()
    )
    mandate = make_mandate(organisation)
    client.force_login(stranger)
    assert client.get(f"/wallet/top-up/{intent.pk}/").status_code == 404
    assert client.post(f"/wallet/mandates/{mandate.pk}/", {"do": "cancel"}).status_code == 404


def make_mandate(organisation: Organisation, **fields: Any) -> Mandate:
    now = timezone.now()
    values = {
        "key": "MD-ours", "state": "confirmed", "call": "done", "token_id": "token_1", "max_amount_paise": 15_000_00,
        "payer_name": "Namma", "payer_email": "pay@namma.example", "payer_contact": "+919900112233",
        "expires_at": now + timedelta(days=300), "confirmed_at": now, **fields,
    }  # fmt: skip
    return Mandate.objects.create(organisation=organisation, **values)


MANDATE = {
    "kind": "upi", "max": "15,000", "total": "", "years": "3", "name": "Namma Logistics", "email": "pay@namma.example",
    "contact": "+91 99001 12233",
}  # fmt: skip


def test_a_mandate_is_asked_for_once(money: Client) -> None:
    form = {**MANDATE, "key": key_in(money.get("/wallet/mandates/"))}
    assert money.post("/wallet/mandates/", form).status_code == 302
    assert money.post("/wallet/mandates/", form).status_code == 302
    mandate = Mandate.objects.get()
    assert (mandate.max_amount_paise, mandate.payer_contact) == (15_000_00, "+919900112233")
    assert "The link for the payer is being made." in text_of(money.get("/wallet/mandates/"))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [("max", "5,00,00,000", "UPI AutoPay allows from ₹1 to ₹"), ("total", "10", "cannot be less than one of them"),
     ("contact", "12", "8 to 15 digits"), ("email", "nobody", "at this e-mail address"), ("name", "", "Whose account"),
     ("years", "99", "choose from the list"), ("key", "x", "too old")],
)  # fmt: skip
def test_what_is_wrong_with_a_mandate_is_said(money: Client, field: str, value: str, says: str) -> None:
    answer = money.post("/wallet/mandates/", {**MANDATE, "key": "MD-" + "A" * 18, field: value})
    assert answer.status_code == 400
    assert says in text_of(answer)
    assert not Mandate.objects.exists()


def test_a_debit_that_is_too_large_says_how_much_is_allowed(money: Client, organisation: Organisation) -> None:
    mandate = make_mandate(organisation)
    answer = money.post(
        f"/wallet/mandates/{mandate.pk}/", {"do": "debit", "amount": "20000", "reason": "x"}, follow=True
    )
    assert "The mandate allows at most ₹15,000.00 per debit: ₹20,000.00 takes several debits" in text_of(answer)
    assert not PaymentIntent.objects.exists()


def test_a_debit_clicked_twice_is_one(money: Client, organisation: Organisation) -> None:
    mandate = make_mandate(organisation)
    form = {"do": "debit", "amount": "9000", "reason": "festival"}
    for _click in range(2):
        answer = money.post(f"/wallet/mandates/{mandate.pk}/", form, follow=True)
        assert "A debit of ₹9,000.00 has begun." in text_of(answer)
    assert PaymentIntent.objects.get().amount_paise == 9_000_00


def test_a_paused_mandate_debits_nothing(money: Client, organisation: Organisation) -> None:
    mandate = make_mandate(organisation)
    for _click in range(2):
        money.post(f"/wallet/mandates/{mandate.pk}/", {"do": "pause", "reason": "audit"})
    answer = money.post(f"/wallet/mandates/{mandate.pk}/", {"do": "debit", "amount": "10", "reason": "x"}, follow=True)
    assert "You have paused this mandate." in text_of(answer)
    assert AuditEntry.objects.filter(action="pause_mandate").count() == 1
    money.post(f"/wallet/mandates/{mandate.pk}/", {"do": "resume", "reason": "done"})
    mandate.refresh_from_db()
    assert mandate.rests_since is None


def test_the_automatic_top_up_is_set_up(money: Client, organisation: Organisation) -> None:
    money.post("/wallet/mandates/automatic/", {"safety": "15000", "cover_hours": "48", "is_active": "1", "reason": "x"})
    row = AutoTopUp.objects.get(organisation=organisation)
    assert (row.safety_paise, row.cover_hours, row.is_active) == (15_000_00, 48, True)
    answer = money.post(
        "/wallet/mandates/automatic/", {"safety": "1", "cover_hours": "9999", "reason": "x"}, follow=True
    )
    assert "between an hour and two weeks" in text_of(answer)
    row.refresh_from_db()
    assert row.cover_hours == 48


def test_hindi(money: Client) -> None:
    money.cookies["django_language"] = "hi"
    for path in PAGES:
        text = text_of(money.get(f"/wallet/{path}"))
        assert "वॉलेट" in text
        assert "₹" in text or path in {"mandates/", "invoices/", "limits/", "approvals/"}


LIMIT = {"scope": "organisation", "name": "", "period": "day", "amount": "5,000", "kwh": "", "is_hard": "1",
         "reason": "budget"}  # fmt: skip


def test_a_limit_is_set_once_changed_and_removed(money: Client, organisation: Organisation, finance: User) -> None:
    for _click in range(2):
        assert money.post("/wallet/limits/", LIMIT).status_code == 302
    money.post("/wallet/limits/", {**LIMIT, "amount": "6,000", "kwh": "400"})
    limit = SpendLimit.objects.get()
    assert (limit.amount_paise, limit.energy_wh) == (6_000_00, 400_000)
    entries = AuditEntry.objects.filter(action="set_limit", actor=finance, reason="budget")
    assert entries.count() == 2
    assert "₹6,000.00" in text_of(money.get("/wallet/limits/"))
    for unsaid in ({}, {"reason": "  "}):
        page = money.post(f"/wallet/limits/{limit.pk}/remove/", unsaid, follow=True)
        assert "Please say why" in text_of(page)
        assert SpendLimit.objects.exists()
    money.post(f"/wallet/limits/{limit.pk}/remove/", {"reason": "over"})
    assert not SpendLimit.objects.exists()
    assert AuditEntry.objects.filter(action="remove_limit", reason="over").exists()


def test_a_limit_of_a_vehicle_is_found_by_its_plate(money: Client, organisation: Organisation) -> None:
    fleet = factories.make_fleet(organisation, has_wallet=False)
    plate = fleet.vehicle.registration
    assert money.post("/wallet/limits/", {**LIMIT, "scope": "vehicle", "name": plate.lower()}).status_code == 302
    assert SpendLimit.objects.get().vehicle == fleet.vehicle


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [("amount", "", "at least one kWh, or both"), ("amount", "0", "between ₹1 and ₹5 crore"), ("kwh", "x", "one kWh"),
     ("scope", "moon", "choose from the list"), ("reason", "", "Please say why"), ("amount", "x", "write an amount")],
)  # fmt: skip
def test_what_is_wrong_with_a_limit_is_said(money: Client, field: str, value: str, says: str) -> None:
    answer = money.post("/wallet/limits/", {**LIMIT, field: value})
    assert answer.status_code == 400
    assert says in text_of(answer)
    assert not SpendLimit.objects.exists()


def test_somebody_elses_vehicle_is_nobody(
    money: Client, other_organisation: Organisation, organisation: Organisation
) -> None:
    theirs = factories.make_fleet(other_organisation, has_wallet=False).vehicle.registration
    answer = money.post("/wallet/limits/", {**LIMIT, "scope": "vehicle", "name": theirs})
    assert "Your fleet has no" in text_of(answer)
    assert not SpendLimit.objects.exists()


def test_expenses_are_downloaded_as_a_table(money: Client, organisation: Organisation) -> None:
    fleet = factories.make_fleet(organisation, has_wallet=False)
    now = timezone.now()
    session = factories.start(fleet, started_at=now - timedelta(minutes=30), received_at=now)
    factories.stop(fleet, session.transaction_ref, ended_at=now, received_at=now)
    tasks.sweep_unrated()
    plate = fleet.vehicle.registration
    assert plate in text_of(money.get("/wallet/expenses/?by=vehicle"))
    answer: Any = money.get("/wallet/expenses/?by=vehicle&as=csv")
    header, row = b"".join(answer.streaming_content).decode().splitlines()
    assert header.startswith("Name,Sessions,kWh")
    assert row.startswith(f"{plate},1,10.000,")
    assert fleet.driver.name in text_of(money.get("/wallet/expenses/?by=driver"))
    assert money.get("/wallet/expenses/?by=moon&from=x").status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_every_page_keeps_the_whole_navigation(money: Client, path: str) -> None:
    """What a page calls its own things must not hide what the person may open."""
    top = money.get(f"/wallet/{path}").content.decode().partition("<main")[0]
    assert 'href="/stations/"' in top and 'href="/sessions/"' in top
