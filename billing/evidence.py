"""How a price, a verdict and corrections are shown to people: rows, words, the track drawn around the station."""

from collections.abc import Iterable
from datetime import datetime
from math import cos, hypot, radians
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.timezone import localtime

from billing.matching import unpacked
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
FARTHEST_M = 20_000
UNITS = {
    "m": "m", "wh": "Wh", "w": "W", "kw": "kW", "kmh": "km/h", "km": "km", "seconds": "s", "minutes": "min",
    "percent": "%", "paise": "paise",
}  # fmt: skip


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
    return f"samples from {_clock(gap['from'])} to {_clock(gap['to'])}"


def _clock(moment: str) -> str:
    """By the clock of the page."""
    at = parse_datetime(moment)
    return f"{localtime(at):%H:%M:%S}" if at else moment


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
    """Template context: the findings in words, and the positions of the window projected around the station."""
    told = [{**finding, "facts": facts_in_words(finding["evidence"])} for finding in findings]
    points = [_offset_m(evidence, latitude, longitude) for latitude, longitude, _ in track_of(evidence)]
    if not points:
        return {"findings": told, "track": ""}
    radius_m = evidence["base_radius_m"]
    reach_m = max(radius_m, *(abs(value) for point in points for value in point))
    scale = (HEIGHT / 2 - MARGIN) / reach_m
    drawn = [(round(WIDTH / 2 + x * scale, 1), round(HEIGHT / 2 - y * scale, 1)) for x, y in points]
    return {
        "findings": told,
        "track": " ".join(f"{x},{y}" for x, y in drawn),
        "dots": drawn[:: len(drawn) // MOST_DOTS + 1],
        "radius": round(radius_m * scale, 1),
        "caption": f"{len(drawn)} positions; the circle is {radius_m} m around the station.",
    }


def track_of(evidence: dict[str, Any]) -> list[tuple[float, float, int]]:
    """(latitude, longitude, seconds after the start), of every ruleset's stored evidence."""
    if "pings" in evidence:
        start = datetime.fromisoformat(evidence["started_at"])
        return [
            (ping["latitude"], ping["longitude"], round((datetime.fromisoformat(ping["at"]) - start).total_seconds()))
            for ping in evidence["pings"]
        ]
    track = evidence.get("track") or {}
    names = ("latitude_e7", "longitude_e7", "seconds")
    columns = [unpacked(track.get(name, "")).tolist() for name in names]
    return [(y / 1e7, x / 1e7, second) for y, x, second in zip(*columns, strict=True)]


def station_of(evidence: dict[str, Any]) -> tuple[float, float] | None:
    if "latitude_e7" in evidence:
        return evidence["latitude_e7"] / 1e7, evidence["longitude_e7"] / 1e7
    return (evidence["latitude"], evidence["longitude"]) if "latitude" in evidence else None


def facts_in_words(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """`distance_m: 4200` as people write it."""
    rows = []
    for name, value in facts.items():
        stem, _, unit = name.rpartition("_")
        shown = UNITS.get(unit)
        is_known = bool(shown and stem) or unit == "e7"
        rows.append((in_words(stem if is_known else name), f"{_fact(name, value)} {shown or ''}".strip()))
    return rows


def _fact(name: str, value: Any) -> str:
    """Coordinates in degrees, instants by the clock of the page."""
    if value in (None, ""):
        return "—"
    if isinstance(value, int):
        return f"{value / 1e7:.5f}°" if name.endswith("_e7") else f"{value:,}"
    is_instant = isinstance(value, str) and name.rpartition("_")[2] == "at" and parse_datetime(value) is not None
    return date_format(localtime(parse_datetime(value)), "DATETIME_FORMAT") if is_instant else str(value)


def curves(evidence: dict[str, Any], *, width: int = 720, height: int = 160) -> dict[str, Any]:
    """Distance, power and state of charge on one axis of time, as SVG points; what nobody told is empty."""
    place = station_of(evidence)
    if place is None or "track" not in evidence:
        return {}
    track = track_of(evidence)
    offsets = [_offset_m(evidence, latitude, longitude) for latitude, longitude, _ in track]
    start, end = datetime.fromisoformat(evidence["started_at"]), datetime.fromisoformat(evidence["ended_at"])
    ends_s = (end - start).total_seconds()
    first, last = min([0, *(at for _, _, at in track)]), max([ends_s, *(at for _, _, at in track)])
    power = list(zip(*(unpacked(evidence["power"][name]).tolist() for name in ("seconds", "values")), strict=True))
    soc = [value if value >= 0 else None for value in unpacked(evidence["track"]["soc_permille"]).tolist()]
    away = [min(hypot(x, y), FARTHEST_M) for x, y in offsets]

    def x_of(second: float) -> float:
        return round((second - first) / max(1, last - first) * width, 1)

    def line(points: Iterable[tuple[float, float | None]], most: float) -> str:
        return " ".join(
            f"{x_of(at)},{round(height - value / max(most, 1) * height, 1)}"
            for at, value in points
            if value is not None
        )

    seconds = [at for _, _, at in track]
    most_m, most_w = max(away, default=0), max((value for _, value in power), default=0)
    return {
        "width": width, "height": height, "from": x_of(0), "span": round(x_of(ends_s) - x_of(0), 1),
        "distance": line(zip(seconds, away, strict=True), most_m), "soc": line(zip(seconds, soc, strict=True), 1000),
        "power": line(power, most_w), "most_m": round(most_m), "most_kw": f"{most_w / 1000:.1f}",
    }  # fmt: skip


def _offset_m(evidence: dict[str, Any], latitude: float, longitude: float) -> tuple[float, float]:
    """East and north of the station, flat-earth: good to a metre over a city."""
    here = station_of(evidence) or (latitude, longitude)
    north = (latitude - here[0]) * METRES_PER_DEGREE
    east = (longitude - here[1]) * METRES_PER_DEGREE * cos(radians(here[0]))
    return east, north


def _rupees(paise: str) -> str:
    numerator, _, denominator = paise.partition("/")
    return f"₹{int(numerator) / int(denominator or 1) / 100:.4f}".rstrip("0").rstrip(".")
