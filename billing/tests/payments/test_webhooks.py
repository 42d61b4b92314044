"""The inbox: forged, doubled, shuffled, late and broken webhooks, and the same balance in the end."""

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import psycopg
import pytest
from django.utils import timezone

from billing.gateways import choice
from billing.gateways.emulator import payments as payer
from billing.gateways.emulator import receivers as payer_at
from billing.gateways.emulator.webhooks import Courier, Delivery, Mischief
from billing.gateways.signing import signature
from billing.models import GatewayEvent
from billing.payments import inbox, intents, receivers, route, tasks
from billing.payments.inbox import Letter
from billing.services import ledger
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import STORM, books_are_right, hear, posted, top_ups, webhooks

pytestmark = pytest.mark.django_db(transaction=True)
URL = "http://test/payments/webhook"
BODY = {"entity": "event", "event": "payment.downtime.started", "payload": {}, "created_at": 1_763_620_200}


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(tasks, "hint_inbox", lambda: None)
    transport = httpx.ASGITransport(app=_with_client(route.webhook))
    async with httpx.AsyncClient(transport=transport, timeout=30) as client:
        yield client
    await route.batcher.close()
    await route.database.close()
    route.threads.close()


def _with_client(app):
    async def wrapped(scope, receive, send):
        await app({**scope, "client": ("203.0.113.9", 4711)}, receive, send)

    return wrapped


def raw_of(body: object = BODY) -> bytes:
    return json.dumps(body).encode()


def signed(raw: bytes, **more: str) -> dict[str, str]:
    return {"x-razorpay-signature": signature(raw, choice.webhook_secrets()[0]), **more}


def kept() -> list[str]:
    return list(GatewayEvent.objects.order_by("pk").values_list("event_id", flat=True))


async def kept_now() -> list[str]:
    return await asyncio.to_thread(_closing, kept)


def _closing(work):
    from django.db import connections

    try:
        return work()
    finally:
        connections.close_all()


async def test_a_webhook_is_kept_once_and_acknowledged(http: httpx.AsyncClient) -> None:
    raw = raw_of()
    for _ in range(3):
        answer = await http.post(URL, content=raw, headers=signed(raw, **{"x-razorpay-event-id": "evt_1"}))
        assert answer.status_code == 200
    assert await kept_now() == ["evt_1"]


FORGED = [None, b"", b"0" * 64, "ü".encode(), b"\xff\xfe\x00", "é".encode("latin-1") * 64, b"sha256=" + b"a" * 64]


