"""Chromium as it looks at our page: frames, first sight, the pixel of a ping, the bytes of a first visit."""

import contextlib
import http.client
import itertools
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import Browser, Page, sync_playwright

from bench.ui import load, weight
from bench.ui.fleet import MARK_EAST, MARK_WEST, NORTH, SOUTH, Fleet, sample
from bench.ui.report import Report, at_percent
from bench.ui.system import System

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-precise-memory-info",
]  # fmt: skip
PROBES = Path(__file__).with_name("probes.js")
SECONDS = 6.0
PATIENCE_MS = 60_000
LONG_MS = 50.0
PAN_PIXELS, PAN_STEPS, STEP_SECONDS = 480, 48, 0.016
MARK_PAUSE_SECONDS = 0.2
DRAWN = "disabled-by-default-devtools.timeline.frame"


@dataclass(frozen=True)
class Frames:
    """What was presented in some seconds."""

    fps: float
    presented: float
    """By the compositor's own count, a second."""
    p95_ms: float
    longest_ms: float
    long: int
    heap_mb: float

    def __str__(self) -> str:
        return (
            f"{self.fps:5.1f} FPS (compositor {self.presented:.1f})   frame p95 {self.p95_ms:.0f} ms, "
            f"longest {self.longest_ms:.0f} ms   {self.long} long frames   heap at most {self.heap_mb:.0f} MB"
        )


class Chromium:
    """One browser; each page is a first visit."""

    def __init__(self, browser: Browser, *, is_profiled: bool = False) -> None:
        self._browser, self.is_profiled = browser, is_profiled

    @contextlib.contextmanager
    def visit(self, url: str = "about:blank", session: str = "", before: str = "") -> Iterator[Page]:
        context = self._browser.new_context(
            viewport={"width": 1440, "height": 900}, locale="en-IN", timezone_id="Asia/Kolkata"
        )
        if session:
            context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
        context.add_init_script(PROBES.read_text() + before)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: print(f"  the page failed: {error}"))
        try:
            page.goto(url + ("/dispatch/" if session else ""))
            yield page
        finally:
            context.close()

    def frames(self, page: Page, meanwhile: Callable[[], None] | None = None, probe: str = "") -> Frames:
        """Of `SECONDS`; `meanwhile` is done while they are counted."""
        self._browser.start_tracing(page=page, categories=[DRAWN])
        with self._profile(page):
            page.evaluate(f"() => {{ window.told = {probe or f'bench.frames({SECONDS * 1000})'}; }}")
            if meanwhile:
                meanwhile()
            told = page.evaluate("window.told")
        events = json.loads(self._browser.stop_tracing())["traceEvents"]
        return _frames(told, sum(event["name"] == "DrawFrame" for event in events))

    @contextlib.contextmanager
    def _profile(self, page: Page) -> Iterator[None]:
        if not self.is_profiled:
            yield
            return
        session = page.context.new_cdp_session(page)
        session.send("Profiler.enable")
        session.send("Profiler.setSamplingInterval", {"interval": 500})
        session.send("Profiler.start")
        yield
        _print_profile(session.send("Profiler.stop")["profile"])

    @staticmethod
    def heap_mb(page: Page) -> float:
        """What is held once the rest is collected."""
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def _frames(told: dict[str, Any], drawn: int) -> Frames:
    at = told["at"]
    gaps = [later - sooner for sooner, later in itertools.pairwise(at)]
    seconds = (at[-1] - at[0]) / 1000
    long = sum(gap > LONG_MS for gap in gaps)
    return Frames(len(gaps) / seconds, drawn / seconds, at_percent(gaps, 95), max(gaps), long, told["heap"] / 1e6)


def _print_profile(profile: dict[str, Any]) -> None:
    """Where the samples fell, the most first."""
    nodes = {node["id"]: node["callFrame"] for node in profile["nodes"]}
    spent: dict[str, float] = {}
    for node, micros in zip(profile["samples"], profile["timeDeltas"], strict=True):
        frame = nodes[node]
        name = f"{frame['functionName'] or '(anonymous)'} {frame['url'].rsplit('/', 1)[-1]}:{frame['lineNumber'] + 1}"
        spent[name] = spent.get(name, 0.0) + micros / 1000
    for name, ms in sorted(spent.items(), key=lambda pair: -pair[1])[:18]:
        print(f"      {ms:8.0f} ms  {name}")


