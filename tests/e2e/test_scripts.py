"""The scripts that must be right: decoding frames, keeping state, waiting for the line, telling numbers."""

import json
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from dispatch import wire
from tests.e2e.conftest import Watched

pytestmark = pytest.mark.browser

VAN = (7, 12_959_500, 77_700_000, 64, 31, 14, wire.DRIVING | wire.LOW | wire.REROUTED)


@pytest.fixture
def page(web: Watched) -> Page:
    """Any page with the import map."""
    opened = web.page()
    opened.goto(f"{web.server.url}/login/")
    return opened


def frame(kind: int, rows: Any, flags: int = 3, seq: int = 1, kind_of_row: Any = wire.VEHICLE) -> list[int]:
    """As the server writes it; the page gets plain bytes."""
    body = np.array(rows, dtype=kind_of_row) if rows else np.zeros(0, kind_of_row)
    return list(wire.frame(kind, flags, seq, 5, body))


def run(page: Page, body: str, **values: Any) -> Any:
    """`body` runs with the modules as `wire`, `format`, `actions`, `socket`, a class `Store`, and `values` as `v`."""
    return page.evaluate(
        """async (v) => {
          const [wire, {Store}, format, actions, socket] = await Promise.all(
            ["wire", "store", "format", "actions", "socket"].map((name) => import(`fc/${name}`)));
          const {LiveSocket} = socket;
          const bytes = (list) => new Uint8Array(list).buffer;
        """
        + body
        + "}",
        values,
    )


FAKE_LINE = """
  function begin() {
    const s = new Store(); const states = []; let socket = null;
    window.WebSocket = class { constructor() { socket = this; } send() {} close() {} };
    const say = () => undefined;
    const live = new LiveSocket({store: s, url: "", onState: (state) => states.push(state), onSignedOut: say, onRev: say, random: () => 1});
    live.open();
    const says = (message) => socket.onmessage({data: JSON.stringify(message)});
    const line = {
      says, hears: (list) => socket.onmessage({data: bytes(list)}), closes: (code) => socket.onclose({code}),
      welcome: (at = new Date().toISOString()) => says({type: "welcome", epoch: 1, server_time: at, rev: 0}),
    };
    return {s, live, line, states};
  }
"""  # noqa: E501
"""A socket without a network: what it hears, and what becomes of the page's knowledge."""


def test_a_vehicle_is_read_as_it_was_written(page: Page) -> None:
    told = run(
        page,
        "const s = new Store(); const f = s.applyFrame(bytes(v.frame));"
        "return {seq: f.seq, rev: f.rev, van: s.vehicle(7)}",
        frame=frame(wire.SNAPSHOT, [VAN], flags=5, seq=9),
    )
    assert (told["seq"], told["rev"]) == (9, 5)
    expected = {
        "id": 7, "latitude": 12.9595, "longitude": 77.7, "heading": 90, "speed": 31, "soc": 14, "state": 1,
        "isLow": True, "isStale": False, "isException": False, "isRerouted": True, "group": "low", "name": None,
    }  # fmt: skip
    assert told["van"] == expected


def test_a_vehicle_out_of_view_is_known_by_its_status(page: Page) -> None:
    statuses = [(7, 99, wire.IDLE, 0), (8, 12, wire.CHARGING | wire.LOW, 0), (9, wire.SOC_UNKNOWN, wire.OFFLINE, 0)]
    told = run(
        page,
        "const s = new Store(); s.applyFrame(bytes(v.van)); s.applyFrame(bytes(v.statuses));"
        "return [7, 8, 9, 10].map((id) => s.known(id)).map((van) => van && [van.soc, van.group, van.latitude ?? null])",
        van=frame(wire.SNAPSHOT, [VAN], flags=5),
        statuses=frame(wire.STATUS, statuses, seq=2, kind_of_row=wire.VEHICLE_STATUS),
    )
    assert told == [[14, "low", 12.9595], [12, "low", None], [None, "offline", None], None]


