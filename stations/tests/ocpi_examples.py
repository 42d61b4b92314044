"""The kinds of example that OCPI 2.2.1 prints, each rebuilt from its field tables with values of our own.

`EXAMPLES` maps a name to (kind, object); kinds are those of `READERS` in test_ocpi_examples.py.
"""

from typing import Any

T0, T1, T2 = "2026-03-01T08:00:00Z", "2026-03-01T09:15:00Z", "2026-03-01T10:00:00Z"
OWNER = {"country_code": "IN", "party_id": "VLT"}
Raw = dict[str, Any]


def plug(number: str = "1", **more: Any) -> Raw:
    return {
        "id": number, "standard": "IEC_62196_T2", "format": "CABLE", "power_type": "AC_3_PHASE", "max_voltage": 220,
        "max_amperage": 16, "tariff_ids": ["11"], "last_updated": T0, **more,
    }  # fmt: skip


def unit(uid: str = "3256", **more: Any) -> Raw:
    return {
        "uid": uid, "evse_id": f"IN*VLT*E{uid}", "status": "AVAILABLE", "capabilities": ["RESERVABLE"],
        "connectors": [plug(), plug("2", format="SOCKET", tariff_ids=["13"])], "physical_reference": "1",
        "floor_level": "-1", "last_updated": T0, **more,
    }  # fmt: skip


def site(**more: Any) -> Raw:
    return {
        **OWNER, "id": "LOC1", "publish": True, "name": "Indiranagar", "address": "100 Feet Road 3",
        "city": "Bengaluru", "postal_code": "560038", "state": "Karnataka", "country": "IND",
        "coordinates": {"latitude": "12.970000", "longitude": "77.640000"}, "time_zone": "Asia/Kolkata",
        "last_updated": T0, **more,
    }  # fmt: skip


def price(kind: str, amount: float, step: int = 1, **more: Any) -> Raw:
    return {"type": kind, "price": amount, "step_size": step, **more}


def tariff(*elements: Raw, **more: Any) -> Raw:
    return {**OWNER, "id": "12", "currency": "INR", "elements": list(elements), "last_updated": T0, **more}


def element(*components: Raw, **restrictions: Any) -> Raw:
    return {"price_components": list(components), **({"restrictions": restrictions} if restrictions else {})}


def token(**more: Any) -> Raw:
    return {
        "country_code": "IN", "party_id": "FLC", "uid": "012345678", "type": "RFID", "contract_id": "IN-FLC-012345678",
        "issuer": "FleetCharge", "valid": True, "whitelist": "ALWAYS", "last_updated": T0, **more,
    }  # fmt: skip


CDR_TOKEN = {"uid": "012345678", "type": "RFID", "contract_id": "IN-FLC-012345678"}
WHERE = {
    "id": "LOC1", "name": "Indiranagar", "address": "100 Feet Road 3", "city": "Bengaluru", "country": "IND",
    "coordinates": {"latitude": "12.97", "longitude": "77.64"}, "evse_uid": "3256", "evse_id": "IN*VLT*E3256",
    "connector_id": "1", "connector_standard": "IEC_62196_T2", "connector_format": "SOCKET",
    "connector_power_type": "AC_1_PHASE",
}  # fmt: skip


def session(**more: Any) -> Raw:
    return {
        **OWNER, "id": "101", "start_date_time": T0, "kwh": 0.0, "cdr_token": CDR_TOKEN, "auth_method": "WHITELIST",
        "location_id": "LOC1", "evse_uid": "3256", "connector_id": "1", "currency": "INR", "status": "PENDING",
        "last_updated": T0, **more,
    }  # fmt: skip


def dims(start: str, *volumes: tuple[str, float]) -> Raw:
    return {"start_date_time": start, "dimensions": [{"type": name, "volume": volume} for name, volume in volumes]}


