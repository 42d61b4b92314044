"""A vehicle's drawer at the desk and on a phone: what the driver says, stops ticked off, a way out while it loads."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from fleetcharge.accounts.models import User
from tests.e2e.city import City
from tests.e2e.conftest import PHONE, Theme, Watched
from tests.e2e.test_accessibility import THEMES, violations
from tests.running import wait_for
from vehicles.models import Stop, VehicleState

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def opened(page: Page, van_id: int) -> Page:
    page.goto(page.url.split("#")[0] + f"#vehicle={van_id}")
    expect(page.locator("#drawer [data-deed=word]")).to_be_visible()
    return page


def test_the_drivers_word_is_the_charge_from_then_on(dashboard: Callable[..., Page], city: City) -> None:
    van = city.vans[7]
    page = opened(dashboard(), van.pk)
    row = page.locator(".row", has_text=van.registration)
    expect(row.locator(".src")).to_have_text("Measured")
    page.locator("#drawer").get_by_role("button", name="Enter charge").click()
    page.get_by_label("Charge, in %").fill("101")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#deed")).to_be_visible()  # the field says why
    page.get_by_label("Charge, in %").fill("41")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toasts")).to_contain_text(f"{van.registration} has 41 %.")
    expect(page.locator("#drawer .body")).to_contain_text("Told by the driver")
    assert VehicleState.objects.get(vehicle=van).soc_source == "driver"
    expect(row).to_contain_text("41 %")
    expect(row.locator(".src")).to_have_text("Told by the driver")


def test_a_stop_is_ticked_off_at_once_and_can_be_taken_back(dashboard: Callable[..., Page], city: City) -> None:
    van = city.vans[7]
    page = opened(dashboard(), van.pk)
    page.get_by_role("button", name="Tick off Whitefield DC").click()
    expect(page.locator("#toasts")).to_contain_text("Whitefield DC is ticked off.")
    expect(page.locator("#drawer [data-deed=tick]")).to_have_count(0)
    assert Stop.objects.get(vehicle=van).done_at is not None
    expect(page.locator(".row", has_text=van.registration)).not_to_contain_text("Whitefield DC")
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.locator("#drawer [data-deed=tick]")).to_have_count(1)
    assert Stop.objects.get(vehicle=van).done_at is None


def test_who_may_only_look_is_offered_neither(web: Watched, city: City, finance: User) -> None:
    page = web.sign_in(web.page(), finance)
    page.goto(f"{page.url}#vehicle={city.vans[7].pk}")
    expect(page.locator("#drawer h2")).to_have_text(city.vans[7].registration)
    expect(page.locator("#drawer .body")).to_contain_text("Whitefield DC")
    expect(page.locator("#drawer [data-deed=word], #drawer [data-deed=tick]")).to_have_count(0)


@THEMES
def test_on_a_phone_a_drawer_that_does_not_come_can_be_closed(
    dashboard: Callable[..., Page], city: City, theme: Theme
) -> None:
    page = dashboard(theme=theme, viewport=PHONE)
    held: list[Route] = []
    page.route("**/dispatch/vehicles/*/", lambda route: held.append(route))
    page.goto(page.url.split("#")[0] + f"#vehicle={city.vans[7].pk}")
    expect(page.locator("#drawer h2")).to_have_text(city.vans[7].registration)

    def is_asked() -> bool:
        page.wait_for_timeout(20)  # the browser speaks while we wait
        return bool(held)

    assert wait_for("its address", is_asked)
    assert violations(page) == []
    page.locator("#drawer").get_by_role("button", name="Close").click()
    expect(page.locator("#drawer")).to_be_empty()
    for route in held:
        route.abort()


@THEMES
def test_on_a_phone_a_drawer_that_failed_says_so_and_can_be_closed(
    dashboard: Callable[..., Page], city: City, theme: Theme, web: Watched
) -> None:
    page = dashboard(theme=theme, viewport=PHONE)
    page.route("**/dispatch/vehicles/*/", lambda route: route.fulfill(status=503))
    page.goto(page.url.split("#")[0] + f"#vehicle={city.vans[7].pk}")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert violations(page) == []
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#drawer [data-deed=word]")).to_be_visible()
    assert violations(page) == []
    page.locator("#drawer").get_by_role("button", name="Close").click()
    expect(page.locator("#drawer")).to_be_empty()
    web.errors.clear()  # the 503 is told to the console
