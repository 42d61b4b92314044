"""The scripts ask one module what time it is: the clock of somebody's laptop decides nothing."""

import re
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "static" / "js"


def test_only_the_clock_reads_the_clock() -> None:
    own = re.compile(r"Date\.now\(|new Date\(\)|\bDate\(\)")
    readers = {path.name for path in SCRIPTS.rglob("*.js") if own.search(path.read_text())}
    assert readers == {"clock.js"}
