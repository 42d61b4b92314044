"""A part of the map kept under a name, opened again by a link; a table's filter by its chip."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Watched
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.browser


def test_a_view_of_the_map_is_kept_and_opened_again(dashboard: Callable[..., Page], web: Watched) -> None:
    page = dashboard()
    page.get_by_role("button", name="Below 20 % 4", exact=True).click()
    page.get_by_role("button", name="Layers").click()
    page.get_by_label("Place names").uncheck()
    page.get_by_text("Keep this view").click()
    assert violations(page) == []
    page.get_by_label("Name of the view").fill("Low vans")
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.get_by_text("“Low vans” is kept.")).to_be_visible()
    expect(page).to_have_url(re.compile("#view=12.95.*list=low.*off=.*labels"))
    expect(page.locator("#rows .row")).to_have_count(4)

    page.goto(f"{web.server.url}/dispatch/")
    expect(page.locator("#rows.virtual .row").nth(5)).to_be_attached()
    page.get_by_role("button", name="Layers").click()
    expect(page.get_by_label("Place names")).to_be_checked()
    page.get_by_role("link", name="Low vans").click()
    expect(page.get_by_label("Place names")).not_to_be_checked()
    expect(page.locator("#rows .row")).to_have_count(4)
    assert web.errors == []

    page.goto(f"{web.server.url}/fleet/?state=low")
    page.get_by_text("Keep this view").click()
    page.get_by_label("Name of the view").fill("Low ones")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("link", name="Show all").first.click()
    page.get_by_role("link", name="Low ones").click()
    expect(page.locator("tbody tr")).to_have_count(4)
    assert violations(page) == []
    page.get_by_role("button", name="Remove the view Low ones").click()
    expect(page.get_by_role("link", name="Low ones")).to_have_count(0)
