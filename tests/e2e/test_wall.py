"""The wall in a browser."""

import pytest
from playwright.sync_api import expect

from fleetcharge.accounts.models import User
from tests.e2e.city import City
from tests.e2e.conftest import Watched

pytestmark = pytest.mark.browser


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
