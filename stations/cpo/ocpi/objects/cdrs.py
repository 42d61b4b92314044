"""Charge detail records (module `cdrs`): final, immutable, corrected only by a credit CDR and a fresh one."""

from typing import Any

from pydantic import Field

from stations.cpo.ocpi.objects.base import CountryCode, Id, Instant, Number, PartyId, Price, Text, Wire, key
from stations.cpo.ocpi.objects.sessions import CdrTokenIn, ChargingPeriodIn

COSTS = ("total_fixed_cost", "total_energy_cost", "total_time_cost", "total_parking_cost", "total_reservation_cost")


class CdrLocationIn(Wire):
    """Where it was, flattened to one connector."""

    id: Text = ""
    name: str | None = None
    address: str = ""
    city: str = ""
    country: str = ""
    coordinates: dict[str, Any] | None = None
    evse_uid: Text = ""
    evse_id: Text = ""
    connector_id: Text = ""
    connector_standard: str = ""
    connector_format: str = ""
    connector_power_type: str = ""


class CdrIn(Wire):
    """Times are hours and energy is kWh, as OCPI has them; `total_cost` is negative only in a credit CDR."""

    country_code: CountryCode
    party_id: PartyId
    id: Id
    start_date_time: Instant
    end_date_time: Instant
    session_id: Text | None = None
    cdr_token: CdrTokenIn = CdrTokenIn()
    auth_method: str = ""
    authorization_reference: Text = ""
    cdr_location: CdrLocationIn = CdrLocationIn()
    meter_id: Text | None = None
    currency: str = Field(min_length=3, max_length=3)
    tariffs: list[dict[str, Any]] = []
    charging_periods: list[ChargingPeriodIn] = []
    signed_data: dict[str, Any] | None = None
    total_cost: Price
    total_fixed_cost: Price | None = None
    total_energy: Number = Field(ge=0)
    total_energy_cost: Price | None = None
    total_time: Number = Field(ge=0)
    total_time_cost: Price | None = None
    total_parking_time: Number | None = None
    total_parking_cost: Price | None = None
    total_reservation_cost: Price | None = None
    remark: str | None = None
    invoice_reference_id: Text | None = None
    credit: bool = False
    credit_reference_id: Text | None = None
    home_charging_compensation: bool | None = None
    last_updated: Instant

    @property
    def key(self) -> str:
        return key(self.country_code, self.party_id, self.id)

    @property
    def energy_wh(self) -> int:
        return int((self.total_energy * 1000).to_integral_value())

    def costs(self) -> dict[str, Any]:
        """What the CPO wants for each dimension, as it said it."""
        found = {name: getattr(self, name) for name in COSTS}
        return {name: cost.model_dump(mode="json") for name, cost in found.items() if cost is not None}


def seconds(hours: Any) -> int:
    return int((hours * 3600).to_integral_value()) if hours else 0
