"""UPI AutoPay from the link to the end: states, limits, the 25th hour, one open debit, failures; and bank mandates."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from django.db import IntegrityError, transaction

from billing.gateways.emulator.bank import HOUR
from billing.gateways.emulator.faults import Fault
from billing.gateways.emulator.mandates import approve, fail_next_debit, set_state
from billing.gateways.errors import NotFound, Refused, Said
from billing.models import BillingException, Mandate, PaymentIntent, PaymentRule
from billing.payments import debits, intents, mandate_news, mandates, rules
from billing.payments.mandate_states import FINAL, WORDS, after
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import STORM, books_are_right, hear, posted
from fleetcharge.lib.api import Conflict
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.models import WebhookEndpoint, WebhookMessage

pytestmark = pytest.mark.django_db
NEXT_DAY = NOON + timedelta(hours=25)
IN_TWO_DAYS = NOON + timedelta(hours=40)


def ask(organisation, *, kind: str = "upi", amount: int = 15_000_00, days: int = 700, **more) -> Mandate:
    return mandates.start(
        organisation_id=organisation.pk, kind=kind, max_amount_paise=amount, expires_at=NOON + timedelta(days=days),
        payer_name="Namma Logistics", payer_email=f"pay-{kind}@namma.example", payer_contact="+919999999999", now=NOON,
        **more,
    )  # fmt: skip


def token_of(mandate: Mandate, world: World) -> str:
    return world.bank.get("invoice", mandate.link_id)["token_id"]


def in_force(organisation, world: World, **more) -> Mandate:
    mandate = mandates.work(mandate_id=ask(organisation, **more).pk, now=NOON, gateway=world.gateway)
    set_state(world.bank, token_of(mandate, world), "confirmed")
    hear(world)
    mandate.refresh_from_db()
    return mandate


def debit(mandate: Mandate, world: World, amount: int = 10_000_00, now=NOON, **more) -> PaymentIntent:
    intent = debits.start(mandate_id=mandate.pk, amount_paise=amount, now=now, **more)
    return intents.work(intent_id=intent.pk, now=now, gateway=world.gateway)


def a_day_later(world: World, hours: int = 26) -> None:
    """The 25th hour passes; the gateway debits and tells of it."""
    from billing.gateways.emulator.mandates import debits_fall_due

    world.bank.advance(seconds=hours * HOUR)
    debits_fall_due(world.bank)
    hear(world, now=NOON + timedelta(hours=hours))


def test_a_mandate_is_asked_for_by_a_link_and_in_force_when_the_payer_allows_it(world: World, organisation) -> None:
    mandate = mandates.work(mandate_id=ask(organisation).pk, now=NOON, gateway=world.gateway)
    assert (mandate.state, mandate.call, mandate.link_url != "") == ("link_sent", "done", True)
    link = world.bank.get("invoice", mandate.link_id)
    assert link["_wanted"]["frequency"] == "as_presented"  # a monthly one allows one debit a month
    set_state(world.bank, link["token_id"], "confirmed")
    hear(world)
    mandate.refresh_from_db()
    assert (mandate.state, mandate.token_id, mandate.payer_account) == (
        "confirmed",
        link["token_id"],
        "fle...@okemulator",
    )


def test_a_debit_arrives_in_the_25th_hour_and_is_credited_once(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    intent = debit(mandate, world)
    assert (intent.state, intent.payment_id is not None) == ("sent", True)
    assert intent.debit_due_at == NEXT_DAY
    assert intents.due(now=NEXT_DAY - timedelta(seconds=1), limit=5) == []
    a_day_later(world, hours=24)
    intent.refresh_from_db()
    assert intent.state == "sent"
    a_day_later(world, hours=2)
    hear(world, STORM)
    intents.work(intent_id=intent.pk, now=IN_TWO_DAYS, gateway=world.gateway)
    intent.refresh_from_db()
    mandate.refresh_from_db()
    assert (intent.state, mandate.last_debit_state, posted(organisation)) == ("confirmed", "confirmed", 10_000_00)
    assert books_are_right()


def test_the_sweep_finds_a_debit_that_no_webhook_told_of(world: World, organisation) -> None:
    intent = debit(in_force(organisation, world), world)
    world.bank.advance(seconds=26 * HOUR)
    assert intents.due(now=IN_TWO_DAYS, limit=5) == [intent.pk]
    assert intents.work(intent_id=intent.pk, now=IN_TWO_DAYS, gateway=world.gateway).state == "confirmed"
    assert posted(organisation) == 10_000_00


def test_one_debit_is_open_at_a_time(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    intent = debit(mandate, world)
    Mandate.objects.filter(pk=mandate.pk).update(next_allowed_at=None)
    with pytest.raises(ValueError, match="debit_open"):
        debits.start(mandate_id=mandate.pk, amount_paise=100_00, now=NOON)
    with pytest.raises(IntegrityError), transaction.atomic():  # nor by anybody who goes around us
        PaymentIntent.objects.create(
            key="DB-2", organisation=organisation, kind="debit", mandate=mandate, amount_paise=1, expires_at=IN_TWO_DAYS
        )
    assert list(mandate.debits.all()) == [intent]


def test_a_second_debit_waits_for_the_day_of_the_first(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    intent = debit(mandate, world)
    PaymentIntent.objects.filter(pk=intent.pk).update(state="failed")
    with pytest.raises(ValueError, match="too_early"):
        debits.start(mandate_id=mandate.pk, amount_paise=100_00, now=NEXT_DAY - timedelta(seconds=1))
    assert debits.start(mandate_id=mandate.pk, amount_paise=100_00, now=NEXT_DAY)


def test_above_15000_rupees_the_payer_approves_each_debit(world: World, organisation) -> None:
    mandate = in_force(organisation, world, amount=50_000_00)
    verdict = debits.judge(mandate=mandate, now=NOON)
    assert (verdict.why, verdict.most_paise) == ("", 15_000_00)
    with pytest.raises(ValueError, match="approval_needed"):
        debits.start(mandate_id=mandate.pk, amount_paise=15_000_01, now=NOON)
    intent = debit(mandate, world, 40_000_00, with_approval=True)
    a_day_later(world)
    intent.refresh_from_db()
    assert intent.state == "sent"  # nobody has approved it
    approve(world.bank, intent.payment_id)
    a_day_later(world, hours=1)
    assert posted(organisation) == 40_000_00


def test_a_debit_that_nobody_approves_fails_after_36_hours(world: World, organisation) -> None:
    intent = debit(in_force(organisation, world, amount=50_000_00), world, 40_000_00, with_approval=True)
    a_day_later(world, hours=37)
    intent.refresh_from_db()
    assert (intent.state, intent.error["reason"]) == ("failed", "payment_not_approved")


def test_limits_are_rows_with_a_date(world: World, organisation) -> None:
    PaymentRule.objects.create(
        name="afa_free_paise", kind="upi", value=20_000_00, valid_from=date(2027, 1, 1), source="a later circular"
    )
    mandate = in_force(organisation, world, amount=50_000_00)
    assert rules.value_of("afa_free_paise", kind="upi", on=date(2026, 12, 31)) == 15_000_00
    new_year = NOON.replace(year=2027, month=1, day=5)
    assert debits.judge(mandate=mandate, now=new_year).most_paise == 20_000_00
    # begun on the last evening of the year, debited in the new one
    evening = NOON.replace(month=12, day=31, hour=18, minute=29)
    assert debits.judge(mandate=mandate, now=evening).most_paise == 20_000_00


def test_no_debit_is_above_the_mandates_own_amount(world: World, organisation) -> None:
    mandate = in_force(organisation, world, amount=5_000_00)
    with pytest.raises(ValueError, match="nothing"):
        debits.start(mandate_id=mandate.pk, amount_paise=5_000_01, now=NOON)
    assert debits.judge(mandate=mandate, now=NOON).most_paise == 5_000_00


def test_the_payer_may_allow_less_than_was_asked_for(world: World, organisation) -> None:
    mandate = mandates.work(mandate_id=ask(organisation).pk, now=NOON, gateway=world.gateway)
    token = token_of(mandate, world)
    world.bank.get("token", token)["max_amount"] = 2_000_00
    set_state(world.bank, token, "confirmed")
    hear(world)
    mandate.refresh_from_db()
    assert mandate.max_amount_paise == 2_000_00


def test_a_mandate_that_ends_before_the_debit_is_not_used(world: World, organisation) -> None:
    mandate = in_force(organisation, world, days=3)
    assert debits.judge(mandate=mandate, now=NOON + timedelta(days=2)).why == "ends_too_soon"


def test_a_total_limit_is_used_up_and_then_the_mandate_is_over(world: World, organisation) -> None:
    mandate = in_force(organisation, world, total_limit_paise=12_000_00)
    debit(mandate, world, 8_000_00)
    a_day_later(world)
    with pytest.raises(ValueError, match="limit_used"):
        debits.start(mandate_id=mandate.pk, amount_paise=8_000_00, now=IN_TWO_DAYS)
    debit(mandate, world, 4_000_00, now=IN_TWO_DAYS)
    a_day_later(world)
    mandate.refresh_from_db()
    assert (mandate.state, posted(organisation)) == ("exhausted", 12_000_00)


def test_failed_debits_make_it_wait_longer_and_after_two_finance_is_told(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    now = NOON
    for failures in (1, 2):
        fail_next_debit(world.bank, mandate.token_id, reason="insufficient_funds")
        intent = debit(mandate, world, now=now)
        a_day_later(world)
        intent.refresh_from_db()
        mandate.refresh_from_db()
        assert (intent.state, mandate.consecutive_failures) == ("failed", failures)
        now = mandate.next_allowed_at + timedelta(hours=failures)
    alarm = BillingException.objects.get()
    assert (alarm.kind, alarm.details["reason"], alarm.resolved_at) == ("mandate_failed", "insufficient_funds", None)
    debit(mandate, world, now=now)
    a_day_later(world)
    mandate.refresh_from_db()
    alarm.refresh_from_db()
    assert (mandate.consecutive_failures, alarm.resolved_at is not None) == (0, True)


@pytest.mark.parametrize("state", ["paused", "cancelled", "rejected"])
def test_a_mandate_not_in_force_is_never_debited(world: World, organisation, state: str) -> None:
    mandate = in_force(organisation, world)
    set_state(world.bank, mandate.token_id, state)
    hear(world)
    mandate.refresh_from_db()
    assert mandate.state == state
    with pytest.raises(ValueError, match="not_in_force"):
        debits.start(mandate_id=mandate.pk, amount_paise=100_00, now=NOON)


def test_a_paused_mandate_works_again_when_resumed_and_old_news_changes_nothing(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    token = world.bank.get("token", mandate.token_id)
    for state in ("paused", "resumed", "paused", "resumed"):
        world.bank.advance(seconds=60)
        set_state(world.bank, mandate.token_id, state)
    hear(world, STORM, now=NOON + timedelta(hours=1))
    mandate.refresh_from_db()
    assert mandate.state == "confirmed"
    late = {**token, "recurring_details": {"status": "paused"}}
    mandate_news.apply_token(entity=late, said_at=NOON - timedelta(hours=1), now=NOON)
    mandate.refresh_from_db()
    assert mandate.state == "confirmed"


def test_a_mandate_paused_before_its_hour_fails_the_debit(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    intent = debit(mandate, world)
    set_state(world.bank, mandate.token_id, "paused")
    a_day_later(world)
    intent.refresh_from_db()
    assert (intent.state, intent.error["reason"]) == ("failed", "mandate_not_active")


def test_the_end_is_final_whatever_comes_after(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    set_state(world.bank, mandate.token_id, "cancelled")
    world.bank.advance(seconds=60)
    set_state(world.bank, mandate.token_id, "confirmed")
    hear(world, STORM, now=NOON + timedelta(hours=1))
    mandate.refresh_from_db()
    assert (mandate.state, mandate.ended_at is not None) == ("cancelled", True)


@pytest.mark.parametrize("final", sorted(FINAL))
@pytest.mark.parametrize("word", sorted(WORDS))
def test_no_word_brings_back_what_is_over(final: str, word: str) -> None:
    assert after(final, word) == final


def test_we_cancel_at_the_gateway_first(world: World, organisation, owner) -> None:
    mandate = in_force(organisation, world)
    mandates.cancel(mandate_id=mandate.pk, actor=owner, reason="another bank", now=NOON)
    with pytest.raises(ValueError, match="not_in_force"):
        debits.start(mandate_id=mandate.pk, amount_paise=100_00, now=NOON)
    world.emulator.faults.plan(Fault("html", method="PUT", after=True))
    assert mandates.work(mandate_id=mandate.pk, now=NOON, gateway=world.gateway).state == "confirmed"
    mandate = mandates.work(mandate_id=mandate.pk, now=IN_TWO_DAYS, gateway=world.gateway)
    hear(world)
    token = world.bank.get("token", mandate.token_id)
    assert (mandate.state, token["recurring_details"]["status"]) == ("cancelled", "cancelled")
    with pytest.raises(Conflict):
        mandates.cancel(mandate_id=mandate.pk, actor=owner, reason="again", now=NOON)


def refuses(failure: type[Refused]) -> Callable[..., None]:
    def cancel_token(**_: str) -> None:
        raise failure(Said(status=400, code="BAD_REQUEST_ERROR", description="A debit is being processed"))

    return cancel_token


def test_a_cancellation_that_is_refused_is_none(world: World, organisation, owner, monkeypatch) -> None:
    mandate = in_force(organisation, world)
    mandates.cancel(mandate_id=mandate.pk, actor=owner, reason="another bank", now=NOON)
    monkeypatch.setattr(world.gateway, "cancel_token", refuses(Refused))
    mandate = mandates.work(mandate_id=mandate.pk, now=NOON, gateway=world.gateway)
    assert (mandate.state, mandate.error["description"]) == ("confirmed", "A debit is being processed")
    assert mandates.due(now=IN_TWO_DAYS, limit=5) == [mandate.pk]
    monkeypatch.undo()
    mandate = mandates.work(mandate_id=mandate.pk, now=IN_TWO_DAYS, gateway=world.gateway)
    assert (mandate.state, mandate.error) == ("cancelled", {})
    assert world.bank.get("token", mandate.token_id)["recurring_details"]["status"] == "cancelled"


@pytest.mark.parametrize("failure", [Refused, NotFound])
def test_what_is_over_there_already_is_over_here(world, organisation, owner, monkeypatch, failure) -> None:
    mandate = in_force(organisation, world)
    mandates.cancel(mandate_id=mandate.pk, actor=owner, reason="another bank", now=NOON)
    if failure is Refused:
        set_state(world.bank, mandate.token_id, "expired")
    monkeypatch.setattr(world.gateway, "cancel_token", refuses(failure))
    assert mandates.work(mandate_id=mandate.pk, now=NOON, gateway=world.gateway).state == "cancelled"


def test_time_ends_mandates_and_links_that_nobody_followed(world: World, organisation) -> None:
    used = in_force(organisation, world, days=10)
    unused = mandates.work(mandate_id=ask(organisation).pk, now=NOON, gateway=world.gateway)
    assert mandates.end_if_over(mandate_id=unused.pk, now=NOON + timedelta(days=8))
    assert mandates.end_if_over(mandate_id=used.pk, now=NOON + timedelta(days=11))
    assert not mandates.end_if_over(mandate_id=used.pk, now=NOON + timedelta(days=12))
    assert set(Mandate.objects.values_list("state", flat=True)) == {"expired"}


def test_what_the_webhooks_missed_is_seen_at_the_next_look(world: World, organisation) -> None:
    mandate = mandates.work(mandate_id=ask(organisation).pk, now=NOON, gateway=world.gateway)
    set_state(world.bank, token_of(mandate, world), "confirmed")
    later = NOON + timedelta(hours=13)
    assert mandates.due(now=later, limit=5) == [mandate.pk]
    assert mandates.work(mandate_id=mandate.pk, now=later, gateway=world.gateway).state == "confirmed"


@pytest.mark.parametrize("after_it", [False, True])
def test_a_link_of_unknown_outcome_is_found_by_its_receipt(world: World, organisation, after_it: bool) -> None:
    world.emulator.faults.plan(Fault("html", path="/v1/subscription_registration", after=after_it))
    mandate = mandates.work(mandate_id=ask(organisation).pk, now=NOON, gateway=world.gateway)
    assert mandate.call == "unknown"
    for minutes in (20,) if after_it else (20, 60):
        mandate = mandates.work(mandate_id=mandate.pk, now=NOON + timedelta(minutes=minutes), gateway=world.gateway)
    assert (mandate.state, mandate.call, len(world.bank.every("invoice"))) == ("link_sent", "done", 1)


@pytest.mark.parametrize("kind", ["html", "error", "cut"])
@pytest.mark.parametrize("after_it", [False, True])
def test_a_debit_of_unknown_outcome_is_looked_up_and_charges_once(
    world: World, organisation, kind: str, after_it: bool
) -> None:
    mandate = in_force(organisation, world)
    world.emulator.faults.plan(Fault(kind, path="/v1/payments/create/recurring", after=after_it))
    intent = debit(mandate, world)
    assert (intent.state, intent.step) == ("unknown", "payment")
    for minutes in (1, 5, 9, 30, 60, 90):
        now = NOON + timedelta(minutes=minutes)
        intent = intents.work(intent_id=intent.pk, now=now, gateway=world.gateway)
    assert (intent.state, intent.payment_id is not None) == ("sent", True)
    assert len(world.bank.every("payment")) == 1
    a_day_later(world)
    assert posted(organisation) == 10_000_00


@pytest.mark.parametrize("away_hours", [5, 26, 59])
def test_a_debit_that_is_sent_late_is_told_a_whole_day_ahead_all_the_same(world, organisation, away_hours: int) -> None:
    mandate = in_force(organisation, world)
    world.emulator.faults.plan(Fault("busy", path="/v1/orders"))
    assert debit(mandate, world).state == "created"
    world.bank.advance(seconds=away_hours * HOUR)
    late = NOON + timedelta(hours=away_hours)
    intent = intents.work(intent_id=mandate.debits.get().pk, now=late, gateway=world.gateway)
    mandate.refresh_from_db()
    due = late + timedelta(hours=25)
    assert (intent.state, intent.debit_due_at, mandate.next_allowed_at) == ("sent", due, due)
    assert world.bank.get("order", intent.order_id)["_notification"]["payment_after"] == due.timestamp()
    assert intent.expires_at == late + timedelta(hours=36 + 24)


def test_a_debit_that_could_not_be_sent_for_days_is_given_up(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    world.emulator.faults.plan(Fault("busy", path="/v1/orders", times=2))
    debit(mandate, world)
    intent = mandate.debits.get()
    assert intents.work(intent_id=intent.pk, now=NOON + timedelta(hours=59), gateway=world.gateway).state == "created"
    intent = intents.work(intent_id=intent.pk, now=NOON + timedelta(hours=61), gateway=world.gateway)
    assert (intent.state, intent.error["reason"], world.bank.every("order")) == ("failed", "expired", [])


def test_the_gateway_takes_no_debit_that_is_not_told_a_day_ahead(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    world.bank.advance(seconds=2 * HOUR)  # ahead of our clock
    intent = debit(mandate, world)
    assert (intent.state, intent.error["field"]) == ("failed", "notification.payment_after")


def test_a_refused_debit_fails_with_the_gateways_reason(world: World, organisation) -> None:
    mandate = in_force(organisation, world)
    world.bank.get("token", mandate.token_id)["recurring_details"]["status"] = "paused"  # we have not heard of it
    intent = debit(mandate, world)
    assert (intent.state, intent.error["reason"]) == ("failed", "mandate_not_active")


@pytest.mark.parametrize("kind", ["emandate", "nach"])
def test_a_bank_mandate_debits_more_without_approval(world: World, organisation, kind: str) -> None:
    mandate = in_force(organisation, world, kind=kind, amount=5_00_000_00)
    wanted = world.bank.get("invoice", mandate.link_id)["_wanted"]
    assert wanted["auth_type"] == {"emandate": "netbanking", "nach": "physical"}[kind]
    assert debits.judge(mandate=mandate, now=NOON).most_paise == 5_00_000_00
    debit(mandate, world, 4_00_000_00)
    a_day_later(world)
    assert posted(organisation) == 4_00_000_00


@pytest.mark.parametrize(("amount", "days"), [(50, 700), (2_00_000_00, 700), (15_000_00, 1), (15_000_00, 20_000)])
def test_a_mandate_that_no_scheme_allows_is_not_asked_for(organisation, amount: int, days: int) -> None:
    with pytest.raises(ValueError, match="mandate"):
        ask(organisation, amount=amount, days=days)
    assert not Mandate.objects.exists()


def test_a_mandate_of_another_fleet_is_never_moved(world: World, organisation, other_organisation) -> None:
    mine, theirs = in_force(organisation, world), in_force(other_organisation, world, kind="emandate")
    set_state(world.bank, mine.token_id, "cancelled")
    hear(world)
    theirs.refresh_from_db()
    assert theirs.state == "confirmed"


def test_integrators_are_told_once_of_a_mandate_that_does_not_pay(world: World, organisation, monkeypatch) -> None:
    monkeypatch.setattr(listeners, "_until", 0.0)  # as after the endpoint below was made
    WebhookEndpoint.objects.create(
        organisation=organisation, url="https://erp.example/in", event_types=["mandate.failed"]
    )
    mandate = in_force(organisation, world)
    set_state(world.bank, mandate.token_id, "paused")
    hear(world, STORM)
    (told,) = WebhookMessage.objects.all()
    assert told.event_type == "mandate.failed"
    assert told.payload["data"]["state"] == "paused"