def cdr(**more: Any) -> Raw:
    return {
        **OWNER, "id": "12345", "start_date_time": T0, "end_date_time": T2, "cdr_token": CDR_TOKEN,
        "auth_method": "WHITELIST", "cdr_location": WHERE, "currency": "INR",
        "tariffs": [tariff(element(price("TIME", 2.0, 300, vat=10.0)))],
        "charging_periods": [{**dims(T0, ("TIME", 1.973)), "tariff_id": "12"}],
        "total_cost": {"excl_vat": 4.0, "incl_vat": 4.4}, "total_energy": 15.342, "total_time": 1.973,
        "total_time_cost": {"excl_vat": 4.0, "incl_vat": 4.4}, "last_updated": T2, **more,
    }  # fmt: skip


HOURS = [{"weekday": day, "period_begin": "08:00", "period_end": "20:00"} for day in range(1, 6)]
MIX = {
    "is_green_energy": False, "supplier_name": "BESCOM", "energy_product_name": "Day",
    "energy_sources": [{"source": "SOLAR", "percentage": 60}, {"source": "COAL", "percentage": 40}],
    "environ_impact": [{"category": "CARBON_DIOXIDE", "amount": 372}],
}  # fmt: skip
WEEKEND = {"day_of_week": ["SATURDAY", "SUNDAY"]}
PROFILE = {"charging_rate_unit": "W", "charging_profile_period": [{"start_period": 0, "limit": 11000.0}]}

