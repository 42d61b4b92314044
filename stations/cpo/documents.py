"""Sites as every source describes them, before they become rows. Near OCPI, with our plug keys and units."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class ConnectorDoc:
    external_id: str
    plug: str
    raw_plug: str
    format: str
    power_type: str
    max_power_w: int
    max_voltage_v: int = 0
    max_current_a: int = 0
    tariff_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvseDoc:
    """`raw_status` "" means that this source knows no live status."""

    uid: str
    connectors: tuple[ConnectorDoc, ...]
    raw_status: str = ""
    status: str = "unknown"
    capabilities: tuple[str, ...] = ()
    physical_reference: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True)
class LocationDoc:
    external_key: str
    name: str
    latitude: float
    longitude: float
    evses: tuple[EvseDoc, ...]
    address: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country_code: str = "IN"
    time_zone: str = "Asia/Kolkata"
    party: tuple[str, str, str] | None = None  # country code, party id, name
    opening_times: dict[str, Any] | None = None
    updated_at: datetime | None = None
    problems: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class TariffDoc:
    """Elements and terms (see Tariff.terms) in OCPI form; prices as decimal strings."""

    external_id: str
    currency: str
    elements: list[dict[str, Any]]
    name: str = ""
    updated_at: datetime | None = None
    terms: dict[str, Any] = field(default_factory=dict)
