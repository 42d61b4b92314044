"""The last hours on the same map: rewound by key and button, while the queue stays live."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, ViewportSize, expect

from dispatch import live
from dispatch.tests.factories import move, ping
from fleetcharge.accounts.models import Organisation
from tests.e2e.city import City, make_alert
from tests.e2e.conftest import DESKTOP, PHONE, Theme, Watched
from tests.e2e.test_accessibility import THEMES, violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HERE = (129_300_000, 776_400_000)


@pytest.fixture
def driven(city: City) -> City:
    """The second van stood in the south an hour and a half ago, at 50 %."""
    began = timezone.now() - timedelta(minutes=100)
    for minutes in range(100):
        at = began + timedelta(minutes=minutes)
        ping(city.vans[1], at, latitude_e7=HERE[0], longitude_e7=HERE[1] + minutes * 2_000, soc_permille=500)
    return city


def mark_of(page: Page) -> Locator:
    return page.locator(".mark", has=page.locator(".tag", has_text="4472"))


def place_of(page: Page) -> tuple[int, int]:
    box = mark_of(page).locator(".tag").bounding_box()
    assert box
    return round(box["x"]), round(box["y"])


def test_the_map_goes_back_and_comes_again(
    dashboard: Callable[..., Page], web: Watched, driven: City, organisation: Organisation
) -> None:
    page = dashboard()
    page.locator("#rows .row", has_text="4472").click()
    expect(mark_of(page)).to_contain_text("11 %")
    now = place_of(page)
    page.keyboard.press("[")
    slider = page.get_by_label("Time shown on the map")
    expect(slider).to_have_value("7170")
    expect(mark_of(page)).to_contain_text("50 %")
    assert place_of(page) != now
    slider.fill("3600")
    then = place_of(page)
    assert slider.get_attribute("aria-valuetext") == page.locator("#replay-time").inner_text()
    expect(page).to_have_url(re.compile("#replay="))
    link = page.url

    live.send_moves([move(driven.vans[1], latitude=12.99, longitude=77.66, soc_percent=9)])
    make_alert(organisation, driven.plan, dedupe_key="new", title="Another one")
    expect(page.locator("#queue-count")).to_have_text("2")
    expect(page.locator("#rows .row", has_text="4472")).to_contain_text("9 %")  # the list is live
    assert place_of(page) == then
    expect(mark_of(page)).to_contain_text("50 %")

    page.get_by_role("button", name="60×").click()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(slider).not_to_have_value(re.compile("^36[0-5]"))
    page.keyboard.press("p")
    page.keyboard.press("Escape")
    expect(page.locator("#replay")).to_be_hidden()
    expect(mark_of(page)).to_contain_text("9 %")
    assert place_of(page) not in (then, now)
    assert "#replay" not in page.url

    page.goto(link)
    expect(slider).to_be_visible()
    expect(slider).not_to_have_value("7200")
    assert (web.errors, web.strangers) == ([], [])


def test_a_past_that_cannot_be_had_is_said_and_the_map_stays_live(dashboard: Callable[..., Page], web: Watched) -> None:
    page = dashboard()
    page.route("**/live/past/**", lambda route: route.abort())
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("The past could not be loaded.")).to_be_visible()
    expect(page.locator("#replay")).to_be_hidden()
    web.errors.clear()  # the browser tells of the request itself


@THEMES
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_the_replay_is_fit_for_everybody(
    dashboard: Callable[..., Page], driven: City, theme: Theme, viewport: ViewportSize
) -> None:
    page = dashboard(theme=theme, viewport=viewport)
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#replay:not([aria-busy])")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
