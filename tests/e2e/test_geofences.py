"""The page of geofences in a browser: a click on the map fills the form, and what is drawn is on the map."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from fleetcharge.accounts.models import User
from tests.e2e.city import City
from tests.e2e.conftest import Watched
from vehicles.models import Geofence

pytestmark = pytest.mark.browser


def test_a_click_draws_a_circle(web: Watched, city: City, owner: User) -> None:
    page = web.sign_in(web.page(), owner, "/fleet/geofences/")
    fence_map = page.get_by_role("application", name="Map of the geofences")
    drawn = fence_map.locator("path")
    expect(drawn).to_have_count(0)
    fence_map.click(position={"x": 200, "y": 150})
    expect(page.get_by_label("Latitude")).not_to_have_value("")
    expect(drawn).to_have_count(1)
    page.get_by_label("GeoJSON").fill('{"type": "Polygon"')  # half typed; the circle is not meant any more
    expect(page.get_by_label("Latitude")).to_have_value("")
    expect(page.get_by_label("Longitude")).to_have_value("")
    expect(drawn).to_have_count(0)
    fence_map.click(position={"x": 200, "y": 150})
    expect(page.get_by_label("GeoJSON")).to_have_value("")
    expect(drawn).to_have_count(1)
    page.get_by_label("Name").fill("<i>Yard</i>")
    page.get_by_label("Radius, m").fill("900")
    page.get_by_role("button", name="Draw it").click()
    expect(page.get_by_role("status")).to_have_text("The geofence is drawn.")
    expect(fence_map.get_by_text("<i>Yard</i>")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    for _ in range(9):
        fence_map.get_by_role("button", name="Zoom out").click()
        expect(fence_map.locator(".leaflet-zoom-anim")).to_have_count(0)  # meanwhile it takes no click
    expect(page.locator("#attribution")).to_have_text("Boundaries indicative · Places: GeoNames")
    fence = Geofence.objects.get()
    assert (fence.name, fence.radius_m, fence.geometry["type"]) == ("<i>Yard</i>", 900, "Point")
