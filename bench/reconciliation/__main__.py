"""Verdicts against millions of pings, and settlements against the bank.

    python -m bench.reconciliation [verdicts] [settlements] [--pings 10000000] [--rows 200000]

Runs on engines of its own in a temporary folder. CPU time is ours and that of our database connection, so that a busy
machine does not change the verdict.
"""

import argparse
import os
import tempfile

PARTS = ("verdicts", "settlements")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--pings", type=int, default=10_000_000)
    parser.add_argument("--sessions", type=int, default=4_000, help="Up to 4 a vehicle and day.")
    parser.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 (the engines may run under another uid)
        os.environ |= {"FLEETCHARGE_VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        import django

        from fleetcharge.embedded import provide_engines, release_engines

        provide_engines()
        try:
            django.setup()
            run(options)
        finally:
            release_engines()


def run(options: argparse.Namespace) -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for part in options.parts or PARTS:
        if part == "verdicts":
            from bench.reconciliation import verdicts

            verdicts.run(pings=options.pings, sessions=options.sessions)
        else:
            from bench.reconciliation import settlements

            settlements.run(rows=options.rows)


if __name__ == "__main__":
    main()
