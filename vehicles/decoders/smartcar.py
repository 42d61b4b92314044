"""Smartcar's webhooks, version 4: VERIFY to prove who we are, VEHICLE_STATE with every signal we subscribed to.

Each signal has its own instant (`meta.oemUpdatedAt`, else `retrievedAt`), so a place and a charge that were read at
different times are two pings. Units are the signal's own: odometers may be in miles.
"""

from typing import Any

import msgspec

from vehicles.decoders.instants import microseconds
from vehicles.decoders.pings import BadBody
from vehicles.fixes import Fix, Problem, charging_flags, is_device_id, placeless, within

KM_PER_MILE = 1.609344
CHARGE, IS_CHARGING = "tractionbattery-stateofcharge", "charge-ischarging"
PLACE, ODOMETER = "location-preciselocation", "odometer-traveleddistance"


class Signal(msgspec.Struct, gc=False):
    code: str
    body: dict[str, Any] = {}
    meta: dict[str, Any] = {}


class Vehicle(msgspec.Struct, gc=False):
    id: str = ""


class Data(msgspec.Struct, gc=False):
    challenge: str = ""
    vehicle: Vehicle = msgspec.field(default_factory=Vehicle)
    signals: list[Signal] = []


class Event(msgspec.Struct, gc=False):
    """One delivery."""

    eventType: str
    data: Data = msgspec.field(default_factory=Data)


_event = msgspec.json.Decoder(Event)


def read(body: bytes) -> Event:
    """The delivery; raises BadBody."""
    try:
        return _event.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        code = "invalid" if isinstance(error, msgspec.ValidationError) else "bad_json"
        raise BadBody(code, f"The body is no Smartcar event: {error}") from error


def decode(event: Event, received_us: int) -> list[Fix | Problem]:
    """The pings of a VEHICLE_STATE; none of any other event."""
    device = event.data.vehicle.id
    if event.eventType != "VEHICLE_STATE":
        return []
    if not is_device_id(device):
        return [Problem("invalid", "`data.vehicle.id` is missing, not printable or longer than 64 characters.")]
    signals = {signal.code: signal for signal in event.data.signals}
    charge, place = signals.get(CHARGE), signals.get(PLACE)
    soc = within(_number(charge.body.get("value")), 0, 100) if charge else None
    charging = signals[IS_CHARGING].body.get("value") if IS_CHARGING in signals else None
    is_charging = charging if isinstance(charging, bool) else None
    found: list[Fix | Problem] = []
    place_us = _at(place, received_us) if place else 0
    charge_us = _at(charge, received_us) if charge else 0
    latitude = _number(place.body.get("latitude")) if place else None
    longitude = _number(place.body.get("longitude")) if place else None
    if latitude is not None and longitude is not None:
        own_soc = soc if charge_us == place_us else None
        found.append(
            Fix(
                device,
                place_us,
                latitude,
                longitude,
                soc_percent=own_soc,
                odometer_m=_odometer_m(signals.get(ODOMETER)),
                is_charging=is_charging,
                flags=charging_flags(is_charging),
            )
        )
        soc = None if own_soc is not None else soc
    if soc is not None:
        found.append(placeless(device, charge_us, soc, is_charging))
    return found


def _at(signal: Signal, received_us: int) -> int:
    said = signal.meta.get("oemUpdatedAt") or signal.meta.get("retrievedAt")
    at_us = microseconds(said) if isinstance(said, str | int | float) else None
    return received_us if at_us is None else at_us


def _odometer_m(signal: Signal | None) -> int | None:
    value = within(_number(signal.body.get("value")), 0, 10_000_000) if signal else None
    if signal is None or value is None:
        return None
    is_miles = str(signal.body.get("unit", "km")).lower() in ("mi", "mile", "miles")
    return round(value * 1000 * (KM_PER_MILE if is_miles else 1))


def _number(value: Any) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
