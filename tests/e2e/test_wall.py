"""Reports, monitoring, settings, privacy, first steps, wall: accessible in both themes, within a phone's width."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fleetcharge.accounts.models import Organisation, User
from tests.e2e.city import City
from tests.e2e.conftest import PHONE, Theme, Watched
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.browser
PAGES = [
    "/reports/", "/reports/chargers/?by=port", "/monitoring/", "/settings/", "/privacy/", "/start/", "/status/namma/",
]  # fmt: skip


def overflow(page: Page) -> Any:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_they_are_accessible(web: Watched, city: City, organisation: Organisation, owner: User, theme: Theme) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(shows_status=True)
    page = web.sign_in(web.page(theme=theme), owner, PAGES[0])
    for path in PAGES:
        page.goto(web.server.url + path)
        assert violations(page) == [], path
    assert (web.errors, web.strangers) == ([], [])


def test_they_fit_a_phone(web: Watched, city: City, organisation: Organisation, owner: User) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(shows_status=True)
    page = web.sign_in(web.page(viewport=PHONE, has_touch=True, is_mobile=True), owner, PAGES[0])
    site = city.hubs["Marathahalli Hub"]
    for path in (*PAGES, f"/dispatch/stations/{site.public_id}/", f"/dispatch/vehicles/{city.late.pk}/"):
        page.goto(web.server.url + path)
        assert overflow(page) <= 0, path


def test_the_wall_lives_and_wants_no_hand(web: Watched, city: City, owner: User) -> None:
    page = web.sign_in(web.page(), owner, "/wall/")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(page.locator(".kpi .v").first).to_be_visible()
    expect(page.locator("#queue")).to_be_visible()
    for hidden in (".list", ".pri", ".tabs", ".ctl"):
        expect(page.locator(hidden).first).to_be_hidden()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body || document.activeElement.closest('#app') === null")
    assert (web.errors, web.strangers) == ([], [])
