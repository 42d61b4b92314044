"""Overviews: what cells count, that their changes add up to a fresh picture, and how large a large fleet's one is."""

import asyncio
import contextlib
import math
import random
import time
from collections import defaultdict

import numpy as np
import pytest

from dispatch import cells, live, wire
from dispatch.boards import Board, StatusBook, StatusLayer, VehicleBoard, Viewport
from dispatch.cells import FleetCells, Overview, is_crowded
from dispatch.consumers import LiveSocket
from dispatch.doorkeeper import Guest
from dispatch.hub import LiveHub
from dispatch.tests.browser import Page, opened, served, sign_in, told
from dispatch.tests.test_live_events import HELLO, codes
from dispatch.tests.test_live_socket import EVERYTHING, city, in_thread, move  # noqa: F401 (city is a fixture)

MINE, THEIRS = 1, 2
LAYERS = ["vehicles", "stations", "grid"]
BOX = [77.0, 12.0, 79.0, 14.0]
FIGURES = ("vehicles", "needing", "free", "plugs", "sites", "place", "worst")


class Line:
    """A socket's two ends in one process."""

    close_code = None

    def __init__(self):
        self.said, self.told = asyncio.Queue(), asyncio.Queue()
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def send(self, text):
        await self.said.put({"type": "websocket.receive", "text": text})

    async def receive(self):
        return await self.said.get()

    async def tell(self, message):
        await self.is_open.wait()
        if message["type"] == "websocket.send":
            await self.told.put(message.get("text") or message.get("bytes"))

    async def __aiter__(self):
        while True:
            yield await self.told.get()


@contextlib.asynccontextmanager
async def watching(hub, organisation_id):
    """A page on a live socket of this hub, without a network between."""
    line = Line()
    socket = LiveSocket(Guest(1, organisation_id, "key"), hub, line.tell)
    hub.listeners.add(socket)
    page, task = Page(line), asyncio.create_task(socket.run(line.receive))
    try:
        yield page
    finally:
        hub.let_go(socket)
        for running in (task, page._reader):
            running.cancel()
        await asyncio.gather(task, page._reader, return_exceptions=True)


@pytest.fixture
def hub(settings):
    """Its boards are filled by the test; no bus and no database."""
    settings.LIVE_HZ = 500.0
    made = LiveHub()
    for organisation_id in (MINE, THEIRS):
        made.vehicles[organisation_id] = VehicleBoard()
        made.revisions[organisation_id] = 1
    return made


def ping(vehicle_id, lat, lon, *, state=wire.DRIVING, organisation_id=MINE, soc=50):
    row = [vehicle_id, wire.micro(lat), wire.micro(lon), 0, 30, soc, state]
    return [organisation_id, time.time(), *row]


def moved(hub, *pings):
    hub.handle({"k": "vehicles", "rows": list(pings)})


def site(hub, pk, lat, lon, *, free=1, total=2, worst=wire.STATION_FREE, owner=None):
    row = (pk, wire.micro(lat), wire.micro(lon), free, total, worst, 6)
    hub._place_stations([(row, owner)], {pk})


def gone(hub, kept):
    board = hub.vehicles[MINE].board
    hub._mark(board, board.keep_only(kept))


# --- the same by other means: one thing after the other, in plain arithmetic
def world(lat_e6, lon_e6, bits):
    lat, lon = math.radians(max(-85.0511, min(85.0511, lat_e6 / 1e6))), lon_e6 / 1e6
    y = (1 - math.asinh(math.tan(lat)) / math.pi) / 2
    return [max(0, min(2**bits - 1, math.floor(part * 2**bits))) for part in ((lon + 180) / 360, y)]


def counted(hub, organisation_id, level, box):
    bits = level + 2
    (west, north), (east, south) = (world(lat * 1e6, lon * 1e6, bits) for lon, lat in ((box[0], box[3]), box[2:0:-1]))
    found = defaultdict(lambda: {"vehicles": [], "sites": []})
    boards = (("vehicles", hub.vehicles[organisation_id].board), ("sites", hub.stations),
              ("sites", hub.depots[organisation_id]))  # fmt: skip
    for kind, board in boards:
        for record in board.live_records().tolist():
            x, y = world(record[1], record[2], bits)
            if west <= x <= east and north <= y <= south:
                found[x, y][kind].append(record)
    return {key: figures(bits, **members) for key, members in found.items()}


