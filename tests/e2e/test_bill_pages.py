"""A network's bill at the desk, as finance does it: tried, looked at, taken, argued about, and found again.

FLEETCHARGE_SHOTS=<folder> keeps a picture of each page.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from billing.cpo_bills import uploads, working
from billing.models import BillUpload, NetworkBill
from billing.tests import test_network_bills, test_roaming
from billing.tests.test_network_bills import csv_of, line
from fleetcharge.accounts.models import Membership, Organisation, User
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Source
from tests.e2e.conftest import PASSWORD, PHONE, Theme, Watched
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)
source = test_roaming.source
records = test_network_bills.records
SHOTS = os.environ.get("FLEETCHARGE_SHOTS", "")
DESK = "/admin/billing/billupload/"


@pytest.fixture
def clerk(transactional_db: None, organisation: Organisation) -> User:
    user = User.objects.create_user("clerk@namma.example", PASSWORD, full_name="Clerk", is_staff=True)
    Membership.objects.create(user=user, organisation=organisation, role="finance")
    return user


@pytest.fixture
def content(records: list[RoamingCDR]) -> bytes:
    """Two lines agree, three do not, and more than are shown cannot be used."""
    bad = (f"BAD-{number},,,twelve" for number in range(working.MOST_PROBLEMS + 25))
    return csv_of(
        line(records[0]), line(records[1]), line(records[2], more_paise=4_250), "NOBODY-17,,,1812.50",
        line(records[0]), *bad,
    )  # fmt: skip


class Look:
    """Takes a picture of each page, and notes what is wrong with it."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.name, self.found = page, name, dict[str, Any]()

    def at(self, what: str) -> None:
        if SHOTS:
            self.page.screenshot(path=Path(SHOTS) / f"bill-{what}-{self.name}.png", full_page=True)
        width = self.page.evaluate("document.documentElement.clientWidth")
        is_wide = self.page.evaluate("document.documentElement.scrollWidth") > width
        if is_wide or (broken := violations(self.page)):
            self.found[what] = "scrolls sideways" if is_wide else broken


@pytest.mark.parametrize(("theme", "is_phone"), [("light", False), ("dark", True), ("dark", False), ("light", True)])
def test_a_bill_is_tried_taken_disputed_and_found_again(
    web: Watched, clerk: User, source: Source, content: bytes, theme: Theme, is_phone: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    options: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if is_phone else {}
    page = web.sign_in(web.page(theme=theme, **options), clerk, DESK)
    look = Look(page, f"{theme}-{'phone' if is_phone else 'desk'}")
    monkeypatch.setattr(uploads, "AT_ONCE_BYTES", 10)
    page.goto(f"{web.server.url}{DESK}upload")
    look.at("form")
    fill(page, content)
    expect(page.get_by_text("Reading its lines")).to_be_visible()
    look.at("waits")
    row = BillUpload.objects.get()
    assert uploads.work_waiting(now=timezone.now())
    expect(page.get_by_text("This was a trial")).to_be_visible()  # the page looks by itself
    look.at("tried")
    page.get_by_text("225 lines cannot be used").click()
    expect(page.get_by_text("25 more lines cannot be used")).to_be_visible()

    page.goto(f"{web.server.url}{DESK}{row.pk}/take")
    page.get_by_label("Leave out").check(force=True)
    look.at("take")
    page.get_by_role("button", name="Take it").click()
    expect(page.get_by_text("Reading its lines").or_(page.get_by_text("Looking for records"))).to_be_visible()
    assert uploads.work_waiting(now=timezone.now())
    bill = NetworkBill.objects.taken().get()
    page.goto(f"{web.server.url}{DESK}{row.pk}/change/")
    look.at("taken")
    page.locator(f"a[href='/admin/billing/networkbill/{bill.pk}/change/']").click()
    expect(page).to_have_url(f"{web.server.url}/admin/billing/networkbill/{bill.pk}/change/")
    look.at("bill")
    page.get_by_role("link", name="Not known to us").first.click()
    expect(page.locator("#result_list")).to_contain_text("NOBODY-17")
    expect(page.locator("#result_list")).not_to_contain_text("42.50")
    look.at("lines")
    page.goto(f"{web.server.url}/admin/billing/networkbill/")
    expect(page.locator("#result_list")).to_contain_text("VG-2026-11")
    look.at("history")
    page.goto(f"{web.server.url}{DESK}")
    look.at("uploads")
    assert look.found == {}
    assert (web.errors, web.strangers) == ([], [])


def fill(page: Page, content: bytes) -> None:
    page.get_by_label("Network").select_option(label="VoltGrid")
    page.get_by_label("Bill number").fill("VG-2026-11")
    page.get_by_label("From").fill("2026-11-01")
    page.get_by_label("To (last day)").fill("2026-11-30")
    for name, heading in (("record's id", "CDR"), ("start", "Start"), ("energy", "kWh"), ("amount", "Rs")):
        page.get_by_label(f"Column of the {name}").fill(heading)
    page.locator("input[type=file]").set_input_files(
        {"name": "voltgrid-november.csv", "mimeType": "text/csv", "buffer": content}
    )
    page.get_by_role("button", name="Import").click()