@contextlib.contextmanager
def chromium(*, is_profiled: bool = False) -> Iterator[Chromium]:
    """Without a GPU: its own software draws."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield Chromium(browser, is_profiled=is_profiled)
        finally:
            browser.close()


@dataclass(frozen=True)
class Look:
    """Who looks at what, and who is told."""

    report: Report
    eyes: Chromium
    system: System


# --- the layer ----------------------------------------------------------------------------------------------------


def layer(
    look: Look, fleet: Fleet, *, still: float | None = None, panning: float | None = None, heap_mb: float | None = None,
    are_cells: bool = False,
) -> None:  # fmt: skip
    """Frames of the page with the whole fleet in view, every vehicle moved each second."""
    report, eyes, count = look.report, look.eyes, len(fleet.vehicle_ids)
    report.title(f"{count} vehicles, all moved each second" + (", as the product tells them" if are_cells else ""))
    with eyes.visit(look.system.url, fleet.session, _watch_for([] if are_cells else sample(count))) as page:
        page.evaluate(f"bench.until('interactive', {PATIENCE_MS})")
        size = page.evaluate("bench.layer()")
        with load.driving(fleet.organisation_id, fleet.vehicle_ids):
            page.wait_for_timeout(2_000)
            at_rest = eyes.frames(page)
            moved = eyes.frames(page, lambda: pan(page))
        held = eyes.heap_mb(page)
    floors = _floors(report, eyes, count, size)
    report.says("still", str(at_rest))
    report.says("panning", str(moved))
    report.figure("still", at_rest.fps, "FPS", at_least=still, floor=floors)
    report.figure("panning", moved.fps, "FPS", at_least=panning, floor=floors)
    report.figure("heap, garbage collected", held, "MB", at_most=heap_mb)


def _watch_for(places: list[tuple[float, float]]) -> str:
    return f"bench.firstSight({json.dumps(places)});"


def served(look: Look, *fleets: Fleet) -> None:
    for fleet in fleets:
        layer(look, fleet, are_cells=True)


def _floors(report: Report, eyes: Chromium, count: int, size: dict[str, float]) -> float:
    """Nothing drawn, and a canvas of the same size cleared and filled anew in each frame; frames of the second."""
    canvas = f"{size['width']}, {size['height']}"
    with eyes.visit() as page:
        empty = eyes.frames(page, probe=f"bench.bare({SECONDS * 500}, 0, {canvas})")
        full = eyes.frames(page, probe=f"bench.bare({SECONDS * 500}, {count}, {canvas})")
    report.says(f"floor: {canvas} cleared each frame", str(empty))
    report.says(f"floor: and {count} copies each frame", str(full))
    return full.fps


def pan(page: Page) -> None:
    """A hand that drags the map to and fro, lets go in between, at sixty moves a second if the page keeps up."""
    ends = time.monotonic() + SECONDS
    centre_x, centre_y = 700, 560
    sign = 1
    while time.monotonic() < ends:
        page.mouse.move(centre_x - sign * PAN_PIXELS / 2, centre_y)
        page.mouse.down()
        due = time.monotonic()
        for step in range(1, PAN_STEPS + 1):
            page.mouse.move(centre_x + sign * PAN_PIXELS * (step / PAN_STEPS - 0.5), centre_y + 30 * (step / PAN_STEPS))
            due = max(due + STEP_SECONDS, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
        page.mouse.up()
        sign = -sign


def first_sight(look: Look, fleet: Fleet, *, goal_seconds: float) -> None:
    """From the click on the link until all is there and a click is answered; the median of five first visits."""
    report, eyes, system = look.report, look.eyes, look.system
    report.title(f"first sight of {len(fleet.vehicle_ids)} vehicles")
    visits = [_first_sight(eyes, system, fleet) for _ in range(6)][1:]  # the first warms the server
    median = {name: at_percent([visit[name] for visit in visits], 50) / 1000 for name in visits[0]}
    names = {
        "byte": "first byte",
        "rows": "first rows",
        "live": "line",
        "drawn": "vehicles drawn",
        "list": "list whole",
    }
    report.says("in turn", "   ".join(f"{text} {median[name]:.2f} s" for name, text in names.items()))
    with eyes.visit(f"{system.url}/login/") as page:
        bare = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete") / 1000
    report.says("floor: the sign-in page complete", f"{bare:9.2f} s")
    report.figure("interactive", median["interactive"], "s", at_most=goal_seconds, floor=bare)


def _first_sight(eyes: Chromium, system: System, fleet: Fleet) -> dict[str, float]:
    with eyes.visit(system.url, fleet.session, _watch_for(sample(len(fleet.vehicle_ids)))) as page:
        page.evaluate(f"bench.until('interactive', {PATIENCE_MS})")
        byte = page.evaluate("performance.getEntriesByType('navigation')[0].responseStart")
        return {"byte": byte, **page.evaluate("bench.at")}


# --- telemetry to pixel -------------------------------------------------------------------------------------------


def pixel(look: Look, fleet: Fleet, *, slug: str, rate: float, goal_ms: float) -> None:
    """From the first byte of a ping's request until the frame with its vehicle is there, while others ping, too."""
    report, eyes, system = look.report, look.eyes, look.system
    report.title(f"a ping to its pixel, {rate:,.0f} others each second")
    places = random.Random(3)
    with eyes.visit(system.url, fleet.session, _watch_for(sample(len(fleet.vehicle_ids), 100))) as page:
        page.evaluate(f"bench.until('interactive', {PATIENCE_MS})")
        quiet = [_seen(page, system, fleet, slug, number, places) for number in range(20)]
        with load.pinging(system.realtime_port, fleet.api_key, slug, len(fleet.vehicle_ids), rate) as sent:
            page.wait_for_timeout(2_000)
            with eyes._profile(page):
                busy = [_seen(page, system, fleet, slug, number, places) for number in range(20, len(fleet.marker_ids))]
    told = sent[0]
    late = f"answered p95 {at_percent(told.taken, 95) * 1000:.0f} ms"
    refused = f"refused {len(told.refused)} {told.refused[:1] or ''}"
    report.says("pings", f"{told.count / told.seconds:,.0f}/s, {late}, {refused}")
    least = [ms for ms in quiet if ms is not None]
    came = [ms for ms in busy if ms is not None]
    report.says(
        "floor: one ping in a fleet at rest",
        f"p50 {at_percent(least, 50):.0f} ms   p95 {at_percent(least, 95):.0f} ms   never {len(quiet) - len(least)}",
    )
    report.figure("POST to pixel p50", at_percent(came, 50), "ms", floor=at_percent(least, 50))
    report.figure("POST to pixel p95", at_percent(came, 95), "ms", at_most=goal_ms, floor=at_percent(least, 95))
    report.figure("never seen", len(busy) - len(came), "", at_most=0)


