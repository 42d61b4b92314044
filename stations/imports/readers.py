"""Files of stations as rows of plain text under our names, whatever the format called them."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ALIASES = {
    "external_id": ("external_id", "id", "ocm_id", "station_id", "uid", "ref"),
    "name": ("name", "title", "station_name", "station", "site"),
    "address": ("address", "street", "addressline1", "address_line_1"),
    "city": ("city", "town", "locality"),
    "state": ("state", "state_raw", "stateorprovince", "province"),
    "postal_code": ("postal_code", "postcode", "pin", "pincode", "pin_code", "zip"),
    "latitude": ("latitude", "lat", "y"),
    "longitude": ("longitude", "lon", "lng", "long", "x"),
    "operator": ("operator", "operator_id", "network", "cpo", "vendor"),
    "plug": ("plug", "connector", "connection_type_id", "connector_type", "type"),
    "power_kw": ("power_kw", "kw", "power", "max_kw"),
    "current": ("current", "current_type"),
    "quantity": ("quantity", "count", "guns", "connectors"),
    "price": ("price", "usage_cost_raw", "usage_cost", "usagecost", "tariff", "cost"),
}


class UnreadableFile(ValueError):
    """The file as a whole cannot be read; says why."""


@dataclass(frozen=True)
class RawRow:
    """One connector of one site as the file says it. `line` is where a person finds it."""

    line: int
    values: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        return self.values.get(name, "").strip()


def read(text: str, file_format: str = "auto") -> list[RawRow]:
    """All rows of a file. Raises UnreadableFile."""
    kind = _guess(text) if file_format == "auto" else file_format
    try:
        return list({"csv": _csv, "geojson": _geojson, "ocm": _ocm}[kind](text))
    except (json.JSONDecodeError, csv.Error, KeyError, AttributeError, TypeError) as error:
        raise UnreadableFile(f"This is no {kind} file we can read: {error}") from None


def _guess(text: str) -> str:
    start = text.lstrip()[:1]
    if start == "[":
        return "ocm"
    return "geojson" if start == "{" else "csv"


def _named(values: dict[str, Any]) -> dict[str, str]:
    lower = {str(key).strip().lower().replace(" ", "_"): value for key, value in values.items() if key}
    found: dict[str, str] = {}
    for name, aliases in ALIASES.items():
        for alias in aliases:
            if lower.get(alias) not in (None, ""):
                found[name] = str(lower[alias])
                break
    return found


def _csv(text: str) -> Iterator[RawRow]:
    sample = text[:4096]
    dialect: Any = csv.Sniffer().sniff(sample, ",;\t|") if sample.strip() else csv.excel
    reader = csv.DictReader(io.StringIO(text), dialect=dialect)
    if not reader.fieldnames or not {"latitude", "longitude"} <= set(_named(dict.fromkeys(reader.fieldnames, "x"))):
        raise UnreadableFile("The first line must name the columns, among them latitude and longitude.")
    for values in reader:
        yield RawRow(reader.line_num, _named(values))


def _geojson(text: str) -> Iterator[RawRow]:
    document = json.loads(text)
    for number, feature in enumerate(document["features"], start=1):
        coordinates = (feature.get("geometry") or {}).get("coordinates") or ["", ""]
        place = {"longitude": coordinates[0], "latitude": coordinates[1]}
        values = {**(feature.get("properties") or {}), **place}
        yield RawRow(number, _named({"id": feature.get("id", ""), **values}))


def _ocm(text: str) -> Iterator[RawRow]:
    """Open Charge Map `/poi`, full or compact: one row per connection."""
    for number, poi in enumerate(json.loads(text), start=1):
        address = poi.get("AddressInfo") or {}
        site = {
            "id": poi.get("ID"), "name": address.get("Title"), "address": address.get("AddressLine1"),
            "city": address.get("Town"), "state": address.get("StateOrProvince"), "pin": address.get("Postcode"),
            "latitude": address.get("Latitude"), "longitude": address.get("Longitude"), "price": poi.get("UsageCost"),
            "operator": (poi.get("OperatorInfo") or {}).get("Title") or poi.get("OperatorID"),
        }  # fmt: skip
        for connection in poi.get("Connections") or [{}]:
            plug = connection.get("ConnectionTypeID") or (connection.get("ConnectionType") or {}).get("ID")
            details = {"plug": plug, "kw": connection.get("PowerKW"), "quantity": connection.get("Quantity")}
            yield RawRow(number, _named({**site, **details}))
