"""Street tiles as the browser reads and draws them."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import expect

from dispatch.tests.towns import town
from fleetcharge.accounts.models import User
from tests.e2e.city import City
from tests.e2e.conftest import Watched

pytest.importorskip("osmium", reason="the optional road engine is not installed (make roads)")
pytestmark = pytest.mark.browser


def test_the_map_draws_our_own_streets_and_says_whose_data_they_are(
    web: Watched, city: City, dispatcher: User, tmp_path: Path, settings: Any
) -> None:
    settings.BASEMAP_FILE = tmp_path / "basemap.pmtiles"
    call_command("build_basemap", str(town(tmp_path / "town.osm.pbf")), verbosity=0)
    page = web.sign_in(web.page(), dispatcher)
    expect(page.locator("#attribution")).to_contain_text("© OpenStreetMap contributors")
    expect(page.locator("#basemap-name")).to_have_text("Map tiles")
    told = page.evaluate(
        """async () => {
          const {readTile} = await import("fc/vector-tile");
          const {version} = await (await fetch("/basemap/")).json();
          const tile = readTile(await (await fetch(`/basemap/${version}/11/1465/949.mvt`)).arrayBuffer());
          const pen = document.createElement("canvas").getContext("2d");
          const at = (latitude, longitude) => {
            const y = 0.5 - Math.asinh(Math.tan(latitude * Math.PI / 180)) / (2 * Math.PI);
            return [((longitude + 180) / 360 * 2048 - 1465) * 4096, (y * 2048 - 949) * 4096];
          };
          pen.lineWidth = 40;
          return {
            places: tile.places.map((place) => [place.name, place.hindi]),
            lake: pen.isPointInPath(tile.water, ...at(12.9875, 77.575), "evenodd"),
            shore: pen.isPointInPath(tile.water, ...at(12.9875, 77.585), "evenodd"),
            park: pen.isPointInPath(tile.green, ...at(12.962, 77.608), "evenodd"),
            road: pen.isPointInStroke(tile.roads[0], ...at(12.97, 77.59)),
            beside: pen.isPointInStroke(tile.roads[0], ...at(12.974, 77.59)),
          };
        }"""
    )
    assert told == {
        "places": [["Cubbon Town", "कब्बन"]],
        "lake": True,
        "shore": False,
        "park": True,
        "road": True,
        "beside": False,
    }
    assert web.errors == []
    assert web.strangers == []
