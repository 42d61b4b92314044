"""Every kind of wish about money: who asks, who decides, what is done once, and what the world refuses meanwhile."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.urls import reverse

from billing.approvals import services, spend_limits, top_ups, wallet_terms
from billing.approvals.models import Approval
from billing.models import ChargingPolicy, SpendLimit, Wallet
from billing.notices.models import Letter
from billing.services import ledger
from billing.tests.factories import NOON, fund
from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, User
from fleetcharge.lib.api import Conflict

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def operator(name: str) -> User:
    return User.objects.create_superuser(f"{name}@fleetcharge.example", "correct horse", full_name=name)


@pytest.fixture
def clerk(db: None) -> User:
    return operator("clerk")


@pytest.fixture
def chief(db: None) -> User:
    return operator("chief")


@pytest.fixture
def wallet(organisation: Organisation) -> Wallet:
    fund(organisation, 1_000_00)
    return Wallet.objects.get()


@pytest.fixture
def limit(organisation: Organisation) -> SpendLimit:
    ChargingPolicy.objects.create(organisation=organisation, limit_raise_free_paise=500_00)
    return SpendLimit.objects.create(
        organisation=organisation, scope="organisation", period="day", amount_paise=1_000_00
    )


def credit(wallet: Wallet, who: User, **terms: Any) -> Approval | None:
    now_it_is = {
        "credit_limit_paise": wallet.credit_limit_paise, "low_threshold_paise": wallet.low_threshold_paise,
        "state": wallet.state,
    }  # fmt: skip
    return wallet_terms.change(
        organisation_id=wallet.organisation_id, actor=who, reason="grows", now=NOON, **{**now_it_is, **terms}
    )


def top_up(organisation: Organisation, who: User, paise: int, reference: str = "UTR1", **more: Any) -> Approval:
    told = {"reason": "NEFT", "now": NOON, **more}
    return top_ups.ask(
        organisation_id=organisation.pk, amount_paise=paise, reference=reference, asked_by=who, **told
    )  # fmt: skip


def change(limit: SpendLimit, who: User, paise: int | None, energy_wh: int | None = None) -> Approval | None:
    return spend_limits.change_or_ask(
        limit=limit, amount_paise=paise, energy_wh=energy_wh, reason="season", actor=who, now=NOON
    )


def yes(wish: Approval | None, who: User, now: Any = NOON) -> Approval:
    assert wish is not None
    return services.approve(approval_id=wish.pk, decided_by=who, now=now, reason="seen")


def posted(organisation: Organisation) -> int:
    return Wallet.objects.get(organisation=organisation).posted_paise


def test_one_operator_alone_gives_no_credit(wallet: Wallet, clerk: User, chief: User) -> None:
    wish = credit(wallet, clerk, credit_limit_paise=50_000_00, low_threshold_paise=7_00)
    wallet.refresh_from_db()
    assert (wallet.credit_limit_paise, wallet.low_threshold_paise) == (0, 0)
    with pytest.raises(ValueError, match="Another person"):
        yes(wish, clerk)
    yes(wish, chief)
    wallet.refresh_from_db()
    assert (wallet.credit_limit_paise, wallet.low_threshold_paise) == (50_000_00, 7_00)
    entry = AuditEntry.objects.get(action="ask_wallet_terms")
    assert (entry.actor, entry.before["credit_limit_paise"], entry.reason) == (clerk, 0, "grows")
    assert services.changes(wish) == [("Credit limit", "₹0.00", "₹50,000.00"), ("Warn below", "₹0.00", "₹7.00")]


def test_less_credit_and_a_freeze_hold_at_once_but_a_thaw_takes_two(wallet: Wallet, clerk: User, chief: User) -> None:
    Wallet.objects.update(credit_limit_paise=10_000_00)
    wallet.refresh_from_db()
    assert credit(wallet, clerk, credit_limit_paise=5_000_00, state="frozen") is None
    wallet.refresh_from_db()
    assert (wallet.credit_limit_paise, wallet.state) == (5_000_00, "frozen")
    wish = credit(wallet, clerk, state="active")
    wallet.refresh_from_db()
    assert wallet.state == "frozen"
    yes(wish, chief)
    wallet.refresh_from_db()
    assert wallet.state == "active"


def test_terms_that_changed_meanwhile_are_not_overwritten(wallet: Wallet, clerk: User, chief: User) -> None:
    wish = credit(wallet, clerk, credit_limit_paise=50_000_00)
    Wallet.objects.update(state="frozen")
    with pytest.raises(Conflict, match="changed since"):
        yes(wish, chief)
    wallet.refresh_from_db()
    assert (wallet.credit_limit_paise, wallet.state) == (0, "frozen")


def test_a_small_top_up_needs_nobody_and_many_small_ones_are_not_small(
    wallet: Wallet, organisation: Organisation, clerk: User, chief: User
) -> None:
    states = [top_up(organisation, clerk, 400_00, f"UTR{number}").state for number in range(3)]
    assert states == ["free", "free", "asked"]  # ₹1,000 in 24 hours
    assert posted(organisation) == 1_800_00
    assert top_up(organisation, clerk, 400_00, "UTR9", now=NOON + DAY).state == "free"
    yes(Approval.objects.open().get(), chief)
    assert posted(organisation) == 2_600_00
    free = Approval.objects.filter(state="free").first()
    assert free is not None and (free.decided_by, free.outcome) == (clerk, f"topup:{organisation.pk}:UTR9")


def test_a_reference_is_credited_once_however_it_is_asked(
    wallet: Wallet, organisation: Organisation, clerk: User, chief: User
) -> None:
    wish = top_up(organisation, clerk, 9_000_00)
    with pytest.raises(Conflict, match="waits"):
        top_up(organisation, chief, 9_000_00)
    ledger.post(
        entry_key=f"topup:{organisation.pk}:UTR1", occurred_at=NOON,
        legs=[ledger.Leg("bank", ledger.wallet_code(organisation.pk), 9_000_00, "top_up", "NEFT")],
        about=ledger.Dimensions(organisation_id=organisation.pk),
    )  # fmt: skip
    with pytest.raises(Conflict):
        yes(wish, chief)
    with pytest.raises(Conflict, match="credited already"):
        top_up(organisation, chief, 9_000_00)
    assert posted(organisation) == 10_000_00


def test_a_raise_by_finance_waits_for_a_second_person_and_an_owners_does_not(
    limit: SpendLimit, finance: User, owner: User
) -> None:
    assert change(limit, finance, 800_00) is None  # lower
    limit.refresh_from_db()
    small = change(limit, finance, 1_000_00)
    assert small is not None and small.state == "free"
    limit.refresh_from_db()
    wish = change(limit, finance, 5_000_00)
    limit.refresh_from_db()
    assert limit.amount_paise == 1_000_00
    yes(wish, owner)
    limit.refresh_from_db()
    assert limit.amount_paise == 5_000_00
    assert change(limit, owner, 9_000_00) is None
    limit.refresh_from_db()
    assert limit.amount_paise == 9_000_00


@pytest.mark.parametrize("bounds", [(None, 5_000), (1_000_00, None)])
def test_a_bound_that_goes_is_never_small(
    limit: SpendLimit, finance: User, owner: User, bounds: tuple[int | None, int | None]
) -> None:
    SpendLimit.objects.update(energy_wh=5_000)
    limit.refresh_from_db()
    wish = change(limit, finance, *bounds)
    assert wish is not None and wish.state == "asked"
    SpendLimit.objects.update(amount_paise=700_00)  # an owner was quicker
    with pytest.raises(Conflict, match="changed since"):
        yes(wish, owner)
    services.decline(approval_id=wish.pk, decided_by=owner, reason="no", now=NOON)
    limit.refresh_from_db()
    gone = spend_limits.remove_or_ask(limit=limit, reason="over", actor=finance, now=NOON)
    assert SpendLimit.objects.exists()
    yes(gone, owner)
    assert not SpendLimit.objects.exists()


def test_without_the_policy_finance_raises_alone_and_a_key_never_raises_with_it(
    limit: SpendLimit, organisation: Organisation, finance: User
) -> None:
    with pytest.raises(Conflict, match="not by a key"):
        spend_limits.remove_or_ask(limit=limit, reason="over", actor=None, now=NOON, actor_label="key")
    ChargingPolicy.objects.update(limit_raise_free_paise=None)
    assert change(limit, finance, 90_000_00) is None
    assert not Approval.objects.exists()


def test_nobody_of_another_fleet_and_no_driver_decides(
    limit: SpendLimit, organisation: Organisation, finance: User, owner: User, stranger: User, dispatcher: User
) -> None:
    driver = User.objects.create_user("driver@namma.example", "correct horse")
    Membership.objects.create(user=driver, organisation=organisation, role=Membership.Role.DRIVER)
    wish = change(limit, finance, 5_000_00)
    assert wish is not None
    for somebody in (stranger, dispatcher, driver):
        for deed in (services.approve, services.decline):
            with pytest.raises(ValueError, match="of this fleet"):
                deed(approval_id=wish.pk, decided_by=somebody, now=NOON, reason="mine")
        with pytest.raises(ValueError, match="Only who asked"):
            services.withdraw(approval_id=wish.pk, by=somebody, now=NOON, reason="mine")
    User.objects.filter(pk=owner.pk).update(is_active=False)
    owner.refresh_from_db()
    with pytest.raises(ValueError, match="of this fleet"):
        yes(wish, owner)
    limit.refresh_from_db()
    assert limit.amount_paise == 1_000_00 and Approval.objects.get().state == "asked"


@pytest.mark.parametrize("who", ["finance", "stranger", "dispatcher"])
@pytest.mark.parametrize("deed", ["approve", "decline"])
def test_a_forged_post_decides_nothing(
    client: Client, limit: SpendLimit, finance: User, who: str, deed: str, request: Any
) -> None:
    """By the maker, by the finance of another fleet, by somebody without the desk."""
    wish = change(limit, finance, 5_000_00)
    assert wish is not None
    client.force_login(request.getfixturevalue(who))
    for address in (
        reverse(f"admin:billing_approval_{deed}", args=[wish.pk]),
        reverse("wallet-approval", args=[wish.pk]),
    ):
        answer = client.post(address, {"reason": "mine", "deed": deed})
        assert answer.status_code in {302, 403, 404}, address
    limit.refresh_from_db()
    assert limit.amount_paise == 1_000_00 and Approval.objects.get().state == "asked"


def test_a_fleet_neither_sees_nor_decides_what_is_ours(
    client: Client, wallet: Wallet, clerk: User, finance: User, owner: User
) -> None:
    wish = credit(wallet, clerk, credit_limit_paise=50_000_00)
    assert wish is not None
    for person in (finance, owner):
        client.force_login(person)
        for name in ("change", "approve"):
            client.post(reverse(f"admin:billing_approval_{name}", args=[wish.pk]), {"reason": "please"})
        page = client.get(reverse("admin:billing_approval_changelist"), {"decided": "all"})
        assert list(page.context_data["cl"].result_list) == []
    wallet.refresh_from_db()
    assert wallet.credit_limit_paise == 0


def test_what_our_operators_write_each_other_is_no_fleets_business(
    client: Client, wallet: Wallet, limit: SpendLimit, clerk: User, chief: User, finance: User, owner: User
) -> None:
    """Letters and trail of what is ours stay ours, whatever became of it; of the fleet's own, it sees its own."""
    services.decline(
        approval_id=pk_of(credit(wallet, clerk, credit_limit_paise=1_00)), decided_by=chief, now=NOON, reason="no"
    )
    credit(wallet, clerk, credit_limit_paise=50_000_00)
    top_up(wallet.organisation, clerk, 9_000_00)
    yes(change(limit, finance, 5_000_00), owner)
    Letter.objects.update(state="given_up")
    assert Letter.objects.count() == 6
    letters, trail = "admin:billing_letter_changelist", "admin:accounts_auditentry_changelist"
    for person in (finance, owner):
        client.force_login(person)
        assert {row.address for row in listed(client, letters)} == {finance.email, owner.email}
        client.post(reverse(letters), {"action": "send_again", "_selected_action": ids_of_letters()})
        assert {row.action for row in listed(client, trail)} >= {"ask_spend_limit", "approved_spend_limit"}
        assert not {row.actor_label for row in listed(client, trail)} & {str(clerk), str(chief)}
    assert set(Letter.objects.filter(state="waiting").values_list("address", flat=True)) == {finance.email, owner.email}
    client.force_login(chief)
    assert len(listed(client, letters)) == 6
    assert {"ask_wallet_terms", "declined_wallet_terms", "ask_top_up"} <= {row.action for row in listed(client, trail)}