def test_the_list_is_in_the_order_of_urgency_charge_and_plates(page: Page) -> None:
    """Figures count by their value; who waits for a decision goes first in its group; unknown charge goes last."""
    vans = [
        (1, 0, 0, 0, 0, 40, wire.DRIVING), (2, 0, 0, 0, 0, 40, wire.DRIVING), (3, 0, 0, 0, 0, 255, wire.DRIVING),
        (4, 0, 0, 0, 0, 18, wire.DRIVING | wire.LOW), (5, 0, 0, 0, 0, 19, wire.DRIVING | wire.LOW),
        (6, 0, 0, 0, 0, 7, wire.CHARGING),
    ]  # fmt: skip
    plates = {1: "KA 10", 2: "ka 9", 3: "KA 1", 4: "B 1", 5: "B 2", 6: "C 1", 7: "A 1"}
    told = run(
        page,
        """const {byPlate, inOrder} = await import("fc/order"); const s = new Store();
          s.applyFrame(bytes(v.frame));
          s.applyStatic({rev: 1, details_rev: 1, stations: [], vehicles: v.names});
          s.applyAlert({id: 1, revision: 1, op: "add", vehicle_id: 5, plan: {id: 1, state: "proposed"}});
          const ids = byPlate(s.vehicleNames);
          const by = (sort, isShown = () => true) => inOrder(s, ids, sort, isShown).order.map(([id]) => id);
          return {urgency: by("urgency"), soc: by("soc"), plate: by("plate"),
            low: by("urgency", (id, group) => group === "low"),
            counts: inOrder(s, ids, "urgency", () => false).counts};""",
        frame=frame(wire.SNAPSHOT, vans, flags=5),
        names=[{"id": pk, "registration": plate} for pk, plate in plates.items()],
    )
    assert told == {
        "urgency": [5, 4, 6, 2, 1, 3, 7], "soc": [6, 4, 5, 2, 1, 7, 3], "plate": [7, 4, 5, 6, 3, 2, 1], "low": [5, 4],
        "counts": {"low": 2, "charging": 1, "driving": 3, "parked": 0, "offline": 1},
    }  # fmt: skip


def test_unknown_charge_is_not_255_percent(page: Page) -> None:
    row = (*VAN[:5], wire.SOC_UNKNOWN, wire.OFFLINE)
    soc = run(page, "const s = new Store(); s.applyFrame(bytes(v.f)); return s.vehicle(7).soc", f=frame(2, [row]))
    assert soc is None


def test_a_snapshot_in_parts_drops_only_what_it_does_not_name(page: Page) -> None:
    rows = [(number, 12_000_000, 77_000_000, 0, 0, 50, 0) for number in range(1, 6)]
    frames = [
        frame(wire.SNAPSHOT, rows, flags=5),
        frame(wire.SNAPSHOT, rows[:2], flags=4, seq=2),
        frame(wire.SNAPSHOT, rows[3:4], flags=1, seq=3),
    ]
    counts = run(
        page,
        "const s = new Store(); const n = [];"
        "for (const f of v.frames) { s.applyFrame(bytes(f)); n.push(s.vehicles.count) }"
        "return [n, [...s.vehicles.index.keys()].sort()]",
        frames=frames,
    )
    assert counts == [[5, 5, 3], [1, 2, 4]]


def test_delta_on_the_old_state_is_the_new_state(page: Page) -> None:
    old = [(number, 12_000_000 + number, 77_000_000, 0, 0, 50, 0) for number in range(1, 400)]
    moved = [(number, 13_000_000 + number, 77_500_000, 9, 9, 40, 1) for number in range(1, 400, 3)]
    gone = np.array([2, 5, 398], "<u4")
    kept = {row[0]: row for row in old} | {row[0]: row for row in moved}
    for number in gone:
        kept.pop(int(number))
    remove = list(wire.frame(wire.REMOVE, 0, 3, 5, gone))
    told = run(
        page,
        "const s = new Store(); for (const f of v.frames) s.applyFrame(bytes(f));"
        "return [...s.vehicles.index.keys()].map((id) => s.vehicle(id))"
        ".map((van) => [van.id, Math.round(van.latitude * 1e6), van.soc])",
        frames=[frame(1, old, flags=5), frame(2, moved, seq=2), remove],
    )
    assert sorted(told) == sorted([row[0], row[1], row[5]] for row in kept.values())


