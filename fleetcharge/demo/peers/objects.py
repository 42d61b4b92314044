"""Objects of a small CPO as OCPI 2.1.1, 2.2.1 and 2.3.0 write them, each by hand after its field tables; no I/O."""

from typing import Any

COUNTRY, PARTY, NAME = "IN", "VLT", "VoltGrid"
CAPABILITIES = [
    "RESERVABLE", "REMOTE_START_STOP_CAPABLE", "UNLOCK_CAPABLE", "CHARGING_PROFILE_CAPABLE",
    "CHARGING_PREFERENCES_CAPABLE",
]  # fmt: skip
STAMP = "2026-11-21T06:00:00Z"
Raw = dict[str, Any]


def owned(version: str, raw: Raw) -> Raw:
    """2.1.1 objects do not say whose they are."""
    return raw if version == "2.1.1" else {"country_code": COUNTRY, "party_id": PARTY, **raw}


def connector(version: str, **changes: Any) -> Raw:
    if version == "2.1.1":
        shape = {"voltage": 500, "amperage": 120, "tariff_id": "DAY"}
    else:
        shape = {"max_voltage": 500, "max_amperage": 120, "max_electric_power": 60_000, "tariff_ids": ["DAY"]}
    if version == "2.3.0":
        shape["capabilities"] = ["ISO_15118_2_PLUG_AND_CHARGE"]
    plug = {"id": "1", "standard": "IEC_62196_T2_COMBO", "format": "CABLE", "power_type": "DC"}
    return {**plug, **shape, "last_updated": STAMP, **changes}


def evse(version: str, uid: str, **changes: Any) -> Raw:
    unit = {
        "uid": uid,
        "evse_id": f"{COUNTRY}*{PARTY}*E{uid}",
        "status": "AVAILABLE",
        "capabilities": CAPABILITIES[:3] if version == "2.1.1" else CAPABILITIES,
        "connectors": [connector(version)],
        "last_updated": STAMP,
    }
    if version == "2.3.0":
        unit["parking"] = [{"parking_id": "P1", "evse_position": "CENTER"}]
    return {**unit, **changes}


def location(version: str, number: int, **changes: Any) -> Raw:
    site: Raw = {
        "id": f"L{number}",
        "name": f"Volt {number}",
        "address": "Outer Ring Road",
        "city": "Bengaluru",
        "postal_code": "560037",
        "country": "IND",
        "coordinates": {"latitude": "12.950000", "longitude": f"77.7{number:02d}000"},
        "operator": {"name": NAME},
        "evses": [evse(version, f"E{number}-1"), evse(version, f"E{number}-2", status="CHARGING")],
        "last_updated": STAMP,
    }
    if version == "2.1.1":
        site["type"] = "PARKING_LOT"
    else:
        site |= {"publish": True, "time_zone": "Asia/Kolkata", "parking_type": "PARKING_LOT"}
    if version == "2.3.0":
        bay = {
            "id": "P1",
            "vehicle_types": ["RIGID", "BUS"],
            "restricted_to_type": False,
            "reservation_required": False,
        }
        site |= {"parking_places": [bay], "help_phone": "+918012345678"}
    return owned(version, {**site, **changes})


def tariff(version: str, **changes: Any) -> Raw:
    component: Raw = {"type": "ENERGY", "price": 19.5, "step_size": 1}
    if version != "2.1.1":
        component["vat"] = 18.0
    raw: Raw = {"id": "DAY", "currency": "INR", "elements": [{"price_components": [component]}], "last_updated": STAMP}
    if version == "2.3.0":
        raw["tax_included"] = "NO"
    return owned(version, {**raw, **changes})


def money(version: str, before: float, tax: float | None = None) -> Any:
    """An amount as each version writes it."""
    if version == "2.1.1":
        return before
    if version == "2.2.1":
        return {"excl_vat": before, **({} if tax is None else {"incl_vat": round(before + tax, 2)})}
    half = None if tax is None else round(tax / 2, 2)
    taxes = [] if half is None else [{"name": name, "percentage": 9, "amount": half} for name in ("CGST", "SGST")]
    return {"before_taxes": before, **({"taxes": taxes} if taxes else {})}


def use(version: str, token_uid: str, reference: str) -> Raw:
    """Who charged: the part that Session and CDR share."""
    if version == "2.1.1":
        return {"auth_id": token_uid, "auth_method": "AUTH_REQUEST"}
    token = {"uid": token_uid, "type": "RFID", "contract_id": f"IN-FLC-{token_uid}"}
    if version == "2.3.0":
        token |= {"country_code": "IN", "party_id": "FLC"}
    return {"cdr_token": token, "auth_method": "COMMAND", "authorization_reference": reference}


