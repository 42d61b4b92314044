"""What the self-test makes of a raw answer of a peer, however odd it is."""

from typing import Any

import httpx

from stations.cpo.base import CPOError
from stations.cpo.guard import check_url

INDIA = (6.0, 38.0, 68.0, 98.0)


def envelope_of(answer: httpx.Response) -> dict[str, Any]:
    """{} for an answer that has none."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def code_of(answer: httpx.Response) -> int:
    """OCPI's status code; 0: it has none."""
    code = envelope_of(answer).get("status_code")
    return code if isinstance(code, int) else 0


def refused_address(url: str) -> str:
    """Why we would not call it; "" when we would."""
    try:
        check_url(url)
    except CPOError as error:
        return str(error)
    return ""


def astray(location: dict[str, Any]) -> str:
    """The site's id when it lies outside India or its coordinates are swapped; "" for others, and for none at all."""
    try:
        place = location["coordinates"]
        latitude, longitude = float(place["latitude"]), float(place["longitude"])
    except (KeyError, TypeError, ValueError):
        return ""
    south, north, west, east = INDIA
    return "" if south <= latitude <= north and west <= longitude <= east else str(location.get("id"))


def dicts(value: Any, *needed: str) -> list[dict[str, Any]]:
    """Those entries that have what is needed."""
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and all(name in entry for name in needed)]
