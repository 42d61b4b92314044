"""What a page misses: a server that starts again, a tab that sleeps. It says how old its truth is, and loses no alert.

A dropped line is in test_decisions, a browser without WebSocket in test_one_way, a wrong clock in test_dashboard.
"""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from fleetcharge.accounts.models import Organisation, User
from tests.e2e.city import City, make_alert, make_plan
from tests.e2e.conftest import Server, Watched, live

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SLEEPS_FOR_AN_HOUR = """
const {now} = Date;
const steady = performance.now.bind(performance);
let slept = 0;
Date.now = () => now() + slept;
performance.now = () => steady() + slept;
document.addEventListener("freeze", () => { slept = 3_600_000; });
"""
"""The clocks of the machine, which run on while it sleeps; that of the server has not moved when it wakes."""


def raise_alerts(organisation: Organisation, city: City) -> None:
    for van in city.vans[1:3]:
        make_alert(organisation, make_plan(organisation, van, city.hubs["Indiranagar 100 Ft"]))


def says_how_old(page: Page) -> None:
    """The time of the last word, by the server's clock."""
    banner = page.locator("#banner")
    expect(banner).to_contain_text("showing positions as of")
    told = re.search(r"\d\d:\d\d:\d\d", banner.inner_text())
    now = timezone.localtime()
    assert told and told[0] in {f"{now - timedelta(seconds=ago):%H:%M:%S}" for ago in range(300)}
    expect(page.locator("#live")).to_contain_text("Reconnecting")


def has_them_all(page: Page) -> None:
    live(page)
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#queue-count")).to_have_text("3")
    expect(page.locator("#queue time").first).to_have_text(re.compile(r"^\d:\d\d ago$"))


def test_a_server_that_starts_again_is_found_and_tells_what_was_missed(
    dashboard: Callable[..., Page], organisation: Organisation, city: City, server: Server, web: Watched
) -> None:
    page = dashboard()
    server.stop()
    says_how_old(page)
    raise_alerts(organisation, city)
    server.start_again()
    has_them_all(page)
    assert [error for error in web.errors if "ERR_CONNECTION_REFUSED" not in error and "WebSocket" not in error] == []


def test_a_tab_that_slept_for_an_hour_wakes_up_to_what_it_missed(
    web: Watched, organisation: Organisation, city: City, server: Server, dispatcher: User
) -> None:
    page = web.page()
    page.add_init_script(SLEEPS_FOR_AN_HOUR)
    live(web.sign_in(page, dispatcher))
    browser = page.context.new_cdp_session(page)
    browser.send("Page.setWebLifecycleState", {"state": "frozen"})
    server.cut_the_line()
    raise_alerts(organisation, city)
    browser.send("Page.setWebLifecycleState", {"state": "active"})
    says_how_old(page)
    server.has_line = True
    has_them_all(page)
    assert page.locator("#clock").inner_text() in {
        f"{timezone.localtime(timezone.now() - timedelta(minutes=minutes)):%H:%M}" for minutes in (0, 1)
    }
    assert [error for error in web.errors if "WebSocket" not in error] == []
