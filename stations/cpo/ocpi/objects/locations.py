"""Locations, EVSEs and connectors (module `locations`), and the documents they become."""

from typing import Any

from pydantic import Field

from fleetcharge.lib.geo import is_coordinate
from stations import plugs
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.cpo.ocpi.objects.base import BusinessDetails, CountryCode, Id, Instant, PartyId, Text, Whole, Wire, key
from stations.cpo.ocpi.objects.zones import zone_at
from stations.status import FROM_OCPI

POWER_TYPES = {"AC_1_PHASE", "AC_2_PHASE", "AC_2_PHASE_SPLIT", "AC_3_PHASE", "DC"}


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
    """`capabilities` of a connector are new in 2.3.0 (ISO 15118 plug and charge)."""

    id: Id
    standard: str = "UNKNOWN"
    format: str = "CABLE"
    power_type: str = "DC"
    max_voltage: Whole = 0
    max_amperage: Whole = 0
    max_electric_power: Whole | None = None
    tariff_ids: list[Text] = []
    terms_and_conditions: str | None = None
    capabilities: list[str] = []

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


class ParkingIn(Wire):
    """A parking place (OCPI 2.3.0): which vehicles fit. Lengths in cm, weight in kg, `time_limit` in minutes."""

    id: Id
    physical_reference: str | None = None
    vehicle_types: list[str] = []
    max_vehicle_weight: Whole | None = None
    max_vehicle_height: Whole | None = None
    max_vehicle_length: Whole | None = None
    max_vehicle_width: Whole | None = None
    restricted_to_type: bool | None = None
    reservation_required: bool | None = None
    time_limit: Whole | None = None
    drive_through: bool | None = None
    refrigeration_outlet: bool | None = None


class EvseIn(Wire):
    """One EVSE charges one vehicle at a time; `parking` names parking places of the site (OCPI 2.3.0)."""

    uid: Id
    evse_id: str | None = None
    status: str = "UNKNOWN"
    status_schedule: list[dict[str, Any]] = []
    capabilities: list[str] = []
    connectors: list[ConnectorIn] = []
    floor_level: str | None = None
    coordinates: Coordinates | None = None
    physical_reference: str | None = None
    parking_restrictions: list[str] = []
    parking: list[dict[str, Any]] = []
    accepted_service_providers: list[str] = []
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


class LocationIn(Wire):
    """A site. Without a time zone (2.1.1 allows that) it is taken from the position."""

    id: Id
    country_code: CountryCode
    party_id: PartyId
    name: str | None = None
    address: str = ""
    city: str = ""
    postal_code: Text | None = None
    state: str | None = None
    country: str = "IND"
    coordinates: Coordinates
    parking_type: str | None = None
    evses: list[EvseIn] = []
    operator: BusinessDetails | None = None
    suboperator: BusinessDetails | None = None
    owner: BusinessDetails | None = None
    facilities: list[str] = []
    parking_places: list[ParkingIn] = []
    help_phone: Text | None = None
    time_zone: str | None = None
    opening_times: dict[str, Any] | None = None
    charging_when_closed: bool = True
    publish: bool = True
    last_updated: Instant = Field()

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
            time_zone=(self.time_zone or zone_at(latitude, longitude, self.country_code))[:40],
            party=(self.country_code.upper(), self.party_id.upper(), operator),
            opening_times=self.opening_times,
            updated_at=self.last_updated,
        )
