"""Many finished sessions at once: the same books as one by one, and nobody waits for one that is odd."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from billing import tasks
from billing.charging import batches, posting
from billing.events import CDRCaptured, WalletChanged
from billing.models import CDR, BillingException, Hold, LedgerTransfer, LimitUsage, Wallet
from billing.prices.models import NegotiatedRate
from billing.services import rating, verification
from billing.services.ledger import Dimensions
from billing.services.wallets import Charge, capture, hold_key, release
from billing.tests.factories import NOON, Fleet, fund, limit, make_fleet, sample, start, stop
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib import events
from stations.models import Source

LATER = NOON + timedelta(days=1)
BY_CLOCK: list[dict[str, Any]] = [
    {"price_components": [{"type": "ENERGY", "price": "10"}], "restrictions": {"end_time": "12:15"}},
    {"price_components": [{"type": "ENERGY", "price": "20"}]},
]
HEADS = ("taxable_paise", "cgst_paise", "sgst_paise", "igst_paise", "total_paise", "explanation", "included_wh")


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=10_000_00)


def finish(fleet: Fleet, count: int = 1, wh: int = 10_000) -> list[CDR]:
    """So many sessions, one after the other, each half an hour and a Wh more than the one before."""
    made = []
    for number in range(count):
        at = NOON + timedelta(hours=number)
        began = start(fleet, started_at=at, received_at=at)
        until = at + timedelta(minutes=30)
        stop(fleet, began.transaction_ref, ended_at=until, received_at=until, meter_stop_wh=1_000 + wh + number)
        made.append(CDR.objects.get(session=began.session_id))
    return made


def together(*cdrs: CDR) -> set[int]:
    return batches.charge_together(cdr_ids=[cdr.pk for cdr in cdrs], now=LATER)


def entries(cdr: CDR) -> list[tuple[Any, ...]]:
    """What stands in the journal, but for numbers and the moment of writing."""
    rows = LedgerTransfer.objects.filter(entry_key=f"charge:{cdr.session_id}").order_by("leg")
    return list(rows.values_list(
        "leg", "debit__code", "credit__code", "amount_paise", "currency", "kind", "memo", "organisation", "vehicle",
        "driver_ref", "location", "cost_centre", "actor", "occurred_at"))  # fmt: skip


class _Undone(Exception):
    pass


def outcomes(cdrs: list[CDR], how: Any) -> list[Any]:
    """What `how` makes of them, seen and undone."""
    try:
        with transaction.atomic():
            how()
            fresh = CDR.objects.in_bulk([cdr.pk for cdr in cdrs])
            seen = [
                [getattr(fresh[cdr.pk], name) for name in (*HEADS, "tariff_id", "negotiated_rate_id", "captured_at")]
                + entries(cdr)
                + list(LedgerTransfer.objects.filter(session=cdr.session_id).values_list("request_hash", flat=True))
                for cdr in cdrs
            ]
            wallets = [(each.posted_paise, each.held_paise, each.low_since is None) for each in Wallet.objects.all()]
            holds = list(Hold.objects.order_by("pk").values_list("state", "closed_at", "amount_paise"))
            usages = list(LimitUsage.objects.order_by("pk").values())
            raise _Undone
    except _Undone:
        return [seen, wallets, holds, usages]


def test_the_books_are_the_same_as_one_by_one(fleet: Fleet, finance: User, dispatcher: User) -> None:
    """Our own charger, a network's, time of day with samples, a negotiated rate, limits of two periods, low money."""
    organisation = fleet.organisation
    limit(organisation, amount_paise=9_000_00)
    limit(organisation, period="month", energy_wh=900_000, is_hard=False)
    Wallet.objects.update(low_threshold_paise=9_500_00)
    by_clock, of_network, agreed = (
        make_fleet(organisation, elements=elements, has_wallet=False) for elements in (BY_CLOCK, None, None)
    )
    Source.objects.filter(pk=of_network.source.pk).update(kind=Source.Kind.OCPI_221)
    dear = [{"price_components": [{"type": "ENERGY", "price": "11.11"}, {"type": "FLAT", "price": "3"}]}]
    NegotiatedRate.objects.create(
        organisation=organisation, source=agreed.source, version=1, name="Ours", elements=dear,
        valid_from=NOON - timedelta(days=1), asked_by=finance, approved_by=dispatcher, reason="agreed", created_at=NOON,
    )  # fmt: skip
    began = start(by_clock)
    sample(by_clock, began.transaction_ref, 15, 10_000)
    stop(by_clock, began.transaction_ref)
    cdrs = [CDR.objects.get(session=began.session_id)]
    for each in (fleet, of_network, agreed):
        cdrs += finish(each, 3)

    def one_by_one() -> None:
        for cdr in cdrs:
            assert rating.rate_and_capture(cdr_id=cdr.pk, now=LATER)

    def at_once() -> None:
        assert together(*cdrs) == {cdr.pk for cdr in cdrs}

    assert outcomes(cdrs, at_once) == outcomes(cdrs, one_by_one)
    at_once()
    assert verification.differences() == {}
    cdrs[0].refresh_from_db()
    assert cdrs[0].taxable_paise == 9 * 10_00 + 1 * 20_00
    assert {cdr.negotiated_rate_id is None for cdr in CDR.objects.filter(pk__in=[c.pk for c in cdrs[-3:]])} == {False}
    assert together(*cdrs) == set()


