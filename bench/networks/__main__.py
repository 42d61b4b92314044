"""Networks: big reads, duplicates, a full sync with flat memory, pushes to the commit and on to a client of the stream.

    python -m bench.networks [--scale 1.0] [--rate 1000] [--seconds 10]

Runs on engines of its own in a temporary folder; the server has one core to itself. `--scale 0.1` is a tenth of the
rows. The nearest sites at 100,000 are `python -m bench.nearest`, which this runs last. The exit code is 1 when a goal
is not reached.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.networks.parts import Line, duplicates, pushes, reads, sync


def missed(lines: Sequence[Line]) -> list[str]:
    """Names of what has a goal and did not reach it."""
    return [name for name, _, goal, is_reached in lines if goal and not is_reached]


def measure(scale: float, rate: float, seconds: float) -> list[Line]:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    cores = sorted(os.sched_getaffinity(0))
    lines: list[Line] = []
    parts: list[Callable[[], list[Line]]] = [
        lambda: reads(round(1_000 * scale), 40),
        lambda: duplicates(round(5_000 * scale)),
        lambda: sync(round(10_000 * scale), cores[-1]),
        lambda: pushes(rate, seconds, cores[0]),
    ]
    for part in parts:
        found = part()
        for name, figure, goal, is_reached in found:
            verdict = f"{goal}: {'reached' if is_reached else 'NOT reached'}" if goal else ""
            print(f"  {name:70} {figure:28} {verdict}", flush=True)
        lines += found
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=1_000.0, help="pushes a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each push phase")
    options = parser.parse_args()
    print(f"networks at scale {options.scale:g}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as folder:
        Path(folder).chmod(0o755)  # the engines may run under another uid
        os.environ |= {"FLEETCHARGE_VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        import django

        from fleetcharge.embedded import provide_engines, release_engines

        provide_engines()
        try:
            django.setup()
            goals_missed = missed(measure(options.scale, options.rate, options.seconds))
        finally:
            release_engines()
    nearest = [sys.executable, "-m", "bench.nearest", "--stations", str(round(100_000 * options.scale))]
    for name in ("DATABASE_URL", "REDIS_URL", "FLEETCHARGE_VAR_DIR"):
        os.environ.pop(name, None)
    return subprocess.run(nearest, check=False).returncode or int(bool(goals_missed))


if __name__ == "__main__":
    raise SystemExit(main())
