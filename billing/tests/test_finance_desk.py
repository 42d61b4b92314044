"""Finance's home and queues: what is held and why, who fails to pay, and one click where the cause is gone."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing import dashboard
from billing.approvals.models import Approval
from billing.desk import figures, fixes
from billing.evidence import facts_in_words
from billing.jobs import kinds
from billing.models import CDR, BillingException, Job, Mandate, ReconciliationVerdict, Wallet
from billing.services import ledger, rating, reconciliation, wallets
from billing.services.exceptions import open_exception
from billing.services.ledger import Leg
from billing.tests.factories import NOON, Fleet, make_fleet, make_tariff, start, stop
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.lib.api import Conflict

QUEUE = "admin:billing_billingexception_changelist"


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=10_000_00)


@pytest.fixture
def desk(client: Client, finance: User) -> Iterator[Client]:
    client.force_login(finance)
    yield client


def mandate(organisation: Organisation, **fields: object) -> Mandate:
    number = Mandate.objects.count()
    told = {
        "state": "confirmed", "consecutive_failures": 3, "max_amount_paise": 15_000_00, "payer_name": "P",
        "key": f"M-{number}", "token_id": f"token_{number}", "expires_at": NOON, "created_at": NOON,
    }  # fmt: skip
    return Mandate.objects.create(organisation=organisation, **{**told, **fields})


def unpriced(fleet: Fleet) -> BillingException:
    """A session whose tariff was missing."""
    started = start(fleet)
    stop(fleet, started.transaction_ref)
    rating.rate_and_capture(cdr_id=CDR.objects.get().pk, now=NOON)
    return BillingException.objects.get(kind="missing_tariff")


def test_home_says_what_is_held_who_does_not_pay_and_what_waits(
    desk: Client, fleet: Fleet, organisation: Organisation, other_organisation: Organisation, owner: User, finance: User
) -> None:
    start(fleet)
    mandate(organisation)
    mandate(other_organisation)
    for kind, subject, asked_by in (
        ("spend_limit", "x", owner),
        ("spend_limit", "y", finance),
        ("write_off", "z", owner),
    ):
        Approval.objects.create(
            organisation=organisation, kind=kind, subject=subject, title="x", reason="x", asked_by=asked_by,
            asked_at=NOON, amount_paise=12_00,
        )  # fmt: skip
    open_exception(organisation_id=organisation.pk, kind="payment_odd", title="odd", at=timezone.now(), reference="a")
    home = desk.get(reverse("admin:index"))
    told = home.context_data["finance"]
    assert [(row["label"], row["count"]) for row in told["held"]] == [("Charging now", 1)]
    assert [row["mandate"].organisation for row in told["mandates"]] == [organisation]
    assert [(row["label"], row["count"], row["mine"], row["amount"]) for row in told["waiting"]] == [
        ("Spending limit", 2, 1, "₹24.00")
    ]  # what is ours to write off is not the fleet's to see
    [row] = told["reasons"]
    assert (row["unowned"], [count for count, _ in row["ages"]]) == (1, [1, 0, 0])
    assert "failed 3 times" in home.content.decode()


def test_home_asks_as_many_questions_for_many_rows(desk: Client, fleet: Fleet, organisation: Organisation) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert desk.get(reverse("admin:index")).status_code == 200
        return len(seen)

    start(fleet)
    mandate(organisation)
    queries()
    few = queries()
    for number in range(5):
        mandate(organisation)
        open_exception(organisation_id=organisation.pk, kind="payment_odd", title="o", at=NOON, reference=f"{number}")
    assert queries() == few


def test_spend_is_told_by_the_days_of_the_place(fleet: Fleet, organisation: Organisation) -> None:
    late = datetime(2026, 11, 19, 18, 0, tzinfo=UTC)  # 23:30 in India, ending on the 20th
    for at in (late, NOON):
        stop(fleet, start(fleet, started_at=at, received_at=at).transaction_ref, ended_at=at + timedelta(minutes=40))
    for cdr in CDR.objects.all():
        rating.rate_and_capture(cdr_id=cdr.pk, now=NOON)
    told = figures.spend_by_day(Q(organisation=organisation), now=NOON, zone=ZoneInfo("Asia/Kolkata"))
    assert [(bar["day"], bar["amount"], bar["height"]) for bar in told["bars"][-2:]] == [
        (date(2026, 11, 19), "₹0.00", 0), (date(2026, 11, 20), "₹424.80", 96),
    ]  # fmt: skip
    assert (told["total"], len(told["bars"])) == ("₹424.80", 14)


def test_last_month_is_compared_up_to_the_same_hour(fleet: Fleet, organisation: Organisation) -> None:
    stop(fleet, start(fleet).transaction_ref)
    rating.rate_and_capture(cdr_id=CDR.objects.get().pk, now=NOON)
    for now, amount in ((NOON + timedelta(days=30, hours=1), "₹212.40"), (NOON + timedelta(days=29), "₹0.00")):
        card = dashboard.figures(organisation=organisation, now=now)["cards"][1]
        assert amount in card["note"], now


def test_one_click_prices_what_has_a_tariff_by_now(desk: Client, organisation: Organisation, finance: User) -> None:
    fleet = make_fleet(organisation, money_paise=10_000_00, has_tariff=False)
    exception = unpriced(fleet)
    page = desk.get(reverse(QUEUE)).content.decode()
    fix = reverse("admin:billing_billingexception_fix", args=[exception.pk])
    assert f'formaction="{fix}"' in page and "Price it now" in page
    assert desk.get(fix).status_code == 200  # asks; nothing happens by looking
    told = desk.post(fix, follow=True).content.decode()
    assert "something else is missing" in told
    exception.refresh_from_db()
    assert exception.resolved_at is None and CDR.objects.get().rated_at is None
    fleet.connector.tariff = make_tariff(fleet.source)
    fleet.connector.save()
    desk.post(fix)
    exception.refresh_from_db()
    assert (exception.resolved_by, CDR.objects.get().total_paise) == (finance, 212_40)
    assert AuditEntry.objects.filter(action="resolve", actor=finance).count() == 1


def test_a_debt_is_settled_when_it_is_paid(fleet: Fleet, organisation: Organisation, finance: User) -> None:
    code = ledger.receivable_code(organisation.pk)
    ledger.post(entry_key="owed", legs=[Leg(code, "revenue:charging", 500_00, "charge")], occurred_at=NOON)
    exception = open_exception(
        organisation_id=organisation.pk, kind="over_capture", title="short", at=NOON, reference="x"
    )
    with pytest.raises(Conflict, match=r"₹500\.00 is still owed"):
        fixes.apply(exception_id=exception.pk, actor=finance, now=NOON)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=1, key="now", at=NOON)
    assert fixes.apply(exception_id=exception.pk, actor=finance, now=NOON).resolution == "Nothing is owed any more."


def test_a_mandate_is_settled_when_it_pays_again(organisation: Organisation, finance: User) -> None:
    failing = mandate(organisation)
    exception = open_exception(
        organisation_id=organisation.pk, kind="mandate_failed", title="fails", at=NOON, reference="m"
    )
    with pytest.raises(Conflict, match="still fails"):
        fixes.apply(exception_id=exception.pk, actor=finance, now=NOON)
    Mandate.objects.filter(pk=failing.pk).update(consecutive_failures=0)
    assert fixes.apply(exception_id=exception.pk, actor=finance, now=NOON).resolved_at == NOON


@pytest.mark.parametrize(
    ("state", "why"), [("paused", "has paused"), ("cancelled", "No mandate"), ("expired", "No mandate")]
)
def test_a_mandate_that_is_paused_or_over_does_not_pay_again(
    organisation: Organisation, finance: User, state: str, why: str
) -> None:
    mandate(organisation, state=state, consecutive_failures=0, ended_at=None if state == "paused" else NOON)
    exception = open_exception(
        organisation_id=organisation.pk, kind="mandate_failed", title="fails", at=NOON, reference="m"
    )
    with pytest.raises(Conflict, match=why):
        fixes.apply(exception_id=exception.pk, actor=finance, now=NOON)
    Mandate.objects.filter(state="paused").update(state="cancelled", ended_at=NOON)
    mandate(organisation, consecutive_failures=0)  # another one pays instead
    assert fixes.apply(exception_id=exception.pk, actor=finance, now=NOON).resolved_at == NOON


def test_every_kind_leads_somewhere_that_exists(desk: Client, fleet: Fleet, organisation: Organisation) -> None:
    session_id = start(fleet).session_id
    for number, kind in enumerate(BillingException.Kind):
        open_exception(
            organisation_id=organisation.pk,
            kind=kind,
            title=kind,
            at=NOON,
            session_id=session_id,
            reference=f"{number}",
        )
    for exception in BillingException.objects.open():
        fix = fixes.fix_for(exception)
        assert fix is not None, exception.kind
        if fix.link:
            assert desk.get(fix.link).status_code in {200, 403}, exception.kind  # cards are the owner's


@pytest.mark.parametrize(
    ("kind", "reference", "details", "page"),
    [
        ("cpo_bill", "bill:7:3", {}, "billing/networkbill/7/change/"),
        ("cpo_correction", "conflict:7", {}, "stations/cdrconflict/"),
        ("cpo_balance", "carry:7", {}, "stations/ubccarry/"),
        ("limit_reached", "limit:7:2026-11-01", {}, "billing/spendlimit/"),
    ],
)
def test_what_is_asked_without_a_session_leads_somewhere_too(
    desk: Client, organisation: Organisation, kind: str, reference: str, details: dict[str, Any], page: str
) -> None:
    exception = open_exception(
        organisation_id=organisation.pk, kind=kind, title=kind, at=NOON, reference=reference, details=details
    )
    fix = fixes.fix_for(exception)
    assert fix is not None and fix.link == f"/admin/{page}"
    assert desk.get(fix.link, follow=True).status_code == 200
    assert f'href="{fix.link}"' in desk.get(reverse(QUEUE)).content.decode()


def test_work_that_was_given_up_is_tried_again(organisation: Organisation, finance: User) -> None:
    job = Job.objects.create(
        kind=kinds.RATE, key="0", organisation=organisation, state="dead", died_at=NOON, attempts=10
    )
    exception = open_exception(
        organisation_id=organisation.pk, kind="job_dead", title="x", at=NOON, reference="job:rate_cdr:0",
        details={"job": job.pk},
    )  # fmt: skip
    assert fixes.apply(exception_id=exception.pk, actor=finance, now=NOON).resolution == "Tried again."
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("waiting", 0)
    job.delete()
    again = open_exception(organisation_id=organisation.pk, kind="job_dead", title="x", at=NOON, reference="job:x")
    with pytest.raises(Conflict, match="wait any more"):
        fixes.apply(exception_id=again.pk, actor=finance, now=NOON)


@pytest.mark.parametrize(
    ("kind", "reference", "is_of_verdict"),
    [("cpo_record", "", True), ("cpo_price", "", True), ("cpo_price", "9", False)],
)
def test_a_networks_record_in_doubt_is_looked_at_on_its_map(
    fleet: Fleet, organisation: Organisation, kind: str, reference: str, is_of_verdict: bool
) -> None:
    begun = start(fleet)
    stop(fleet, begun.transaction_ref)
    reconciliation.judge(session_id=begun.session_id, now=NOON + timedelta(hours=1))
    question = open_exception(
        organisation_id=organisation.pk, kind=kind, title="x", at=NOON, session_id=begun.session_id, reference=reference
    )
    fix = fixes.fix_for(question)
    verdict = ReconciliationVerdict.objects.get()
    assert fix is not None
    on_its_map = fix.link == reverse("admin:billing_reconciliationverdict_change", args=[verdict.pk])
    assert on_its_map == is_of_verdict


def test_disagreeing_evidence_is_looked_at_on_its_map_and_its_money_is_what_the_session_cost(
    desk: Client, fleet: Fleet, organisation: Organisation
) -> None:
    begun = start(fleet)
    end = NOON + timedelta(minutes=30)
    stop(fleet, begun.transaction_ref, ended_at=end, received_at=end, meter_stop_wh=11_000)
    cdr = CDR.objects.get()
    rating.rate_and_capture(cdr_id=cdr.pk, now=end)
    fields: dict[str, Any] = {
        "organisation_id": organisation.pk,
        "title": "odd",
        "at": NOON,
        "session_id": cdr.session_id,
    }
    exception = open_exception(kind="suspicious_session", **fields)
    session_page = reverse("admin:billing_chargingsession_change", args=[begun.session_id])
    assert fixes.fix_for(exception) == fixes.Fix("See the session", link=session_page)  # not judged yet
    reconciliation.judge(session_id=begun.session_id, now=end)
    verdict = ReconciliationVerdict.objects.get()
    exception = BillingException.objects.get(pk=exception.pk)
    map_page = reverse("admin:billing_reconciliationverdict_change", args=[verdict.pk])
    assert fixes.fix_for(exception) == fixes.Fix("See the evidence", link=map_page)
    assert "(&#x27;" not in desk.get(map_page).content.decode()  # words of a state, not how it is coloured in lists
    open_exception(kind="over_capture", amount_paise=12_40, **fields)
    page: Any = desk.get(reverse(QUEUE))
    assert dict(page.context_data["totals"])["Amount"] == "₹224.80"  # 212.40 and 12.40
    home = dashboard.finance_home(page.wsgi_request, {})
    assert [row["amount"] for row in home["finance"]["reasons"]] == ["₹212.40", "₹12.40"]


def test_the_queue_is_filtered_by_age_and_owner_and_says_what_is_late(
    desk: Client, organisation: Organisation, finance: User
) -> None:
    now = timezone.now()
    for days in (0, 2, 9):
        open_exception(
            organisation_id=organisation.pk, kind="payment_odd", title=f"{days} days", reference=f"{days}",
            at=now - timedelta(days=days, hours=1),
        )  # fmt: skip

    def listed(**query: str) -> list[str]:
        return [row.title for row in desk.get(reverse(QUEUE), query).context_data["cl"].result_list]

    assert [listed(age=age) for age in ("0", "1", "2", "x")] == [
        ["0 days"], ["2 days"], ["9 days"], ["9 days", "2 days", "0 days"],
    ]  # fmt: skip
    assert "late by" in desk.get(reverse(QUEUE), {"age": "2"}).content.decode()
    old = BillingException.objects.get(title="9 days")
    desk.post(reverse("admin:billing_billingexception_take_one", args=[old.pk]))
    assert (listed(whose="mine"), listed(whose="nobody")) == (["9 days"], ["2 days", "0 days"])


def test_a_write_off_is_asked_for_by_those_who_keep_the_books(
    client: Client, fleet: Fleet, organisation: Organisation, finance: User
) -> None:
    code = ledger.receivable_code(organisation.pk)
    ledger.post(entry_key="owed", legs=[Leg(code, "revenue:charging", 500_00, "charge")], occurred_at=NOON)
    exception = open_exception(
        organisation_id=organisation.pk, kind="over_capture", title="short", at=NOON, reference="x"
    )
    url = reverse("admin:billing_billingexception_ask_write_off", args=[exception.pk])
    client.force_login(finance)
    client.post(url, {"reason": "insolvent"})
    assert not Approval.objects.exists()
    client.force_login(User.objects.create_superuser("chief@fleetcharge.example", "correct horse"))
    client.post(url, {"reason": "insolvent"})
    assert (Approval.objects.get().amount_paise, Wallet.objects.get().posted_paise) == (500_00, 10_000_00)


def test_evidence_is_told_in_degrees_and_by_the_clock_of_the_page() -> None:
    told = {"at": "2026-10-12T04:32:47+00:00", "latitude_e7": 130_726_500, "radius_m": 1_560, "point": "stated",
            "soc_at": ""}  # fmt: skip
    assert facts_in_words(told) == [
        ("at", "12 Oct 2026, 10:02"), ("latitude", "13.07265°"), ("radius", "1,560 m"), ("point", "stated"),
        ("soc at", "—"),
    ]  # fmt: skip
    assert facts_in_words({"at": "yesterday"}) == [("at", "yesterday")]
