"""The OsmAnd protocol as Traccar Client speaks it: one ping in the query string or a form.

`speed` is in KNOTS and `batt` is the phone's battery, never the vehicle's charge (Traccar, OsmAndProtocolDecoder). The
vehicle's own figures come in extra keys: soc (percent), odometer (m, as the app's), odo_km, is_charging, ignition.
`valid=false` says that there is no fix.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite

from vehicles.decoders.instants import microseconds, to_microseconds
from vehicles.fixes import Fix, Problem, charging_flags, placeless, within

KMH_PER_KNOT = 1.852


def device_of(fields: Mapping[str, str]) -> str:
    """The device's id, which is also its credential; '' when missing."""
    return (fields.get("id") or fields.get("deviceid") or "").strip()


def decode(fields: Mapping[str, str], received_us: int) -> Fix | Problem | None:
    """The ping, why it is none, or None for a message without a place (a status, which stores nothing)."""
    place = _place(fields)
    if isinstance(place, Problem):
        return place
    at_us = _instant(fields.get("timestamp"), received_us)
    if at_us is None:
        return Problem("invalid", "`timestamp` is neither Unix time nor a date.")
    is_charging = _flag(fields.get("is_charging"))
    soc = within(number(fields.get("soc")), 0, 100)
    if place is None:
        return None if soc is None else placeless(device_of(fields), at_us, soc, is_charging)
    if _flag(fields.get("valid")) is False:
        return placeless(device_of(fields), at_us, soc, is_charging)
    speed_knots = number(fields.get("speed"))
    return Fix(
        device=device_of(fields),
        at_us=at_us,
        latitude=place[0],
        longitude=place[1],
        speed_kmh=None if speed_knots is None else within(speed_knots * KMH_PER_KNOT, 0, 400),
        heading_deg=within(number(fields.get("bearing") or fields.get("heading")), 0, 360),
        accuracy_m=within(number(fields.get("accuracy")), 0, 30_000),
        soc_percent=soc,
        odometer_m=_odometer_m(fields),
        is_charging=is_charging,
        flags=charging_flags(is_charging, bool(_flag(fields.get("mock"))), _flag(fields.get("ignition"))),
    )


def _place(fields: Mapping[str, str]) -> tuple[float, float] | Problem | None:
    pair = fields["location"].split(",") if fields.get("location") else [fields.get("lat", ""), fields.get("lon", "")]
    if not any(part.strip() for part in pair):
        return None
    numbers = [number(part) for part in pair]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return Problem("invalid", "`lat` and `lon` must be two numbers.")
    return numbers[0], numbers[1]


def _instant(text: str | None, received_us: int) -> int | None:
    """Traccar: seconds, milliseconds, ISO 8601, or `YYYY-MM-DD HH:MM:SS` (read as UTC); missing means now."""
    if not text:
        return received_us
    if (exact := microseconds(text)) is not None:
        return exact
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_microseconds(at if at.tzinfo else at.replace(tzinfo=UTC))


def _odometer_m(fields: Mapping[str, str]) -> int | None:
    metres = within(number(fields.get("odometer")), 0, 10_000_000_000)
    kilometres = within(number(fields.get("odo_km")), 0, 10_000_000)
    if kilometres is not None:
        return round(kilometres * 1000)
    return None if metres is None else round(metres)


def number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if isfinite(value) else None


def _flag(text: str | None) -> bool | None:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get((text or "").lower())