@pytest.mark.parametrize("given", FORGED)
async def test_a_forged_missing_or_non_ascii_signature_is_refused(http: httpx.AsyncClient, given: bytes | None) -> None:
    headers = [] if given is None else [(b"x-razorpay-signature", given)]
    answer = await http.post(URL, content=raw_of(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_signature")
    assert await kept_now() == []


async def test_a_payment_told_by_forgers_moves_nothing_and_the_real_news_credit_it_once(
    http: httpx.AsyncClient, world: World, organisation
) -> None:
    def paid() -> list[Delivery]:
        intent = intents.start_order(organisation_id=organisation.pk, amount_paise=500_00, now=NOON)
        intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
        payer.pay_order(world.bank, intent.order_id)
        return webhooks(world)

    def credited() -> tuple[list[int], bool]:
        while inbox.work(now=timezone.now()):  # the route's clock
            pass
        return top_ups(organisation), books_are_right()

    told = await asyncio.to_thread(_closing, paid)
    for each, given in itertools.product(told, FORGED[2:5]):
        headers = [(b"x-razorpay-event-id", each.event_id.encode())]
        headers += [] if given is None else [(b"x-razorpay-signature", given)]
        assert (await http.post(URL, content=each.raw, headers=headers)).status_code == 401
    assert await asyncio.to_thread(_closing, credited) == ([], True)
    for each in told * 2:
        headers_of_each = signed(each.raw, **{"x-razorpay-event-id": each.event_id})
        assert (await http.post(URL, content=each.raw, headers=headers_of_each)).status_code == 200
    assert await asyncio.to_thread(_closing, credited) == ([500_00], True)


async def test_one_changed_byte_is_refused(http: httpx.AsyncClient) -> None:
    raw = raw_of()
    answer = await http.post(URL, content=raw + b" ", headers=signed(raw))
    assert answer.status_code == 401
    assert await kept_now() == []


async def test_whoever_keeps_guessing_has_to_wait(http: httpx.AsyncClient, one_window: None) -> None:
    codes = {(await http.post(URL, content=b"{}")).status_code for _ in range(60)}
    assert codes == {401, 429}


async def test_without_an_event_id_the_body_is_the_key(http: httpx.AsyncClient) -> None:
    one, other = raw_of(), raw_of({**BODY, "created_at": 2})
    for raw, event_id in [(one, ""), (one, ""), (other, "x" * 200), (other, "non-äscii")]:
        headers = [(b"x-razorpay-signature", signed(raw)["x-razorpay-signature"].encode())]
        headers += [(b"x-razorpay-event-id", event_id.encode("latin-1"))] if event_id else []
        assert (await http.post(URL, content=raw, headers=headers)).status_code == 200
    ids = await kept_now()
    assert len(ids) == 2 and all(each.startswith("sha256:") for each in ids)


async def test_too_much_and_the_wrong_method_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get(URL)).status_code == 405
    big = b"x" * (route.MAX_BODY_BYTES + 1)
    assert (await http.post(URL, content=big, headers=signed(big))).status_code == 413


async def test_the_database_is_away_so_the_gateway_has_to_come_again(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise psycopg.OperationalError("gone")

    raw = raw_of()
    with monkeypatch.context() as without:
        without.setattr(route.database, "fetch", away)
        assert (await http.post(URL, content=raw, headers=signed(raw))).status_code == 503
    assert (await http.post(URL, content=raw, headers=signed(raw))).status_code == 200
    assert len(await kept_now()) == 1


async def test_the_secret_can_be_replaced_without_losing_a_webhook(http: httpx.AsyncClient, settings) -> None:
    settings.PAYMENT_GATEWAY, settings.RAZORPAY_WEBHOOK_SECRETS = "razorpay", ["new-one", "old-one"]
    for number, secret in enumerate(["new-one", "old-one", "older"]):
        raw = raw_of({**BODY, "created_at": number})
        answer = await http.post(URL, content=raw, headers={"x-razorpay-signature": signature(raw, secret)})
        assert answer.status_code == (401 if secret == "older" else 200)


async def test_without_a_secret_nothing_is_believed(http: httpx.AsyncClient, settings) -> None:
    settings.PAYMENT_GATEWAY, settings.RAZORPAY_WEBHOOK_SECRETS = "razorpay", []
    raw = raw_of()
    answer = await http.post(URL, content=raw, headers={"x-razorpay-signature": signature(raw, "")})
    assert answer.status_code == 401


# --- handling -------------------------------------------------------------------------------------------------------


def storm_of(world: World, organisation, finance, owner) -> int:
    """A busy morning with every kind of news; returns what the wallet must hold at the end of it."""
    orders = [
        intents.start_order(organisation_id=organisation.pk, amount_paise=1_000_00 + number, now=NOON)
        for number in range(12)
    ]
    paid = []
    for number, each in enumerate(orders):
        intent = intents.work(intent_id=each.pk, now=NOON, gateway=world.gateway)
        if number % 3 == 0:
            payer.pay_order(world.bank, intent.order_id, outcome="failed")
        paid.append(payer.pay_order(world.bank, intent.order_id))
    account = receivers.open_virtual_account(organisation_id=organisation.pk, now=NOON)
    account = receivers.work(receiver_id=account.pk, now=NOON, gateway=world.gateway)
    for amount in (40_000_00, 60_000_00):
        payer_at.transfer(world.bank, account.gateway_id, amount=amount)
    for outcome, payment in zip(["won", "lost"], paid, strict=False):
        dispute = payer.open_dispute(world.bank, payment["id"])
        payer.end_dispute(world.bank, dispute["id"], outcome=outcome)
    foreign = payer.refund(world.bank, paid[2]["id"], {"amount": 500_00}, "")
    payer.finish_refund(world.bank, foreign["id"])
    return sum(payment["amount"] for payment in paid) + 100_000_00 - paid[1]["amount"] - 500_00


def _until_quiet() -> None:
    for minutes in range(0, 600, 20):
        while inbox.work(now=NOON + timedelta(minutes=minutes)):
            pass
    assert GatewayEvent.objects.filter(state="waiting").count() == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_storm_ten_times_over_and_shuffled_ends_in_the_same_balance(
    world: World, organisation, finance, owner, seed: int
) -> None:
    due = storm_of(world, organisation, finance, owner)
    letters = [
        Letter(each.event_id, each.raw, NOON)
        for each in webhooks(world, Mischief(seed=seed, copies=10, is_shuffled=True))
    ]
    for start in range(0, len(letters), 37):
        inbox.keep(letters[start : start + 37])
        inbox.work(now=NOON, limit=25)
    _until_quiet()
    assert posted(organisation) == due
    assert ledger.balance_paise("razorpay_clearing") == due
    assert ledger.balance_paise("suspense") == 0
    assert len(top_ups(organisation)) == 14
    assert set(GatewayEvent.objects.values_list("state", flat=True)) <= {"done", "parked"}
    assert books_are_right()


def test_eight_workers_share_one_inbox(world: World, organisation, finance, owner) -> None:
    due = storm_of(world, organisation, finance, owner)
    inbox.keep([Letter(each.event_id, each.raw, NOON) for each in webhooks(world, STORM)])

    def work() -> None:
        _closing(lambda: [inbox.work(now=NOON + timedelta(minutes=each), limit=3) for each in range(0, 400, 4)])

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    _until_quiet()
    assert posted(organisation) == due
    assert books_are_right()


def test_a_worker_that_died_leaves_its_part_to_the_next(world: World, organisation) -> None:
    inbox.keep([Letter("evt_1", raw_of(), NOON)])
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(inbox, "_handle", lambda *_: None)  # claimed, and never heard of again
        assert inbox.work(now=NOON) == 1
    assert inbox.work(now=NOON) == 0
    assert inbox.work(now=NOON + inbox.LEASE) == 1
    assert GatewayEvent.objects.get().state == "parked"


def test_what_cannot_be_read_is_given_up_and_holds_nobody_up(world: World, organisation) -> None:
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=100_00, now=NOON)
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    broken = [b"not json", b"[]", b"\xff", raw_of({"payload": {"payment": {"entity": {"id": "pay_1", "amount": "x"}}}})]
    inbox.keep([Letter(f"evt_{number}", raw, NOON) for number, raw in enumerate(broken)])
    payer.pay_order(world.bank, intent.order_id)
    hear(world)
    assert GatewayEvent.objects.filter(state="dead").count() == len(broken)
    assert posted(organisation) == 100_00


@pytest.mark.parametrize(
    "body", [{}, {"payload": None}, {"payload": []}, {"payload": {"payment": None}}, {"event": 5, "payload": {"x": 1}}]
)
def test_what_we_have_no_use_for_is_parked(body: dict) -> None:
    inbox.keep([Letter("evt_1", raw_of(body), NOON)])
    inbox.work(now=NOON)
    assert GatewayEvent.objects.get().state == "parked"


def test_news_that_fails_is_tried_again_and_then_given_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> bool:
        raise RuntimeError("a defect of ours")

    inbox.keep([Letter("evt_1", raw_of(), NOON)])
    with monkeypatch.context() as broken:
        broken.setattr(inbox.news, "take", fails)
        for hour in range(0, 40, 2):
            inbox.work(now=NOON + timedelta(hours=hour))
    event = GatewayEvent.objects.get()
    assert (event.state, event.attempts) == ("dead", inbox.MOST_ATTEMPTS)
    assert "a defect of ours" in event.error
    assert inbox.try_again(event_ids=[event.pk], now=NOON + timedelta(days=3)) == 1
    inbox.work(now=NOON + timedelta(days=3))
    event.refresh_from_db()
    assert event.state == "parked"


def test_old_news_is_forgotten_but_never_what_a_person_must_see() -> None:
    inbox.keep([Letter("evt_1", raw_of(), NOON), Letter("evt_2", b"[]", NOON)])
    inbox.work(now=NOON)
    assert inbox.prune(now=NOON + timedelta(days=31), keep_for=timedelta(days=30)) == 1
    assert kept() == ["evt_2"]


async def test_the_courier_of_the_emulator_reaches_the_route(http: httpx.AsyncClient, world: World) -> None:
    """Doubled, over HTTP, and tried again after a refusal."""
    refusals = [2]

    async def grumpy(scope, receive, send):
        if refusals[0]:
            refusals[0] -= 1
            await receive()
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await _with_client(route.webhook)(scope, receive, send)

    world.bank.tell("payment.downtime.started", payment={"id": "down_1"})
    courier = Courier(world.bank, URL, choice.webhook_secrets()[0], Mischief(copies=2))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=grumpy)) as client:
        await courier.step(client)
        assert (courier.delivered, len(courier.waiting)) == (0, 2)
        for each in courier.waiting:
            each.due_at = 0
        await courier.step(client)
    assert (courier.delivered, courier.waiting) == (2, [])
    assert len(await kept_now()) == 1