def test_stations_and_their_removal_do_not_touch_vehicles(page: Page) -> None:
    hub = (3, 12_959_500, 77_700_000, 2, 4, wire.FRESHNESS["recent"] << 4, 12)
    told = run(
        page,
        "const s = new Store(); s.applyFrame(bytes(v.van)); s.applyFrame(bytes(v.hub)); const before = s.station(3);"
        "s.applyFrame(bytes(v.gone)); return [before, s.station(3), s.vehicles.count]",
        van=frame(1, [VAN], flags=5),
        hub=frame(wire.STATIONS, [hub], flags=5, kind_of_row=wire.STATION),
        gone=list(wire.frame(wire.REMOVE, wire.STATION_IDS, 3, 5, np.array([3], "<u4"))),
    )
    assert [told[0][name] for name in ("free", "total", "worst", "fresh", "powerKw")] == [2, 4, 0, 1, 120]
    assert told[1:] == [None, 1]


def test_what_a_dead_socket_began_to_tell_is_no_part_of_the_next_snapshot(page: Page) -> None:
    rows = [(number, 12_000_000, 77_000_000, 0, 0, 50, 0) for number in range(1, 5)]
    told = run(
        page,
        FAKE_LINE + "const {s, line} = begin(); const ids = () => [...s.vehicles.index.keys()].sort();"
        "line.hears(v.whole); line.hears(v.begun); line.welcome(); line.hears(v.delta); const kept = ids();"
        "line.hears(v.begun); line.hears(v.next); return [kept, ids()]",
        whole=frame(wire.SNAPSHOT, rows[:3], flags=5),
        begun=frame(wire.SNAPSHOT, rows[:1], flags=4, seq=2),
        delta=frame(wire.DELTA, rows[1:2], flags=1),
        next=frame(wire.SNAPSHOT, rows[3:], flags=5, seq=3),
    )
    assert told == [[1, 2, 3], [4]]


@pytest.mark.parametrize(("down_ms", "longest"), [(0, 2500), (61_000, 15_000)])
def test_a_line_that_broke_a_moment_ago_is_tried_again_soon(page: Page, down_ms: int, longest: int) -> None:
    """The pauses grow up to 2.5 s in the first minute, so that a restart is over within three; then up to 15 s."""
    told = run(
        page,
        FAKE_LINE
        + """
        const {live, line} = begin(); line.welcome(); const waits = []; const clock = window.setTimeout;
        window.setTimeout = (work, ms) => waits.push(ms);
        for (let n = 0; n < 8; n++) { line.closes(1006); live.downSince = performance.now() - v.down; }
        window.setTimeout = clock;
        return waits;
        """,
        down=down_ms,
    )
    assert told[:3] == [500, 1000, 2000]
    assert told[-1] == longest == max(told)


def test_who_may_not_watch_is_told_so_and_not_tried_again(page: Page) -> None:
    told = run(
        page,
        FAKE_LINE + "const {live, line, states} = begin(); line.welcome(); line.closes(4403);"
        "return [states, live.timer === null]",
    )
    assert told == [["live", "refused"], True]


def test_the_clock_is_the_servers(page: Page) -> None:
    """Hours off, and set anew while the page is open."""
    told = run(
        page,
        FAKE_LINE
        + """
        const {serverNow} = await import("fc/clock"); const {line} = begin();
        line.welcome("2026-11-21T09:00:00Z"); const first = serverNow();
        Date.now = () => 0; const second = serverNow();
        line.says({type: "kpi", server_time: "2026-11-21T09:30:00Z"}); // the machine slept
        return [first, second, serverNow()].map((at) => new Date(at).toISOString().slice(0, 16));
        """,
    )
    assert told == ["2026-11-21T09:00", "2026-11-21T09:00", "2026-11-21T09:30"]


@pytest.mark.parametrize("broken", [[], [1] * 16, [0xFC, 1, 1, 5, *[0] * 8, 9, 0, 0, 0], [0xFC, 2, 1, 5, *[0] * 12]])
def test_a_broken_frame_changes_nothing(page: Page, broken: list[int]) -> None:
    told = run(
        page,
        "const s = new Store(); s.applyFrame(bytes(v.van)); let kind = null;"
        "try { s.applyFrame(bytes(v.broken)) } catch (error) { kind = error instanceof wire.BadFrame }"
        "return [kind, s.vehicles.count, s.vehicle(7).soc]",
        van=frame(1, [VAN], flags=5),
        broken=broken,
    )
    assert told == [True, 1, 14]


