"""The ground of every map, as the browser paints it, and how it behaves while the server is in trouble."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fleetcharge.accounts.models import User
from tests.e2e.city import City
from tests.e2e.conftest import Watched

pytestmark = pytest.mark.browser
Spot = tuple[float, float]
"""Latitude, longitude."""

PAINTED = """async ({zoom, middle, spots, lang}) => {
  document.documentElement.lang = lang;
  for (const old of document.querySelectorAll(".attr")) old.remove();
  const credit = document.createElement("p");
  Object.assign(credit.dataset, {outline: "O", places: "P", city: "C"});
  credit.className = "attr";
  document.body.append(credit);
  const [{Basemap}, {mercatorX, mercatorY}, {colour}] = await Promise.all(
    ["basemap", "table", "theme"].map((name) => import(`fc/${name}`)));
  const size = {width: 900, height: 700};
  const pen = Object.assign(document.createElement("canvas"), size).getContext("2d");
  const scale = 256 * 2 ** zoom;
  const at = ([latitude, longitude]) => [mercatorX(longitude) * scale, mercatorY(latitude) * scale];
  const [x, y] = at(middle);
  const view = {scale, left: x - 450, top: y - 350, zoom, ratio: 1, ...size};
  const names = [];
  pen.fillText = (name) => names.push(name);
  pen.strokeText = () => undefined;
  await new Promise((resolve, reject) => {
    const base = new Basemap(() => { try { base.draw(pen, view); resolve(); } catch (error) { reject(error); } });
    base.draw(pen, view);
  });
  const tokens = ["--m-water", "--m-abroad", "--m-land"];
  const inks = tokens.map((token) => {
    pen.fillStyle = colour(token); pen.fillRect(0, 0, 1, 1);
    return pen.getImageData(0, 0, 1, 1).data.join();
  });
  const inked = (spot) => {
    const [px, py] = at(spot);
    const ink = pen.getImageData(px - view.left, py - view.top, 1, 1).data.join();
    return ink === "0,0,0,0" ? "bare" : tokens[inks.indexOf(ink)] ?? "other";
  };
  const inkOf = Object.fromEntries(Object.entries(spots).map(([name, spot]) => [name, inked(spot)]));
  return {names, credit: credit.textContent, spots: inkOf};
}"""


@pytest.fixture
def page(web: Watched) -> Page:
    """Any page with the import map."""
    opened = web.page()
    opened.goto(f"{web.server.url}/login/")
    return opened


def painted(page: Page, zoom: float, middle: Spot, lang: str = "en-IN", **spots: Spot) -> Any:
    return page.evaluate(PAINTED, {"zoom": zoom, "middle": middle, "lang": lang, "spots": spots})


def test_the_country_is_land_up_to_its_boundary_and_its_cities_have_names(page: Page, web: Watched) -> None:
    spots = {"gilgit": (35.9, 74.4), "aksai_chin": (35.1, 79.3), "akola": (20.3, 77.0), "lahore": (31.4, 73.8),
             "lhasa": (29.6, 91.0), "arabian_sea": (15.0, 68.0)}  # fmt: skip
    told = painted(page, 4.25, (22.0, 80.0), lang="hi-IN", **spots)
    assert told["spots"] == {
        "gilgit": "--m-land", "aksai_chin": "--m-land", "akola": "--m-land", "lahore": "--m-abroad",
        "lhasa": "--m-abroad", "arabian_sea": "--m-water",
    }  # fmt: skip
    assert {"नई दिल्ली", "मुंबई"} <= set(told["names"])
    assert told["credit"] == "O · P"
    assert web.errors == []
    assert web.strangers == []


def test_towns_come_with_the_zoom_and_bengaluru_s_streets_stay_in_bengaluru(page: Page) -> None:
    assert "Hosur" not in painted(page, 5, (22.0, 80.0))["names"]
    near = painted(page, 10.2, (27.2, 78.0), agra=(27.2, 78.2))
    assert ("Agra" in near["names"], near["credit"]) == (True, "O · P")
    assert near["spots"] == {"agra": "--m-land"}
    street = painted(page, 14, (19.07, 72.88), mumbai=(19.03, 72.86))
    assert (street["spots"], street["credit"]) == ({"mumbai": "bare"}, "P")  # no sea over streets by the shore
    city = painted(page, 12, (12.96, 77.62))
    assert "Koramangala" in city["names"]
    assert city["credit"].startswith("C")


BACKING_OFF = """async () => {
  const rests = [];
  const soon = window.setTimeout;
  let status = 503;
  let asked = 0;
  window.setTimeout = (resume, wait) => rests.push({resume, wait});
  Math.random = () => 1;
  const about = {version: "v", first_zoom: 6, last_zoom: 14, bounds: [77, 12, 78, 13], attribution: "A"};
  window.fetch = async (address) => {
    if (address === "/basemap/") return Response.json(about);
    asked++;
    return new Response(status === 200 ? new Uint8Array() : null, {status});
  };
  const {StreetTiles} = await import("fc/street-tiles");
  const {mercatorX, mercatorY} = await import("fc/table");
  const scale = 256 * 2 ** 12;
  const view = {scale, left: mercatorX(77.5) * scale, top: mercatorY(12.5) * scale, width: 100, height: 100, zoom: 12};
  const pen = document.createElement("canvas").getContext("2d");
  const tiles = new StreetTiles(() => tiles.draw(pen, view, {colour: () => "red", areStreetsShown: true}));
  const turn = () => new Promise((resolve) => soon(resolve, 0));
  const settled = async () => { do await turn(); while (tiles.onItsWay); };
  const seen = [];
  await tiles.begin();
  for (let round = 0; round < 4; round++) {
    await settled();
    const before = asked;
    tiles.onChange();
    await settled();
    seen.push([rests.length, rests.at(-1).wait, asked - before]);
    if (round === 2) status = 200;
    rests.at(-1).resume();
  }
  await settled();
  const kept = [...tiles.tiles.values()].every(Boolean);
  return {seen: seen.slice(0, 3), rests: rests.length, failures: tiles.patience.failures, kept};
}"""


def test_a_server_in_trouble_is_asked_again_after_ever_longer_rests(page: Page) -> None:
    told = page.evaluate(BACKING_OFF)
    assert told["seen"] == [[1, 1000, 0], [2, 2000, 0], [3, 4000, 0]]  # and nothing is asked meanwhile
    assert (told["rests"], told["failures"], told["kept"]) == (3, 0, True)


COMING_LATE = """async () => {
  const rests = [];
  const soon = window.setTimeout;
  window.setTimeout = (resume, wait) => rests.push({resume, wait});
  Math.random = () => 1;
  const {Ground} = await import("fc/ground");
  const seen = [];
  const ground = new Ground(() => seen.push("drawn anew"));
  const look = () => ground.draw(null, {zoom: 12}, () => "red");
  const until = async (isSo) => {
    for (let n = 0; !isSo(); n++) {
      if (n > 2000) throw new Error(`not: ${isSo}`);
      await new Promise((resolve) => soon(resolve, 10));
    }
  };
  for (const failures of [1, 2]) {
    look();
    await until(() => rests.length === failures);
    seen.push(rests.at(-1).wait, ground.shapes);
    rests.at(-1).resume();
  }
  await until(() => ground.shapes);
  return [seen, rests.length, ground.places.length > 100];
}"""


def test_a_ground_that_did_not_come_is_asked_for_again_after_ever_longer_rests(page: Page) -> None:
    refused = iter([True, True])
    page.route("**/js/india*.js*", lambda route: route.abort() if next(refused, False) else route.continue_())
    seen, rests, has_places = page.evaluate(COMING_LATE)
    assert (seen, rests, has_places) == ([1000, None, 2000, None, "drawn anew"], 2, True)


def test_zoomed_out_the_live_map_says_what_it_shows(web: Watched, city: City, dispatcher: User) -> None:
    page = web.sign_in(web.page(), dispatcher)
    expect(page.locator("#basemap-name")).to_have_text("Schematic basemap")
    for _ in range(8):
        page.locator("#zoom-out").click()
    expect(page.locator("#basemap-name")).to_have_text("Outline map")
    expect(page.locator("#attribution")).to_have_text("Boundaries indicative · Places: GeoNames")
    assert web.errors == []
    assert web.strangers == []
