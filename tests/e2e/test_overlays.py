"""What lies over the map: places held, doubts, the way of the chosen vehicle; each can be seen, and switched off."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page

from dispatch.models import Reservation
from dispatch.tests.factories import ping
from stations.models import Connector
from tests.e2e.city import City, more_alerts
from tests.e2e.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
DRAWN = """async ({least, most}) => {
  const canvas = document.querySelector(".leaflet-overlays-pane canvas");
  for (;;) {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let seen = 0;
    for (let at = 3; at < data.length; at += 4) if (data[at]) seen++;
    if (seen >= least && seen <= most) return seen;
    await new Promise((next) => setTimeout(next, 200));
  }
}"""


def drawn(page: Page, least: int, most: int = 10_000_000) -> int:
    """How many pixels the overlays colour, once they are so many."""
    return int(page.evaluate(DRAWN, {"least": least, "most": most}))


def test_overlays_are_drawn_over_the_map_and_can_be_switched_off(
    dashboard: Callable[..., Page], city: City, web: Watched
) -> None:
    now, fleet = timezone.now(), city.late.organisation
    plug = Connector.objects.filter(evse__location=city.hubs["Indiranagar 100 Ft"])[0]
    Reservation.objects.create(
        organisation=fleet, vehicle=city.vans[2], connector=plug, state="confirmed", id_token="T", starts_at=now,
        expires_at=now + timedelta(minutes=25),
    )  # fmt: skip
    for minutes in range(20):
        at = now - timedelta(minutes=21 - minutes)
        ping(city.vans[1], at, latitude_e7=129_500_000 + minutes * 10_000, longitude_e7=776_300_000)
    page = dashboard()
    held = drawn(page, 400)
    page.get_by_role("button", name="Layers").click()
    page.get_by_label("Reservations").uncheck()
    drawn(page, 0, 0)
    page.get_by_label("Reservations").check()
    assert drawn(page, 400) == pytest.approx(held, rel=0.5)
    page.get_by_label("Reservations").uncheck()
    more_alerts(fleet, city)
    drawn(page, 50)
    page.get_by_label("Exceptions").uncheck()
    drawn(page, 0, 0)
    page.keyboard.press("Escape")
    page.locator("#rows .row", has_text="4472").click()
    drawn(page, 100)
    page.keyboard.press("[")
    drawn(page, 0, 0)
    assert web.errors == []
