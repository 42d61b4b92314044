"""Browsers that look alike are told alike: from one picture, whoever comes, goes, falls behind or looks elsewhere."""

import asyncio
import random
import time

import numpy as np
import pytest

from dispatch import cells, wire
from dispatch.boards import VehicleBoard, Viewport
from dispatch.cells import FleetCells, Overview
from dispatch.pictures import Look, Picture
from dispatch.sights import LONGEST_PAUSE_SECONDS, MOST_SHARE, Sights, next_after
from dispatch.tests.browser import Held
from dispatch.tests.test_cells import (
    BOX,
    LAYERS,
    MINE,
    THEIRS,
    changed_at_random,
    counted,
    gone,
    hub,
    in_view,
    is_right,
    moved,
    ping,
    site,
    watching,
)  # fmt: skip

__all__ = ["hub"]  # a fixture
ELSEWHERE = [77.5, 12.5, 80.5, 21.0]


async def look(page, box=BOX, **fields):
    await page.say("view", bbox=box, pad=0.0, **{"z": 12, "layers": LAYERS, **fields})


async def settled(page, hub, box):
    await page.until(lambda: page.seqs and is_right(page, hub, box), 20)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def line_of(page):
    return page.socket


@pytest.mark.parametrize(("seed", "zoom"), [(1, 7.25), (2, 11.5), (3, 8.75), (4, 5.0), (5, 12.0), (6, 6.5)])
async def test_whatever_happens_to_one_viewer_all_see_what_is_there(hub, monkeypatch, seed, zoom):
    """One reads on, one falls behind, one looks elsewhere and comes back, one joins amid it all, one sleeps."""
    for name, value in (("FEW", 40), ("MANY", 40), ("ROOM", 8)):
        monkeypatch.setattr(cells, name, value)
    dice, modes = random.Random(seed), set()
    async with (
        watching(hub, MINE) as steady, watching(hub, MINE) as slow, watching(hub, MINE) as mover,
        watching(hub, MINE) as late, watching(hub, MINE) as sleeper, watching(hub, THEIRS) as stranger,
    ):  # fmt: skip
        boxes = {steady: BOX, slow: BOX, mover: BOX, sleeper: BOX, stranger: BOX}
        for page in boxes:
            await look(page, z=zoom)
        for turn in range(20):
            asleep, stuck = turn % 6 in (3, 4), dice.random() < 0.5
            await sleeper.say("pause" if asleep else "resume")
            if stuck:
                line_of(slow).is_open.clear()
            if dice.random() < 0.4:
                boxes[mover] = dice.choice((BOX, ELSEWHERE))
                await look(mover, boxes[mover], z=zoom)
            if turn in (7, 13):
                boxes[late] = BOX
                await changed_at_random(hub, dice, turn)
                await look(late, z=zoom)
            if turn == 11:
                hub.sights.begin_anew()
            await changed_at_random(hub, dice, turn)
            behind = {slow} if stuck else set()
            for page in set(boxes) - behind - ({sleeper} if asleep else set()):
                await page.until(
                    lambda page=page: page.seqs and is_right(page, hub, boxes[page], _fleet(page, stranger))
                )
            line_of(slow).is_open.set()
            await settled(slow, hub, BOX)
            modes.add(bool(steady.cells))
        for page in boxes:
            assert page.seqs == list(range(1, len(page.seqs) + 1))
        assert modes == {True, False}
        assert stranger.vehicles == {}


def _fleet(page, stranger):
    return THEIRS if page is stranger else MINE


async def test_what_changed_is_found_out_and_packed_once_for_all_who_look_alike(hub, monkeypatch):
    packed = []
    pack = wire.packed
    monkeypatch.setattr(wire, "packed", lambda *told: packed.append(told[0]) or pack(*told))
    moved(hub, ping(1, 13, 78))
    async with watching(hub, MINE) as one, watching(hub, MINE) as two, watching(hub, MINE) as three:
        for page in (one, two, three):
            await look(page)
            await settled(page, hub, BOX)
        assert len(hub.sights) == 1
        packed.clear()
        moved(hub, ping(1, 13.5, 78))
        for page in (one, two, three):
            await settled(page, hub, BOX)
        assert packed == [wire.DELTA]


