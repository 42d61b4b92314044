"""The chart of accounts in docs/billing.md is the one of the code."""

import re
from pathlib import Path

from billing.services.ledger import CHART

PAGE = Path(__file__).resolve().parents[2] / "docs" / "billing.md"


def test_every_account_is_told_with_its_kind() -> None:
    chart = PAGE.read_text().partition("### Chart of accounts")[2].partition("**Flows.**")[0]
    told = {}
    for names, kind in re.findall(r"^\| (`[^|]+`) \| (\w+) \|", chart, re.MULTILINE):
        told.update(dict.fromkeys(re.findall(r"`([a-z_]+)", names), kind))
    assert told == {name: str(kind) for name, (kind, _) in CHART.items()}