EXAMPLES: dict[str, tuple[str, Raw]] = {
    # versions and credentials
    "version": ("version", {"version": "2.2.1", "url": "https://cpo.example/ocpi/2.2.1/"}),
    "version details": ("details", {"version": "2.2.1", "endpoints": [
        {"identifier": "credentials", "role": "RECEIVER", "url": "https://cpo.example/ocpi/2.2.1/credentials/"},
        {"identifier": "locations", "role": "SENDER", "url": "https://cpo.example/ocpi/cpo/2.2.1/locations/"}]}),
    "credentials of one CPO": ("credentials", {"token": "ebf3b399", "url": "https://cpo.example/versions/", "roles": [
        {**OWNER, "role": "CPO", "business_details": {"name": "Volt", "logo": {
            "url": "https://cpo.example/l.jpg", "category": "OPERATOR", "type": "jpeg", "width": 512, "height": 512},
            "website": "https://cpo.example"}}]}),
    "minimal credentials": ("credentials", {"token": "ebf3b399", "url": "https://cpo.example/versions/", "roles": [
        {**OWNER, "role": "CPO", "business_details": {"name": "Volt"}}]}),
    "credentials of several roles": ("credentials", {"token": "9e80a9c4", "url": "https://hub.example/", "roles": [
        {**OWNER, "role": "CPO", "business_details": {"name": "Volt"}},
        {"country_code": "IN", "party_id": "VLM", "role": "EMSP", "business_details": {"name": "Volt Drive"}}]}),
    # locations
    "public site": ("location", site(evses=[unit(), unit("3257", status="RESERVED")], parking_type="ON_STREET",
                                     operator={"name": "Volt"}, directions=[{"language": "en", "text": "Left"}])),
    "destination charger": ("location", site(name="Hotel", facilities=["HOTEL", "WIFI"], evses=[unit()],
                                             opening_times={"twentyfourseven": True})),
    "destination charger not published": ("location", site(publish=False, evses=[unit()])),
    "sites with few who may see them": ("location", site(publish=False, publish_allowed_to=[
        {"visual_number": "12345-67", "issuer": "FleetCharge"}, {"uid": "12345678905880", "type": "RFID"}])),
    "charging hub": ("location", site(name="Hub", related_locations=[{"latitude": "12.98", "longitude": "77.65"}],
                                      evses=[unit(), unit("3258", connectors=[plug(power_type="DC", max_voltage=920,
                                             max_amperage=400, max_electric_power=350_000,
                                             standard="IEC_62196_T2_COMBO")])])),
    "home charger": ("location", site(publish=False, parking_type="ON_DRIVEWAY", evses=[unit()])),
    "site with hours": ("location", site(charging_when_closed=False, opening_times={
        "twentyfourseven": False, "regular_hours": HOURS,
        "exceptional_openings": [{"period_begin": T0, "period_end": T1}],
        "exceptional_closings": [{"period_begin": T1, "period_end": T2}]})),
    "site with its energy": ("location", site(energy_mix=MIX)),
    "site with a simple mix": ("location", site(energy_mix={"is_green_energy": True})),
    "site with images": ("location", site(images=[{"url": "https://cpo.example/1.png", "category": "ENTRANCE",
                                                   "type": "png", "thumbnail": "https://cpo.example/t.png"}])),
    "evse": ("evse", unit()),
    "evse with a schedule": ("evse", unit(status_schedule=[
        {"period_begin": T0, "period_end": T1, "status": "INOPERATIVE"}])),
    "evse for some": ("evse", unit(parking_restrictions=["EV_ONLY", "DISABLED"])),
    "removed evse": ("evse", unit(status="REMOVED")),
    "connector": ("connector", plug()),
    "connector with terms": ("connector", plug(terms_and_conditions="https://cpo.example/terms")),
    # tariffs
    "simple by time": ("tariff", tariff(element(price("TIME", 2.0, 60)))),
    "simple with a limit": ("tariff", tariff(element(price("TIME", 2.0, 60)), max_price={
        "excl_vat": 10.0, "incl_vat": 11.0})),
    "simple with a least price": ("tariff", tariff(element(price("TIME", 2.0, 60)), min_price={"excl_vat": 0.5})),
    "simple by energy": ("tariff", tariff(element(price("ENERGY", 0.25, vat=10.0)))),
    "energy and start": ("tariff", tariff(element(price("FLAT", 0.5, vat=20.0), price("ENERGY", 0.25)))),
    "energy and parking": ("tariff", tariff(element(price("ENERGY", 0.2)), element(price("PARKING_TIME", 2.0, 900)))),
    "with a text": ("tariff", tariff(element(price("TIME", 2.0)), tariff_alt_text=[
        {"language": "en", "text": "2.00 per hour"}, {"language": "hi", "text": "2.00 प्रति घंटा"}])),
    "with an address": ("tariff", tariff(element(price("TIME", 2.0)), tariff_alt_url="https://cpo.example/tariffs/12")),
    "complex": ("tariff", tariff(
        element(price("FLAT", 2.5)),
        element(price("TIME", 1.0, 900), max_current=32.0),
        element(price("TIME", 2.0, 600), min_current=32.0, day_of_week=["MONDAY", "FRIDAY"]),
        element(price("TIME", 1.25, 600), min_current=32.0, **WEEKEND),
        element(price("PARKING_TIME", 5.0, 300), start_time="09:00", end_time="18:00"),
        element(price("PARKING_TIME", 6.0, 300), start_time="10:00", end_time="17:00", **WEEKEND))),
    "free": ("tariff", tariff(element(price("FLAT", 0.0, 0)))),
    "by hours of the day": ("tariff", tariff(element(price("ENERGY", 0.27), start_time="13:00", end_time="20:00"))),
    "by power": ("tariff", tariff(element(price("ENERGY", 0.2), max_power=16.0), element(price("ENERGY", 0.5)))),
    "by duration": ("tariff", tariff(element(price("TIME", 0.0), max_duration=1800), element(price("TIME", 5.0)))),
    "by amount": ("tariff", tariff(element(price("ENERGY", 0.4), min_kwh=20), element(price("ENERGY", 0.3)))),
    "for some days": ("tariff", tariff(element(price("TIME", 2.0), start_date="2026-03-01", end_date="2026-04-01"))),
    "for reservations": ("tariff", tariff(element(price("TIME", 5.0, 60), reservation="RESERVATION"),
                                          element(price("ENERGY", 0.25)))),
    "for reservations that expire": ("tariff", tariff(
        element(price("FLAT", 4.0), reservation="RESERVATION_EXPIRES"),
        element(price("TIME", 5.0, 600), reservation="RESERVATION"))),
    "for a while": ("tariff", tariff(element(price("ENERGY", 0.25)), start_date_time=T0, end_date_time=T2,
                                     type="PROFILE_GREEN", energy_mix={"is_green_energy": True})),
    # sessions
    "session that begins": ("session", session()),
    "session that charges": ("session", session(status="ACTIVE", kwh=15.342, charging_periods=[
        dims(T0, ("ENERGY", 12.0), ("MAX_CURRENT", 30.0)), dims(T1, ("ENERGY", 3.342), ("STATE_OF_CHARGE", 61))],
        authorization_reference="dfe37d1d", total_cost={"excl_vat": 8.5, "incl_vat": 9.35})),
    "session that is over": ("session", session(status="COMPLETED", kwh=41.0, end_date_time=T2, meter_id="M1",
                                                total_cost={"excl_vat": 4.0})),
    "reservation": ("session", session(status="RESERVATION", evse_uid="#NA", connector_id="#NA")),
    # CDRs
    "cdr": ("cdr", cdr()),
    "cdr with its meter": ("cdr", cdr(signed_data={"encoding_method": "OCMF", "encoding_method_version": 1,
        "public_key": "04a1", "url": "https://cpo.example/verify", "signed_values": [
            {"nature": "Start", "plain_data": "DATA", "signed_data": "OCMF|{}|{}"},
            {"nature": "End", "plain_data": "DATA", "signed_data": "OCMF|{}|{}"}]})),
    "cdr in parts": ("cdr", cdr(total_fixed_cost={"excl_vat": 1.0}, total_energy_cost={"excl_vat": 2.0},
        total_parking_time=0.5, total_parking_cost={"excl_vat": 1.0, "incl_vat": 1.1},
        total_reservation_cost={"excl_vat": 0.0}, session_id="101", invoice_reference_id="INV-1",
        home_charging_compensation=True, remark="Cable was cut")),
    "credit cdr": ("cdr", cdr(id="12345-C", credit=True, credit_reference_id="12345",
                              total_cost={"excl_vat": -4.0, "incl_vat": -4.4})),
    # commands
    "command is taken": ("command response", {"result": "ACCEPTED", "timeout": 30}),
    "command is refused": ("command response", {"result": "NOT_SUPPORTED", "timeout": 0, "message": [
        {"language": "en", "text": "Not here"}]}),
    "command has worked": ("command result", {"result": "ACCEPTED"}),
    "reservation is taken back": ("command result", {"result": "CANCELED_RESERVATION", "message": [
        {"language": "en", "text": "Broken"}]}),
    # charging profiles
    "profile by power": ("profile", PROFILE),
    "profile by current": ("profile", {"charging_rate_unit": "A", "start_date_time": T0, "duration": 900,
        "min_charging_rate": 6.0, "charging_profile_period": [{"start_period": 0, "limit": 16.0},
                                                              {"start_period": 300, "limit": 8.1}]}),
    "active profile": ("active profile", {"start_date_time": T0, "charging_profile": PROFILE}),
    "active profile as a result": ("command result", {"result": "ACCEPTED", "profile": {
        "start_date_time": T0, "charging_profile": PROFILE}}),
    # hubs
    "client of a hub": ("client", {**OWNER, "role": "CPO", "status": "CONNECTED", "last_updated": T0}),
    # where somebody wants to charge
    "references": ("references", {"location_id": "LOC1", "evse_uids": ["3256", "3257"]}),
    "references to a site": ("references", {"location_id": "LOC1"}),
}  # fmt: skip