@pytest.fixture
def told() -> Iterator[list[object]]:
    seen: list[object] = []
    for kind in (CDRCaptured, WalletChanged):
        events._handlers[kind].append(seen.append)
    yield seen
    for kind in (CDRCaptured, WalletChanged):
        events._handlers[kind].remove(seen.append)


def test_each_session_is_told_and_a_wallet_once(
    fleet: Fleet, told: list[object], django_capture_on_commit_callbacks: Any
) -> None:
    cdrs = finish(fleet, 3)
    with django_capture_on_commit_callbacks(execute=True):
        together(*cdrs)
    purse = Wallet.objects.get()
    assert [event for event in told if isinstance(event, WalletChanged)] == [
        WalletChanged(fleet.organisation.pk, purse.posted_paise, 0, purse.posted_paise, may_warn=False)
    ]
    priced = {event.cdr_id: event.total_paise for event in told if isinstance(event, CDRCaptured)}
    assert priced == dict(CDR.objects.values_list("pk", "total_paise"))
    assert len(priced) == 3


def test_a_hundred_cost_hardly_more_statements_than_three(fleet: Fleet, django_assert_max_num_queries: Any) -> None:
    limit(fleet.organisation, amount_paise=9_000_00)
    cdrs = finish(fleet, 12)
    together(*cdrs[:1])  # opens the accounts
    for part in (cdrs[1:3], cdrs[3:]):
        with django_assert_max_num_queries(24):
            assert len(together(*part)) == len(part)


def test_what_cannot_go_that_way_is_left_and_charged_alone(fleet: Fleet) -> None:
    """No tariff, a wallet that is too small, none at all, and no hold that the fleet's limits could count."""
    good = finish(fleet)
    unpriced = finish(make_fleet(fleet.organisation, has_tariff=False, has_wallet=False))
    others = [Organisation.objects.create(name=name, slug=name) for name in ("poor", "walletless", "limited")]
    poor = finish(make_fleet(others[0], money_paise=100_00), 2)
    walletless = finish(make_fleet(others[1], has_wallet=False))
    limited = finish(make_fleet(others[2]))
    limit(others[2], amount_paise=500_00)
    release(session_key=hold_key(limited[0].session_id), now=NOON)
    everything = [*unpriced, *poor, *walletless, *limited, *good]
    assert together(*everything) == {good[0].pk}
    assert not BillingException.objects.filter(kind="missing_tariff").exists()

    tasks.sweep_unrated()
    assert set(CDR.objects.filter(captured_at=None)) == set(unpriced)
    assert set(BillingException.objects.values_list("kind", flat=True)) >= {
        "missing_tariff", "over_capture", "no_wallet"}  # fmt: skip
    assert LimitUsage.objects.get().spent_paise == CDR.objects.get(pk=limited[0].pk).total_paise
    assert verification.differences() == {}


