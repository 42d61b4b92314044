"""Finance's reconciliation page: map, track and gap from stored evidence; the line is kept off with a reason."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from billing.models import ReconciliationVerdict
from billing.reconciliation import working
from billing.tests.factories import make_fleet
from billing.tests.verdicts import LATER, charge, drive
from fleetcharge.accounts.models import Membership, Organisation, User
from tests.e2e.conftest import PASSWORD, PHONE, Theme, Watched
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.browser


@pytest.fixture
def verdict(transactional_db: None, organisation: Organisation) -> ReconciliationVerdict:
    session = charge(make_fleet(organisation))
    drive(session, 900)
    working.judge_waiting(now=LATER + timedelta(days=1))
    return ReconciliationVerdict.objects.get()


@pytest.mark.parametrize(("theme", "is_phone"), [("light", False), ("dark", True)])
def test_the_evidence_is_shown_and_decided(
    web: Watched, organisation: Organisation, verdict: ReconciliationVerdict, theme: Theme, is_phone: bool
) -> None:
    meera = User.objects.create_user("meera@namma.example", PASSWORD, full_name="Meera F", is_staff=True)
    Membership.objects.create(user=meera, organisation=organisation, role="finance")
    options: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if is_phone else {}
    page = web.sign_in(web.page(theme=theme, **options), meera, "/admin/")
    path = f"/admin/billing/reconciliationverdict/{verdict.pk}/"
    page.goto(f"{web.server.url}{path}change/")
    expect(page.locator("#verdict-map canvas").first).to_be_visible()
    expect(page.locator("#verdict-map path")).to_have_count(6)  # track, session, radius, station, gap, nearest position
    expect(page.get_by_text("Nearest position: 900 m from the station")).to_be_visible()
    width = page.evaluate("document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(
            path=str(Path(folder) / f"verdict-{theme}-{'phone' if is_phone else 'desk'}.png"), full_page=True
        )
    page.goto(f"{web.server.url}{path}keep-off/")
    assert violations(page) == []
    page.get_by_label("Reason").fill("nobody of ours was there")
    page.get_by_role("button", name="Keep it off the invoice").click()
    page.wait_for_url(f"**{path}change/")
    verdict.refresh_from_db()
    assert (verdict.outcome, verdict.outcome_by) == ("disputed", meera)
    assert (web.errors, web.strangers) == ([], [])
