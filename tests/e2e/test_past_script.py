"""The past put into tables: where vehicles were between two points, how old a word was, what plugs said."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Watched

pytestmark = pytest.mark.browser
TOLD: dict[str, Any] = {
    "from": "2026-11-22T06:00:00Z", "to": "2026-11-22T08:00:00Z", "step_seconds": 10, "is_complete": True, "alerts": [],
    # at -60 s parked and unknown; at 0 s 50 % driving east; 100 s later 0.001 degrees further, 19 %; at 4000 s charging
    "vehicles": [{"id": 7, "points": [-60, 1_297_000, 7_759_000, 0, 0, -1, 0, 60, 0, 0, 30, 90, 50, 0,
                                      100, 0, 100, 30, 90, 19, 0, 3900, 0, 0, 0, 90, 20, 1]}],
    "stations": [{"id": 3, "total": 2, "steps": [0, 2, 0, 3600, 0, 3]}],
}  # fmt: skip


@pytest.fixture
def at(web: Watched) -> Any:
    page: Page = web.page()
    page.goto(f"{web.server.url}/login/")

    def look(second: float, told: dict[str, Any] = TOLD) -> Any:
        return page.evaluate(
            """async ({told, second}) => {
              const [{Past}, {Store}] = await Promise.all(["past", "store"].map((name) => import(`fc/${name}`)));
              const live = new Store();
              live.vehicleNames.set(7, {registration: "KA 7"});
              live.stations.put(3, 12.97, 77.59, 9, 9, 0, 6);
              live.stations.put(4, 28.6, 77.2, 9, 9, 0, 6);
              live.stationNames.set(5, {latitude: 19, longitude: 73, total: 6, max_power_w: 120_000});
              const past = new Past(live, told, 20);
              const moved = [past.seek(second), past.seek(second)];
              const shown = {moved, live: live.station(3).free, second: past.second};
              const [hub, other, far] = [3, 4, 5].map((id) => past.station(id));
              return {...shown, van: past.vehicle(7), hub, other, far};
            }""",
            {"told": told, "second": second},
        )

    return look


def test_between_two_points_a_vehicle_goes_straight(at: Any) -> None:
    van = at(50)["van"]
    assert (round(van["longitude"], 5), van["latitude"], van["soc"], van["heading"]) == (77.5905, 12.97, 50, 90)
    assert (van["group"], van["isLow"], van["name"]["registration"]) == ("driving", False, "KA 7")


def test_a_charge_below_the_line_is_low_and_an_unknown_one_is_unknown(at: Any) -> None:
    assert (at(150)["van"]["isLow"], at(150)["van"]["group"]) == (True, "low")
    first = {**TOLD, "vehicles": [{"id": 7, "points": TOLD["vehicles"][0]["points"][:7]}]}
    assert at(0, first)["van"]["soc"] is None


@pytest.mark.parametrize(
    ("second", "state", "is_stale"), [(100, 1, False), (230, 1, True), (701, 3, True), (4000, 2, False)]
)
def test_a_word_grows_old_as_it_does_live(at: Any, second: int, state: int, is_stale: bool) -> None:
    van = at(second)["van"]
    assert (van["state"], van["isStale"], round(van["longitude"], 5)) == (state, is_stale, 77.591)


def test_a_vehicle_is_not_there_before_it_was_heard(at: Any) -> None:
    late = {**TOLD, "vehicles": [{"id": 7, "points": [600, *TOLD["vehicles"][0]["points"][1:7]]}]}
    assert at(599, late)["van"] is None
    assert at(600, late)["van"]["latitude"] == 12.97


def test_plugs_change_when_they_did_and_live_ones_stay(at: Any) -> None:
    before, after = at(3599), at(3600)
    assert [(one["hub"]["free"], one["hub"]["total"], one["hub"]["worst"]) for one in (before, after)] == [
        (2, 2, 0),
        (0, 2, 3),
    ]
    assert before["moved"] == [True, False]
    assert before["live"] == 9
    assert (before["other"]["worst"], before["other"]["fresh"]) == (4, 3)  # outside what was told


def test_nothing_is_shown_beyond_the_ends(at: Any) -> None:
    assert [at(-5)["second"], at(9999)["second"]] == [0, 7200]


def test_a_site_that_the_live_map_counts_in_a_cell_has_its_past_all_the_same(at: Any) -> None:
    told = {**TOLD, "stations": [*TOLD["stations"], {"id": 5, "total": 6, "steps": [0, 2, 0, 3600, 0, 3]}]}
    shown = at(100, told)
    far = shown["far"]
    assert [far[name] for name in ("free", "total", "worst", "fresh", "powerKw", "latitude")] == [2, 6, 0, 0, 120, 19]
    assert shown["moved"] == [True, False]
