"""The driver's page on a phone: without a login, by thumb, in both themes, and without a connection."""

from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from billing.tests.factories import fund
from dispatch.driving import links
from dispatch.driving.models import DriverLink
from dispatch.models import ChargePlan, SessionCommand
from dispatch.services import accept_plan, answer_reservation
from fleetcharge.accounts.models import User
from tests.e2e.city import City
from tests.e2e.conftest import PHONE, Theme, Watched
from vehicles.models import VehicleState

pytestmark = pytest.mark.browser
PHONE_OPTIONS: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True}


@pytest.fixture
def plan(city: City) -> ChargePlan:
    """Accepted and reserved, of a fleet that can pay."""
    now = timezone.now()
    fund(city.plan.organisation, 1_000_000)
    accept_plan(plan_id=city.plan.pk, actor=None, actor_label="test", now=now)
    answer_reservation(reservation_key=str(city.plan.reservations.get().key), state="accepted", reason="", at=now)
    city.plan.refresh_from_db()
    return city.plan


def path_of(plan: ChargePlan) -> str:
    return links.path_of(plan.driver_links.get(kind=DriverLink.Kind.DRIVE))


def opened(web: Watched, plan: ChargePlan, *, script: str = "", **options: Any) -> Page:
    page = web.page(**{**PHONE_OPTIONS, **options})
    if script:
        page.add_init_script(script)
    page.goto(web.server.url + path_of(plan))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Drive to Marathahalli Hub")
    return page


def until_kept(page: Page, plan: ChargePlan, *, is_kept: bool = True) -> None:
    """Until the page is, or is not any more, on the phone."""
    kept = "caches.open('fleetcharge-drive-1').then(kept => kept.match(location.origin + path)).then(Boolean)"
    page.wait_for_function(f"([path, wanted]) => {kept}.then(it => it === wanted)", arg=[path_of(plan), is_kept])


def violations(page: Page) -> list[Any]:
    found = Axe().run(page).response["violations"]
    return [
        (rule["id"], [(node["target"], node.get("failureSummary")) for node in rule["nodes"][:4]]) for rule in found
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_step_can_be_read_by_all(web: Watched, plan: ChargePlan, theme: Theme) -> None:
    page = opened(web, plan, theme=theme)
    expect(page.locator("#drive-map canvas").first).to_be_attached()
    assert violations(page) == []
    page.get_by_text("The plug cannot be used").click()
    page.get_by_role("button", name="Make a link to my arrival").click()
    expect(page.get_by_label("Link to your arrival")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="I am there").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("You are there")
    assert violations(page) == []
    for path in (links.path_of(plan.driver_links.get(kind="eta")), "/go/at/EV1/", "/go/nothing/"):
        page.goto(web.server.url + path)
        assert violations(page) == [], path
    assert web.strangers == []


def test_it_fits_a_phone_and_every_button_a_thumb(web: Watched, plan: ChargePlan) -> None:
    page = opened(web, plan)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"]
    tools = page.locator(".drive .bar .seg").bounding_box()
    assert tools is not None
    assert tools["height"] < 56  # both languages in the bar, side by side
    small = page.evaluate(
        "[...document.querySelectorAll('.drive button, .drive a.btn, .drive summary')].filter(e => e.offsetParent)"
        ".map(e => [e.textContent.trim(), e.getBoundingClientRect().height]).filter(([, height]) => height < 40)"
    )
    assert small == []
    geo = page.get_by_role("link", name="Navigate").get_attribute("href")
    assert geo is not None
    assert geo.startswith("geo:12.959500,77.700000")


def test_the_drivers_word_and_the_plug_reach_the_house(web: Watched, city: City, plan: ChargePlan) -> None:
    page = opened(web, plan)
    page.get_by_role("button", name="I am on my way").click()
    expect(page.get_by_text("sees that you are on the way")).to_be_visible()
    page.get_by_label("Charge in percent").fill("16")
    page.get_by_role("button", name="Tell it").click()
    expect(page.get_by_text("We count on from there")).to_be_visible()
    assert VehicleState.objects.get(vehicle=city.late).soc_percent == 16
    assert plan.connector is not None
    page.goto(f"{web.server.url}/go/at/{plan.connector.evse.public_id}/")  # the phone's own camera read the sticker
    page.wait_for_url(f"**{path_of(plan)}")
    expect(page.get_by_label("The code on the plug", exact=True)).to_have_value(plan.connector.evse.public_id)
    page.get_by_role("button", name="Start charging").click()
    expect(page.locator("#now [role=alert], #now [data-pending]").first).to_be_visible()
    plan.refresh_from_db()
    assert plan.set_off_at is not None
    commands = SessionCommand.objects.filter(vehicle=city.late)
    assert [command.connector_id for command in commands] in ([], [plan.connector_id])


OLD_PHONE = """
delete AbortSignal.timeout;
Object.defineProperty(SubmitEvent.prototype, 'submitter', {value: undefined});
const Form = FormData;
window.FormData = class extends Form { constructor(form) { super(form); } };
"""
"""As Chrome was before 2022: a form's data knows no button, nor does its submit."""


@pytest.mark.parametrize("is_old", [False, True])
def test_a_blocked_plug_is_left_and_the_page_follows(web: Watched, plan: ChargePlan, *, is_old: bool) -> None:
    page = opened(web, plan, script=OLD_PHONE if is_old else "")
    page.get_by_text("The plug cannot be used").click()
    page.get_by_role("button", name="It is blocked").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Your dispatcher is choosing")
    new = ChargePlan.objects.get(replaces=plan)
    accept_plan(plan_id=new.pk, actor=None, actor_label="test", now=timezone.now())
    assert new.connector is not None
    page.evaluate("window.dispatchEvent(new Event('online'))")  # look at once
    expect(page.get_by_role("heading", level=1)).to_contain_text(new.connector.evse.location.name)


def test_without_a_connection_the_plan_is_still_there(web: Watched, plan: ChargePlan) -> None:
    page = opened(web, plan)
    until_kept(page, plan)
    page.reload()  # now the worker serves it
    expect(page.get_by_role("heading", level=1)).to_contain_text("Drive to Marathahalli Hub")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    page.context.set_offline(True)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Drive to Marathahalli Hub")
    expect(page.locator("#line")).to_contain_text("No connection. This is what we knew at")
    page.get_by_role("button", name="I am on my way").click()
    expect(page.locator("#line")).to_contain_text("that was not sent")
    page.context.set_offline(False)
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("#line")).to_be_hidden()
    page.get_by_role("button", name="I am on my way").click()
    expect(page.get_by_text("sees that you are on the way")).to_be_visible()


def test_a_link_that_is_taken_back_leaves_nothing_on_the_phone(
    web: Watched, plan: ChargePlan, dispatcher: User
) -> None:
    page = opened(web, plan)
    until_kept(page, plan)
    links.revoke(plan_id=plan.pk, actor=dispatcher, now=timezone.now() + timedelta(seconds=1))
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("#line")).to_contain_text("This link has ended")
    expect(page.get_by_role("heading", level=1)).to_have_count(0)
    until_kept(page, plan, is_kept=False)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("This link has ended")