def figures(bits, vehicles, sites):
    states = [record[-1] for record in vehicles]
    needing = [s for s in states if s & wire.EXCEPTION or (s & wire.LOW and not s & wire.REROUTED and s & 15 != 2)]
    worst = 4 if any(s & wire.EXCEPTION for s in states) else 3 if needing else 0
    worst = worst or (0 if not states else 2 if all(s & 15 == 3 for s in states) else 1)
    colour = min([record[5] & 15 for record in sites], default=4)
    is_live = any(record[5] >> 4 == 0 for record in sites)
    parts = [[part & 255 for part in world(record[1], record[2], bits + 8)] for record in vehicles or sites]
    x, y = (sum(column) // len(parts) // 16 for column in zip(*parts, strict=True))
    free, plugs = sum(record[3] for record in sites), sum(record[4] for record in sites)
    look = worst | (colour | (0 if is_live else 8)) << 4
    return len(vehicles), len(needing), free, plugs, len(sites), x << 4 | y, look


def in_view(board, box):
    view = Viewport.of(box, 0.0)
    records = board.live_records()
    return {record[0]: record for record in records[view.holds(records)].tolist()}


def is_right(page, hub, box, organisation_id=MINE):
    """Either way of telling, it is what the boards hold."""
    if page.cells:
        return not page.vehicles and not page.stations and page.cells == counted(hub, organisation_id, page.level, box)
    sites = in_view(hub.stations, box) | in_view(hub.depots[organisation_id], box)
    return page.vehicles == in_view(hub.vehicles[organisation_id].board, box) and page.stations == sites


async def changed_at_random(hub, dice, turn):
    """Vehicles come, move, change and go, sites too; now few of them are in the box, now many."""
    states = (wire.DRIVING, wire.CHARGING | wire.LOW, wire.IDLE | wire.LOW, wire.OFFLINE)
    share = (0.1, 0.9, 0.5)[turn % 3]  # of those that are in the box
    for _ in range(dice.randrange(1, 6)):
        pings = [
            ping(pk, 13 + dice.uniform(-0.9, 0.9), 78 + dice.uniform(-0.9, 0.9), state=dice.choice(states))
            if dice.random() < share
            else ping(pk, 20 + dice.random(), 80.0)
            for pk in dice.sample(range(1, 81), 50)
        ]
        moved(hub, *pings)
        look, owner = dice.randrange(5) | dice.randrange(4) << 4, dice.choice((None, MINE, THEIRS))
        lat, free = 12 + 2.5 * dice.random(), dice.randrange(3)
        site(hub, dice.randrange(1, 12), lat, 78.0, free=free, worst=look, owner=owner)
        await asyncio.sleep(0)
    if turn % 5 == 4:
        gone(hub, dice.sample(range(1, 81), 60))
        marked = hub.vehicles[MINE].mark_all({5: wire.EXCEPTION}, time.time())
        hub._mark(hub.vehicles[MINE].board, marked.tolist())


# --- what is told
@pytest.mark.parametrize(("seed", "zoom"), [(1, 7.25), (2, 5.0), (3, 11.5), (4, 8.75)])
async def test_any_changes_of_cells_and_records_add_up_to_a_fresh_picture(hub, monkeypatch, seed, zoom):
    """Vehicles come, move, change and go, sites too, and so many that cells become records and records cells."""
    monkeypatch.setattr(cells, "FEW", 40)
    monkeypatch.setattr(cells, "MANY", 40)
    monkeypatch.setattr(cells, "ROOM", 8)
    dice = random.Random(seed)
    modes = set()
    async with watching(hub, MINE) as page:
        await page.say("view", bbox=BOX, z=zoom, pad=0.0, layers=LAYERS)
        for turn in range(24):
            await changed_at_random(hub, dice, turn)
            await page.until(lambda: page.seqs and is_right(page, hub, BOX), 20)
            modes.add(bool(page.cells))
            if turn % 4 == 3:
                pictures = page.flags.count(wire.FIRST_PART | wire.LAST_PART)
                await page.say("view", bbox=BOX, z=zoom, pad=0.0, layers=LAYERS)
                await page.until(lambda n=pictures: page.flags.count(wire.FIRST_PART | wire.LAST_PART) > n, 20)
                await page.until(lambda: is_right(page, hub, BOX), 20)
        assert modes == {True, False}
        assert page.seqs == list(range(1, len(page.seqs) + 1))


async def test_only_cells_that_changed_are_told(hub):
    for number in range(1, 301):
        moved(hub, ping(number, 12 + number / 150, 78.0))
    async with watching(hub, MINE) as page:
        await page.say("view", bbox=BOX, z=8, pad=0.0, layers=LAYERS)
        await page.until(lambda: page.cells)
        told, whole = page.told_cells, len(page.cells)
        moved(hub, ping(1, 13.99, 78.0))
        await page.until(lambda: is_right(page, hub, BOX))
        assert whole > 4 and 1 <= page.told_cells - told <= 2
        kinds = len(page.kinds)
        moved(hub, ping(1, 13.99, 78.0))  # the same again
        site(hub, 1, 28.0, 77.0)  # out of view
        moved(hub, ping(2, 13.99, 78.0))
        await page.until(lambda: is_right(page, hub, BOX) and len(page.kinds) > kinds)
        assert page.kinds[kinds:] == [wire.GRID]


async def test_a_fleet_counts_its_own_vehicles_and_depots_and_public_sites(hub, monkeypatch):
    monkeypatch.setattr(cells, "FEW", 0)
    moved(hub, ping(1, 13, 78), ping(2, 13, 78, organisation_id=THEIRS), ping(3, 13, 78, organisation_id=THEIRS))
    site(hub, 1, 13, 78, free=1, total=4)
    site(hub, 2, 13, 78, free=0, total=7, owner=THEIRS)
    site(hub, 3, 13, 78, free=2, total=2, owner=MINE)
    async with watching(hub, MINE) as page, watching(hub, THEIRS) as other:
        for watcher in (page, other):
            await watcher.say("view", bbox=None, z=6, layers=LAYERS)
            await watcher.until(lambda watcher=watcher: watcher.cells)
        ((mine,), (theirs,)) = (list(watcher.cells.values()) for watcher in (page, other))
        assert (mine[:5], theirs[:5]) == ((1, 0, 3, 6, 2), (2, 0, 1, 11, 2))
        moved(hub, ping(3, 14.9, 78, organisation_id=THEIRS))
        await other.until(lambda: len(other.cells) == 2)
        assert list(page.cells.values()) == [mine]


async def test_a_depot_that_becomes_public_stays_on_the_map(hub):
    moved(hub, ping(1, 13, 78))
    site(hub, 1, 13, 78, owner=MINE)
    async with watching(hub, MINE) as page:
        await page.say("view", bbox=BOX, z=12, layers=LAYERS)
        await page.until(lambda: set(page.stations) == {1})
        site(hub, 1, 13, 78, total=9)
        site(hub, 2, 13, 78, owner=MINE)
        await page.until(lambda: 2 in page.stations)
        moved(hub, ping(1, 13.1, 78))
        await page.until(lambda: page.vehicles[1][1] == 13_100_000)
        assert page.stations[1][4] == 9


async def test_what_is_in_focus_is_told_as_itself_among_cells(hub, monkeypatch):
    monkeypatch.setattr(cells, "FEW", 0)
    moved(hub, *(ping(number, 13, 78) for number in range(1, 9)))
    site(hub, 1, 13, 78)
    async with watching(hub, MINE) as page:
        await page.say("view", bbox=BOX, z=8, layers=LAYERS)
        await page.until(lambda: page.cells)
        assert (page.vehicles, page.stations) == ({}, {})
        await page.say("focus", veh=[3], stn=[1])
        await page.until(lambda: set(page.vehicles) == {3} and set(page.stations) == {1})
        moved(hub, ping(3, 13.5, 78), ping(4, 13.6, 78))
        await page.until(lambda: page.vehicles[3][1] == 13_500_000)
        assert set(page.vehicles) == {3}
        await page.say("focus", veh=[], stn=[])
        await page.until(lambda: not page.vehicles and not page.stations and len(page.cells) > 1)


async def test_a_page_that_does_not_ask_for_cells_gets_every_record(hub, monkeypatch):
    monkeypatch.setattr(cells, "FEW", 0)
    moved(hub, ping(1, 13, 78), ping(2, 13, 78))
    async with watching(hub, MINE) as page:
        await page.say("view", bbox=None, z=5, layers=["vehicles", "stations"])
        await page.until(lambda: set(page.vehicles) == {1, 2})
        assert wire.GRID not in page.kinds


async def test_cells_that_nobody_looked_at_for_a_while_begin_anew(hub):
    moved(hub, *(ping(number, 13, 78) for number in range(1, 201)))
    async with watching(hub, MINE) as page:
        await page.say("view", bbox=BOX, z=6, pad=0.0, layers=LAYERS)
        await page.until(lambda: page.cells)
        hub.cells_of(MINE).forget(time.monotonic() + cells.FORGET_SECONDS + 1)
        moved(hub, *(ping(number, 13.9, 78) for number in range(1, 50)))
        await page.until(lambda: is_right(page, hub, BOX))
        assert sum(cell[0] for cell in page.cells.values()) == 200


async def test_coming_closer_and_going_away_never_leaves_the_map_empty(hub):
    """What replaces a picture goes before what takes it away, in both directions."""
    moved(hub, *(ping(number, 13, 78) for number in range(1, 201)))
    async with watching(hub, MINE) as page:
        kinds = {8: [wire.GRID, wire.SNAPSHOT, wire.STATIONS], 12: [wire.SNAPSHOT, wire.STATIONS, wire.GRID]}
        for zoom in (12, 8, 12):
            before = len(page.kinds)
            await page.say("view", bbox=BOX, z=zoom, layers=LAYERS)
            await page.until(lambda before=before: len(page.kinds) >= before + 3)
            assert page.kinds[before:] == kinds[zoom]
            assert (len(page.vehicles), len(page.cells)) == ((0, 1) if zoom == 8 else (200, 0))


async def test_any_zoom_is_survived(hub):
    moved(hub, *(ping(number, 13, 78) for number in range(1, 201)))
    async with watching(hub, MINE) as page:
        await page.say("view", bbox=None, z=[8], layers=LAYERS)
        await page.say("view", bbox=None, z="near", layers=LAYERS)
        for zoom, level in ((-1e300, 0), (8.99, 8)):
            await page.say("view", bbox=BOX, z=zoom, layers=LAYERS)
            await page.until(lambda level=level: page.cells and page.level == level)
        await page.say("view", bbox=None, z=1e300, layers=LAYERS)
        await page.until(lambda: not page.cells and len(page.vehicles) == 200)
        assert page.texts == []


@pytest.mark.django_db(transaction=True)
async def test_cells_reach_pages_without_a_socket(city, dispatcher, monkeypatch):  # noqa: F811
    monkeypatch.setattr("dispatch.cells.FEW", 0)
    far = {"type": "view", **EVERYTHING, "layers": ["vehicles", "stations", "grid", "status"]}
    session = await in_thread(sign_in)(dispatcher)
    async with (
        served() as address,
        opened(address, session) as socket,
        told(address, session, HELLO, far) as page,
        told(address, session, HELLO, far, once=True) as asking,
    ):
        await socket.say("hello", v=1, last_alert=0)
        await socket.say("view", **{name: value for name, value in far.items() if name != "type"})
        for watcher in (socket, page, asking):
            await watcher.until(lambda watcher=watcher: watcher.cells and watcher.statuses)
        await asking.until(lambda: codes(asking))
        assert asking.cells == page.cells == socket.cells
        ((vehicles, needing, *_),) = asking.cells.values()
        assert (vehicles, needing, asking.vehicles) == (1, 1, {})
        assert set(asking.statuses) == {city.mine.pk}
        before = dict(page.cells)
        await in_thread(live.send_moves)([move(city.mine, soc_percent=80.0)])
        for watcher in (socket, page):
            await watcher.until(lambda watcher=watcher: watcher.cells != before)
        assert page.cells == socket.cells
        assert [cell[1] for cell in page.cells.values()] == [0]


# --- what it is made of
@pytest.mark.parametrize(
    ("states", "needing", "worst"),
    [
        ([wire.DRIVING, wire.OFFLINE], 0, cells.FINE),
        ([wire.OFFLINE, wire.OFFLINE | wire.STALE], 0, cells.SILENT),
        ([wire.DRIVING | wire.LOW, wire.IDLE], 1, cells.NEEDED),
        ([wire.CHARGING | wire.LOW, wire.DRIVING | wire.LOW | wire.REROUTED], 0, cells.FINE),
        ([wire.CHARGING | wire.EXCEPTION, wire.DRIVING | wire.LOW], 2, cells.ALARM),
    ],
)
def test_who_needs_a_person(states, needing, worst):
    fleet = VehicleBoard().board
    for pk, state in enumerate(states, start=1):
        fleet.put((pk, 13_000_000, 78_000_000, 0, 0, 50, state))
    (cell,) = FleetCells(fleet, []).at(5).filled(Viewport())
    assert (int(cell["needing"]), int(cell["worst"]) & 15) == (needing, worst)


def test_cells_change_back_later_than_they_come():
    assert [is_crowded(count, 8.9, is_already=False) for count in (100, 101)] == [False, True]
    assert [is_crowded(count, 8.9, is_already=True) for count in (80, 81)] == [False, True]
    assert [is_crowded(count, 9.0, is_already=False) for count in (101, 5_000, 5_001)] == [False, False, True]


def test_fifty_thousand_vehicles_are_a_picture_of_bounded_size():
    dice = np.random.default_rng(7)
    fleet = VehicleBoard()
    lat, lon = (dice.uniform(low, low + 25, 50_000) * 1e6 for low in (8.0, 69.0))
    rows = [((n + 1, int(lat[n]), int(lon[n]), 0, 9, 50, wire.DRIVING), 1.0) for n in range(50_000)]
    assert len(fleet.move_all(rows, 2.0)) == 50_000
    overview = Overview(FleetCells(fleet.board, []))
    for view, zoom in ((Viewport(), 18.0), (Viewport(), 4.0), (Viewport.of([69, 8, 94, 33], 0.25), 8.0)):
        told = overview.snapshot(view, zoom)
        assert 20 < len(told) <= cells.MOST_CELLS
        assert told["vehicles"].sum() == 50_000
    assert cells.MOST_CELLS * wire.CELL.itemsize <= 40_000


def test_the_newest_of_a_batch_counts_and_late_or_retired_ones_do_not():
    fleet = VehicleBoard()
    fleet.active = frozenset({1, 2})

    def row(pk, soc):
        return (pk, 1, 1, 0, 0, soc, wire.IDLE)

    batch = [(row(1, 30), 10.0), (row(1, 31), 12.0), (row(1, 29), 11.0), (row(3, 9), 12.0), (row(2, 50), 12.0)]
    changed = fleet.move_all(batch, 12.0)
    assert sorted(fleet.board.records[changed]["id"].tolist()) == [1, 2]
    assert dict(fleet.board.live_records()[["id", "soc"]].tolist()) == {1: 31, 2: 50}
    assert fleet.move_all([(row(1, 99), 11.9)], 12.0).tolist() == []
    assert fleet.move_all([(row(2, 50), 13.0)], 13.0).tolist() == []  # newer, and nothing else
    assert fleet.newest_at() == 13.0
    assert fleet.refresh_all(12.0 + 121).tolist() == [0]  # its last word is 121 seconds old, that of the other 120
    assert fleet.board.records[0]["state"] == wire.IDLE | wire.STALE


def test_marks_that_come_before_their_vehicle_are_kept():
    fleet = VehicleBoard()
    assert fleet.mark_all({7: wire.EXCEPTION}, 1.0).tolist() == []
    fleet.move_all([((7, 1, 1, 0, 0, 50, wire.IDLE), 1.0)], 1.0)
    assert fleet.board.records[0]["state"] == wire.EXCEPTION
    fleet.marks = {}
    assert fleet.refresh_all(1.0).tolist() == [0]
    assert fleet.board.records[0]["state"] == wire.IDLE


def test_browsers_that_ask_at_different_times_each_get_what_they_lack():
    board = Board(wire.VEHICLE)
    book = StatusBook(board)
    early, late = StatusLayer(book), StatusLayer(book)

    def lacked(layer, now):
        return {record[0]: record[1] for record in layer.changed(now).tolist()}

    for pk in (1, 2, 3):
        board.put((pk, 1, 1, 0, 0, 50, 0))
    assert lacked(early, 0.0) == {1: 50, 2: 50, 3: 50}
    board.put((2, 1, 1, 0, 0, 40, 0))
    board.put((3, 9, 9, 9, 9, 50, 0))  # moved, and nothing else
    assert lacked(early, 1.0) == {2: 40}
    board.drop(1)
    assert lacked(late, 2.0) == {2: 40, 3: 50}
    board.put((1, 1, 1, 0, 0, 50, 0))  # is back as it was
    assert lacked(early, 3.0) == lacked(late, 3.0) == {1: 50}
    assert lacked(early, 4.0) == {}