def _seen(page: Page, system: System, fleet: Fleet, slug: str, number: int, places: random.Random) -> float | None:
    """Milliseconds; each marker is used once, at a place of its own."""
    latitude, longitude = _corner(number, len(fleet.marker_ids))
    page.evaluate(f"() => bench.colour({latitude}, {longitude}, 5000)")
    time.sleep(MARK_PAUSE_SECONDS * places.uniform(0.8, 1.2))  # no beat with the frames
    line = http.client.HTTPConnection("127.0.0.1", system.realtime_port, timeout=30)
    line.connect()
    began = time.time()
    line.sock.sendall(load.ping(fleet.api_key, f"{slug}-{len(fleet.vehicle_ids) + number}", latitude, longitude, 60))
    seen = page.evaluate("bench.seen")
    line.close()
    return None if seen is None else cast(float, seen) - began * 1000


def _corner(number: int, count: int) -> tuple[float, float]:
    """Rows of two in the free strip."""
    row = number // 2
    latitude = SOUTH + (NORTH - SOUTH) * row / (count / 2)
    return round(latitude, 6), MARK_WEST if number % 2 else MARK_EAST


# --- bytes --------------------------------------------------------------------------------------------------------


def weigh(look: Look, fleet: Fleet, *, goal_kb: float) -> None:
    """What a first visit loads, by kind; what crosses the wire is beside it."""
    report, eyes, system = look.report, look.eyes, look.system
    report.title("bytes of a first visit")
    with eyes.visit(system.url, fleet.session, _watch_for([])) as page:
        page.evaluate(f"bench.until('live', {PATIENCE_MS})")
        page.wait_for_load_state("networkidle")
        html = page.context.request.get(f"{system.url}/dispatch/").body()
        loaded = page.evaluate(
            "performance.getEntriesByType('resource').filter((entry) => /\\.(js|css)$/.test(entry.name))"
            ".map((entry) => [entry.name, entry.encodedBodySize])"
        )
        bodies = {address: page.context.request.get(address).body() for address, _ in loaded}
    texts = {address.removeprefix(system.url): body.decode() for address, body in bodies.items()}
    first = _first(html.decode(), texts)
    kinds = {
        "HTML": [html.decode()],
        "CSS": [text for address, text in first.items() if address.endswith(".css")],
        "JS": [text for address, text in first.items() if address.endswith(".js")],
    }
    wire = len(html) + sum(size for _, size in loaded)
    report.says("on the wire", f"{wire / 1000:9.1f} kB in {len(loaded) + 1} files")
    for kind, those in kinds.items():
        report.says(f"{kind}, gzip", f"{weight.gzipped(those) / 1000:9.1f} kB")
    late = [text for address, text in texts.items() if address not in first]
    report.says("the map's ground, afterwards", f"{weight.gzipped(late) / 1000:9.1f} kB")
    packed = weight.gzipped([text for those in kinds.values() for text in those])
    report.figure("HTML, CSS and JS, gzip", packed / 1000, "kB", at_most=goal_kb)


def _first(html: str, texts: dict[str, str]) -> dict[str, str]:
    """What the page needs to run. The test of the suite reads it as text: it must find what the browser does."""
    read = lambda address: texts.get(address, "")  # noqa: E731
    found = weight.loaded(html, read, is_late_too=True)
    if set(found) != set(texts):
        raise SystemExit(f"read from the page and loaded by the browser differ: {sorted(set(found) ^ set(texts))}")
    return weight.loaded(html, read)
