"""OCPI 2.1.1: raw tokens, no roles, objects without an owner, one tariff per connector, prices as bare numbers."""

from hashlib import sha256
from typing import Any

from stations.cpo.ocpi.dialects.base import Dialect, Owner, Raw, listed, renamed, without

CONNECTOR = {"voltage": "max_voltage", "amperage": "max_amperage"}
SESSION = {"start_datetime": "start_date_time", "end_datetime": "end_date_time"}
CDR = {"stop_date_time": "end_date_time"}
RESERVATION_NUMBERS = 2**31 - 1


def owned(raw: Raw, owner: Owner) -> Raw:
    """An object says nothing of its owner: it belongs to whoever sent it."""
    return {"country_code": owner[0], "party_id": owner[1], **raw}


# --- locations --------------------------------------------------------------------------------------------------
def connector_up(raw: Raw, owner: Owner) -> Raw:
    raw = renamed(raw, CONNECTOR)
    tariff_id = raw.get("tariff_id")
    return {"tariff_ids": [tariff_id], **without(raw, "tariff_id")} if tariff_id else raw


def evse_up(raw: Raw, owner: Owner) -> Raw:
    if "connectors" not in raw:
        return raw
    plugs = [connector_up(each, owner) if isinstance(each, dict) else each for each in listed(raw["connectors"])]
    return {**raw, "connectors": plugs}


def location_up(raw: Raw, owner: Owner) -> Raw:
    raw = owned(renamed(raw, {"type": "parking_type"}), owner)
    if "evses" not in raw:
        return raw
    return {**raw, "evses": [evse_up(each, owner) if isinstance(each, dict) else each for each in listed(raw["evses"])]}


def connector_down(raw: Raw) -> Raw:
    tariff_ids = raw.get("tariff_ids") or []
    back = {later: earlier for earlier, later in CONNECTOR.items()}
    plain = {back.get(name, name): value for name, value in without(raw, "tariff_ids", "max_electric_power").items()}
    return {**plain, "tariff_id": tariff_ids[0]} if tariff_ids else plain


def evse_down(raw: Raw) -> Raw:
    return {**raw, "connectors": [connector_down(each) for each in raw.get("connectors", [])]}


def location_down(raw: Raw) -> Raw:
    plain = without(raw, "country_code", "party_id", "publish", "state", "parking_type")
    return {
        **plain,
        "type": raw.get("parking_type") or "UNKNOWN",
        "postal_code": raw.get("postal_code") or "#NA",
        "evses": [evse_down(each) for each in raw.get("evses", [])],
    }


def tariff_up(raw: Raw, owner: Owner) -> Raw:
    return {"tax_included": "N/A", **owned(raw, owner)}


def tariff_down(raw: Raw) -> Raw:
    return without(raw, "country_code", "party_id", "tax_included", "type", "min_price", "max_price")


