"""The OCPP endpoint, measured beside its floors; PostgreSQL with fsync on, in a temporary folder.

python -m bench.ocpp                     everything; exits with 1 when a goal is not reached
python -m bench.ocpp throughput storm    only these (throughput, steady, idle, storm, command)
"""

import argparse
import asyncio
import contextlib
import os
import tempfile
from pathlib import Path

PARTS = ("throughput", "steady", "idle", "storm", "command")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="what to measure; all of it by default")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load phase")
    parser.add_argument("--sockets", type=int, default=200, help="of the closed loop")
    parser.add_argument("--package-on", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--storing", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.package_on:
        from bench.ocpp.servers import package_server

        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(package_server(options.package_on, is_quiet=options.quiet, is_storing=options.storing))
        return 0
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as var:
        return _in_folder(Path(var), options)


def _in_folder(var: Path, options: argparse.Namespace) -> int:
    var.chmod(0o755)  # the engines may run under another uid
    for variable in ("DATABASE_URL", "REDIS_URL", "FLEETCHARGE_THROW_AWAY"):
        os.environ.pop(variable, None)
    os.environ["FLEETCHARGE_VAR_DIR"] = str(var)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
    import django

    django.setup()
    try:
        return _measure(var, options)
    finally:
        from fleetcharge.embedded import release_engines

        release_engines()


def _measure(var: Path, options: argparse.Namespace) -> int:
    from bench.ocpp import scenarios, stations
    from fleetcharge.lib.tuning import allow_many_sockets

    allow_many_sockets()
    cores = scenarios.Cores()
    transactions = stations.make_chargers(10_000)
    os.sched_setaffinity(0, {cores.client})  # PostgreSQL runs by now, and goes where there is room
    wanted = options.parts or PARTS
    runs = {
        "throughput": lambda: scenarios.throughput(cores, transactions[: options.sockets], options.seconds, var),
        "steady": lambda: scenarios.steady(cores, transactions[:5_000], max(options.seconds, 15)),
        "idle": lambda: scenarios.idle(cores, 10_000),
        "storm": lambda: scenarios.storm(cores, 2_000),
        "command": lambda: scenarios.command(cores, 200, 300),
    }
    outcomes = [runs[part]() for part in PARTS if part in wanted]  # all of them, also after one went wrong
    return int(not all(outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