def period(start: str, **volumes: float) -> Raw:
    return {"start_date_time": start, "dimensions": [{"type": name, "volume": v} for name, v in volumes.items()]}


def session(version: str, number: str = "S1", token_uid: str = "CARD1", reference: str = "", **changes: Any) -> Raw:
    raw: Raw = {"id": number, "kwh": 4.5, "currency": "INR", "status": "ACTIVE", **use(version, token_uid, reference)}
    raw |= {"charging_periods": [period("2026-11-21T06:00:00Z", ENERGY=4.5)], "last_updated": "2026-11-21T06:10:00Z"}
    if version == "2.1.1":
        raw |= {"start_datetime": STAMP, "location": location(version, 1, evses=[evse(version, "E1-1")])}
    else:
        raw |= {"start_date_time": STAMP, "location_id": "L1", "evse_uid": "E1-1", "connector_id": "1"}
    return owned(version, {**raw, **changes})


def cdr(version: str, number: str = "C1", token_uid: str = "CARD1", reference: str = "", **changes: Any) -> Raw:
    raw: Raw = {
        "id": number,
        "start_date_time": STAMP,
        "currency": "INR",
        "tariffs": [tariff(version)],
        "charging_periods": [period(STAMP, ENERGY=20.0, TIME=0.5)],
        "total_cost": money(version, 390.0, 70.2),
        "total_energy": 20.0,
        "total_time": 0.5,
        "last_updated": "2026-11-21T06:31:00Z",
        **use(version, token_uid, reference),
    }
    end = "2026-11-21T06:30:00Z"
    if version == "2.1.1":
        raw |= {"stop_date_time": end, "location": location(version, 1, evses=[evse(version, "E1-1")])}
    else:
        place: Raw = {
            "id": "L1",
            "address": "Outer Ring Road",
            "city": "Bengaluru",
            "country": "IND",
            "evse_uid": "E1-1",
        }
        place |= {"coordinates": {"latitude": "12.950000", "longitude": "77.701000"}, "evse_id": "IN*VLT*EE1-1"}
        plug = {"connector_id": "1", "connector_standard": "IEC_62196_T2_COMBO", "connector_format": "CABLE"}
        raw |= {"end_date_time": end, "session_id": "S1", "total_energy_cost": money(version, 390.0, 70.2)}
        raw |= {"cdr_location": {**place, **plug, "connector_power_type": "DC"}}
    return owned(version, {**raw, **changes})


def booking_location(**changes: Any) -> Raw:
    slot = {"start_from": "2026-11-21T10:00:00Z", "end_before": "2026-11-21T12:00:00Z", "max_power": 60_000}
    calendar = {
        "id": "CAL1",
        "begin_from": "2026-11-21T00:00:00Z",
        "end_before": "2026-11-22T00:00:00Z",
        "timeslot_increment": 15,
        "available_timeslots": [slot],
        "last_updated": STAMP,
    }
    terms: Raw = {"change_until_minutes": 30, "cancel_until_minutes": 15, "noshow_timeout": 10, "noshow_fee": True}
    terms["supported_access_methods"] = ["TOKEN", "LICENSE_PLATE"]
    raw = {"id": "BL1", "location_id": "L1", "evse_uid": "E1-1", "booking_terms": [terms], "calendars": [calendar]}
    return owned("2.3.0", {**raw, "tariff_ids": ["DAY"], "last_updated": STAMP, **changes})


def booking(request: Raw, number: str, status: str, updated: str) -> Raw:
    """What a CPO answers to a BookingRequest."""
    asked = {"request_status": "PENDING" if status == "PENDING" else "ACCEPTED", "booking_request": request}
    return owned(
        "2.3.0",
        {
            "id": number,
            "request_id": request["request_id"],
            "location_id": request["location_id"],
            "evse_uid": request.get("evse_uid", "#NA"),
            "period": request["period"],
            "reservation_status": status,
            "authorization_reference": request["authorization_reference"],
            "booking_terms": {"change_until_minutes": 30, "cancel_until_minutes": 15},
            "booking_requests": [{**asked, "request_received": updated}],
            "last_updated": updated,
        },
    )


def invoice(number: str, *cdr_ids: str, **changes: Any) -> Raw:
    raw = {"id": number, "invoice_id": f"INV/{number}", "cdrs": list(cdr_ids), "last_updated": STAMP}
    return owned("2.3.0", {**raw, **changes})
