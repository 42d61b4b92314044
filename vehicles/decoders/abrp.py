"""A Better Routeplanner's telemetry, as OVMS, TeslaMate bridges and car apps send it: `tlm` is a JSON object.

utc (s), soc (%), speed (km/h), lat, lon, is_charging, is_parked, power (kW, positive out of the battery), heading,
odometer (km). Field list from open senders; power's sign and the rest of the endpoint are general knowledge.
"""

import msgspec

from vehicles.decoders.instants import microseconds
from vehicles.decoders.pings import BadBody
from vehicles.fixes import Fix, Problem, charging_flags, placeless, within


class Reading(msgspec.Struct, gc=False):
    """The part of ABRP's telemetry that we use."""

    utc: float | None = None
    soc: float | None = None
    speed: float | None = None
    lat: float | None = None
    lon: float | None = None
    heading: float | None = None
    odometer: float | None = None
    is_charging: bool | int | None = None
    is_dcfc: bool | int | None = None


_reading = msgspec.json.Decoder(Reading, strict=False)


def decode(device: str, text: str | bytes, received_us: int) -> Fix | Problem:
    """The reading of one vehicle; without `utc` it is of now. Raises BadBody."""
    try:
        reading = _reading.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        code = "invalid" if isinstance(error, msgspec.ValidationError) else "bad_json"
        raise BadBody(code, f"`tlm` is not ABRP telemetry: {error}") from error
    at_us = received_us if reading.utc is None else microseconds(reading.utc)
    if at_us is None:
        return Problem("invalid", "`utc` is not Unix time.")
    soc = within(reading.soc, 0, 100)
    is_charging = None if reading.is_charging is None else bool(reading.is_charging or reading.is_dcfc)
    if reading.lat is None or reading.lon is None:
        return placeless(device, at_us, soc, is_charging)
    odometer_km = within(reading.odometer, 0, 10_000_000)
    return Fix(
        device=device,
        at_us=at_us,
        latitude=reading.lat,
        longitude=reading.lon,
        speed_kmh=within(reading.speed, 0, 400),
        heading_deg=within(reading.heading, 0, 360),
        soc_percent=soc,
        odometer_m=None if odometer_km is None else round(odometer_km * 1000),
        is_charging=is_charging,
        flags=charging_flags(is_charging),
    )
