"""OCPI 2.2.1 objects as tolerant readers: unknown fields and enum values survive, one bad object is one error."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fleetcharge.lib.geo import is_coordinate
from stations import plugs
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc, TariffDoc
from stations.status import FROM_OCPI


def as_utc(value: Any) -> Any:
    """OCPI DateTime: no offset means UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) else value


Instant = Annotated[datetime, BeforeValidator(as_utc)]


def _rounded(value: Any) -> Any:
    return round(float(value)) if isinstance(value, float | str) else value


def _seconds(value: Any) -> int:
    try:
        return min(max(int(float(value)), 1), 3600)
    except (ValueError, TypeError, OverflowError):
        return 60


Text = Annotated[str, BeforeValidator(_as_text)]
Id = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=48, pattern=r"^[\x20-\x7e]+$")]
Whole = Annotated[int, BeforeValidator(_rounded), Field(ge=0, le=20_000_000)]
POWER_TYPES = {"AC_1_PHASE", "AC_2_PHASE", "AC_2_PHASE_SPLIT", "AC_3_PHASE", "DC"}


class Wire(BaseModel):
    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, values: Any) -> Any:
        """`null` is how many peers say "not given"; a NUL character is nothing a database takes."""
        if not isinstance(values, dict):
            return values
        return {k: v.replace("\0", "") if isinstance(v, str) else v for k, v in values.items() if v is not None}


class Coordinates(Wire):
    latitude: Text
    longitude: Text

    def point(self) -> tuple[float, float]:
        """(latitude, longitude); swapped ones of Indian sites are put right (lat 6-38, lon 68-98 never overlap)."""
        latitude, longitude = float(self.latitude), float(self.longitude)
        if 68 <= latitude <= 98 and 6 <= longitude <= 38:
            return longitude, latitude
        if not is_coordinate(latitude, longitude):
            raise ValueError(f"{self.latitude}, {self.longitude} is no place on earth")
        return latitude, longitude


class ConnectorIn(Wire):
    id: Id
    standard: str = "UNKNOWN"
    format: str = "CABLE"
    power_type: str = "DC"
    max_voltage: Whole = 0
    max_amperage: Whole = 0
    max_electric_power: Whole | None = None
    tariff_ids: list[Text] = []

    def doc(self) -> ConnectorDoc:
        is_socket = self.format == "SOCKET"
        return ConnectorDoc(
            external_id=self.id,
            plug=plugs.from_ocpi(self.standard, is_socket=is_socket, max_voltage_v=self.max_voltage),
            raw_plug=self.standard[:60],
            format="SOCKET" if is_socket else "CABLE",
            power_type=self.power_type if self.power_type in POWER_TYPES else "DC",
            max_power_w=self.max_electric_power or plugs.power_w(self.power_type, self.max_voltage, self.max_amperage),
            max_voltage_v=self.max_voltage,
            max_current_a=self.max_amperage,
            tariff_ids=tuple(self.tariff_ids),
        )


class EvseIn(Wire):
    uid: Id
    status: str = "UNKNOWN"
    capabilities: list[str] = []
    connectors: list[ConnectorIn] = []
    physical_reference: str | None = None
    last_updated: Instant | None = None

    def doc(self) -> EvseDoc:
        return EvseDoc(
            uid=self.uid,
            connectors=tuple(connector.doc() for connector in self.connectors),
            raw_status=self.status[:30],
            status=FROM_OCPI.get(self.status, "unknown"),
            capabilities=tuple(capability[:40] for capability in self.capabilities),
            physical_reference=self.physical_reference or "",
            updated_at=self.last_updated,
        )


class BusinessDetails(Wire):
    name: str = ""


class LocationIn(Wire):
    id: Id
    country_code: str = Field(min_length=2, max_length=2)
    party_id: str = Field(min_length=1, max_length=3)
    name: str | None = None
    address: str = ""
    city: str = ""
    postal_code: Text | None = None
    state: str | None = None
    country: str = "IND"
    coordinates: Coordinates
    evses: list[EvseIn] = []
    operator: BusinessDetails | None = None
    time_zone: str = "Asia/Kolkata"
    opening_times: dict[str, Any] | None = None
    publish: bool = True
    last_updated: Instant

    def doc(self) -> LocationDoc:
        latitude, longitude = self.coordinates.point()
        operator = self.operator.name if self.operator else ""
        return LocationDoc(
            external_key=key(self.country_code, self.party_id, self.id),
            name=(self.name or operator or self.address or self.id)[:255],
            latitude=latitude,
            longitude=longitude,
            evses=tuple(evse.doc() for evse in self.evses),
            address=self.address[:255],
            city=self.city[:60],
            state=(self.state or "")[:60],
            postal_code=(self.postal_code or "")[:10],
            country_code=self.country_code.upper(),
            time_zone=self.time_zone[:40],
            party=(self.country_code.upper(), self.party_id.upper(), operator),
            opening_times=self.opening_times,
            updated_at=self.last_updated,
        )


class TariffIn(Wire):
    id: Id
    country_code: str = ""
    party_id: str = ""
    currency: str = Field("INR", min_length=3, max_length=3)
    elements: list[dict[str, Any]]
    tariff_alt_text: list[dict[str, Any]] = []
    last_updated: Instant | None = None

    def doc(self) -> TariffDoc:
        name = next((str(text.get("text", "")) for text in self.tariff_alt_text), "")
        return TariffDoc(self.id, self.currency, [_exact(element) for element in self.elements], name[:120])


class Role(Wire):
    role: str
    party_id: str = Field(min_length=1, max_length=3)
    country_code: str = Field(min_length=2, max_length=2)
    business_details: BusinessDetails = BusinessDetails()


class CredentialsIn(Wire):
    token: str = Field(min_length=1, max_length=64)
    url: str
    roles: list[Role] = []


class CommandResponseIn(Wire):
    """`timeout` in seconds; what is no sensible number counts as a minute."""

    result: str = ""
    timeout: Annotated[int, BeforeValidator(_seconds)] = 60


class CommandResultIn(Wire):
    result: str
    message: list[dict[str, Any]] = []


def key(country_code: str, party_id: str, location_id: str) -> str:
    """How a location is called in ExternalRef."""
    return f"{country_code}*{party_id}*{location_id}"


def _exact(value: Any) -> Any:
    """Numbers become decimal strings, so that a price of 19.5 never passes through a float again."""
    if isinstance(value, dict):
        return {name: str(item) if name == "price" else _exact(item) for name, item in value.items()}
    return [_exact(item) for item in value] if isinstance(value, list) else value


def now_text(at: datetime) -> str:
    """OCPI DateTime, UTC with Z, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
