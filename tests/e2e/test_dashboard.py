"""The dispatcher's live page in a browser: what is shown, by mouse and by keyboard, and what never is."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from dispatch.models import Alert, Reservation
from fleetcharge.accounts.models import Organisation, User
from stations.models import Location
from tests.e2e.city import City, make_alert, make_plan, make_van, more_alerts
from tests.e2e.conftest import PHONE, Watched, live
from vehicles.models import Vehicle, VehicleState

pytestmark = pytest.mark.browser
ROOM_BESIDE_MENU = """
(() => {
    const ends = [...document.querySelectorAll(".top .pri a")].map((link) => link.getBoundingClientRect().right);
    const tools = [...document.querySelectorAll(".top .end > *")].map((tool) => tool.getBoundingClientRect().right);
    const begin = document.querySelector(".top .end").getBoundingClientRect().left;
    return Math.min(begin - Math.max(...ends), innerWidth - Math.max(...tools));
})()
"""


def test_nothing_fails_and_nobody_else_is_called(dashboard: Callable[..., Page], web: Watched, city: City) -> None:
    page = dashboard()
    expect(page.locator("#rows .row").first).to_contain_text("KA 03 MX 4471")
    page.locator("#zoom-out").click()
    page.keyboard.press("Control+k")
    page.keyboard.type("hebbal")
    page.keyboard.press("Enter")
    expect(page.locator("#drawer h2")).to_have_text("Hebbal Depot")
    assert (web.errors, web.strangers) == ([], [])


def test_first_rows_figures_and_alerts_are_there_without_any_script(web: Watched, city: City, dispatcher: User) -> None:
    page = web.sign_in_by_form(web.page(java_script_enabled=False), dispatcher)
    expect(page.get_by_text("KA 03 MX 4471", exact=True)).to_be_visible()
    expect(page.get_by_text("KA 03 MX 4471 will not reach")).to_be_visible()
    expect(page.locator("[data-kpi=chargers]")).to_contain_text("35 of 85")
    page.get_by_role("link", name=re.compile("KA 03 MX 4472")).click()
    expect(page.get_by_role("heading", name="KA 03 MX 4472", level=2)).to_be_visible()


def test_the_offer_says_what_it_costs(dashboard: Callable[..., Page]) -> None:
    card = dashboard().locator(".al.hot")
    expect(card).to_contain_text("KA 03 MX 4471 will not reach")
    for figure in ("+9 min", "+2.1 km", "₹412", "to 60 %"):
        expect(card).to_contain_text(figure)
    expect(card.page.get_by_text("Arrives with 8 % left")).to_be_visible()


def test_list_by_urgency_with_counts_and_filters(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    low = page.get_by_role("button", name="Below 20 % 4", exact=True)
    low.click()
    expect(page.locator("#rows .row")).to_have_count(4)
    low.click()
    page.keyboard.press("/")
    page.keyboard.type("mx 4480")
    expect(page.locator("#rows .row")).to_have_count(1)
    page.keyboard.press("Escape")
    page.get_by_label("Sort by").select_option("plate")
    expect(page.locator("#rows .grp")).to_have_count(0)


def test_everything_by_keyboard(dashboard: Callable[..., Page], organisation: Organisation, city: City) -> None:
    more_alerts(organisation, city)
    page = dashboard()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".row[aria-pressed=true]")).to_contain_text("KA 03 MX 4473")
    expect(page.locator("#drawer h2")).to_have_text("KA 03 MX 4473")
    page.keyboard.press("k")
    expect(page.locator(".row[aria-pressed=true]")).to_contain_text("KA 03 MX 4472")
    page.keyboard.press("2")
    expect(page.locator("article.al h3")).to_have_text("Charger stopped reporting")
    page.keyboard.press("l")
    expect(page.get_by_label("Only stations with a free plug")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#layers")).to_be_hidden()
    page.keyboard.press("?")
    page.get_by_label("Single keys work").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.locator("article.al h3")).to_have_text("Charger stopped reporting")


def test_a_pin_opens_its_station_and_focus_returns(dashboard: Callable[..., Page], city: City) -> None:
    page = dashboard()
    page.keyboard.press("Control+k")
    page.keyboard.type("Jayanagar")
    expect(page.locator("#palette [role=option]").first).to_contain_text("Jayanagar 4th Block VoltGrid · 2 of 4 free")
    page.keyboard.press("Enter")
    expect(page.locator("#drawer h2")).to_have_text("Jayanagar 4th Block")
    expect(page.locator("#drawer .con")).to_have_count(4)
    expect(page.locator("#drawer")).to_contain_text("₹19.50")
    expect(page.locator("#drawer")).to_contain_text("₹2.00")
    page.locator("#drawer [data-close]").click()
    expect(page.locator("#drawer")).to_be_empty()


def test_who_searches_before_the_fleet_has_come_finds_it_when_it_has(
    web: Watched, city: City, dispatcher: User
) -> None:
    page = web.page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/live/static/", hold)
    web.sign_in(page, dispatcher)
    page.keyboard.press("Control+k")
    page.keyboard.type("Jayanagar")
    expect(page.locator("#palette")).to_contain_text("Nothing found for “Jayanagar”.")
    expect(page.locator("#palette-count")).to_contain_text("0 items")
    while not held:
        page.wait_for_timeout(20)
    for request in held:
        request.continue_()
    expect(page.locator("#palette [role=option]").first).to_contain_text("Jayanagar 4th Block")


def test_names_are_text_and_long_ones_break_nothing(
    dashboard: Callable[..., Page], web: Watched, organisation: Organisation, city: City
) -> None:
    Vehicle.objects.filter(pk=city.vans[1].pk).update(registration="<script>a()</b>")
    long_name = "Very long station name " * 9
    Location.objects.filter(pk=city.hubs["Marathahalli Hub"].pk).update(name=long_name[:200])
    Alert.objects.filter(pk=city.alert.pk).update(title="<img src=x onerror=alert(1)>" + "W" * 132, body="M" * 400)
    page = dashboard()
    expect(page.locator("#rows").get_by_text("<script>a()</b>")).to_be_visible()
    expect(page.locator(".al h3")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("#queue img, #rows script").count() == 0
    for width in (1440, 1100, 800, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert page.evaluate(
            "document.getElementById('drawer').scrollWidth <= document.getElementById('drawer').clientWidth"
        )
    assert web.errors == []


def test_the_menu_ends_where_the_search_begins(web: Watched, city: City, owner: User) -> None:
    page = web.page()
    for path in ("/dispatch/", "/reports/"):
        web.sign_in(page, owner, path)
        for width in (1800, 1799, 1440, 1400, 1280, 1100, 1099, 900, 899, 760, 720, 719, 641):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(ROOM_BESIDE_MENU) >= 0, (path, width)


def test_a_phone_shows_the_top_alert_and_five_tabs(dashboard: Callable[..., Page], web: Watched) -> None:
    page = dashboard(viewport=PHONE, has_touch=True, is_mobile=True)
    accept = page.get_by_role("button", name="Accept reroute")
    expect(accept).to_be_in_viewport()
    box = accept.bounding_box()
    assert box and box["height"] >= 44
    tabs = page.get_by_role("navigation", name="Sections")
    tabs.get_by_text("Fleet").click()
    expect(page.locator("#rows .row").first).to_be_in_viewport()
    tabs.get_by_text("Alerts").click()
    expect(page.get_by_role("heading", name="Needs you")).to_be_in_viewport()
    tabs.get_by_text("Stations").click()
    expect(page.get_by_role("heading", name="Stations", level=1)).to_be_visible()
    assert web.errors == []


def test_a_stranger_sees_nothing(web: Watched, city: City, stranger: User) -> None:
    page = web.sign_in(web.page(), stranger)
    expect(page.locator("#live[data-state=live]")).to_be_attached()
    expect(page.get_by_text("No vehicles yet")).to_be_visible()
    text = page.locator("body").inner_text()
    assert "KA 03 MX" not in text
    assert "Marathahalli Hub" not in text
    hub = city.hubs["Marathahalli Hub"]
    for path in (f"/dispatch/stations/{hub.public_id}/", f"/dispatch/vehicles/{city.late.pk}/"):
        answer = page.request.get(web.server.url + path)
        assert answer.status == 404
        assert "Marathahalli" not in answer.text()


def test_somebody_without_a_fleet_is_told_whom_to_ask(web: Watched, transactional_db: None) -> None:
    user = User.objects.create_user("new@nowhere.example", "correct horse")
    page = web.sign_in(web.page(), user)
    expect(page.get_by_text("You belong to no organisation yet")).to_be_visible()


def test_hindi(web: Watched, city: City, dispatcher: User) -> None:
    page = web.sign_in(web.page(), dispatcher)
    page.get_by_role("group", name="Language").get_by_text("हिं").click()
    expect(page.get_by_role("heading", name="बेड़ा")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("रास्ता बदलना स्वीकारें"))).to_be_visible()
    assert web.errors == []


def test_the_theme_is_remembered(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_new_alert_takes_its_place_in_the_queue(
    dashboard: Callable[..., Page], organisation: Organisation, city: City
) -> None:
    from dispatch.events import AlertChanged
    from fleetcharge.lib.events import publish

    page = dashboard()
    van = make_van(organisation, city.late.model, 90, registration="KA 99 NEW 1", soc_percent=9, is_soc_low=True)
    plan = make_plan(organisation, van, city.hubs["Jayanagar 4th Block"], delay_seconds=3600)
    alert = make_alert(organisation, plan, opened_at=timezone.now() - timedelta(seconds=2))
    publish(AlertChanged(alert_id=alert.pk, organisation_id=organisation.pk, op="add", revision=alert.revision))
    expect(page.locator("#queue-count")).to_have_text("2")
    expect(page.locator("#queue article").first).to_contain_text("KA 99 NEW 1 will not reach")
    expect(page.locator("#spoken")).to_have_text("Needs you: KA 99 NEW 1 will not reach")


def test_while_another_site_is_on_its_way_nothing_of_the_last_one_can_be_reserved(
    dashboard: Callable[..., Page], web: Watched, city: City
) -> None:
    page = dashboard()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    expect(page.locator("#drawer h2")).to_have_text("Marathahalli Hub")
    expect(page.locator("#drawer [data-reserve]")).to_be_visible()
    held: list[Route] = []
    page.route("**/dispatch/stations/*/", lambda route: held.append(route))
    find(page, "Hebbal")
    expect(page.locator("#drawer")).to_contain_text("Hebbal Depot")
    expect(page.locator("#drawer [data-reserve]")).to_have_count(0)
    page.keyboard.press("r")
    wait_until(page, held)
    for route in held:
        route.abort()
    expect(page.locator("#drawer")).to_contain_text("This could not be loaded.")
    page.keyboard.press("r")
    page.unroute("**/dispatch/stations/*/")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#drawer h2")).to_have_text("Hebbal Depot")
    expect(page.locator("#drawer [data-reserve]")).to_be_visible()
    assert asked == []
    assert not Reservation.objects.exists()


def test_without_a_live_line_the_page_can_be_used_and_says_so(web: Watched, city: City, dispatcher: User) -> None:
    page = web.page()
    page.add_init_script("delete window.WebSocket; delete window.EventSource")
    page.route("**/ws/live/**", lambda route: route.abort())
    web.sign_in(page, dispatcher)
    expect(page.locator("#live")).to_contain_text("Reconnecting")
    expect(page.locator("#banner")).to_contain_text("Reconnecting… showing positions as of")
    expect(page.locator("#drawer h2")).to_have_text("Marathahalli Hub")  # the names have come
    expect(page.locator("#rows .row").first).to_contain_text("11 %")  # what the server said, and nobody silent
    expect(page.get_by_role("button", name="No signal 1", exact=True)).to_be_visible()
    page.get_by_role("button", name="Layers").click()
    expect(page.locator("#layers")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    assert [error for error in web.errors if "ERR_FAILED" not in error] == []


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_wrong_clock_changes_no_age_and_no_snooze(web: Watched, city: City, dispatcher: User, hours: int) -> None:
    Alert.objects.filter(pk=city.alert.pk).update(snoozed_until=timezone.now() + timedelta(hours=1))
    shown = make_alert(city.late.organisation, city.plan, dedupe_key="shown", title="Shown")
    page = web.page()
    page.add_init_script(f"const now = Date.now; Date.now = () => now() + {hours} * 3_600_000")
    live(web.sign_in(page, dispatcher))
    expect(page.locator("#queue article")).to_have_count(1)
    expect(page.locator("#queue h3")).to_have_text(shown.title)
    expect(page.locator("#queue time")).to_have_text(re.compile(r"^\d:\d\d ago$"))
    assert page.locator("#clock").inner_text() in {
        f"{timezone.localtime(timezone.now() - timedelta(minutes=minutes)):%H:%M}" for minutes in (0, 1)
    }


def test_old_positions_are_called_old_though_the_line_is_well(web: Watched, city: City, dispatcher: User) -> None:
    VehicleState.objects.update(position_at=timezone.now() - timedelta(minutes=5))
    page = web.sign_in(web.page(), dispatcher)
    live(page)
    expect(page.locator("#live")).to_have_text(re.compile(r"^Live · newest position \d:\d\d old$"))


def test_reserving_by_a_sentence_without_a_line_says_so(
    dashboard: Callable[..., Page], web: Watched, city: City
) -> None:
    page = dashboard()
    expect(page.locator("#drawer h2")).to_have_text("Marathahalli Hub")
    page.route("**/dispatch/stations/*/", lambda route: route.abort())
    page.keyboard.press("Control+k")
    page.keyboard.type("hebbal")
    page.get_by_role("option", name="Reserve a bay at Hebbal Depot").click()
    expect(page.locator("#toasts")).to_contain_text("There is no connection just now. Nothing was done.")
    assert [error for error in web.errors if "ERR_FAILED" not in error] == []


def test_the_drawer_of_somebody_signed_out_leads_to_the_sign_in(dashboard: Callable[..., Page], web: Watched) -> None:
    page = dashboard()
    expect(page.locator("#drawer h2")).to_have_text("Marathahalli Hub")
    page.context.clear_cookies()
    find(page, "Hebbal")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert page.url == f"{web.server.url}/login/?next=/dispatch/"


def test_the_list_of_a_large_fleet_is_whole_though_the_map_shows_a_part(
    web: Watched, organisation: Organisation, city: City, dispatcher: User
) -> None:
    """Above 5,000 vehicles the page asks for what is in view; who is out of view has not fallen silent."""
    now = timezone.now()
    rows = [
        Vehicle(organisation=organisation, registration=f"DL 01 AA {n}", model=city.late.model, device_id=f"d{n}")
        for n in range(5_000)
    ]
    far = Vehicle.objects.bulk_create(rows)
    VehicleState.objects.bulk_create(
        VehicleState(
            vehicle=vehicle, latitude=28.6 + n % 100 / 1000, longitude=77.2, soc_percent=9 if n < 30 else 60,
            is_soc_low=n < 30, speed_kmh=0, position_at=now, received_at=now, soc_at=now, version=1,
        )
        for n, vehicle in enumerate(far)
    )  # fmt: skip
    page = web.sign_in(web.page(), dispatcher)
    live(page)
    low = page.get_by_role("button", name="Below 20 % 34", exact=True)
    silent = page.get_by_role("button", name="No signal 1", exact=True)
    expect(low).to_be_visible()
    find(page, "KA 03 MX 4475")
    for _ in range(3):
        page.locator("#zoom-in").click()
    expect(page.locator("#drawer h2")).to_have_text("KA 03 MX 4475")
    wait_for_store(page, "store.vehicles.count < 100")
    low.click()
    expect(page.locator("#rows .row").nth(1)).to_contain_text("DL 01 AA")
    expect(low).to_be_visible()
    expect(silent).to_be_visible()
    find(page, "DL 01 AA 4999")
    expect(page.get_by_text("AA 4999 · 60 %", exact=True)).to_be_in_viewport()
    assert web.errors == []


def find(page: Page, name: str) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type(name)
    page.keyboard.press("Enter")


def wait_for_store(page: Page, condition: str) -> None:
    """Not wait_for_function: that evaluates text in the page, which its policy forbids."""
    deadline = time.monotonic() + 30
    while not page.evaluate(f"import('fc/store').then(({{store}}) => {condition})"):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def wait_until(page: Page, told: list[Any]) -> None:
    """Until the browser has asked for something that is being held back."""
    while not told:
        page.wait_for_timeout(20)
