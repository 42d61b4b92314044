"""The dispatcher's screen, measured in Chromium without a GPU beside the machine's own floors.

python -m bench.ui                    everything; exits with 1 when a goal is not reached
python -m bench.ui sight fleet        only these
    sight   time until the page can be used, with 10,000 vehicles in view
    fleet   frames with 10,000 moving vehicles, still and while the map is dragged
    crowd   the same with 50,000, and the heap
    served  both as the product tells them: more than some thousand in view are cells
    pixel   from a ping's request to its pixel, while 2,000 others ping each second
    sockets 1,000 browsers, ten changes a second: how late, and the process's share of a core
    weight  bytes of HTML, CSS and JS of a first visit
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.ui.report import Report

PARTS = ("weight", "sight", "fleet", "crowd", "served", "pixel", "sockets")
MANY, CROWD, MARKERS, BROWSERS, PINGS = 10_000, 50_000, 120, 1_000, 2_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="what to measure; all of it by default")
    parser.add_argument("--profile", action="store_true", help="say where the page's scripts spend their time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as var:
        Path(var).chmod(0o755)  # the engines may run under another uid
        from bench.ui.system import prepare

        prepare(Path(var))
        try:
            return _measure(options.parts or list(PARTS), is_profiled=options.profile)
        finally:
            from fleetcharge.embedded import release_engines

            release_engines()


def _measure(wanted: list[str], *, is_profiled: bool) -> int:
    from bench.ui import fleet as fleets
    from bench.ui.report import Report

    report = Report()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    fleets.build_city()
    if looked := [part for part in PARTS if part in wanted and part != "sockets"]:
        _look(report, looked, is_profiled=is_profiled)
    if "sockets" in wanted:
        from bench.ui.sockets import fan_out
        from fleetcharge.lib.tuning import allow_many_sockets

        allow_many_sockets()
        watched = fleets.build_fleet("watched", 1_000, people=BROWSERS)
        report.title(f"{BROWSERS} browsers, ten changes a second")
        fan_out(report, watched, goal_ms=150, goal_percent=30)
    print(f"\nnot reached: {', '.join(report.missed) or 'none'}")
    return int(bool(report.missed))


def _look(report: "Report", parts: list[str], *, is_profiled: bool) -> None:
    """Each part with servers and a browser that remember nothing of the one before."""
    from bench.ui import browser
    from bench.ui.fleet import analyze, build_fleet
    from bench.ui.system import running

    many = build_fleet("many", MANY, markers=MARKERS)
    crowd = build_fleet("crowd", CROWD) if {"crowd", "served"} & set(parts) else many
    analyze()
    runs: dict[str, Callable[[browser.Look], None]] = {
        "weight": lambda look: browser.weigh(look, many, goal_kb=180),
        "sight": lambda look: browser.first_sight(look, many, goal_seconds=1.5),
        "fleet": lambda look: browser.layer(look, many, still=50, panning=40),
        "crowd": lambda look: browser.layer(look, crowd, still=40, panning=40, heap_mb=60),
        "served": lambda look: browser.served(look, many, crowd),
        "pixel": lambda look: browser.pixel(look, many, slug="many", rate=PINGS, goal_ms=500),
    }
    for part in parts:
        are_all_sprites = part not in ("served", "weight")
        with running(are_all_sprites=are_all_sprites) as system, browser.chromium(is_profiled=is_profiled) as eyes:
            runs[part](browser.Look(report, eyes, system))


if __name__ == "__main__":
    raise SystemExit(main())