def pk_of(wish: Approval | None) -> int:
    assert wish is not None
    return wish.pk


def ids_of_letters() -> list[int]:
    return list(Letter.objects.values_list("pk", flat=True))


def listed(client: Client, page: str) -> list[Any]:
    return list(client.get(reverse(page)).context_data["cl"].result_list)


def test_what_waits_too_long_ends_by_itself(wallet: Wallet, clerk: User, chief: User) -> None:
    wish = credit(wallet, clerk, credit_limit_paise=50_000_00)
    late = NOON + 14 * DAY
    with pytest.raises(Conflict, match="expired"):
        yes(wish, chief, late)
    assert (services.expire(now=late - DAY), services.expire(now=late), services.expire(now=late)) == (0, 1, 0)
    with pytest.raises(Conflict, match="decided already"):
        yes(wish, chief, late)
    row = Approval.objects.get()
    assert (row.state, row.decided_by, row.decided_at) == ("expired", None, late)
    assert credit(wallet, clerk, credit_limit_paise=50_000_00) is not None


def test_one_transfer_of_a_bank_is_one_fleets_money(
    organisation: Organisation, other_organisation: Organisation, clerk: User, chief: User
) -> None:
    for fleet in (organisation, other_organisation):
        fund(fleet, 0)
    first = top_up(organisation, clerk, 9_000_00, "HDFCN1")
    for fleet, reference in ((other_organisation, "HDFCN1"), (other_organisation, " hdfcn1"), (organisation, "hdfcN1")):
        with pytest.raises(Conflict, match="waits already, for"):
            top_up(fleet, clerk, 9_000_00, reference)
    yes(first, chief)
    for reference in ("HDFCN1", "hdfcn1"):
        with pytest.raises(Conflict, match=f"credited already, to {organisation}"):
            top_up(other_organisation, clerk, 9_000_00, reference)
    assert (posted(organisation), posted(other_organisation)) == (9_000_00, 0)
    refused = top_up(other_organisation, clerk, 9_000_00, "HDFCN2")
    services.decline(approval_id=refused.pk, decided_by=chief, now=NOON, reason="another fleet's")
    assert top_up(organisation, clerk, 9_000_00, "HDFCN2").state == "asked"


