"""From afar: what the page makes of cells, that they lead closer, and that list and figures know nothing of them."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dispatch import live, wire
from dispatch.models import Alert
from dispatch.tests.factories import move
from tests.e2e.city import City
from tests.e2e.conftest import PATIENCE_MS, Watched
from tests.e2e.test_scripts import FAKE_LINE, frame, run
from tests.e2e.test_scripts import page as script_page  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WHOLE, PART = 5 | 6 << wire.LEVEL_SHIFT, 6 << wire.LEVEL_SHIFT
CENTRE = (12.955, 77.644)
STORE = "import('fc/store').then(({store}) => %s)"


def cell(x: int, y: int, vehicles: int, needing: int = 0, sites: int = 0) -> tuple[int, ...]:
    return x, y, vehicles, needing, 3 * sites, 4 * sites, sites, 0x84, 3 | wire.STATION_RESERVED << 4


def grid(rows: list[tuple[int, ...]], flags: int, seq: int) -> list[int]:
    return frame(wire.GRID, rows, flags=flags, seq=seq, kind_of_row=wire.CELL)


def test_cells_are_read_as_they_were_written_and_changes_add_up(script_page: Page) -> None:  # noqa: F811
    told = run(
        script_page,
        FAKE_LINE + "const {s, line} = begin(); const seen = [];"
        "const look = () => seen.push([...s.cells.values()].map((c) => c.vehicles).sort());"
        "for (const part of v.frames) { line.hears(part); look(); }"
        "const [first] = s.cells.values(); line.welcome(); line.hears(v.delta); look();"
        "line.hears(v.empty); look(); return [seen, first]",
        frames=[
            grid([cell(183, 117, 1234, 5, 2), cell(184, 117, 7)], WHOLE, 1),
            grid([cell(184, 117, 8), cell(185, 117, 9)], PART, 2),
            grid([cell(185, 117, 0)], PART | 1, 3),
            grid([cell(1, 1, 99)], PART | 4, 4),  # and then the line is gone
        ],
        delta=grid([cell(186, 117, 2)], PART | 1, 1),
        empty=grid([], 5, 2),
    )
    seen, first = told
    assert seen == [[1234, 7], [1234, 8, 9], [1234, 8], [1234, 8], [1234, 2, 8], []]
    assert first == {
        "x": 183 / 256, "y": 117 / 256, "size": 1 / 256, "at": [8.5 / 16, 4.5 / 16], "vehicles": 1234, "needing": 5,
        "free": 6, "plugs": 8, "sites": 2, "worst": 3, "worstSite": wire.STATION_RESERVED, "isLive": True,
    }  # fmt: skip


def test_whoever_looks_at_other_layers_has_no_cells_any_more(script_page: Page) -> None:  # noqa: F811
    told = run(
        script_page,
        FAKE_LINE + "const {s, live, line} = begin(); const seen = [];"
        "s.on('cells', () => seen.push(s.cells.size));"
        "const hear = async (...parts) => { for (const part of parts) line.hears(part); await null; await null; };"
        "const look = async (...layers) => { live.look({bbox: null, z: 7, layers}); await null; await null; };"
        "await look('vehicles', 'grid'); await hear(v.whole);"
        "await look('vehicles'); await hear(v.late); await look('grid'); await hear(v.late);"
        "return [seen, s.cells.pictures]",
        whole=grid([cell(183, 117, 12), cell(184, 117, 7)], WHOLE, 1),
        late=grid([cell(184, 117, 8)], PART | 1, 2),
    )
    assert told == [[2, 0, 0, 1], 2]


def counts(page: Page) -> dict[str, Any]:
    chips = {chip.get_attribute("data-filter") or "": chip.inner_text() for chip in page.locator("[data-filter]").all()}
    return {
        **chips,
        "all": page.locator("#fleet-count").inner_text(),
        "low": page.locator("[data-kpi=low]").inner_text(),
    }


def zoom_to(page: Page, zoom: float) -> None:
    """By a link, as a kept view is one."""
    page.evaluate("(zoom) => { location.hash = `view=${zoom}` }", ",".join(map(str, (*CENTRE, zoom))))


def until(page: Page, condition: str) -> None:
    """Of the store. Not wait_for_function: that evaluates text in the page, which its policy forbids."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(STORE % condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def largest_cell(page: Page, zoom: float) -> tuple[float, float]:
    """Where on the screen the cell with the most vehicles is drawn."""
    x, y, size, at = page.evaluate(
        STORE
        % "[...store.cells.values()].sort((a, b) => b.vehicles - a.vehicles).map((c) => [c.x, c.y, c.size, c.at])[0]"
    )
    box = page.locator("#map").bounding_box()
    assert box
    sine = math.sin(math.radians(CENTRE[0]))
    middle = (CENTRE[1] + 180) / 360, 0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)
    place = (x + (0.5 + (at[0] - 0.5) * 0.34) * size, y + (0.5 + (at[1] - 0.5) * 0.14) * size)
    dx, dy = ((there - here) * 256 * 2**zoom for there, here in zip(place, middle, strict=True))
    return box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy


def test_far_away_the_fleet_is_counted_and_a_click_leads_back_to_it(
    dashboard: Callable[..., Page], web: Watched, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.cells.FEW", 20)
    Alert.objects.all().delete()  # its vehicle would be told as itself
    page = dashboard()
    told = counts(page)
    zoom_to(page, 7.5)
    until(page, "store.cells.size && store.vehicles.count === 0")
    sums = page.evaluate(
        STORE % "[...store.cells.values()].reduce((n, c) => [n[0] + c.vehicles, n[1] + c.sites], [0, 0])"
    )
    assert sums == [24, 19]
    assert counts(page) == told

    live.send_moves([move(city.vans[5], latitude=12.99, longitude=77.66, soc_percent=9, is_soc_low=True)])
    expect(page.locator("#rows .row", has_text="4476")).to_contain_text("9 %")  # the list is live
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#replay-time")).not_to_be_empty()
    page.mouse.move(720, 500)
    page.keyboard.press("Escape")

    x, y = largest_cell(page, 7.5)
    page.mouse.move(x, y)
    expect(page.locator("#hover")).to_contain_text("Vehicles: ")
    expect(page.locator("#hover")).to_contain_text("Stations: ")
    page.mouse.click(x, y)
    until(page, "store.cells.size === 0 && store.vehicles.count === 24")
    assert web.errors == []
