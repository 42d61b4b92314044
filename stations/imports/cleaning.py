"""One dirty row in, one clean row or the reason against it out. Every correction is named. Pure."""

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from stations import plugs
from stations.imports import india
from stations.imports.readers import RawRow

PIN_MAY_BE_OFF_M = 40_000
MAX_POWER_W = 1_200_000
MAX_QUANTITY = 60
PRICE = re.compile(r"(\d+(?:\.\d+)?)")
WORDS = {
    "ccs": "ccs2", "ccs2": "ccs2", "ccsii": "ccs2", "chademo": "chademo", "type2": "type2_socket",
    "type2ac": "type2_socket", "bharatac001": "bharat_ac001", "ac001": "bharat_ac001", "bharatdc001": "bharat_dc001",
    "dc001": "bharat_dc001", "gbt": "gbt_dc", "gbtdc": "gbt_dc", "15a": "is1293_15a", "16a": "is1293_15a",
    "levdc": "is17017_2_6", "type6": "is17017_2_6", "type7": "is17017_2_7", "leccs": "is17017_2_7",
}  # fmt: skip


class Rejected(ValueError):
    """This row must not become a station; `code` and text say why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class CleanRow:
    """`price_paise_per_kwh` None: unknown, and so never shown as free."""

    line: int
    external_id: str
    name: str
    latitude: float
    longitude: float
    plug: str
    raw_plug: str
    max_power_w: int
    quantity: int
    address: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    operator: str = ""
    price_paise_per_kwh: int | None = None
    corrections: list[str] = field(default_factory=list)


def clean(row: RawRow, *, trust_position: bool = False) -> CleanRow:
    """Raises Rejected. `trust_position` keeps a row whose PIN lies elsewhere, without the PIN."""
    notes: list[str] = []
    latitude, longitude = _position(row, notes)
    name = _name(row, notes)
    plug, raw_plug = _plug(row)
    pin = _pin(row, latitude, longitude, trust_position, notes)
    return CleanRow(
        line=row.line, external_id=row.get("external_id") or f"{name}@{latitude:.5f},{longitude:.5f}"[:120], name=name,
        latitude=latitude, longitude=longitude, plug=plug, raw_plug=raw_plug, max_power_w=_power(row, plug, notes),
        quantity=_quantity(row, notes), address=row.get("address")[:255], city=row.get("city").strip(" ,")[:60],
        state=_state(row, notes), postal_code=pin, operator=row.get("operator")[:120], corrections=notes,
        price_paise_per_kwh=_price(row, notes),
    )  # fmt: skip


def _position(row: RawRow, notes: list[str]) -> tuple[float, float]:
    try:
        latitude, longitude = float(row.get("latitude")), float(row.get("longitude"))
    except ValueError:
        raise Rejected("no_position", "latitude and longitude are not numbers") from None
    if india.is_in_india(latitude, longitude):
        return latitude, longitude
    if india.is_in_india(longitude, latitude):
        notes.append("latitude and longitude were swapped")
        return longitude, latitude
    raise Rejected("outside_india", f"{latitude}, {longitude} is not in India")


def _name(row: RawRow, notes: list[str]) -> str:
    name = " ".join(row.get("name").split()).strip(" ,-") or row.get("address")[:80]
    if not name:
        raise Rejected("no_name", "there is neither a name nor an address")
    if name != row.get("name"):
        notes.append("name tidied")
    return name[:255]


def _state(row: RawRow, notes: list[str]) -> str:
    raw = row.get("state")
    state = india.state_of(raw) if raw else ""
    if raw and state is None:
        notes.append(f"state {raw!r} is none of the 36, left empty")
    elif state and state != raw:
        notes.append(f"state {raw!r} is {state}")
    return state or ""


def _pin(row: RawRow, latitude: float, longitude: float, trust_position: bool, notes: list[str]) -> str:
    pin = re.sub(r"\D", "", row.get("postal_code").removesuffix(".0"))
    if not pin:
        return ""
    if not india.is_pin(pin):
        notes.append(f"PIN {row.get('postal_code')!r} is none, left empty")
        return ""
    off_m = india.distance_from_pin_m(pin, latitude, longitude)
    if off_m is None or off_m <= PIN_MAY_BE_OFF_M:
        return pin
    text = f"PIN {pin} is {off_m / 1000:.0f} km away from the position"
    if not trust_position:
        raise Rejected("pin_contradicts_position", text)
    notes.append(f"{text}, left empty")
    return ""


def _plug(row: RawRow) -> tuple[str, str]:
    raw = row.get("plug")
    if raw.removesuffix(".0").isdigit():
        return plugs.FROM_OCM.get(int(float(raw)), plugs.UNKNOWN), raw
    if raw in plugs.FROM_OCPI:
        return plugs.FROM_OCPI[raw], raw
    return WORDS.get(re.sub(r"[^a-z0-9]", "", raw.lower()), raw if raw in plugs.TO_OCPI else plugs.UNKNOWN), raw[:60]


def _power(row: RawRow, plug: str, notes: list[str]) -> int:
    raw = re.sub(r"(?i)kw", "", row.get("power_kw")).strip()
    if not raw:
        usual = plugs.USUAL_POWER_W.get(plug, 0)
        notes.append(f"no power given, {usual / 1000:g} kW as usual for the plug" if usual else "no power given")
        return usual
    try:
        power_w = int(Decimal(raw) * 1000)
    except InvalidOperation:
        raise Rejected("bad_power", f"{row.get('power_kw')!r} is no power in kW") from None
    if not 0 <= power_w <= MAX_POWER_W:
        raise Rejected("bad_power", f"{raw} kW is no charger's power")
    return power_w


def _quantity(row: RawRow, notes: list[str]) -> int:
    raw = row.get("quantity")
    try:
        quantity = int(float(raw or 1))
    except ValueError:
        quantity = 0
    if not 1 <= quantity <= MAX_QUANTITY:
        notes.append(f"quantity {raw!r} read as 1")
        return 1
    return quantity


def _price(row: RawRow, notes: list[str]) -> int | None:
    """ "Rs.22/-", "19.5/kwh", "Rs 20.5/kWh" -> paise per kWh; 0 and texts without a number stay unknown."""
    raw = row.get("price")
    match = PRICE.search(raw.replace(",", ""))
    if not match:
        return None
    paise = int(Decimal(match[1]) * 100)
    if paise == 0:
        notes.append("price 0 is taken as unknown, not as free")
        return None
    if not 100 <= paise <= 10_000:
        notes.append(f"price {raw!r} is no price per kWh, left unknown")
        return None
    return paise
