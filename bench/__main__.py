"""Every headline figure, one after the other: `python -m bench`, or only some: `python -m bench nearest pings`."""

import subprocess
import sys

PARTS = (
    "ocpp",
    "pings",
    "nearest",
    "routes",
    "roads",
    "dispatch",
    "reroute",
    "live",
    "ui",
    "billing",
    "desk",
    "payments",
    "month",
    "reconciliation",
    "networks",
)


def main() -> int:
    wanted = sys.argv[1:] or PARTS
    if unknown := set(wanted) - set(PARTS):
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
        return 2
    failed = []
    for part in wanted:
        print(f"\n== {part}", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{part}"], check=False).returncode:  # each has its own engines
            failed.append(part)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