async def test_another_box_zoom_focus_layer_or_fleet_is_another_sight(hub):
    moved(hub, ping(1, 13, 78), ping(2, 13, 78, organisation_id=THEIRS))
    async with watching(hub, MINE) as page, watching(hub, MINE) as other, watching(hub, THEIRS) as stranger:
        await look(page)
        await look(stranger)
        for fields in ({"box": None}, {"z": 11}, {"layers": ["vehicles"]}):
            await look(other, **fields)
            await until(lambda: len(hub.sights) == 3)
        await look(other)
        await until(lambda: len(hub.sights) == 2)
        await other.say("focus", veh=[2], stn=[])
        await until(lambda: len(hub.sights) == 3)
        await stranger.until(lambda: set(stranger.vehicles) == {2})
        assert set(other.vehicles) == {1}


async def test_a_sight_ends_with_its_last_viewer_and_what_a_fleet_needed_with_its_last_browser(hub):
    moved(hub, *(ping(number, 13, 78) for number in range(1, 201)))
    async with watching(hub, MINE) as page:
        async with watching(hub, MINE) as other:
            for watcher in (page, other):
                await look(watcher, z=8)
                await watcher.until(lambda watcher=watcher: watcher.cells)
            assert len(hub.sights) == 1 and hub.cells_of(MINE)._sources
        assert len(hub.sights) == 1
        await page.say("pause")
        await until(lambda: len(hub.sights) == 0)
        await page.say("resume")
        await until(lambda: len(hub.sights) == 1)
    assert (len(hub.sights), hub._cells, hub._statuses) == (0, {}, {})


async def test_a_browser_that_looks_at_records_needs_no_sums(hub):
    moved(hub, ping(1, 13, 78))
    async with watching(hub, MINE) as page:
        await look(page)
        await settled(page, hub, BOX)
        assert hub.cells_of(MINE)._sources == []


async def test_sums_go_with_their_last_level(hub):
    moved(hub, *(ping(number, 13, 78) for number in range(1, 201)))
    overview = Overview(hub.cells_of(MINE))
    overview.snapshot(Viewport.of(BOX, 0), 8)
    hub.cells_of(MINE).forget(time.monotonic() + cells.FORGET_SECONDS + 1)
    assert hub.cells_of(MINE)._sources == [] and overview.is_outdated


async def test_who_falls_behind_holds_up_nobody_and_is_told_the_newest_of_all_at_once(hub):
    moved(hub, ping(1, 13, 78), ping(2, 13, 78))
    async with watching(hub, MINE) as page, watching(hub, MINE) as slow:
        for watcher in (page, slow):
            await look(watcher)
            await settled(watcher, hub, BOX)
        line_of(slow).is_open.clear()
        told = len(slow.seqs)
        for number in range(1, 20):
            moved(hub, ping(1, 13 + number / 100, 78))
            await settled(page, hub, BOX)
        moved(hub, ping(2, 25.0, 78))
        await page.until(lambda: set(page.vehicles) == {1})
        line_of(slow).is_open.set()
        await settled(slow, hub, BOX)
        assert len(slow.seqs) - told < 6
        assert wire.SNAPSHOT not in slow.kinds[told:]
        moved(hub, ping(1, 13, 78))
        await settled(slow, hub, BOX)
        await until(lambda: len(hub.sights) == 1)


async def test_who_does_not_acknowledge_is_told_seldomer_and_alone(hub):
    moved(hub, ping(1, 13, 78))
    async with watching(hub, MINE) as page, watching(hub, MINE) as slow:
        for watcher in (page, slow):
            await look(watcher)
            await settled(watcher, hub, BOX)
        (socket,) = (listener for listener in hub.listeners if listener._send == line_of(slow).tell)
        socket._unacked[0] = (1, time.monotonic() - 6)
        moved(hub, ping(1, 13.1, 78))
        await settled(page, hub, BOX)
        await until(lambda: len(hub.sights) == 2)
        assert socket.pause(time.monotonic()) == 1.0
        await slow.say("ack", seq=slow.seqs[-1])
        await settled(slow, hub, BOX)
        moved(hub, ping(1, 13.2, 78))
        await settled(slow, hub, BOX)
        await until(lambda: len(hub.sights) == 1)


