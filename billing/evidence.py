"""How a price, a verdict and corrections are shown to people: rows, words, the track drawn around the station."""

from collections.abc import Iterable
from math import cos, radians
from typing import Any

from billing.models import CDRAdjustment, SessionCorrection
from fleetcharge.lib.money import format_inr

NAMES = {
    "ENERGY": "Energy", "TIME": "Charging time", "PARKING_TIME": "Idle time", "FLAT": "Flat fee",
    "MIN_PRICE": "Up to the least price", "MAX_PRICE": "Down to the highest price",
    "RESERVATION_FLAT": "Reservation", "RESERVATION_TIME": "Time reserved",
}  # fmt: skip
WIDTH, HEIGHT, MARGIN = 400, 240, 16
METRES_PER_DEGREE = 111_195
MOST_DOTS = 120


def explanation_rows(lines: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The stored explanation in words and rupees."""
    return [
        {
            "name": NAMES.get(line["dimension"], line["dimension"]),
            "quantity": f"{line['quantity']} {line['unit']}",
            "price": f"{_rupees(line['unit_price_paise'])} / {line['unit']}" if "unit_price_paise" in line else "",
            "amount": format_inr(line["amount_paise"]),
        }
        for line in lines
    ]


def in_words(reason: str) -> str:
    """`missing_stop` as people write it."""
    return reason.replace("_", " ")


def gap_in_words(gap: dict[str, Any]) -> str:
    if gap["kind"] in {"start", "stop"}:
        return f"the {gap['kind']}"
    if gap["kind"] == "messages":
        return f"messages {gap['from']} to {gap['to']}"
    return f"samples from {gap['from'][11:19]} to {gap['to'][11:19]} UTC"


def correction_rows(
    corrections: Iterable[SessionCorrection], adjustments: Iterable[CDRAdjustment]
) -> list[dict[str, Any]]:
    """Every audited change in the order it happened, money last."""
    rows = [
        {
            "at": row.at, "what": in_words(row.field), "before": row.before, "after": row.after, "why": row.reason,
            "cause": row.cause,
        }
        for row in corrections
    ]  # fmt: skip
    money = [
        {
            "at": row.created_at, "what": "price", "before": "", "after": format_inr(row.total_paise),
            "why": row.reason, "cause": f"adjustment {row.number}",
        }
        for row in adjustments
    ]  # fmt: skip
    return [*rows, *money]


def findings_view(findings: list[dict[str, Any]], evidence: dict[str, Any]) -> dict[str, Any]:
    """Template context: the findings, and the positions of the window projected around the station."""
    pings = evidence.get("pings") or []
    if not pings:
        return {"findings": findings, "track": ""}
    offsets = [_offset_m(evidence, ping) for ping in pings]
    radius_m = evidence["base_radius_m"]
    reach_m = max(radius_m, *(abs(value) for offset in offsets for value in offset))
    scale = (HEIGHT / 2 - MARGIN) / reach_m
    points = [(round(WIDTH / 2 + x * scale, 1), round(HEIGHT / 2 - y * scale, 1)) for x, y in offsets]
    return {
        "findings": findings,
        "track": " ".join(f"{x},{y}" for x, y in points),
        "dots": points[:: len(points) // MOST_DOTS + 1],
        "radius": round(radius_m * scale, 1),
        "caption": f"{len(pings)} positions; the circle is {radius_m} m around the station.",
    }


def _offset_m(evidence: dict[str, Any], ping: dict[str, Any]) -> tuple[float, float]:
    """East and north of the station, flat-earth: good to a metre over a city."""
    north = (ping["latitude"] - evidence["latitude"]) * METRES_PER_DEGREE
    east = (ping["longitude"] - evidence["longitude"]) * METRES_PER_DEGREE * cos(radians(evidence["latitude"]))
    return east, north


def _rupees(paise: str) -> str:
    numerator, _, denominator = paise.partition("/")
    return f"₹{int(numerator) / int(denominator or 1) / 100:.4f}".rstrip("0").rstrip(".")
