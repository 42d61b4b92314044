"""axe finds nothing: WCAG 2.2 AA and best practice, on every page, in both themes."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from django.contrib import admin
from playwright.sync_api import Page, expect

from fleetcharge.accounts.models import Membership, Organisation, User
from tests.e2e.city import City, more_alerts
from tests.e2e.conftest import PASSWORD, PHONE, Server, Theme, Watched

pytestmark = pytest.mark.browser
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
COLOURS = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
AXE_IS_THERE = "0"


def violations(page: Page) -> list[Any]:
    return told(Axe().run(page))


def violations_in_the_dark(page: Page) -> list[Any]:
    """Of a page of the desk that was looked at in the light: it differs by a class, and by nothing but its colours."""
    page.add_style_tag(content="* { transition: none !important }")
    page.evaluate("document.documentElement.classList.add('dark')")
    return told(Axe(AXE_IS_THERE).run(page, options=COLOURS))


def told(results: AxeResults) -> list[Any]:
    found = results.response["violations"]
    return [
        (rule["id"], [(node["target"], node.get("failureSummary")) for node in rule["nodes"][:4]]) for rule in found
    ]


@THEMES
def test_signing_in(web: Watched, theme: Theme) -> None:
    page = web.page(theme=theme)
    page.goto(f"{web.server.url}/login/")
    assert violations(page) == []
    page.get_by_label("E-mail address").fill("nobody@nowhere.example")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


@THEMES
def test_the_live_page(
    dashboard: Callable[..., Page], theme: Theme, organisation: Organisation, city: City, web: Watched
) -> None:
    more_alerts(organisation, city)
    page = dashboard(theme=theme)
    expect(page.locator("#drawer .con")).to_have_count(4)
    assert violations(page) == []
    page.get_by_role("button", name="Options").click()
    page.get_by_role("button", name="Layers").click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("mara")
    expect(page.locator("#palette [role=option]").first).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert violations(page) == []


@THEMES
def test_the_live_page_without_a_line(dashboard: Callable[..., Page], theme: Theme, server: Server) -> None:
    page = dashboard(theme=theme)
    server.cut_the_line()
    expect(page.locator("#banner")).to_be_visible()
    assert violations(page) == []


@THEMES
def test_the_live_page_on_a_phone(dashboard: Callable[..., Page], theme: Theme) -> None:
    page = dashboard(theme=theme, viewport=PHONE, has_touch=True, is_mobile=True)
    assert violations(page) == []
    for tab in ("Fleet", "Alerts"):
        page.get_by_role("navigation", name="Sections").get_by_text(tab).click()
        assert violations(page) == []


def test_no_part_of_the_api_documentation_has_the_name_of_another(web: Watched, transactional_db: None) -> None:
    page = web.page()
    page.goto(f"{web.server.url}/api/v1/docs/")
    page.locator("details.op > summary").first.click()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))


def test_the_finance_admin(web: Watched, organisation: Organisation, city: City) -> None:
    """Its home and the lists of every other app; those of finance are in test_finance_pages, with rows."""
    chief = User.objects.create_superuser("chief@namma.example", PASSWORD, full_name="Chief")
    Membership.objects.create(user=chief, organisation=organisation, role="owner")
    page = web.sign_in(web.page(theme="dark"), chief, "/admin/")
    assert page.evaluate("document.documentElement.className") == "dark"
    assert violations(page) == []
    page.emulate_media(color_scheme="light")
    elsewhere = (model._meta for model in admin.site._registry if model._meta.app_label != "billing")
    lists = sorted(f"/admin/{meta.app_label}/{meta.model_name}/" for meta in elsewhere)
    found = {}
    for path in ["/admin/", *lists]:
        page.goto(web.server.url + path)
        if broken := violations(page) + violations_in_the_dark(page):
            found[path] = broken
    assert found == {}
