"""Accepting, dismissing, taking back; losing the line and getting everything back."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from dispatch.events import AlertChanged
from dispatch.models import ChargePlan
from dispatch.services.decisions import dismiss_plan
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.events import publish
from tests.e2e.city import City, make_alert, make_plan
from tests.e2e.conftest import Server, Watched, live

pytestmark = pytest.mark.browser


def state_of(plan: ChargePlan) -> str:
    plan.refresh_from_db()
    return plan.state


def answered(page: Page, path: str, act: Callable[[], object]) -> None:
    """Do it, and wait for the server's yes."""
    with page.expect_response(lambda answer: path in answer.url) as waiting:
        act()
    assert waiting.value.ok, waiting.value.text()


@pytest.mark.parametrize("by", ["key", "mouse"])
def test_accept(dashboard: Callable[..., Page], city: City, by: str) -> None:
    page = dashboard()
    button = page.get_by_role("button", name="Accept reroute")
    answered(page, "/accept/", lambda: page.keyboard.press("a") if by == "key" else button.click())
    expect(page.get_by_text("Reroute of KA 03 MX 4471 accepted.")).to_be_visible()  # first: it goes after ten seconds
    assert state_of(city.plan) == ChargePlan.State.ACCEPTED
    expect(button).to_have_count(0)


def test_undo_within_ten_seconds(dashboard: Callable[..., Page], city: City) -> None:
    page = dashboard()
    answered(page, "/accept/", lambda: page.keyboard.press("a"))
    answered(page, "/undo/", lambda: page.keyboard.press("z"))
    assert state_of(city.plan) == ChargePlan.State.PROPOSED
    expect(page.get_by_role("button", name="Accept reroute")).to_be_visible()


def test_dismiss(dashboard: Callable[..., Page], city: City) -> None:
    page = dashboard()
    page.get_by_role("button", name="Options").click()
    answered(page, "/dismiss/", lambda: page.get_by_role("button", name="Dismiss").click())
    assert state_of(city.plan) == ChargePlan.State.DISMISSED


def test_snooze(dashboard: Callable[..., Page], city: City) -> None:
    page = dashboard()
    answered(page, "/snooze/", lambda: page.get_by_role("button", name="Snooze 15 minutes").click())
    expect(page.get_by_text("Nothing needs you")).to_be_visible()
    city.alert.refresh_from_db()
    assert city.alert.snoozed_until is not None


def test_a_decision_made_without_a_line_waits_and_is_sent(
    dashboard: Callable[..., Page], city: City, server: Server, web: Watched
) -> None:
    page = dashboard()
    page.context.set_offline(True)
    page.keyboard.press("a")
    assert state_of(city.plan) == ChargePlan.State.PROPOSED
    answered(page, "/accept/", lambda: page.context.set_offline(False))
    assert state_of(city.plan) == ChargePlan.State.ACCEPTED


def test_decisions_that_wait_survive_the_page_and_are_told_when_the_plan_was_changed(
    dashboard: Callable[..., Page], organisation: Organisation, city: City, dispatcher: User, web: Watched
) -> None:
    page = dashboard()
    second = make_plan(organisation, city.vans[1], city.hubs["Indiranagar 100 Ft"])
    make_alert(organisation, second, revision=2)
    page.route("**/accept/", lambda route: route.abort())
    page.keyboard.press("a")
    expect(page.get_by_text("Queued until the connection is back")).to_be_visible()
    dismiss_plan(plan_id=city.plan.pk, actor=dispatcher, now=timezone.now())
    page.reload()
    live(page)
    page.unroute("**/accept/")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    refusal = page.get_by_text("Not done: Accepting the reroute of KA 03 MX 4471. The plan was changed meanwhile.")
    expect(refusal).to_be_visible()
    assert state_of(city.plan) == ChargePlan.State.DISMISSED
    page.get_by_role("button", name="Understood").click()
    expect(refusal).to_have_count(0)
    page.route("**/accept/", lambda route: route.abort())
    page.keyboard.press("a")
    expect(page.get_by_text("Queued until the connection is back")).to_be_visible()
    page.unroute("**/accept/")
    answered(page, "/accept/", lambda: page.reload())
    expect(page.get_by_text("Done now that the connection is back: Accepting the reroute")).to_be_visible()
    assert state_of(second) == ChargePlan.State.ACCEPTED


def test_a_dropped_socket_recovers_and_no_alert_is_lost(
    dashboard: Callable[..., Page], organisation: Organisation, city: City, server: Server, web: Watched
) -> None:
    page = dashboard()
    server.cut_the_line()
    expect(page.locator("#live")).to_contain_text("Reconnecting")
    expect(page.locator("#banner")).to_contain_text("showing positions as of")
    for number, van in enumerate(city.vans[1:4], start=2):
        plan = make_plan(organisation, van, city.hubs["Indiranagar 100 Ft"])
        alert = make_alert(organisation, plan, revision=number)
        publish(AlertChanged(alert_id=alert.pk, organisation_id=organisation.pk, op="add", revision=number))
    server.has_line = True
    live(page)
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#queue-count")).to_have_text("4")
    # the only complaints are the browser's own about the line
    assert [error for error in web.errors if "WebSocket" not in error] == []


def test_the_card_tells_every_charge_and_stop_of_the_way_and_plan_b(dashboard: Callable[..., Page], city: City) -> None:
    at = city.plan.created_at
    visits = [
        {"station": name, "starts_at": (at + timedelta(minutes=start)).isoformat(), "departure_soc_percent": percent,
         "leaves_at": (at + timedelta(minutes=start + 20)).isoformat()}
        for name, start, percent in (("First Hub", 10, 62.0), ("Second Hub", 90, 41.0))
    ]  # fmt: skip
    stop = {"name": "Whitefield DC", "arrives_at": (at + timedelta(minutes=50)).isoformat(), "late_seconds": 600}
    plan_b = {"connector_id": 1, "station": "Third Hub", "turn_off_at": ""}
    city.plan.explanation = {"visits": visits, "arrivals": [stop], "plan_b": plan_b}
    city.plan.save()
    card = dashboard().locator("#tip")
    expect(card.locator(".leg b")).to_have_text(
        [re.compile("Now"), "First Hub", re.compile("62"), "Whitefield DC", "Second Hub", re.compile("41")]
    )
    expect(card).to_contain_text("Plan B: Third Hub")
