"""Finance's desk shows one organisation, asks before it acts, and never edits money."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import CDR, BillingException, ChargingSession, LedgerTransfer, ReconciliationVerdict, Wallet
from billing.services import ending, rating, reconciliation, wallets
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from fleetcharge.accounts.models import APIKey, AuditEntry, Organisation, User
from fleetcharge.accounts.services import find_api_key

LISTS = [
    "chargingsession", "cdr", "ledgertransfer", "ledgeraccount", "wallet", "hold", "reconciliationverdict",
    "billingexception",
]  # fmt: skip


def charged(fleet: Fleet, number: int = 1) -> None:
    """Sessions that went the whole way: priced, paid, judged."""
    for index in range(number):
        begun = NOON + timedelta(hours=index)
        ref = start(fleet, started_at=begun, id_token=fleet.token.uid).transaction_ref
        stop(fleet, ref, ended_at=begun + timedelta(minutes=30))
    for cdr in CDR.objects.filter(organisation=fleet.organisation):
        rating.rate_and_capture(cdr_id=cdr.pk, now=NOON)
        reconciliation.judge(session_id=cdr.session_id, now=NOON)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=100_000_00)


@pytest.fixture
def desk(client: Client, finance: User, fleet: Fleet) -> Iterator[Client]:
    client.force_login(finance)
    yield client


def address(model: str, *args: object, page: str = "changelist") -> str:
    return reverse(f"admin:billing_{model}_{page}", args=args)


@pytest.mark.parametrize("model", LISTS)
def test_lists_show_only_the_own_organisation(
    desk: Client, fleet: Fleet, other_organisation: Organisation, model: str
) -> None:
    other = make_fleet(other_organisation, money_paise=1_00)
    for one in (fleet, other):
        charged(one)
        start(one, id_token="NOBODY", connector_id=2)
    page = desk.get(address(model), {"state": "all"} if model == "billingexception" else {})
    changelist = page.context_data["cl"]
    path = type(changelist.model_admin).organisation_path
    owners = set(changelist.queryset.values_list(path, flat=True))
    assert owners == {fleet.organisation.pk}
    assert other.vehicle.registration not in page.content.decode()


@pytest.mark.parametrize("model", ["chargingsession", "wallet", "cdr"])
def test_a_strangers_row_does_not_exist(desk: Client, other_organisation: Organisation, model: str) -> None:
    other = make_fleet(other_organisation)
    charged(other)
    row = {"chargingsession": ChargingSession, "wallet": Wallet, "cdr": CDR}[model].objects.get(
        organisation=other_organisation
    )
    assert desk.get(address(model, row.pk, page="change")).status_code == 302  # back to the index with a message
    if model == "wallet":
        desk.post(reverse("admin:billing_wallet_top_up", args=[row.pk]), {"rupees": 9, "reference": "x", "reason": "y"})
        assert Wallet.objects.get(pk=row.pk).posted_paise == row.posted_paise


@pytest.mark.parametrize("model", LISTS)
def test_no_query_per_row(desk: Client, fleet: Fleet, model: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert desk.get(address(model)).status_code == 200
        return len(seen)

    charged(fleet, 2)
    start(fleet, id_token="NOBODY-1", connector_id=2)
    queries()  # warms what is cached per process
    few = queries()
    charged(fleet, 6)
    for number in range(2, 6):
        start(fleet, id_token=f"NOBODY-{number}", connector_id=2)
    assert queries() == few


@pytest.mark.parametrize("model", LISTS)
def test_money_is_never_added_changed_or_deleted_by_hand(desk: Client, fleet: Fleet, model: str) -> None:
    charged(fleet)
    assert desk.get(address(model, page="add")).status_code == 403
    rows = {"ledgertransfer": LedgerTransfer, "chargingsession": ChargingSession, "cdr": CDR, "wallet": Wallet}
    if model in rows:
        row = rows[model].objects.first()
        assert desk.get(address(model, row.pk, page="delete")).status_code == 403
        assert desk.post(address(model, row.pk, page="change"), {"amount_paise": 1}).status_code == 403


def test_a_session_shows_its_price_and_its_evidence(desk: Client, fleet: Fleet) -> None:
    charged(fleet)
    page = desk.get(address("chargingsession", ChargingSession.objects.get().pk, page="change")).content.decode()
    assert "₹180.00" in page  # 10 kWh at 18.00
    assert "CGST" in page
    assert "The tracker sent nothing around the session" in page
    assert "Inconclusive (0 points)" in page
    verdict = ReconciliationVerdict.objects.get()
    assert (
        "No shifts are planned"
        in desk.get(address("reconciliationverdict", verdict.pk, page="change")).content.decode()
    )


def test_a_session_shows_what_was_corrected_and_why(desk: Client, fleet: Fleet) -> None:
    session = ChargingSession.objects.get(pk=start(fleet).session_id)
    ChargingSession.objects.update(suspect_reason="left")
    ending.end_as_estimated(session_id=session.pk, why="left", not_after=NOON, now=NOON)
    page = desk.get(address("chargingsession", session.pk, page="change")).content.decode()
    assert "missing stop" in page
    assert "No stop was reported." in page
    assert "sweep: left" in page


def test_totals_follow_the_filter(desk: Client, fleet: Fleet) -> None:
    charged(fleet, 2)
    everything = desk.get(address("ledgertransfer")).context_data["totals"]
    charges = desk.get(address("ledgertransfer"), {"kind__exact": "charge"}).context_data["totals"]
    assert dict(everything)["Into wallets"] == "₹1,00,000.00"
    assert dict(charges)["Into wallets"] == "₹0.00"
    assert dict(charges)["Out of wallets"] == "₹424.80"


def test_a_top_up_needs_a_reason_is_credited_once_and_audited(admin_client: Client, fleet: Fleet) -> None:
    url = reverse("admin:billing_wallet_top_up", args=[fleet.wallet.pk])
    admin_client.post(url, {"rupees": "250.50", "reference": "UTR1", "reason": " "})
    assert Wallet.objects.get().posted_paise == 100_000_00
    for _ in range(2):
        admin_client.post(url, {"rupees": "250.50", "reference": "UTR1", "reason": "NEFT of today"})
    assert Wallet.objects.get().posted_paise == 100_250_50
    entry = AuditEntry.objects.get(action="top_up", reason="NEFT of today")
    assert entry.actor is not None and entry.actor.is_superuser


def test_terms_cannot_fall_below_what_is_in_use(admin_client: Client, fleet: Fleet) -> None:
    url = reverse("admin:billing_wallet_change_terms", args=[fleet.wallet.pk])
    Wallet.objects.update(credit_limit_paise=200_00)
    assert wallets.hold(
        organisation_id=fleet.organisation.pk, session_key="s", amount_paise=100_050_00, now=NOON
    ).is_held
    terms = {"credit_limit": "100", "low_threshold": "5", "state": "frozen", "reason": "agreed"}
    admin_client.post(url, terms)
    wallet = Wallet.objects.get()
    assert (wallet.credit_limit_paise, wallet.low_threshold_paise, wallet.state) == (100_00, 5_00, "frozen")
    assert AuditEntry.objects.get(action="change_terms").before["credit_limit_paise"] == 200_00
    admin_client.post(url, {**terms, "credit_limit": "49"})
    assert Wallet.objects.get().credit_limit_paise == 100_00


@pytest.mark.parametrize("role", ["owner", "finance"])
def test_a_fleet_gives_itself_neither_money_nor_credit(client: Client, fleet: Fleet, role: str, request) -> None:
    client.force_login(request.getfixturevalue(role))
    page = client.get(address("wallet", fleet.wallet.pk, page="change")).content.decode()
    before = Wallet.objects.values().get()
    for deed, wanted in (
        ("top_up", {"rupees": "9999", "reference": "UTR9", "reason": "please"}),
        ("change_terms", {"credit_limit": "9999", "low_threshold": "0", "state": "active", "reason": "please"}),
    ):
        url = reverse(f"admin:billing_wallet_{deed}", args=[fleet.wallet.pk])
        assert url not in page
        for answer in (client.get(url), client.post(url, wanted)):
            assert answer.status_code == 403
            assert "Only the platform&#x27;s operators do this" in answer.content.decode()
    assert Wallet.objects.values().get() == before
    client.force_login(User.objects.create_superuser("op@fleetcharge.example", "correct horse"))
    assert reverse("admin:billing_wallet_top_up", args=[fleet.wallet.pk]) in client.get(
        address("wallet", fleet.wallet.pk, page="change")
    ).content.decode()  # fmt: skip


def test_an_exception_is_resolved_with_a_reason(desk: Client, fleet: Fleet, finance: User) -> None:
    start(fleet, id_token="NOBODY")
    row = BillingException.objects.get()
    selected = {"action": "resolve_selected", "_selected_action": [row.pk]}
    assert b"Resolve 1 exceptions" in desk.post(address("billingexception"), selected).content
    assert BillingException.objects.open().exists()
    desk.post(address("billingexception"), {**selected, "reason": "The card of a guest"})
    row.refresh_from_db()
    assert (row.resolved_by, row.resolution) == (finance, "The card of a guest")
    assert AuditEntry.objects.get(action="resolve").reason == "The card of a guest"


def test_one_click_takes_an_exception_over(desk: Client, fleet: Fleet, finance: User) -> None:
    start(fleet, id_token="NOBODY")
    row = BillingException.objects.get()
    desk.post(address("billingexception"), {"action": "take", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert row.owner == finance


def test_a_dispatcher_has_no_desk(client: Client, dispatcher: User) -> None:
    client.force_login(dispatcher)
    assert client.get(reverse("admin:index")).status_code == 302


def test_the_home_page_says_what_waits_and_what_was_spent(desk: Client, fleet: Fleet, time_machine) -> None:
    time_machine.move_to(NOON + timedelta(hours=2))
    charged(fleet)
    start(fleet, id_token="NOBODY", connector_id=2)
    page = desk.get(reverse("admin:index"))
    assert page.status_code == 200
    finance = page.context_data["finance"]
    assert [card["value"] for card in finance["cards"][:2]] == ["₹212.40", "₹212.40"]
    assert [row["label"] for row in finance["reasons"]] == ["Charged with an unknown token"]
    assert [count for count, _address in finance["reasons"][0]["ages"]] == [1, 0, 0]


def test_an_owner_makes_a_key_whose_secret_is_shown_once(
    client: Client, owner: User, organisation: Organisation
) -> None:
    client.force_login(owner)
    page = client.post(
        reverse("admin:accounts_apikey_add"),
        {"organisation": organisation.pk, "name": "ERP", "scopes": ["billing:read"]},
        follow=True,
    )
    key = APIKey.objects.get()
    [secret] = [str(told).rsplit(" ", 1)[1] for told in page.context["messages"] if "never shown" in str(told)]
    assert find_api_key(secret) == key
    assert secret not in client.get(reverse("admin:accounts_apikey_changelist")).content.decode()
    client.post(reverse("admin:accounts_apikey_revoke", args=[key.pk]), {"reason": "leaked"})
    assert find_api_key(secret) is None
    assert AuditEntry.objects.get(action="revoke").reason == "leaked"


@pytest.mark.parametrize("model", ["organisation", "user", "membership", "apikey", "auditentry"])
def test_an_owner_sees_only_the_own_people_and_keys(client: Client, owner: User, stranger: User, model: str) -> None:
    client.force_login(owner)
    page = client.get(reverse(f"admin:accounts_{model}_changelist"))
    assert page.status_code == 200
    assert "stranger" not in page.content.decode().lower()


def test_an_owner_cannot_change_somebody_who_also_works_elsewhere(
    client: Client, owner: User, stranger: User, organisation: Organisation
) -> None:
    organisation.memberships.create(user=stranger, role="driver")
    client.force_login(owner)
    url = reverse("admin:accounts_user_change", args=[stranger.pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"email": "mine@example.com"}).status_code == 403
    assert client.get(reverse("admin:auth_user_password_change", args=[stranger.pk])).status_code == 403


def test_finance_sees_no_keys_and_no_people(client: Client, finance: User) -> None:
    client.force_login(finance)
    for model in ("apikey", "user", "membership"):
        assert client.get(reverse(f"admin:accounts_{model}_changelist")).status_code == 403
