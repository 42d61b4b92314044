"""The time zone of a place whose owner did not name it (OCPI 2.1.1), from the tables of the tz database."""

import re
from functools import cache
from importlib import resources
from math import cos, radians

INDIA = "Asia/Kolkata"
_ISO6709 = re.compile(r"([+-]\d{4,6})([+-]\d{5,7})")


def zone_at(latitude: float, longitude: float, country_code: str) -> str:
    """The zone of that country whose principal place is nearest; India's for a country nobody knows."""
    zones = _zones().get(country_code.upper(), ())
    if not zones:
        return INDIA
    shrink = cos(radians(latitude))
    return min(zones, key=lambda zone: (zone[1] - latitude) ** 2 + ((zone[2] - longitude) * shrink) ** 2)[0]


@cache
def _zones() -> dict[str, list[tuple[str, float, float]]]:
    """zone.tab: country code, ISO 6709 position and name, tab by tab."""
    found: dict[str, list[tuple[str, float, float]]] = {}
    for line in (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text().splitlines():
        if line.startswith("#"):
            continue
        country, position, name = line.split("\t")[:3]
        if match := _ISO6709.fullmatch(position):
            found.setdefault(country, []).append((name, _degrees(match[1], 2), _degrees(match[2], 3)))
    return found


def _degrees(text: str, whole_digits: int) -> float:
    """+DDMM or +DDMMSS as degrees."""
    sign, digits = -1 if text[0] == "-" else 1, text[1:]
    whole, minutes, seconds = digits[:whole_digits], digits[whole_digits : whole_digits + 2], digits[whole_digits + 2 :]
    return sign * (int(whole) + int(minutes) / 60 + int(seconds or 0) / 3600)