async def test_one_who_joins_between_two_frames_loses_what_goes_before_the_next(hub):
    """It saw a vehicle that the others were never told of; when that goes, it is told so, too."""
    async with watching(hub, MINE) as page, watching(hub, MINE) as late:
        await look(page)
        await until(lambda: len(hub.sights) == 1)
        await page.until(lambda: page.seqs)
        (sight,) = hub.sights._all
        hub.vehicles[MINE].move_all([(tuple(ping(1, 13, 78)[2:]), 1.0)], 1.0)  # the hub has not told the sights yet
        await look(late)
        await late.until(lambda: 1 in late.vehicles)
        assert 1 not in page.vehicles and len(sight.viewers) == 2
        hub._mark(hub.vehicles[MINE].board, [0])
        gone(hub, [])
        await late.until(lambda: not late.vehicles)


async def test_who_is_in_focus_elsewhere_does_not_make_a_box_crowded(hub, monkeypatch):
    monkeypatch.setattr(cells, "MANY", 10)
    moved(hub, *(ping(number, 20, 70) for number in range(1, 31)), *(ping(number, 13, 78) for number in range(31, 36)))
    async with watching(hub, MINE) as page:
        await page.say("focus", veh=list(range(1, 31)), stn=[])
        await look(page)
        await page.until(lambda: len(page.vehicles) == 35)
        for number in range(1, 6):
            moved(hub, ping(31, 13 + number / 100, 78))
            await page.until(lambda number=number: page.vehicles[31][1] == wire.micro(13 + number / 100))
        assert page.kinds[3:] == [wire.DELTA] * 5 and not page.cells


async def test_a_box_that_becomes_crowded_is_told_as_cells_at_once(hub, monkeypatch):
    monkeypatch.setattr(cells, "MANY", 10)
    moved(hub, ping(1, 13, 78))
    async with watching(hub, MINE) as page:
        await look(page)
        await settled(page, hub, BOX)
        before = len(page.kinds)
        moved(hub, *(ping(number, 13.5, 78) for number in range(2, 40)))
        await page.until(lambda: len(page.kinds) >= before + 3)
        assert page.kinds[before:] == [wire.GRID, wire.SNAPSHOT, wire.STATIONS]
        before = len(page.kinds)
        gone(hub, [1])
        await page.until(lambda: len(page.kinds) >= before + 3)
        assert page.kinds[before:] == [wire.SNAPSHOT, wire.STATIONS, wire.GRID]


async def test_what_cannot_be_told_sends_its_viewers_away_and_nobody_else(hub, monkeypatch):
    frames = Picture.frames

    def fail(picture, rev):
        if picture.look.zoom == 7:
            raise ArithmeticError("no such place")
        return frames(picture, rev)

    monkeypatch.setattr(Picture, "frames", fail)
    moved(hub, ping(1, 13, 78))
    async with watching(hub, MINE) as page, watching(hub, MINE) as other:
        await look(page, z=7)
        await look(other)
        await page.until(lambda: [text["code"] for text in page.of_type("bye")] == [1011])
        moved(hub, ping(1, 13.3, 78))
        await settled(other, hub, BOX)


async def test_who_joins_what_cannot_be_shown_is_sent_away_and_nobody_else(hub, monkeypatch):
    moved(hub, ping(1, 13, 78))
    async with watching(hub, MINE) as page, watching(hub, MINE) as late:
        await look(page)
        await settled(page, hub, BOX)

        def fail(picture, rev):
            raise ArithmeticError("no such place")

        monkeypatch.setattr(Picture, "whole", fail)
        await look(late)
        await late.until(lambda: [text["code"] for text in late.of_type("bye")] == [1011])
        moved(hub, ping(1, 13.3, 78))
        await settled(page, hub, BOX)


