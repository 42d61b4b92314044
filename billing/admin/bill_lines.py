"""Lines of a network's bill as its pages show them."""

from collections.abc import Iterable
from typing import Any

from billing.admin.shown import kwh, money
from billing.models import NetworkBillRow


def rows_shown(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    labels = dict(NetworkBillRow.Outcome.choices)
    return [
        {
            "line": each["line"] or "—", "reference": each["reference"], "outcome": labels[each["outcome"]],
            "amounts": [money(each[name]) for name in ("total_paise", "record_paise", "difference_paise")],
            "energy": ["—" if each[name] is None else kwh(each[name])
                       for name in ("energy_wh", "record_wh", "meter_wh")],
        }
        for each in rows
    ]  # fmt: skip