def test_one_odd_record_is_nobody_elses_problem(fleet: Fleet) -> None:
    """Somebody posted its charge already: the batch goes on without it, and nothing is charged twice."""
    odd, *good = finish(fleet, 3)
    capture(
        organisation_id=fleet.organisation.pk, session_key="none", entry_key=f"charge:{odd.session_id}", at=NOON,
        now=NOON, charges=[Charge("revenue:charging", 7, "charge")],
        about=Dimensions(organisation_id=fleet.organisation.pk, session_id=odd.session_id),
    )  # fmt: skip
    assert together(odd, *good) == {cdr.pk for cdr in good}
    assert len(entries(odd)) == 1


def test_when_something_fails_nothing_is_done_and_each_is_tried_alone(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdrs = finish(fleet, 3)

    def broken(*_: Any) -> None:
        raise RuntimeError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(posting, "_write_legs", broken)
        assert together(*cdrs) == set()
        assert set(CDR.objects.uncaptured()) == set(cdrs)
        assert set(Hold.objects.values_list("state", flat=True)) == {"active"}
        tasks.sweep_unrated()
    assert not CDR.objects.uncaptured().exists()
    assert verification.differences() == {}


def test_who_comes_first_takes_along_what_waits(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    cdrs = finish(fleet, 5)
    monkeypatch.setattr(batches, "BATCH", 3)
    tasks.rate_session(cdrs[4].session_id)
    assert set(CDR.objects.uncaptured()) == set(cdrs[2:4])  # its own, and the two that have waited longest
    tasks.rate_session(cdrs[4].session_id)
    assert CDR.objects.uncaptured().count() == 2
    tasks.sweep_unrated()
    assert not CDR.objects.uncaptured().exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_and_a_spender_never_charge_twice_nor_wait_in_a_circle(organisation: Organisation) -> None:
    fleet = make_fleet(organisation, money_paise=20_000_00)
    limit(organisation, amount_paise=19_000_00)
    cdrs = [cdr.pk for cdr in finish(fleet, 12)]

    def worker(turn: int) -> int:
        try:
            order = cdrs if turn % 2 else cdrs[::-1]
            done = sum(len(batches.charge_together(cdr_ids=order[at : at + 4], now=LATER)) for at in range(0, 12, 4))
            return done + sum(rating.rate_and_capture(cdr_id=pk, now=LATER) for pk in order)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(worker, range(4)))
    assert done == 12
    assert LedgerTransfer.objects.filter(kind="charge", leg=1).count() == 12
    assert verification.differences() == {}
    assert LimitUsage.objects.filter(period_start=datetime(2026, 11, 20, tzinfo=UTC).date()).exists()


def test_fresh_money_is_enough_for_all_or_the_batch_waits(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spent between our look and our lock: undone as a whole, then one by one."""
    cdrs = finish(fleet, 2)
    monkeypatch.setattr(posting, "payable", posting.payable)
    monkeypatch.setattr(batches, "payable", lambda found: [posting.Due(
        cdr, rating.charges_of(cdr), rating.dimensions_of(cdr.session)) for cdr in found])  # fmt: skip
    Hold.objects.update(amount_paise=1)
    Wallet.objects.update(held_paise=2, low_threshold_paise=0)
    capture(
        organisation_id=fleet.organisation.pk, session_key="none", entry_key="elsewhere", at=NOON, now=NOON,
        charges=[Charge("revenue:charging", 9_999_00, "charge_elsewhere")],
        about=Dimensions(organisation_id=fleet.organisation.pk),
    )  # fmt: skip
    assert together(*cdrs) == set()
    assert CDR.objects.uncaptured().count() == 2
    fund(fleet.organisation, 9_999_00)
    assert together(*cdrs) == {cdr.pk for cdr in cdrs}
