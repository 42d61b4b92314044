"""A vendor's site, found by the paths of a mapping, as the document the registry keeps. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from fleetcharge.lib.geo import is_coordinate
from stations import plugs
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.cpo.webhooks import signatures
from stations.cpo.webhooks.paths import BadMapping, Find, Look, compiled
from stations.imports.cleaning import MAX_POWER_W, PRICE, WORDS

MAX_KEY = 48
MAX_EVSES = 500
LOCATION = {"id", "name", "latitude", "longitude", "address", "city", "state", "postal_code", "updated_at", "evses"}
EVSE = {"id", "status", "at", "reference", "connectors"}
CONNECTOR = {"id", "plug", "power_kw", "power_w", "format", "power_type", "voltage", "current", "price_per_kwh"}
PLUGS = frozenset({*plugs.TO_OCPI, plugs.UNKNOWN})
TARIFF_PREFIX = "kwh-"
Meaning = Callable[[Any], tuple[str, str]]


class BadEntry(ValueError):
    """One entry cannot be used; `code` is ours, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class SiteMapping:
    """Where a site's facts stand. Without `evses` the entry is its own only EVSE, without `connectors` its own plug."""

    location: Mapping[str, Find]
    evse: Mapping[str, Find] = field(default_factory=dict)
    connector: Mapping[str, Find] = field(default_factory=dict)
    plugs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: Any) -> "SiteMapping":
        """Raises BadMapping."""
        location = dict(_object(raw, "location"))
        evse = dict(_object(location.pop("evse", {}), "location.evse"))
        connector = _object(evse.pop("connector", {}), "location.evse.connector")
        words = _object(location.pop("plugs", {}), "location.plugs")
        if strange := set(words.values()) - PLUGS:
            raise BadMapping(f"location.plugs: {min(map(str, strange))} is none of {', '.join(sorted(PLUGS))}.")
        if not {"id", "latitude", "longitude"} <= set(location):
            raise BadMapping("location: say where id, latitude and longitude stand.")
        return cls(
            _paths(location, LOCATION, "location"), _paths(evse, EVSE, "location.evse"),
            _paths(connector, CONNECTOR, "location.evse.connector"),
            {_bare(word): plug for word, plug in words.items()},
        )  # fmt: skip

    def is_at(self, look: Look) -> bool:
        """The entry has a position: it is a site, not only a status."""
        return self.location["latitude"](look) is not None

    def name(self, look: Look) -> str:
        """What the vendor calls the site; "" when it does not say. Raises BadEntry."""
        return key(self.location["id"](look))

    def read(self, look: Look, meaning: Meaning) -> LocationDoc:
        """The site with its EVSEs. Raises BadEntry."""
        site_id = self.name(look)
        if not site_id:
            raise BadEntry("no_site", "There is no id of the site where the mapping says it is.")
        latitude, longitude = _position(self.location["latitude"](look), self.location["longitude"](look))
        text = {name: _text(find(look)) for name, find in self.location.items() if name != "evses"}
        return LocationDoc(
            external_key=site_id, name=(text.get("name") or text.get("address") or site_id)[:255], latitude=latitude,
            longitude=longitude, evses=tuple(self._evses(look, meaning)), address=text.get("address", "")[:255],
            city=text.get("city", "")[:60], state=text.get("state", "")[:60],
            postal_code=text.get("postal_code", "")[:10], updated_at=_time(text.get("updated_at", "")),
        )  # fmt: skip

    def _evses(self, look: Look, meaning: Meaning) -> Iterator[EvseDoc]:
        for number, part in enumerate(_parts(self.location.get("evses"), look), start=1):
            found = {name: find(part) for name, find in self.evse.items() if name != "connectors"}
            raw, shown = meaning(found.get("status"))
            connectors = tuple(self._connectors(part))
            yield EvseDoc(
                uid=key(found.get("id")) or str(number), connectors=connectors, raw_status=raw,
                status=shown or "unknown", physical_reference=_text(found.get("reference"))[:16],
                updated_at=_time(_text(found.get("at"))),
            )  # fmt: skip

    def _connectors(self, look: Look) -> Iterator[ConnectorDoc]:
        for number, part in enumerate(_parts(self.evse.get("connectors"), look), start=1):
            found = {name: find(part) for name, find in self.connector.items()}
            raw_plug = _text(found.get("plug"))
            plug = self.plugs.get(_bare(raw_plug)) or _usual_plug(raw_plug)
            is_ac = plug.startswith(("type2", "bharat_ac", "is1293"))
            power_w = _power(found, plug)
            price = price_of(found.get("price_per_kwh"))
            is_socket = _text(found.get("format")).upper() == "SOCKET" or plug in {"type2_socket", "is1293_15a"}
            yield ConnectorDoc(
                external_id=(key(found.get("id")) or str(number))[:36], plug=plug, raw_plug=raw_plug[:60],
                format="SOCKET" if is_socket else "CABLE", power_type=_power_type(found, is_ac, power_w),
                max_power_w=power_w, max_voltage_v=_whole(found.get("voltage")),
                max_current_a=_whole(found.get("current")), tariff_ids=(f"{TARIFF_PREFIX}{price}",) if price else (),
            )  # fmt: skip