async def test_a_focus_that_can_be_of_nothing_is_no_harm(hub):
    moved(hub, ping(1, 13, 78))
    site(hub, 1, 13, 78)
    async with watching(hub, MINE) as page:
        await page.say("focus", veh=[-1, 2**63, 2**32, 1], stn=[0])
        await look(page)
        await settled(page, hub, BOX)
        assert page.texts == []


# --- what of it is told to whom, without a clock
class Group:
    """Those who are told the same from one picture."""

    def __init__(self, picture, readers):
        self.picture, self.readers = picture, readers

    def tell(self):
        for frame in self.picture.frames(1) if self.picture.is_due else ():
            for reader in self.readers:
                reader.take(frame.numbered(1))

    def join(self, reader):
        self.readers.append(reader)
        for frame in self.picture.whole(1) or ():
            reader.take(frame.numbered(1))


class Play:
    """Boards that change, groups that split, grow and merge, in any order."""

    def __init__(self, hub, dice, zoom, focus):
        self.hub, self.dice, self.dirty = hub, dice, {}
        layers = frozenset(LAYERS)
        look = Look(MINE, Viewport.of(BOX, 0.0), zoom, layers, vehicles=focus)
        self.groups = [Group(hub._picture_of(look), [Held()])]

    def change(self):
        fleet, pk = self.hub.vehicles[MINE], self.dice.randrange(1, 61)
        if self.dice.random() < 0.3:
            self._touched(fleet.board, [fleet.board.drop(pk)])
        else:
            lat = 13 + self.dice.uniform(-1.5, 1.5)
            row = (pk, wire.micro(lat), 78_000_000, 0, 0, self.dice.randrange(100), wire.DRIVING)
            self._touched(fleet.board, fleet.move_all([(row, 1.0)], 1.0).tolist())
        board, pk = self.dice.choice((self.hub.stations, self.hub.depots[MINE])), self.dice.randrange(1, 9)
        pk += 100 if board is self.hub.stations else 0
        self._touched(board, [board.put((pk, 13_000_000, 78_000_000, self.dice.randrange(3), 2, 0, 6))])

    def _touched(self, board, indexes):
        self.dirty.setdefault(board, set()).update(index for index in indexes if index is not None)

    def flush(self):
        changed = {board: np.array(sorted(rows), np.intp) for board, rows in self.dirty.items()}
        self.dirty = {}
        self.hub.cells_of(MINE).mark(changed)
        for group in self.groups:
            group.picture.mark(changed)

    def tell(self):
        self.dice.choice(self.groups).tell()

    def join(self):
        self.dice.choice(self.groups).join(Held())

    def split(self):
        group = self.dice.choice(self.groups)
        if len(group.readers) > 1:
            self.groups.append(Group(group.picture.fork(), [group.readers.pop()]))

    def merge(self):
        group = self.groups[self.dice.randrange(len(self.groups))]
        other = self.groups[self.dice.randrange(len(self.groups))]
        if group is other:
            return
        self.groups.remove(other)
        if group.picture.absorb(other.picture):
            group.readers += other.readers
        else:
            for reader in other.readers:
                group.join(reader)

    def begin_anew(self):
        if self.dice.random() < 0.1:
            self.dice.choice(self.groups).picture.begin_anew()


@pytest.mark.parametrize("seed", range(12))
def test_pictures_that_split_and_merge_in_any_order_leave_everybody_with_what_is_there(hub, monkeypatch, seed):
    for name, value in (("FEW", 25), ("MANY", 25), ("ROOM", 8)):
        monkeypatch.setattr(cells, name, value)
    dice, modes = random.Random(seed), set()
    focus = frozenset({1, 2, 3}) if seed % 3 == 2 else frozenset()
    play = Play(hub, dice, zoom=(7.5, 12.0)[seed % 2], focus=focus)
    deeds = [play.change] * 6 + [play.flush, play.tell, play.join, play.split, play.merge, play.begin_anew]
    for _ in range(30):
        for _ in range(25):
            dice.choice(deeds)()
        play.flush()
        for group in play.groups:
            group.tell()
            for reader in group.readers:
                modes.add(bool(reader.cells))
                assert _is_right_beside_focus(reader, hub, focus)
    assert modes == {True, False}


