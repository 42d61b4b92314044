"""A disputed price as a file to send: what the network asks, what its tariff gives, and where the two part. Pure.

As CSV for people (one fact a row) or JSON for machines. A cell never begins like a formula.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

HEADER = ("section", "item", "quantity", "unit price", "ours", "theirs", "note")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(pack: dict[str, Any]) -> str:
    """`pack` as `billing.services.disputes.pack` makes it."""
    return table(HEADER, _rows(pack))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(header)
    for row in rows:
        lines.writerow([_cell(value) for value in row])
    return out.getvalue()


def _rows(pack: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [("record", name, "", "", "", "", value) for name, value in pack["record"].items()]
    total = pack["total"]
    rows.append(("total", "Without tax", "", "", *map(rupees, total["without_tax"].values()), ""))
    rows.append(("total", "With tax", "", "", *map(rupees, total["with_tax"].values()), ""))
    rows.append(("total", "Asked too much", "", "", "", rupees(total["difference_paise"]), pack["currency"]))
    for found in pack["findings"]:
        rows.append(("finding", found["rule"], "", "", rupees(found["ours"]), rupees(found["theirs"]), found["text"]))
    for line in pack["our_price"]:
        quantity = f"{line['quantity']} {line['unit']}"
        rows.append(("our price", line["dimension"], quantity, _unit(line), rupees(line["amount_paise"]), "", ""))
    rows += [("their price", name, "", "", "", amount, "") for name, amount in pack["their_price"].items()]
    for number, period in enumerate(pack["periods"], start=1):
        volumes = ", ".join(f"{each['type']} {each['volume']}" for each in period.get("dimensions", []))
        rows.append(("period", number, volumes, "", "", "", period.get("start_date_time", "")))
    rows += [("tariff", name, "", "", "", "", value) for name, value in (pack["tariff"] or {}).items()]
    return rows


def rupees(paise: int | None) -> str:
    """Plain figures for a spreadsheet; '' for what nobody said."""
    if paise is None:
        return ""
    sign = "-" if paise < 0 else ""
    return f"{sign}{abs(paise) // 100}.{abs(paise) % 100:02}"


def _unit(line: dict[str, Any]) -> str:
    """In paise, as a fraction where it is none."""
    return f"{line['unit_price_paise']} paise" if "unit_price_paise" in line else ""


def _cell(value: Any) -> Any:
    """A spreadsheet runs what begins like a formula; figures of ours are none."""
    text = str(value)
    is_figure = text.lstrip("-").replace(".", "", 1).isdigit()
    return f"'{text}" if text.startswith(FORMULA) and not is_figure else text
