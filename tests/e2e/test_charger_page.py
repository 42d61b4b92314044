"""The page of one charger in a real browser: accessible, alive, and careful with its buttons."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fleetcharge.accounts.models import AuditEntry, Organisation, User
from ocpp_bridge import configuration, pages
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.test_frames_api import NOW, record
from stations.models import Charger
from tests.e2e.conftest import Watched
from tests.e2e.test_accessibility import THEMES, violations

pytestmark = pytest.mark.browser
TABS = [name for name, _label, _icon in pages.TABS]


@pytest.fixture
def charger(transactional_db: None, organisation: Organisation) -> Charger:
    made = factories.charger(organisation, "BLR-1", protocol="ocpp1.6", clock_skew_seconds=400.0)
    record(made, action="StatusNotification", payload='[2,"m","StatusNotification",{"status":"Available"}]')
    record(made, action="Reset", direction=1, kind=4, payload='[4,"r","NotSupported","",{}]')
    configuration.store(charger_id=made.pk, rows=[("HeartbeatInterval", "77", False, False)], at=NOW)
    return made


@pytest.fixture
def opened(web: Watched, dispatcher: User, charger: Charger) -> Callable[..., Page]:
    def open_page(**options: Any) -> Page:
        return web.sign_in(web.page(**options), dispatcher, "/chargers/BLR-1/")

    return open_page


@THEMES
def test_axe_finds_nothing_in_any_section(web: Watched, opened: Callable[..., Page], theme: str) -> None:
    page = opened(theme=theme)
    for tab in TABS:
        page.goto(f"{web.server.url}/chargers/BLR-1/?tab={tab}")
        assert violations(page) == [], tab
    page.get_by_role("button", name="Restart").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    assert (web.errors, web.strangers) == ([], [])


def test_new_frames_come_in_by_themselves_and_open(opened: Callable[..., Page], charger: Charger) -> None:
    page = opened()
    rows = page.locator("#frames > li")
    expect(rows).to_have_count(2)
    record(charger, action="BootNotification", payload='[2,"b","BootNotification",{"chargePointModel":"<i>Z1</i>"}]')
    expect(rows).to_have_count(3)
    newest = rows.first
    expect(newest.locator("b")).to_have_text("BootNotification")
    newest.locator("summary").click()
    expect(newest.locator("pre")).to_contain_text('"chargePointModel": "<i>Z1</i>"')
    page.get_by_label("Show new frames as they come").uncheck()
    page.get_by_label("Only errors").check()
    page.get_by_role("button", name="Find").click()
    expect(rows).to_have_count(1)


def test_a_long_frame_is_shown_whole_on_request(opened: Callable[..., Page], charger: Charger) -> None:
    record(charger, action="NotifyReport", payload='[2,"n","NotifyReport",{"x":"' + "y" * 6_000 + '"}]')
    page = opened()
    first = page.locator("#frames > li").first
    first.locator("summary").click()
    first.get_by_role("button", name="Show all of it").click()
    expect(first.locator("pre")).to_contain_text("y" * 6_000)


def test_a_button_asks_first_and_says_why(opened: Callable[..., Page], web: Watched, charger: Charger) -> None:
    page = opened()
    page.goto(f"{web.server.url}/chargers/BLR-1/?tab=commands")
    page.get_by_role("button", name="Restart").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Not now").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Restart").click()
    dialog.get_by_role("button", name="Restart").click()
    expect(dialog).to_be_visible()  # no reason, no restart
    assert Command.objects.count() == 0
    dialog.get_by_label("Reason").fill("screen is frozen")
    dialog.get_by_role("button", name="Restart").click()
    expect(page.get_by_role("status").filter(has_text="asked for")).to_be_visible()
    assert Command.objects.get().parameters == {"kind": "soft"}
    assert AuditEntry.objects.get(action="charger.command").reason == "screen is frozen"
    assert web.errors == []