def test_details_change_the_vehicles_they_name_and_are_asked_for_from_where_the_page_is(page: Page) -> None:
    told = run(
        page,
        FAKE_LINE
        + """
        const {s, live, line} = begin(); const sent = [];
        const made = window.WebSocket.prototype;
        made.readyState = 1; made.send = (text) => sent.push(JSON.parse(text));
        const asked = () => sent.filter((one) => one.type === "details").map((one) => one.rev);
        line.welcome(); const before = asked();
        const van = (id) => ({id, registration: `KA ${id}`, driver: "Asha", next_stop: {name: "A"}});
        s.applyStatic({rev: 5, details_rev: 8, organisation: {}, vehicles: [van(1), van(2)], stations: []});
        live.askDetails();
        const vehicles = [{id: 2, driver: "Ravi", next_stop: null}, {id: 3, driver: "?"}];
        line.says({type: "details", rev: 9, vehicles});
        line.welcome();
        const names = [...s.vehicleNames.values()].map((one) => [one.registration, one.driver, one.next_stop]);
        return [before, asked(), names];
        """,
    )
    assert told == [[], [8, 9], [["KA 1", "Asha", {"name": "A"}], ["KA 2", "Ravi", None]]]


def test_alerts_keep_the_newest_revision_and_sort_by_what_they_cost(page: Page) -> None:
    base = {"severity": "warn", "opened_at": "2026-11-21T06:00:00Z", "op": "add", "plan": None, "snoozed_until": None}
    alerts = [
        {**base, "id": 1, "revision": 1, "title": "old"},
        {
            **base,
            "id": 2,
            "revision": 2,
            "severity": "bad",
            "plan": {"id": 1, "state": "proposed", "delay_seconds": 60},
        },
        {
            **base,
            "id": 3,
            "revision": 3,
            "severity": "bad",
            "plan": {"id": 2, "state": "proposed", "delay_seconds": 600},
        },
        {**base, "id": 1, "revision": 5, "title": "new"},
        {**base, "id": 1, "revision": 4, "title": "late"},
        {**base, "id": 4, "revision": 6},
        {**base, "id": 4, "revision": 7, "op": "del"},
        {**base, "id": 5, "revision": 8, "snoozed_until": "2999-01-01T00:00:00Z"},
    ]
    told = run(
        page,
        "const s = new Store(); for (const a of v.alerts) s.applyAlert(a);"
        "return [s.queue().map((a) => a.id), s.alerts.get(1).title, s.lastAlert]",
        alerts=alerts,
    )
    assert told == [[3, 2, 1], "new", 8]


def test_an_action_waits_for_the_line_and_is_sent_once_with_one_key(page: Page) -> None:
    told = run(
        page,
        """
        const sent = []; let isUp = false;
        const fetcher = async (url, options) => {
          sent.push(options.headers["Idempotency-Key"]);
          if (!isUp) throw new TypeError("down");
          return new Response(JSON.stringify({ok: 1}), {status: 200});
        };
        const queue = new actions.Actions({fetcher});
        const answer = queue.post("plans/1/accept/");
        await new Promise((resolve) => setTimeout(resolve, 30));
        const waiting = queue.queued();
        isUp = true;
        window.dispatchEvent(new Event("online"));
        const got = await answer;
        return [waiting, got, sent.length, new Set(sent).size, queue.queued()];
        """,
    )
    assert told == [["plans/1/accept/"], {"ok": 1}, 2, 1, []]


