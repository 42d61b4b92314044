"""LeafSpy: one reading in the query: pass (the id), Lat, Long, SOC (%), ChrgMode (0 none, 1-3 charging), Odo (km).

Source: Traccar, LeafSpy decoder. A message has no instant, so it is of now.
"""

from collections.abc import Mapping

from vehicles.decoders.osmand import number
from vehicles.fixes import Fix, Problem, charging_flags, placeless, within


def device_of(fields: Mapping[str, str]) -> str:
    """The password of the app's settings is the device's id; '' when missing."""
    return fields.get("pass", "").strip()


def decode(fields: Mapping[str, str], received_us: int) -> Fix | Problem:
    """The reading; the app sends -90 and the like until it has a fix, which places.py refuses."""
    soc = within(number(fields.get("SOC")), 0, 100)
    mode = number(fields.get("ChrgMode"))
    is_charging = None if mode is None else mode > 0
    latitude, longitude = number(fields.get("Lat")), number(fields.get("Long"))
    if latitude is None or longitude is None or not (latitude or longitude):
        return placeless(device_of(fields), received_us, soc, is_charging)
    odometer_km = within(number(fields.get("Odo")), 0, 10_000_000)
    return Fix(
        device=device_of(fields),
        at_us=received_us,
        latitude=latitude,
        longitude=longitude,
        soc_percent=soc,
        odometer_m=None if odometer_km is None else round(odometer_km * 1000),
        is_charging=is_charging,
        flags=charging_flags(is_charging),
    )