# --- sessions and CDRs ------------------------------------------------------------------------------------------
def price_up(value: Any) -> Any:
    return {"before_taxes": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


def token_up(raw: Raw) -> Raw:
    """`auth_id` is the contract; ours is the token's uid (see token_down)."""
    auth_id = raw.get("auth_id")
    return {"cdr_token": {"uid": auth_id, "contract_id": auth_id}} if auth_id else {}


def place_of(raw: Raw) -> Raw:
    """The site a session embeds, with the one EVSE and connector it is about."""
    site = raw.get("location")
    site = site if isinstance(site, dict) else {}
    evse = next((each for each in listed(site.get("evses")) if isinstance(each, dict)), {})
    connector = next((each for each in listed(evse.get("connectors")) if isinstance(each, dict)), {})
    return {"site": site, "evse": evse, "connector": connector}


def session_up(raw: Raw, owner: Owner) -> Raw:
    place = place_of(raw)
    known = {
        "location_id": place["site"].get("id"),
        "evse_uid": place["evse"].get("uid"),
        "connector_id": place["connector"].get("id"),
    }
    body = owned(renamed(without(raw, "auth_id", "location"), SESSION), owner)
    body |= token_up(raw) | {name: value for name, value in known.items() if value is not None}
    return {**body, "total_cost": price_up(body["total_cost"])} if "total_cost" in body else body


def cdr_up(raw: Raw, owner: Owner) -> Raw:
    place = place_of(raw)
    site, evse, connector = place["site"], place["evse"], place["connector"]
    where = {
        **{name: site[name] for name in ("id", "name", "address", "city", "country", "coordinates") if site.get(name)},
        **{f"evse_{name.removeprefix('evse_')}": evse[name] for name in ("uid", "evse_id") if evse.get(name)},
        **{f"connector_{name}": connector[name] for name in ("id", "standard", "format", "power_type")
           if connector.get(name)},
    }  # fmt: skip
    body = {**owned(renamed(without(raw, "auth_id", "location"), CDR), owner), **token_up(raw), "cdr_location": where}
    tariffs = [tariff_up(each, owner) if isinstance(each, dict) else each for each in listed(raw.get("tariffs"))]
    return {**body, "tariffs": tariffs, "total_cost": price_up(body.get("total_cost"))}


def session_down(raw: Raw) -> Raw:
    """What we hold of it, without the embedded site: the CPO's own ids say as much."""
    cost = raw.get("total_cost")
    back = {later: earlier for earlier, later in SESSION.items()}
    plain = {back.get(name, name): value for name, value in raw.items()}
    plain |= {"auth_id": (raw.get("cdr_token") or {}).get("contract_id", "")}
    if isinstance(cost, dict):
        plain["total_cost"] = cost.get("before_taxes")
    return without(plain, "country_code", "party_id", "cdr_token", "authorization_reference")


# --- what we send -----------------------------------------------------------------------------------------------
def credentials_up(raw: Raw, owner: Owner) -> Raw:
    """Flat, and of one CPO."""
    if "roles" in raw or "party_id" not in raw:
        return raw
    names = ("party_id", "country_code", "business_details")
    return {**without(raw, *names), "roles": [{"role": "CPO", **{name: raw[name] for name in names if name in raw}}]}


def credentials_down(raw: Raw) -> Raw:
    role = raw["roles"][0]
    return {**without(raw, "roles"), **without(role, "role")}


def token_down(raw: Raw) -> Raw:
    """`auth_id` is the uid, so that sessions and CDRs, which carry nothing else, name the token."""
    kind = raw["type"] if raw["type"] == "RFID" else "OTHER"
    kept = ("uid", "visual_number", "issuer", "valid", "whitelist", "language", "last_updated")
    return {**{name: raw[name] for name in kept if name in raw}, "type": kind, "auth_id": raw["uid"]}


def authorization_down(raw: Raw) -> Raw:
    """Without our reference; `info` is one text all the same."""
    return without(raw, "token", "authorization_reference")


def command_down(raw: Raw) -> Raw:
    """Tokens in their old form, reservations by number."""
    body = without(raw, "connector_id", "authorization_reference")
    if "token" in body:
        body["token"] = token_down(body["token"])
    if "reservation_id" in body:
        body["reservation_id"] = reservation_number(str(body["reservation_id"]))
    return body


def reservation_number(reservation_key: str) -> int:
    """An int of our key, the same every time (OCPI 2.1.1 counts reservations)."""
    return int.from_bytes(sha256(reservation_key.encode()).digest()[:8], "big") % RESERVATION_NUMBERS + 1


V211 = Dialect(
    version="2.1.1",
    modules={
        "locations": "RECEIVER",
        "tariffs": "RECEIVER",
        "sessions": "RECEIVER",
        "cdrs": "RECEIVER",
        "tokens": "SENDER",
    },
    up={
        "location": location_up,
        "evse": evse_up,
        "connector": connector_up,
        "tariff": tariff_up,
        "session": session_up,
        "cdr": cdr_up,
        "credentials": credentials_up,
    },
    down={
        "location": location_down,
        "evse": evse_down,
        "connector": connector_down,
        "tariff": tariff_down,
        "session": session_down,
        "credentials": credentials_down,
        "token": token_down,
        "authorization": authorization_down,
        "command": command_down,
    },
    has_roles=False,
    has_routing=False,
    encodes_token=False,
    can_cancel=False,
    can_prefer=False,
    patches_tariffs=True,
)