def test_who_comes_back_loses_with_the_others_what_it_alone_had_seen(hub):
    play = Play(hub, random.Random(1), zoom=12.0, focus=frozenset())
    play.join()
    (group,) = play.groups
    group.tell()
    play.split()
    alone = play.groups[1]
    board = hub.vehicles[MINE].board
    play._touched(board, [board.put((1, 13_000_000, 78_000_000, 0, 0, 50, 0))])
    play.flush()
    alone.tell()
    (reader,) = alone.readers
    assert set(reader.vehicles) == {1} and group.picture.absorb(alone.picture)
    group.readers.append(reader)
    play._touched(board, [board.drop(1)])
    play.flush()
    group.tell()
    assert reader.vehicles == {}


def _is_right_beside_focus(reader, hub, focus):
    live = {record[0]: record for record in hub.vehicles[MINE].board.live_records().tolist()}
    seen = {pk: live[pk] for pk in focus if pk in live}
    if reader.cells:
        return reader.vehicles == seen and not reader.stations and reader.cells == counted(hub, MINE, reader.level, BOX)
    sites = in_view(hub.stations, BOX) | in_view(hub.depots[MINE], BOX)
    return reader.vehicles == seen | in_view(hub.vehicles[MINE].board, BOX) and reader.stations == sites


# --- pace and size
def test_one_late_frame_delays_no_other_and_the_rate_is_kept():
    due_at, waited = 0.0, []
    for number in range(1, 50):
        now = number * 0.1 + (0.07 if number == 20 else 0.0)  # changes come as often as they are told, one of them late
        waited.append(max(0.0, due_at - now))
        due_at = next_after(due_at, max(now, due_at), 0.1)
    assert max(waited) < 0.001
    told = []
    for tick in range(1000):  # ten times as many: one in ten goes out, after a rest one more
        if (now := 100 + tick * 0.01) >= due_at:
            told.append(now)
            due_at = next_after(due_at, now, 0.1)
    assert len(told) in (101, 102)


def test_telling_that_takes_too_much_of_the_process_is_done_seldomer_and_often_again_when_it_may():
    sights = Sights(lambda _: None, lambda _: 1, hz=10.0)
    begun = sights._weighed_at
    for second in range(1, 4):  # a round of all that is looked at takes 60 ms
        sights.spent_seconds = 0.06 / sights.pause_seconds
        sights.weigh(begun + second)
    assert sights.pause_seconds == pytest.approx(0.06 / MOST_SHARE)
    sights.spent_seconds = 0.9 / sights.pause_seconds
    sights.weigh(begun + 4)
    assert sights.pause_seconds == LONGEST_PAUSE_SECONDS
    sights.weigh(begun + 5)
    assert sights.pause_seconds == 0.1


@pytest.mark.parametrize(("view", "zoom"), [(Viewport(), 18.0), (Viewport.of([69, 8, 94, 33], 0.25), 18.0)])
def test_a_country_from_near_is_one_level_the_finest_that_is_small_enough(view, zoom):
    dice = np.random.default_rng(7)
    fleet = VehicleBoard()
    lat, lon = (dice.uniform(low, low + 25, 20_000) * 1e6 for low in (8.0, 69.0))
    fleet.move_all([((n + 1, int(lat[n]), int(lon[n]), 0, 9, 50, wire.DRIVING), 1.0) for n in range(20_000)], 2.0)
    shared = FleetCells(fleet.board, [])
    told = Overview(shared).snapshot(view, zoom)
    (level,) = shared._levels
    assert len(told) <= cells.MOST_CELLS < len(shared.at(level + 1).filled(view))
