"""Sessions (module `sessions`): what charges now, as its CPO tells it."""

from typing import Any

from pydantic import Field

from stations.cpo.ocpi.objects.base import CountryCode, Id, Instant, Number, PartyId, Price, Text, Wire, key

WORDS = {"RESERVED": "RESERVATION"}  # the specification's prose and its table differ: both are accepted


class CdrTokenIn(Wire):
    """The token of a Session or CDR. 2.1.1 knows only the contract (`auth_id`)."""

    uid: Text = ""
    type: str = "RFID"
    contract_id: Text = ""
    country_code: str | None = None
    party_id: str | None = None


class DimensionIn(Wire):
    """ENERGY in kWh, TIME, PARKING_TIME and RESERVATION_TIME in hours, currents in A, powers in kW."""

    type: str
    volume: Number


class ChargingPeriodIn(Wire):
    start_date_time: Instant
    dimensions: list[DimensionIn] = []
    tariff_id: Text | None = None


class SessionIn(Wire):
    """`total_cost` absent is not "free". `evse_uid` is `#NA` for a reservation of any EVSE."""

    country_code: CountryCode
    party_id: PartyId
    id: Id
    start_date_time: Instant
    end_date_time: Instant | None = None
    kwh: Number = Field(ge=0)
    cdr_token: CdrTokenIn = CdrTokenIn()
    auth_method: str = ""
    authorization_reference: Text = ""
    location_id: Text = ""
    evse_uid: Text = ""
    connector_id: Text = ""
    meter_id: Text | None = None
    currency: str = Field("INR", min_length=3, max_length=3)
    charging_periods: list[ChargingPeriodIn] = []
    total_cost: Price | None = None
    status: str
    last_updated: Instant

    @property
    def key(self) -> str:
        return key(self.country_code, self.party_id, self.id)

    @property
    def word(self) -> str:
        """ACTIVE, COMPLETED, INVALID, PENDING, RESERVATION, or what the CPO says instead."""
        return WORDS.get(self.status.upper(), self.status.upper())[:20]

    @property
    def energy_wh(self) -> int:
        return int((self.kwh * 1000).to_integral_value())

    def periods(self) -> list[dict[str, Any]]:
        return [period.model_dump(mode="json") for period in self.charging_periods]