KEPT = """
  const {KeptActions, forgetAll, LONGEST_WAIT_MS} = await import("fc/kept-actions");
  const sent = []; let status = 200; let code = "plan_closed"; const told = []; const left = [];
  const fetcher = async (url, options) => {
    sent.push([url.replace(/^undefined/, ""), options.headers["Idempotency-Key"]]);
    if (!status) throw new TypeError("down");
    return new Response(JSON.stringify({code}), {status});
  };
  const queueOf = (who, more = {}) => new actions.Actions({fetcher, kept: new KeptActions({who, ...more}),
    leave: (isOut) => left.push(isOut), onLate: ({what}, error) => told.push([what, error?.code ?? "done"])});
  const settled = async (queue) => { while (queue.isBusy) await new Promise((resolve) => setTimeout(resolve)); };
  const inBrowser = () => Object.keys(localStorage).filter((name) => name.startsWith("fleetcharge.waiting.")).length;
"""
"""An API that answers as a test says, and decisions that are kept in the browser's own storage."""


def test_what_waits_outlives_its_page_and_is_sent_once_by_one_page_of_whoever_decided_it(page: Page) -> None:
    decide = """
        status = 0;
        const queue = queueOf("7.1");
        queue.post("plans/1/accept/", {}, "Accepting");
        queue.post("plans/1/undo/", {}, "Undoing");
        await settled(queue);
        const beside = queueOf("7.1");
        await beside.takeUp(); // a second page while the first one lives
        return [sent, beside.waiting.length, inBrowser()];
    """
    first, beside, kept = run(page, KEPT + decide)
    assert (len(first), beside, kept) == (1, 0, 2)
    page.goto(f"{page.url}?next=/dispatch/")  # not as after a sign-out
    follow = """
        const others = [queueOf("8.1"), queueOf("7.2")];
        for (const other of others) await other.takeUp();
        const strange = sent.length;
        const pages = [queueOf("7.1"), queueOf("7.1")];
        await Promise.all(pages.map((one) => one.takeUp()));
        for (const one of pages) await settled(one);
        return [strange, sent, told, inBrowser()];
    """
    strange, sent, told, left = run(page, KEPT + follow)
    assert (strange, [path for path, _key in sent]) == (0, ["plans/1/accept/", "plans/1/undo/"])
    assert sent[0][1] == first[0][1]
    assert (told, left) == ([["Accepting", "done"], ["Undoing", "done"]], 0)


def test_what_waited_too_long_or_was_refused_is_told_and_what_is_signed_out_is_forgotten(page: Page) -> None:
    decide = """
        status = 0;
        const queue = queueOf("7.1");
        queue.post("plans/1/accept/", {}, "First").catch(() => {});
        await settled(queue);
        return inBrowser();
    """
    assert run(page, KEPT + decide) == 1
    page.goto(f"{page.url}?next=/dispatch/")  # not as after a sign-out
    follow = """
        status = 409;
        await queueOf("7.1").takeUp();
        let passed = 0;
        status = 0;
        const late = queueOf("7.1", {now: () => Date.now() + passed});
        const old = late.post("plans/2/accept/").catch((error) => error.code);
        await settled(late);
        passed = LONGEST_WAIT_MS + 1000;
        await late.flush();
        const refusal = await old;
        const queue = queueOf("7.1");
        queue.post("plans/3/accept/");
        await settled(queue);
        forgetAll();
        const before = sent.length;
        status = 200;
        await queue.flush();
        return [told, refusal, inBrowser(), sent.length - before, queue.waiting.length];
    """
    assert run(page, KEPT + follow) == [[["First", "plan_closed"]], "too_old", 0, 0, 0]


@pytest.mark.parametrize(("status", "code", "is_out"), [(401, "", True), (409, "decided_by_another", False)])
def test_what_another_sign_in_would_send_waits_for_whoever_decided_it(
    page: Page, status: int, code: str, is_out: bool
) -> None:
    told = run(
        page,
        KEPT
        + """
        [status, code] = [v.status, v.code];
        const queue = queueOf("7.1");
        queue.post("plans/1/accept/");
        await settled(queue);
        window.dispatchEvent(new Event("online"));
        return [left, inBrowser(), sent.length, queue.queued()];
        """,
        status=status,
        code=code,
    )
    assert told == [[is_out], 1, 1, ["plans/1/accept/"]]


