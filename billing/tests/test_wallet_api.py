"""The wallet over the API: how it stands, its statement, its files, its limits."""

import csv
import dataclasses
import io
import re
import zipfile
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from billing import statement_files
from billing.models import LedgerTransfer, SpendLimit, Wallet
from billing.services import ledger, statements, wallets
from billing.services.ledger import Dimensions, Leg
from billing.services.statements import Stretch
from billing.tests import factories
from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import AuditEntry, Organisation, Scope

pytestmark = pytest.mark.django_db


@pytest.fixture
def wallet(organisation: Organisation) -> Wallet:
    return factories.fund(organisation, 1_000_00, low_threshold_paise=100_00)


def key_of(organisation: Organisation, *scopes: str) -> APIClient:
    _, secret = accounts.create_api_key(organisation=organisation, name="erp", scopes=list(scopes))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def api(organisation: Organisation) -> APIClient:
    return key_of(organisation, Scope.BILLING_READ, Scope.BILLING_WRITE)


def spend(organisation: Organisation, key: str, *legs: int) -> None:
    """One entry of several legs out of the wallet."""
    code = ledger.wallet_code(organisation.pk)
    ledger.post(
        entry_key=key, legs=[Leg(code, "revenue:charging", each, "charge", "Session") for each in legs],
        occurred_at=timezone.now(), about=Dimensions(organisation_id=organisation.pk),
    )  # fmt: skip


def test_how_it_stands(api: APIClient, wallet: Wallet, organisation: Organisation) -> None:
    wallets.hold(organisation_id=organisation.pk, session_key="session:0", amount_paise=950_00, now=timezone.now())
    body = api.get("/api/v1/wallet/standing/").json()
    assert (body["spendable_paise"], body["is_low"], body["runway_days"]) == (50_00, True, None)
    assert body["held"] == [{"reason": "other", "count": 1, "amount_paise": 950_00, "needs_decision": False}]
    assert sum(each["amount_paise"] for each in body["held"]) == body["held_paise"]


def test_held_money_has_the_reason_of_its_session(organisation: Organisation) -> None:
    fleet = factories.make_fleet(organisation)
    running = factories.start(fleet)
    assert running.transaction_ref
    body = key_of(organisation, Scope.BILLING_READ).get("/api/v1/wallet/standing/").json()
    assert [each["reason"] for each in body["held"]] == ["charging"]


def test_the_statement_counts_entries_not_legs(api: APIClient, wallet: Wallet, organisation: Organisation) -> None:
    spend(organisation, "charge:1", 100_00, 9_00, 9_00)
    spend(organisation, "charge:2", 50_00)
    body = api.get("/api/v1/wallet/statement/").json()
    assert [(line["amount_paise"], line["balance_paise"]) for line in body["lines"]] == [
        (-50_00, 832_00), (-118_00, 882_00), (1_000_00, 1_000_00),
    ]  # fmt: skip
    assert (body["opening_paise"], body["in_paise"], body["out_paise"]) == (0, 1_000_00, -168_00)
    assert body["closing_paise"] == Wallet.objects.get().posted_paise == 832_00


def test_a_page_of_the_statement_has_the_same_balances(
    api: APIClient, wallet: Wallet, organisation: Organisation
) -> None:
    for number in range(6):
        spend(organisation, f"charge:{number}", 10_00 + number)
    whole = api.get("/api/v1/wallet/statement/").json()["lines"]
    parts = [api.get(f"/api/v1/wallet/statement/?limit=3&offset={offset}").json()["lines"] for offset in (0, 3, 6)]
    assert [line for part in parts for line in part] == whole


def test_what_was_before_is_the_opening_balance(api: APIClient, wallet: Wallet, organisation: Organisation) -> None:
    tomorrow = (timezone.now() + timedelta(days=1)).date().isoformat()
    later = (timezone.now() + timedelta(days=3)).date().isoformat()
    body = api.get(f"/api/v1/wallet/statement/?from={later}&to={later}").json()
    assert (body["opening_paise"], body["closing_paise"], body["lines"]) == (1_000_00, 1_000_00, [])
    assert api.get(f"/api/v1/wallet/statement/?from={later}&to={tomorrow}").status_code == 400


@pytest.mark.parametrize("query", ["from=x", "to=2026-13-01", "limit=-1", "offset=1.5", "from=0001-01-01"])
def test_odd_questions_are_refused(api: APIClient, wallet: Wallet, query: str) -> None:
    answer = api.get(f"/api/v1/wallet/statement/?{query}")
    assert answer.status_code == 400
    assert answer.json()["code"]


def test_the_file_ends_with_the_balance_of_the_wallet(
    api: APIClient, wallet: Wallet, organisation: Organisation
) -> None:
    spend(organisation, "charge:1", 118_00)
    answer: Any = api.get("/api/v1/wallet/statement/file/?as=csv")
    rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert rows[1][2:] == ["Opening balance", "", "", "", "", "", "0.00"]
    assert rows[-1][2:] == ["Closing balance", "", "", "", "", "", "882.00"]
    assert [row[6:] for row in rows[2:-1]] == [["1000.00", "", "1000.00"], ["", "118.00", "882.00"]]
    for form, begins in (("xlsx", b"PK"), ("pdf", b"%PDF")):
        answer = api.get(f"/api/v1/wallet/statement/file/?as={form}")
        assert b"".join(answer.streaming_content).startswith(begins)
    assert api.get("/api/v1/wallet/statement/file/?as=exe").status_code == 400


