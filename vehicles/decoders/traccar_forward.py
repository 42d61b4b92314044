"""What Traccar forwards (`forward.type=json`): one position with its device; `speed` is in KNOTS.

`attributes.batteryLevel` is the tracker's own battery. The vehicle's charge is read from `attributes.soc`, or from the
attribute that the address names: `?soc=io113&soc_scale=0.5`, since only the fleet knows what its tracker model puts
where. Source: Traccar, org.traccar.forward and model.Position.
"""

from math import isfinite
from typing import Any, NamedTuple

import msgspec

from vehicles.decoders.instants import microseconds
from vehicles.decoders.osmand import KMH_PER_KNOT
from vehicles.decoders.pings import MAX_PINGS, BadBody
from vehicles.fixes import Fix, Problem, charging_flags, is_device_id, placeless, within


class Device(msgspec.Struct, gc=False):
    """Which tracker; `id` is Traccar's own number."""

    uniqueId: str = ""


class Position(msgspec.Struct, gc=False):
    """Traccar's position; null where it does not know."""

    fixTime: str | float | None = None
    deviceTime: str | float | None = None
    valid: bool = True
    outdated: bool = False
    latitude: float | None = None
    longitude: float | None = None
    speed: float | None = None
    course: float | None = None
    accuracy: float | None = None
    attributes: dict[str, Any] = {}


class Forwarded(msgspec.Struct, gc=False):
    """A position or an event with its position; events alone store nothing."""

    device: Device = msgspec.field(default_factory=Device)
    position: Position | None = None


class ChargeAttribute(NamedTuple):
    """Where a tracker model puts the vehicle's charge, and what to multiply it by to get percent."""

    name: str = "soc"
    scale: float = 1.0


_one = msgspec.json.Decoder(Forwarded)
_many = msgspec.json.Decoder(list[Forwarded])


def decode(body: bytes, charge: ChargeAttribute) -> list[Fix | Problem]:
    """Each position of the body in order; raises BadBody."""
    try:
        messages = _many.decode(body) if body.lstrip().startswith(b"[") else [_one.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        code = "invalid" if isinstance(error, msgspec.ValidationError) else "bad_json"
        raise BadBody(code, f"The body is not what Traccar forwards: {error}") from error
    if len(messages) > MAX_PINGS:
        raise BadBody("too_many", f"{len(messages)} positions in one request; at most {MAX_PINGS} are allowed.")
    return [_fix(message.device.uniqueId, message.position, charge) for message in messages if message.position]


def _fix(device: str, position: Position, charge: ChargeAttribute) -> Fix | Problem:
    if not is_device_id(device):
        return Problem("invalid", "`device.uniqueId` is missing, not printable or longer than 64 characters.")
    has_fix = position.valid and not position.outdated and None not in (position.latitude, position.longitude)
    at_us = microseconds(position.fixTime if has_fix else position.deviceTime or position.fixTime)
    if at_us is None:
        return Problem("invalid", "`fixTime` is neither Unix time nor ISO 8601 with a time zone.")
    attributes = position.attributes
    soc = _number(attributes.get(charge.name))
    soc = None if soc is None else within(soc * charge.scale, 0, 100)
    is_charging = _flag(attributes.get("is_charging"))
    if not has_fix:
        return placeless(device, at_us, soc, is_charging)
    odometer_m = within(_number(attributes.get("odometer")), 0, 10_000_000_000)
    return Fix(
        device=device,
        at_us=at_us,
        latitude=position.latitude or 0.0,
        longitude=position.longitude or 0.0,
        speed_kmh=None if position.speed is None else within(position.speed * KMH_PER_KNOT, 0, 400),
        heading_deg=within(position.course, 0, 360),
        accuracy_m=within(position.accuracy, 0, 30_000),
        soc_percent=soc,
        odometer_m=None if odometer_m is None else round(odometer_m),
        is_charging=is_charging,
        flags=charging_flags(is_charging, attributes.get("mock") is True, _flag(attributes.get("ignition"))),
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