def test_a_question_that_nobody_answers_ends_as_one_without_a_line(page: Page) -> None:
    told = run(
        page,
        """
        const {ask} = await import("fc/ask");
        const [real, asked] = [window.fetch, []];
        window.fetch = (url, {signal, method}) => new Promise((resolve, reject) => {
          asked.push([url.split("/").pop(), method]);
          if (signal && url !== "silent") resolve(new Response('"yes"'));
          else signal.addEventListener("abort", () => reject(signal.reason));
        });
        const name = await ask("silent", {method: "POST"}, 20).catch((error) => error.name);
        const decided = await new actions.Actions().postNow("start");
        window.fetch = real;
        return [name, decided, asked];
        """,
    )
    assert told == ["AbortError", "yes", [["silent", "POST"], ["undefinedstart", "POST"]]]


def test_a_decision_that_is_still_at_work_is_asked_for_again_with_its_key(page: Page) -> None:
    told = run(
        page,
        """
        const keys = [];
        const fetcher = async (url, options) => {
          keys.push(options.headers["Idempotency-Key"]);
          return keys.length < 2 ? new Response(JSON.stringify({code: "in_progress"}), {status: 409})
            : new Response(JSON.stringify({state: "accepted"}), {status: 200});
        };
        const queue = new actions.Actions({fetcher});
        const answer = queue.post("plans/1/accept/");
        while (queue.isBusy) await new Promise((resolve) => setTimeout(resolve));
        const waiting = queue.queued();
        window.dispatchEvent(new Event("online"));
        return [waiting, await answer, keys.length, new Set(keys).size];
        """,
    )
    assert told == [["plans/1/accept/"], {"state": "accepted"}, 2, 1]


def test_what_must_happen_now_never_waits_for_the_line(page: Page) -> None:
    told = run(
        page,
        """
        let tries = 0;
        const fetcher = async () => { tries++; throw new TypeError("down"); };
        const queue = new actions.Actions({fetcher});
        const code = await queue.postNow("session-commands/start/").catch((error) => error.code);
        window.dispatchEvent(new Event("online"));
        await queue.flush();
        return [code, tries, queue.queued()];
        """,
    )
    assert told == ["no_line", 1, []]


def test_times_are_entered_in_the_fleets_zone(page: Page) -> None:
    told = run(
        page,
        """
        const at = new Date("2026-11-21T20:45:00Z");
        return [format.wallTime(at), format.fromWallTime("2026-11-22T02:15").toISOString()];
        """,
    )
    assert told == ["2026-11-22T02:15", "2026-11-21T20:45:00.000Z"]


def test_a_refusal_is_told_and_does_not_block_the_next_action(page: Page) -> None:
    told = run(
        page,
        """
        let n = 0;
        const fetcher = async () => n++ ? new Response("{}", {status: 200})
          : new Response(JSON.stringify({detail: "Somebody was faster.", code: "conflict"}), {status: 409});
        const queue = new actions.Actions({fetcher});
        const first = queue.post("a/").catch((error) => [error.status, error.code, error.message]);
        const second = queue.post("b/");
        return [await first, await second];
        """,
    )
    assert told == [[409, "conflict", "Somebody was faster."], {}]


def test_numbers_read_as_in_india(page: Page) -> None:
    told = run(
        page,
        "return [format.rupees(34120850), format.integer(1234567), format.rupees(null), format.power(7_900_000),"
        "format.since(v.at, v.now), format.hourMinute('2026-11-21T09:02:00Z')]",
        at="2026-11-21T09:00:00Z",
        now=1_795_251_648_000,
    )
    assert told == ["₹3,41,208.50", "12,34,567", "–", "7.9 MW", "0:48", "14:32"], json.dumps(told)


@pytest.mark.parametrize(
    ("port", "place", "url"),
    [
        (0, {"protocol": "http:", "hostname": "127.0.0.1", "port": "8000"}, "ws://127.0.0.1:8000/ws/live/"),
        (8001, {"protocol": "http:", "hostname": "127.0.0.1", "port": "8000"}, "ws://127.0.0.1:8001/ws/live/"),
        (0, {"protocol": "https:", "hostname": "fleet.example", "port": ""}, "wss://fleet.example/ws/live/"),
    ],
)
def test_the_socket_address(page: Page, port: int, place: dict[str, str], url: str) -> None:
    assert run(page, "return socket.liveUrl(v.port, v.place)", port=port, place=place) == url
