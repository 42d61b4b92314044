"""A screen on the wall in a real browser: live by its link alone, dark when the link is taken back."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from dispatch.wall import links
from fleetcharge.accounts.models import Organisation
from tests.e2e.city import City
from tests.e2e.conftest import Watched

pytestmark = pytest.mark.browser


def test_a_screen_is_live_by_its_link_and_dark_when_it_is_taken_back(
    web: Watched, city: City, organisation: Organisation
) -> None:
    link = links.make(
        organisation_id=organisation.pk, name="Hall", days=7, actor=None, actor_label="t", now=timezone.now()
    )
    page = web.page()
    page.goto(web.server.url + links.path_of(link))
    expect(page.locator("#live[data-state=live]")).to_be_attached()
    expect(page.locator("#queue")).to_contain_text("KA 03 MX 4471 · Will not reach")
    expect(page.locator(".mark .tag").first).to_contain_text("MX 4471")  # it has its names
    assert "sessionid" not in {cookie["name"] for cookie in page.context.cookies()}
    assert (web.errors, web.strangers) == ([], [])
    links.revoke(link_id=link.pk, actor=None, actor_label="t", now=timezone.now())
    page.reload()
    expect(page.get_by_role("heading", name="This link has ended")).to_be_visible()
