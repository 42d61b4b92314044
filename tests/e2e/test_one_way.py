"""Browsers and networks without WebSockets: the page is live all the same, by events or by asking."""

import re

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from dispatch import live as live_channel
from dispatch.tests.factories import move
from fleetcharge.accounts.models import Organisation, User
from tests.e2e.city import City, make_alert
from tests.e2e.conftest import Watched, live

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def is_live(page: Page, city: City, organisation: Organisation) -> None:
    """Positions, charges and alerts come, and figures keep coming."""
    live(page)
    expect(page.locator("#live")).to_have_text(re.compile("^Live"))
    live_channel.send_moves([move(city.vans[1], soc_percent=9)])
    expect(page.locator("#rows .row", has_text="4472")).to_contain_text("9 %")
    make_alert(organisation, city.plan, dedupe_key="new", title="Another one")
    expect(page.locator("#queue-count")).to_have_text("2")


@pytest.mark.parametrize("missing", [["WebSocket"], ["WebSocket", "EventSource"]], ids=["events", "polls"])
def test_a_browser_without_sockets_is_live(
    web: Watched, city: City, dispatcher: User, organisation: Organisation, missing: list[str]
) -> None:
    page = web.page()
    page.add_init_script("; ".join(f"delete window.{name}" for name in missing))
    is_live(web.sign_in(page, dispatcher), city, organisation)
    page.locator("#rows .row", has_text="4473").click()  # a new focus is a new stream
    live_channel.send_moves([move(city.vans[1], soc_percent=8)])
    expect(page.locator("#rows .row", has_text="4472")).to_contain_text("8 %")
    expect(page.locator("#banner")).to_be_hidden()
    assert (web.errors, web.strangers) == ([], [])


def test_a_network_that_lets_no_socket_through_is_got_around(
    web: Watched, city: City, dispatcher: User, organisation: Organisation
) -> None:
    page = web.page()

    def shut(socket: WebSocketRoute) -> None:
        socket.close(code=1011)

    page.route_web_socket("**/ws/live/", shut)
    is_live(web.sign_in(page, dispatcher), city, organisation)
