"""The ledger's page with more rows than anybody reads: bounded counts, keys instead of places, streams."""

import tracemalloc
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.admin import big
from billing.models import LedgerTransfer
from billing.services import ledger
from billing.services.ledger import Dimensions, Leg
from billing.tests.factories import NOON, make_fleet
from fleetcharge.accounts.admin import may_repeat
from fleetcharge.accounts.models import Organisation, User
from vehicles.models import Driver

PAGE = "admin:billing_ledgertransfer_changelist"


def rows(organisation: Organisation, count: int, *, kind: str = "note", start: int = 0) -> None:
    """As many transfers, straight into the table."""
    accounts = ledger.accounts_for(["bank", f"receivable:{organisation.pk}"])
    LedgerTransfer.objects.bulk_create(
        LedgerTransfer(
            entry_key=f"{kind}:{organisation.pk}:{number}", debit=accounts[f"receivable:{organisation.pk}"],
            credit=accounts["bank"], amount_paise=number + 1, kind=kind, organisation=organisation, occurred_at=NOON,
        )
        for number in range(start, start + count)
    )  # fmt: skip


@pytest.fixture
def desk(client: Client, finance: User) -> Iterator[Client]:
    client.force_login(finance)
    yield client


def test_behind_the_counted_pages_a_link_goes_on_by_key(
    desk: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(big, "MOST_COUNTED", 60)
    rows(organisation, 150)
    seen: list[int] = []
    query = "?"
    while query:
        page = desk.get(reverse(PAGE) + query)
        changelist = page.context_data["cl"]
        assert changelist.result_count <= 60
        for number in changelist.paginator.page_range:
            shown = desk.get(reverse(PAGE) + query + f"&p={number}").context_data["cl"]
            seen += [row.pk for row in shown.result_list]
        [query] = page.context_data.get("older") or [""]
    assert seen == list(LedgerTransfer.objects.order_by("-pk").values_list("pk", flat=True))
    assert "Go on with the older ones" in desk.get(reverse(PAGE)).content.decode()


def test_totals_are_of_all_that_is_filtered_however_much_is_counted(
    desk: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(big, "MOST_COUNTED", 10)
    rows(organisation, 30)
    rows(organisation, 5, kind="other")
    for query, count, moved in (
        ({}, "35", "₹4.80"),
        ({"kind__exact": "other"}, "5", "₹0.15"),
        ({"q": "note:"}, "0", "₹0.00"),
    ):
        totals = dict(desk.get(reverse(PAGE), query).context_data["totals"])
        assert (totals["Transfers"], totals["Moved in all"]) == (count, moved)
    assert big.kinds_in_use("billing_ledgertransfer") == ["note", "other"]
    for month, count in (("2026-11", "35"), ("2026-12", "0"), ("nonsense", "35"), ("2026-13", "35")):
        assert dict(desk.get(reverse(PAGE), {"month": month}).context_data["totals"])["Transfers"] == count


def test_a_search_finds_entries_accounts_and_plates(desk: Client, organisation: Organisation) -> None:
    fleet = make_fleet(organisation)
    rows(organisation, 3)
    about = Dimensions(organisation_id=organisation.pk, vehicle_id=fleet.vehicle.pk)
    leg = Leg("suspense", "bank", 5, "note")
    ledger.post(entry_key="the one", legs=[leg], occurred_at=NOON, about=about)
    for term, found in (("the one", 1), (fleet.vehicle.registration[-4:], 1), ("suspen", 1), ("nothing", 0)):
        assert desk.get(reverse(PAGE), {"q": term}).context_data["cl"].result_count == found, term


def test_the_page_asks_the_same_few_questions_and_never_sorts_all_rows(
    desk: Client, organisation: Organisation
) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as seen:
            desk.get(reverse(PAGE))
        return [query["sql"] for query in seen]

    rows(organisation, 20)
    queries()
    few = queries()
    rows(organisation, 200, start=20)
    many = queries()
    assert len(many) == len(few) <= 12
    assert not [sql for sql in many if "billing_ledgertransfer" in sql and "DISTINCT" in sql]
    assert not may_repeat(LedgerTransfer, "organisation") and may_repeat(Driver, "organisation__memberships")


def test_an_export_is_read_and_written_row_by_row(desk: Client, organisation: Organisation) -> None:
    """Ten times the rows take no more memory."""

    def peak() -> tuple[int, int]:
        answer = desk.get(reverse("admin:billing_ledgertransfer_export"), {"kind__exact": "note"})
        tracemalloc.start()
        lines = sum(piece.count(b"\n") for piece in answer.streaming_content)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return lines, most

    rows(organisation, 1_000)
    rows(organisation, 1, kind="other")
    peak()
    few_lines, few = peak()
    rows(organisation, 9_000, start=1_000)
    many_lines, many = peak()
    assert (few_lines, many_lines) == (1_001, 10_001)
    assert many < few * 4  # 2,000 rows at a time; all of them would be ten times as much


def test_an_export_holds_the_own_rows_alone(
    desk: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    rows(organisation, 2)
    rows(other_organisation, 3)
    answer = desk.get(reverse("admin:billing_ledgertransfer_export"))
    assert len(b"".join(answer.streaming_content).splitlines()) == 3