def key(value: Any) -> str:
    """A vendor's id as text; "" for what is none. Raises BadEntry for one that is too long to be kept whole."""
    text = named(value)
    if len(text) > MAX_KEY:
        raise BadEntry("bad_id", f"{text[:20]}... is longer than {MAX_KEY} characters.")
    return text


def named(value: Any) -> str:
    """An id of any length, such as the digest of an event, which is only compared."""
    return "" if isinstance(value, bool) or not isinstance(value, str | int) else str(value).replace("\0", "").strip()


def price_of(value: Any) -> str:
    """Rupees per kWh as text with two decimals, out of 19.5, "Rs 20.5/kWh" or "Rs.22/-"; "" for 0 and for none."""
    match = PRICE.search(_text(value).replace(",", ""))
    price = Decimal(match[1]) if match else Decimal(0)
    return f"{price:.2f}" if 1 <= price <= 100 else ""


def _parts(find: Find | None, look: Look) -> Iterator[Look]:
    """Each part of a list; the entry itself where the mapping names no list."""
    if find is None:
        yield look
        return
    parts = find(look)
    if not isinstance(parts, list):
        parts = [] if parts is None else [parts]
    if len(parts) > MAX_EVSES:
        raise BadEntry("too_many_evses", f"{len(parts)} parts of one site are more than {MAX_EVSES}.")
    for part in parts:
        yield Look(part, look.root, look.path, look.entry)


def _position(latitude: Any, longitude: Any) -> tuple[float, float]:
    """Swapped ones of Indian sites are put right: latitude 6 to 38 and longitude 68 to 98 never overlap."""
    try:
        north, east = float(latitude), float(longitude)
    except (TypeError, ValueError):
        raise BadEntry("no_position", f"{latitude!r:.20}, {longitude!r:.20} is no position.") from None
    if 68 <= north <= 98 and 6 <= east <= 38:
        return east, north
    if not is_coordinate(north, east) or (north, east) == (0, 0):
        raise BadEntry("no_position", f"{north}, {east} is no place on earth.")
    return north, east


def _power(found: Mapping[str, Any], plug: str) -> int:
    """Watts: as given, else volts by amperes, else what is usual for the plug."""
    for name, factor in (("power_w", 1), ("power_kw", 1000)):
        text = re.sub(r"(?i)\s*k?w$", "", _text(found.get(name)))
        try:
            power_w = int(Decimal(text) * factor) if text else 0
        except (InvalidOperation, OverflowError, ValueError):
            raise BadEntry("bad_power", f"{text[:20]!r} is no power.") from None
        if not 0 <= power_w <= MAX_POWER_W:
            raise BadEntry("bad_power", f"{power_w} W is no charger's power.")
        if power_w:
            return power_w
    voltage, current = _whole(found.get("voltage")), _whole(found.get("current"))
    given = plugs.power_w(_text(found.get("power_type")), voltage, current)
    return given if 0 < given <= MAX_POWER_W else plugs.USUAL_POWER_W.get(plug, 0)


def _power_type(found: Mapping[str, Any], is_ac: bool, power_w: int) -> str:
    word = _text(found.get("power_type")).upper()
    if word in {"AC_1_PHASE", "AC_2_PHASE", "AC_2_PHASE_SPLIT", "AC_3_PHASE", "DC"}:
        return word
    if word.startswith("AC") or (is_ac and not word):
        return "AC_3_PHASE" if power_w > 7_400 else "AC_1_PHASE"
    return "DC"


def _usual_plug(raw: str) -> str:
    if raw in PLUGS or raw in plugs.FROM_OCPI:
        return plugs.FROM_OCPI.get(raw, raw)
    return WORDS.get(_bare(raw), plugs.UNKNOWN)


def _time(text: str) -> Any:
    at = signatures.instant(text) if text else None
    if text and at is None:
        raise BadEntry("bad_time", f"{text[:40]!r} is no time.")
    return at


def _whole(value: Any) -> int:
    try:
        number = round(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 <= number <= 100_000 else 0


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).replace("\0", "").strip()


def _bare(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _object(raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise BadMapping(f"{where} is a JSON object.")
    return raw


def _paths(raw: Mapping[str, Any], known: set[str], where: str) -> dict[str, Find]:
    if strange := set(raw) - known:
        raise BadMapping(f"{where}.{min(strange)} is nothing a mapping knows.")
    return {name: compiled(text, f"{where}.{name}") for name, text in raw.items()}
