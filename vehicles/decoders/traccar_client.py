"""The JSON of newer Traccar Client apps: `{"device_id", "location": {...} or [{...}, ...]}`.

Here `speed` is in METRES PER SECOND (-1: unknown) and `battery` is the phone's, never the vehicle's charge. The
vehicle's own figures come in `extras`: soc (percent), odo_km, is_charging. `mock: true` is kept as a sign of fraud.
"""

import msgspec

from vehicles.decoders.instants import microseconds
from vehicles.decoders.pings import MAX_PINGS, BadBody
from vehicles.fixes import Fix, Problem, charging_flags, within

KMH_PER_MPS = 3.6


class Coordinates(msgspec.Struct, gc=False):
    """Where, and how fast."""

    latitude: float
    longitude: float
    speed: float | None = None
    heading: float | None = None
    accuracy: float | None = None


class Extras(msgspec.Struct, gc=False):
    """What the app was told about the vehicle."""

    soc: float | None = None
    odo_km: float | None = None
    is_charging: bool | None = None


class Location(msgspec.Struct, gc=False):
    """One place with its instant; `odometer` is in metres."""

    timestamp: str | float
    coords: Coordinates
    odometer: float | None = None
    mock: bool = False
    extras: Extras | None = None


class Message(msgspec.Struct, gc=False):
    """The body; a location is read on its own, so that one broken one does not cost the others."""

    device_id: str | int = ""
    location: msgspec.Raw = msgspec.Raw(b"null")


_message = msgspec.json.Decoder(Message)
_location = msgspec.json.Decoder(Location)
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])


def decode(body: bytes) -> tuple[str, list[Fix | Problem]]:
    """The device's id and its pings in order (none for a status message); raises BadBody."""
    try:
        message = _message.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        code = "invalid" if isinstance(error, msgspec.ValidationError) else "bad_json"
        raise BadBody(code, f"The body is not a Traccar Client message: {error}") from error
    device = str(message.device_id).strip()
    return device, [_one(raw, device) for raw in _locations(message.location)]


def _locations(raw: msgspec.Raw) -> list[msgspec.Raw]:
    if bytes(raw) == b"null":
        return []
    if not bytes(raw).startswith(b"["):
        return [raw]
    locations = _raw_list.decode(raw)
    if len(locations) > MAX_PINGS:
        raise BadBody("too_many", f"{len(locations)} locations in one request; at most {MAX_PINGS} are allowed.")
    return locations


def _one(raw: msgspec.Raw, device: str) -> Fix | Problem:
    try:
        return _fix(_location.decode(raw), device)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Problem("invalid", str(error))


def _fix(location: Location, device: str) -> Fix | Problem:
    at_us = microseconds(location.timestamp)
    if at_us is None:
        return Problem("invalid", "`timestamp` is neither Unix time nor ISO 8601 with a time zone.")
    coords, extras = location.coords, location.extras or Extras()
    odometer_m = within(location.odometer, 0, 10_000_000_000)
    odo_km = within(extras.odo_km, 0, 10_000_000)
    return Fix(
        device=device,
        at_us=at_us,
        latitude=coords.latitude,
        longitude=coords.longitude,
        speed_kmh=None if coords.speed is None else within(coords.speed * KMH_PER_MPS, 0, 400),
        heading_deg=within(coords.heading, 0, 360),
        accuracy_m=within(coords.accuracy, 0, 30_000),
        soc_percent=within(extras.soc, 0, 100),
        odometer_m=round(odo_km * 1000) if odo_km is not None else None if odometer_m is None else round(odometer_m),
        is_charging=extras.is_charging,
        flags=charging_flags(extras.is_charging, location.mock),
    )
