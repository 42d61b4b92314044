"""Finance's pages with money on them: nothing scrolls sideways and axe finds nothing, on a desk as on a phone.

FLEETCHARGE_SHOTS=<folder> keeps a picture of each page, and looks at the page of every row.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db.models import Model
from django.utils import timezone
from playwright.sync_api import Page

from billing.approvals import wallet_terms, write_offs
from billing.models import CDR, Mandate
from billing.services import ledger, rating
from billing.services.exceptions import open_exception
from billing.services.ledger import Leg
from billing.tests import test_every_list
from billing.tests.factories import make_fleet, start, stop
from billing.utility import allocation as a
from billing.utility import bills, dividing, posting
from billing.utility.facts import BillFacts, ChargeFacts
from billing.utility.models import UtilitySupply
from fleetcharge.accounts.models import Membership, Organisation, User
from tests.e2e.conftest import DESKTOP, PASSWORD, PHONE, Watched
from tests.e2e.test_accessibility import AXE_IS_THERE, COLOURS, told

rows, WIDE = test_every_list.rows, test_every_list.WIDE
Rows = dict[type[Model], Model]
SHOTS = os.environ.get("FLEETCHARGE_SHOTS", "")
MAKES = {"ChargingSession", "AuthorisationDecision", "ChargingPolicy", "AccountingMonth", "TaxDocument"}
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
DEEDS = [
    f"/admin/billing/{path}"
    for path in ("negotiatedrate/ask", "subscription/subscribe", "bankline/upload", "billupload/upload",
                 "spendlimit/add/", "ruleterms/add/")
]  # fmt: skip
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


def look(page: Page, name: str) -> list[Any]:
    """On a desk in the light and on a phone in the dark every rule; on a desk in the dark what hangs on colours."""
    found: list[Any] = []
    page.add_style_tag(content="* { transition: none !important }")
    axe = Axe()
    for viewport, themes in ((DESKTOP, ("light", "dark")), (PHONE, ("dark",))):
        page.set_viewport_size(viewport)
        for theme in themes:
            page.evaluate("theme => document.documentElement.classList.toggle('dark', theme === 'dark')", theme)
            shoot(page, f"{name}-{viewport['width']}-{theme}")
            is_known = (viewport, theme) == (DESKTOP, "dark")
            found += told(axe.run(page, options=COLOURS if is_known else None))
            axe = Axe(AXE_IS_THERE)
        if (wide := page.evaluate(SIDEWAYS)) > 0:
            found.append(f"{wide} px too wide at {viewport['width']}")
    page.set_viewport_size(DESKTOP)
    return found


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def walk(web: Watched, chief: User, paths: list[str]) -> dict[str, Any]:
    page = web.sign_in(web.page(), chief, "/admin/")
    found = {}
    for path in paths:
        web.errors.clear()
        answer = page.goto(web.server.url + path)
        assert answer is not None and answer.status == 200, path
        name = re.sub(r"[^a-z0-9]+", "-", path.removeprefix("/admin/billing/")).strip("-")
        if problems := [*look(page, name), *web.errors]:
            found[path] = problems
    assert web.strangers == []
    return found


def test_nothing_is_wrong_with_any_list_of_finance(web: Watched, chief: User, rows: Rows) -> None:
    lists = [f"/admin/billing/{model._meta.model_name}/?{urlencode(WIDE.get(model.__name__, {}))}" for model in rows]
    assert walk(web, chief, lists) == {}


def test_nothing_is_wrong_with_the_page_of_one_row(web: Watched, chief: User, rows: Rows) -> None:
    """One of each make; of every list where pictures are kept."""
    of = [(model._meta.model_name, row) for model, row in rows.items() if SHOTS or model.__name__ in MAKES]
    assert walk(web, chief, [f"/admin/billing/{name}/{row.pk}/change/" for name, row in of]) == {}


def test_nothing_is_wrong_with_home_its_queues_and_what_is_typed(web: Watched, chief: User, paths: list[str]) -> None:
    assert walk(web, chief, [*paths, *DEEDS]) == {}


def test_one_click_settles_an_exception_from_the_list(web: Watched, chief: User, paths: list[str]) -> None:
    page = web.sign_in(web.page(), chief, "/admin/")
    page.goto(f"{web.server.url}/admin/billing/billingexception/")
    page.get_by_role("button", name="Is it paid?").click()
    page.get_by_text("₹500.00 is still owed").wait_for()
    assert page.url.endswith("/admin/billing/billingexception/")
