"""Finance's pages with money on them: nothing scrolls sideways and axe finds nothing, on a desk as on a phone.

FLEETCHARGE_SHOTS=<folder> keeps a picture of each page.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from billing.approvals import wallet_terms, write_offs
from billing.models import CDR, Mandate
from billing.services import ledger, rating
from billing.services.exceptions import open_exception
from billing.services.ledger import Leg
from billing.tests.factories import make_fleet, start, stop
from billing.utility import allocation as a
from billing.utility import bills, dividing, posting
from billing.utility.facts import BillFacts, ChargeFacts
from billing.utility.models import UtilitySupply
from fleetcharge.accounts.models import Membership, Organisation, User
from tests.e2e.conftest import PASSWORD, PHONE, Theme, Watched
from tests.e2e.test_accessibility import violations

SHOTS = os.environ.get("FLEETCHARGE_SHOTS", "")
TOD = [{"name": "Peak", "from": "18:00", "to": "22:00"}, {"name": "Normal", "from": "22:00", "to": "18:00"}]


@pytest.fixture
def chief(transactional_db: None, organisation: Organisation) -> User:
    user = User.objects.create_superuser("chief@namma.example", PASSWORD, full_name="Chief")
    Membership.objects.create(user=user, organisation=organisation, role="owner")
    return user


@pytest.fixture
def paths(chief: User, organisation: Organisation) -> list[str]:
    """Two weeks of charging, a bill for them, and what went wrong."""
    fleet, now = make_fleet(organisation, money_paise=5_00_000_00), timezone.now()
    fleet.location.organisation = organisation
    fleet.location.name = "Hoodi depot"
    fleet.location.save()
    for days in range(3, 13):
        at = now - timedelta(days=days, hours=days % 5)
        end = at + timedelta(minutes=40)
        begun = start(fleet, started_at=at, received_at=at)
        stop(fleet, begun.transaction_ref, ended_at=end, received_at=end, meter_stop_wh=6_000 + days * 1_500)
    for cdr in CDR.objects.all():
        rating.rate_and_capture(cdr_id=cdr.pk, now=now)
    start(fleet, started_at=now, received_at=now)
    Mandate.objects.create(
        organisation=organisation, key="M-1", token_id="token_1", state="confirmed", consecutive_failures=2,
        max_amount_paise=15_000_00, payer_name="P", expires_at=now + timedelta(days=99), created_at=now,
    )  # fmt: skip
    code = ledger.receivable_code(organisation.pk)
    ledger.post(entry_key="owed", legs=[Leg(code, "revenue:charging", 500_00, "charge")], occurred_at=now)
    short = open_exception(
        organisation_id=organisation.pk, kind="over_capture", title="The wallet could not pay the whole session",
        at=now - timedelta(days=2), reference="x", amount_paise=500_00,
    )  # fmt: skip
    open_exception(
        organisation_id=organisation.pk, kind="payment_odd", title="x" * 160, at=now - timedelta(days=9), reference="y"
    )
    clerk = User.objects.create_superuser("clerk@namma.example", PASSWORD, full_name="Clerk")
    wish = write_offs.ask(
        organisation_id=organisation.pk, amount_paise=500_00, asked_by=clerk, reason="insolvent", now=now,
        exception_id=short.pk,
    )  # fmt: skip
    more = wallet_terms.change(
        organisation_id=organisation.pk, credit_limit_paise=5_00_000_00, low_threshold_paise=0, state="active",
        actor=clerk, reason="A second depot in December", now=now,
    )  # fmt: skip
    assert more is not None
    supply = UtilitySupply.objects.create(
        organisation=organisation, location=fleet.location, utility="BESCOM", consumer_number="C-4711", slots=TOD,
        contract_va=90_000,
    )  # fmt: skip
    today = now.date()
    facts = BillFacts("BESCOM/2026/000123", today - timedelta(days=14), today - timedelta(days=2), (
        ChargeFacts(a.ENERGY, 1_200_00, "Peak", 70_000, 74_000), ChargeFacts(a.ENERGY, 1_480_00, "Normal", 110_000),
        ChargeFacts(a.DEMAND, 2_400_00), ChargeFacts(a.FIXED, 500_00), ChargeFacts(a.DUTY, 310_55),
    ), None, 41_000, 76_500)  # fmt: skip
    bill, _ = bills.record_bill(supply_id=supply.pk, facts=facts, origin="form", actor=chief, now=now)
    row, _ = dividing.divide(bill_id=bill.pk, actor=chief, now=now)
    posting.post(allocation_id=row.pk, actor=chief, now=now)
    billing = "/admin/billing"
    return [
        "/admin/", f"{billing}/billingexception/", f"{billing}/billingexception/{short.pk}/change/",
        f"{billing}/ledgertransfer/", f"{billing}/approval/", f"{billing}/approval/{wish.pk}/change/",
        f"{billing}/approval/{wish.pk}/approve/", f"{billing}/approval/{more.pk}/approve/", f"{billing}/utilitysupply/",
        f"{billing}/utilitysupply/{supply.pk}/change/", f"{billing}/utilitysupply/{supply.pk}/bill/",
        f"{billing}/utilitysupply/{supply.pk}/readings/", f"{billing}/utilitysupply/import-bills",
        f"{billing}/utilitybill/", f"{billing}/utilitybill/{bill.pk}/change/", f"{billing}/utilityallocation/",
        f"{billing}/utilityallocation/{row.pk}/change/",
    ]  # fmt: skip


@pytest.mark.parametrize(("theme", "is_phone"), [("light", False), ("dark", True), ("dark", False), ("light", True)])
def test_nothing_scrolls_sideways_and_axe_finds_nothing(
    web: Watched, chief: User, paths: list[str], theme: Theme, is_phone: bool
) -> None:
    options: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if is_phone else {}
    page = web.sign_in(web.page(theme=theme, **options), chief, "/admin/")
    found = {}
    for path in paths:
        answer = page.goto(web.server.url + path)
        assert answer is not None and answer.status == 200, path
        if SHOTS:
            name = path.strip("/").replace("/", "-").removeprefix("admin-billing-")
            page.screenshot(path=Path(SHOTS) / f"{name}-{theme}-{'phone' if is_phone else 'desk'}.png", full_page=True)
        width = page.evaluate("document.documentElement.clientWidth")
        wide = page.evaluate("document.documentElement.scrollWidth") > width
        if wide or (broken := violations(page)):
            found[path] = "scrolls sideways" if wide else broken
    assert found == {}
    assert (web.errors, web.strangers) == ([], [])


def test_one_click_settles_an_exception_from_the_list(web: Watched, chief: User, paths: list[str]) -> None:
    page = web.sign_in(web.page(), chief, "/admin/")
    page.goto(f"{web.server.url}/admin/billing/billingexception/")
    page.get_by_role("button", name="Is it paid?").click()
    page.get_by_text("₹500.00 is still owed").wait_for()
    assert page.url.endswith("/admin/billing/billingexception/")