def test_the_spreadsheet_has_instants_by_the_fleets_clock(api: APIClient, wallet: Wallet) -> None:
    answer: Any = api.get("/api/v1/wallet/statement/file/?as=xlsx")
    book = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    [serial] = re.findall(r'<c r="A3" s="\d+"><v>([\d.]+)</v></c>', sheet)
    told = datetime(1899, 12, 30) + timedelta(seconds=round(float(serial) * 86_400))
    booked = LedgerTransfer.objects.earliest("pk").recorded_at.astimezone(ZoneInfo("Asia/Kolkata"))
    assert told == booked.replace(tzinfo=None, microsecond=0)


def test_the_pdf_says_when_something_happened_that_was_booked_later(wallet: Wallet) -> None:
    zone = ZoneInfo("Asia/Kolkata")
    line = next(statements.every_line(wallet.account_id, Stretch(date(2020, 1, 1), date(2099, 1, 1), zone),
                                      opening_paise=0))  # fmt: skip
    stretch = Stretch(date(2026, 11, 1), date(2026, 11, 30), zone)
    earlier = dataclasses.replace(line, occurred_at=datetime(2026, 10, 1, 3, tzinfo=UTC))
    assert statement_files._what_and_when(earlier, stretch) == "Top-up, 01 Oct"
    same = dataclasses.replace(earlier, recorded_at=datetime(2026, 10, 1, 18, tzinfo=UTC))
    assert statement_files._what_and_when(same, stretch) == "Top-up"


def test_a_long_statement_takes_as_many_queries_as_a_short_one(
    api: APIClient, wallet: Wallet, organisation: Organisation
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            api.get("/api/v1/wallet/statement/")
        return len(seen)

    queries()
    few = queries()
    for number in range(30):
        spend(organisation, f"charge:{number}", 1_00)
    assert queries() == few
    assert LedgerTransfer.objects.count() == 31


def test_a_stranger_has_no_statement(wallet: Wallet, other_organisation: Organisation) -> None:
    stranger = key_of(other_organisation, Scope.BILLING_READ, Scope.BILLING_WRITE)
    for path in ("standing/", "statement/", "statement/file/"):
        assert stranger.get(f"/api/v1/wallet/{path}").status_code == 404


def test_reading_is_not_writing(wallet: Wallet, organisation: Organisation) -> None:
    reader = key_of(organisation, Scope.BILLING_READ)
    assert reader.put("/api/v1/wallet/warning/", {"low_threshold_paise": 1, "reason": "x"}).status_code == 403
    assert reader.post("/api/v1/limits/", LIMIT, format="json").status_code == 403


def test_the_warning_limit(api: APIClient, wallet: Wallet) -> None:
    answer = api.put("/api/v1/wallet/warning/", {"low_threshold_paise": 2_000_00, "reason": "season"}, format="json")
    assert (answer.status_code, answer.json()["is_low"]) == (200, True)
    assert AuditEntry.objects.filter(action="set_warning", reason="season").exists()


LIMIT = {"scope": "organisation", "period": "day", "amount_paise": 5_000_00, "reason": "budget"}


def test_a_limit_is_set_read_and_removed(api: APIClient, wallet: Wallet) -> None:
    for _time in range(2):
        made = api.post("/api/v1/limits/", LIMIT, format="json")
        assert made.status_code == 200, made.content
    (row,) = api.get("/api/v1/limits/").json()
    assert (row["amount_paise"], row["spent_paise"], row["is_hard"]) == (5_000_00, 0, True)
    assert AuditEntry.objects.filter(action="set_limit").count() == 1
    for unsaid in ("", "?reason=", "?reason=%20"):
        refused = api.delete(f"/api/v1/limits/{row['id']}/{unsaid}")
        assert (refused.status_code, "reason" in refused.content.decode()) == (400, True)
    assert SpendLimit.objects.exists()
    assert api.delete(f"/api/v1/limits/{row['id']}/?reason=over").status_code == 204
    assert not SpendLimit.objects.exists()


def test_a_limit_names_whose_it_is(
    api: APIClient, organisation: Organisation, other_organisation: Organisation
) -> None:
    ours = factories.make_fleet(organisation)
    theirs = factories.make_fleet(other_organisation, has_wallet=False)
    limit = {**LIMIT, "scope": "vehicle"}
    assert api.post("/api/v1/limits/", limit, format="json").status_code == 400
    assert api.post("/api/v1/limits/", {**limit, "vehicle": theirs.vehicle.pk}, format="json").status_code == 400
    assert api.post("/api/v1/limits/", {**limit, "vehicle": ours.vehicle.pk}, format="json").status_code == 200
    assert (
        api.post("/api/v1/limits/", {"scope": "site", "period": "day", "reason": "x"}, format="json").status_code == 400
    )
    assert SpendLimit.objects.get().vehicle == ours.vehicle
