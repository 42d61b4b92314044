"""The page that connects a vehicle, in a browser: what the sender says appears, refused or not."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from fleetcharge.accounts.models import User
from tests.e2e.city import City
from tests.e2e.conftest import Watched
from vehicles.models import RawPacket, Vehicle

pytestmark = pytest.mark.browser
PATIENCE_MS = 30_000


def test_a_packet_appears_while_the_page_is_open(web: Watched, city: City, owner: User) -> None:
    page = web.sign_in(web.page(), owner, f"/fleet/{city.late.pk}/connect/")
    expect(page.get_by_text("Listening")).to_be_visible()
    assert Vehicle.objects.get(pk=city.late.pk).watched_until is not None
    outcome = [{"code": "coordinates", "detail": "(0, 0) is no place a vehicle can be."}]
    RawPacket.objects.create(vehicle=city.late, raw="id=van&lat=0&lon=0", outcome=outcome)
    packets = page.get_by_role("region", name="What the sender says")
    expect(packets.get_by_text("id=van&lat=0&lon=0")).to_be_visible(timeout=PATIENCE_MS)
    expect(packets.get_by_text("(0, 0) is no place a vehicle can be.")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
