"""Bookings 1.1 and invoice reconciliation (OCPI 2.3.0)."""

from typing import Any

from stations.cpo.ocpi.objects.base import CountryCode, Id, Instant, Number, PartyId, Text, Whole, Wire, key


class TimeslotIn(Wire):
    """Power in watts (the request beside it asks in kW)."""

    start_from: Instant | None = None
    end_before: Instant | None = None
    min_power: Number | None = None
    max_power: Number | None = None


class CalendarIn(Wire):
    id: Id
    begin_from: Instant
    end_before: Instant
    timeslot_increment: Whole | None = None
    available_timeslots: list[TimeslotIn] = []
    last_updated: Instant | None = None


class BookingTermsIn(Wire):
    """Minutes before the booking until which it may be changed or cancelled; `noshow_timeout` in minutes."""

    change_until_minutes: Number | None = None
    cancel_until_minutes: Number | None = None
    early_start_allowed: bool | None = None
    early_start_time: Number | None = None
    noshow_timeout: Number | None = None
    noshow_fee: Any = None
    booking_terms: str | None = None


class BookingLocationIn(Wire):
    """Where and when one can book. `tariff_ids` is called `tariff_id` in the printed table."""

    country_code: CountryCode
    party_id: PartyId
    id: Id
    location_id: Text
    evse_uid: Text | None = None
    connector_id: Text | None = None
    bookable_parking_options: list[dict[str, Any]] = []
    tariff_ids: list[Text] = []
    booking_terms: list[BookingTermsIn] = []
    calendars: list[CalendarIn] = []
    last_updated: Instant

    @property
    def key(self) -> str:
        return key(self.country_code, self.party_id, self.id)


class BookingIn(Wire):
    """`request_id` is ours, the same for every change; `authorization_reference` joins it to Session and CDR."""

    country_code: CountryCode
    party_id: PartyId
    id: Id
    request_id: Text
    location_id: Text = ""
    evse_uid: Text = ""
    connector_id: Text = ""
    period: dict[str, Any] = {}
    reservation_status: str
    canceled: dict[str, Any] | None = None
    access_methods: list[dict[str, Any]] = []
    authorization_reference: Text = ""
    booking_requests: list[dict[str, Any]] = []
    last_updated: Instant

    @property
    def key(self) -> str:
        return key(self.country_code, self.party_id, self.id)


class InvoiceRecordIn(Wire):
    """Which CDRs one invoice is about."""

    country_code: CountryCode
    party_id: PartyId
    id: Id
    invoice_id: Text
    cdrs: list[Text]
    last_updated: Instant

    @property
    def key(self) -> str:
        return key(self.country_code, self.party_id, self.id)