@pytest.mark.django_db(transaction=True)
def test_two_wishes_about_one_transfer_that_came_at_once_credit_it_once(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    clerk, chief = operator("clerk"), operator("chief")
    fleets = [organisation, other_organisation]
    for fleet in fleets:
        fund(fleet, 0)
    refused = at_once([lambda fleet=fleet: top_up(fleet, clerk, 9_000_00, "HDFCN1") for fleet in fleets])
    assert len(refused) == 1
    asked = {"kind": "top_up", "subject": "utr:HDFCN1", "title": "x", "reason": "x", "asked_by": clerk, "now": NOON}
    for fleet in fleets:  # as they may have been asked before this was looked at
        Approval.objects.open().filter(organisation=fleet).exists() or services.ask(
            organisation_id=fleet.pk, amount_paise=9_000_00, facts={"reference": "HDFCN1", "before": {}}, **asked
        )
    wishes = list(Approval.objects.open())
    assert len(at_once([lambda wish=wish: yes(wish, chief) for wish in wishes])) == 1
    assert sorted([posted(fleet) for fleet in fleets]) == [0, 9_000_00]


@pytest.mark.parametrize("chunk", [1, 2, 200])
def test_one_that_cannot_be_ended_keeps_no_other_from_ending(
    organisation: Organisation, clerk: User, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    def fail(approval: Approval, by: User | None, now: Any) -> None:
        if approval.subject in {"utr:UTR0", "utr:UTR2"}:
            raise RuntimeError("a row that nobody thought of")

    fund(organisation, 0)
    for number in range(4):
        top_up(organisation, clerk, 9_000_00, f"UTR{number}")
    monkeypatch.setitem(services._kinds, "top_up", replace(services.kinds()["top_up"], undone=fail))
    assert services.expire(now=NOON + 14 * DAY, chunk=chunk) == 2
    assert list(Approval.objects.open().order_by("pk").values_list("subject", flat=True)) == ["utr:UTR0", "utr:UTR2"]
    assert services.expire(now=NOON + 15 * DAY, chunk=chunk) == 0
    monkeypatch.undo()
    assert services.expire(now=NOON + 15 * DAY, chunk=chunk) == 2


def test_a_wish_of_a_kind_that_is_gone_is_refused_in_words_and_ends_by_itself(
    organisation: Organisation, clerk: User, chief: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(organisation, 0)
    wish = top_up(organisation, clerk, 9_000_00)
    monkeypatch.delitem(services._kinds, "top_up")
    for deed in (services.approve, services.decline):
        with pytest.raises(Conflict, match="Nothing is known"):
            deed(approval_id=wish.pk, decided_by=chief, now=NOON, reason="seen")
    assert services.expire(now=NOON + 14 * DAY) == 1


def test_who_may_decide_gets_a_letter_and_who_asked_gets_the_answer(
    limit: SpendLimit, wallet: Wallet, finance: User, owner: User, clerk: User, chief: User, stranger: User
) -> None:
    wish = change(limit, finance, 5_000_00)
    yes(wish, owner)
    yes(credit(wallet, clerk, credit_limit_paise=1_00), chief)
    letters = Letter.objects.order_by("pk").values_list("kind", "address")
    assert list(letters) == [
        ("approval_asked", owner.email), ("approval_decided", finance.email),
        ("approval_asked", chief.email), ("approval_decided", clerk.email),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        "free_up_to_paise = 10000000000",
        "expires_at = NULL",
        "title = 'harmless'",
        "state = 'free', decided_by_id = asked_by_id, decided_at = now()",
    ],
)
def test_the_database_keeps_a_wish_as_it_was_asked(wallet: Wallet, clerk: User, change: str) -> None:
    credit(wallet, clerk, credit_limit_paise=50_000_00)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE billing_approval SET {change}")
    with pytest.raises(DatabaseError), transaction.atomic():
        Approval.objects.create(
            organisation=wallet.organisation, kind="top_up", subject="x", title="x", reason="x", asked_by=clerk,
            asked_at=NOON, state="approved", decided_by=operator("ghost"), decided_at=NOON,
        )  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rounds", [2])
def test_two_who_approve_at_once_do_it_once(organisation: Organisation, rounds: int) -> None:
    fund(organisation, 0)
    clerk, *chiefs = [operator(f"o{number}") for number in range(5)]
    for number in range(rounds):
        wish = top_up(organisation, clerk, 9_000_00, f"UTR{number}")
        refused = at_once([lambda who=who, wish=wish: yes(wish, who) for who in chiefs])
        assert len(refused) == 3 and all("decided already" in str(error) for error in refused)
    assert posted(organisation) == rounds * 9_000_00
    assert Approval.objects.filter(state="approved").count() == rounds


@pytest.mark.django_db(transaction=True)
def test_small_wishes_at_the_same_moment_count_each_other(organisation: Organisation) -> None:
    fund(organisation, 0)
    clerk = operator("clerk")
    asked = [lambda n=n: top_up(organisation, clerk, 400_00, f"UTR{n}") for n in range(6)]
    assert at_once(asked) == []
    assert posted(organisation) == 800_00
    assert sorted(Approval.objects.values_list("state", flat=True)) == ["asked"] * 4 + ["free"] * 2


def at_once(works: list[Any]) -> list[Exception]:
    """Run in threads that begin together; what was refused."""
    barrier, errors = threading.Barrier(len(works)), []

    def run(work: Any) -> None:
        barrier.wait(60)
        try:
            work()
        except Conflict as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return errors
