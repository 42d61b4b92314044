"""Answers as people read them in the API's documentation."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

_CONNECTOR = {
    "public_id": "FCC-7K3M9QZX", "station": "FC-IN-2W8T4NHB", "evse": "FCE-5R1D6VYA", "connector_id": 1, "plug": "ccs2",
    "plug_label": "CCS2", "format": "CABLE", "power_type": "DC", "max_power_w": 60_000, "status": "available",
    "coarse_status": "available", "status_reason": "reported by the source", "raw_status": "AVAILABLE",
    "status_since": "2026-11-21T06:12:10Z", "heard_at": "2026-11-21T06:33:55Z", "freshness": "live",
    "error_code": "", "is_reservable": True, "tariff": 12,
}  # fmt: skip
_STATION = {
        "public_id": "FC-IN-2W8T4NHB", "name": "Ring Road Hub", "network": "City Charging Network",
        "address": "Outer Ring Road", "city": "Bengaluru", "state": "Karnataka", "postal_code": "560037",
        "country_code": "IN", "latitude": 12.9569,
        "longitude": 77.7011, "time_zone": "Asia/Kolkata", "opening_times": None, "is_private": False,
        "distance_m": 11_640, "connectors_total": 1, "connectors_available": 1, "connectors": [_CONNECTOR],
        "attribution": [
            {"source": "City Charging Network", "licence": "CC BY 4.0", "attribution": "© City Charging Network"}
        ],
    }  # fmt: skip
_EVSE = {
        "public_id": "FCE-5R1D6VYA", "station": "FC-IN-2W8T4NHB", "network": "City Charging Network", "evse_number": 1,
        "uid": "IN*CCN*E017*1", "physical_reference": "Bay 1",
        "capabilities": ["REMOTE_START_STOP_CAPABLE", "RESERVABLE"], "is_reservable": True, "status": "available",
        "coarse_status": "available", "status_since": "2026-11-21T06:12:10Z", "heard_at": "2026-11-21T06:33:55Z",
        "freshness": "live", "max_power_w": 60_000, "connectors": [_CONNECTOR],
    }  # fmt: skip


def _answer(name: str, value: Any, description: str = "", status_code: str = "200") -> OpenApiExample:
    return OpenApiExample(name, value=value, description=description, response_only=True, status_codes=[status_code])


A_STATION = _answer("Nearest free 60 kW", _STATION, "`?near=12.9716,77.5946&plug=ccs2&min_kw=60&available=true`")
ONE_STATION = _answer("A site with one plug", {**_STATION, "distance_m": None})
AN_EVSE = _answer("A free unit", _EVSE, "`?network=city&available=true`")
ONE_EVSE = _answer("A free unit", _EVSE)
A_CONNECTOR = _answer("A free plug", _CONNECTOR)
_ENERGY = {"type": "ENERGY", "price": "19.5", "step_size": 1}
_PRICED = {
    "id": 12, "external_id": "DAY", "version": 3, "name": "Day", "network": "City Charging Network", "currency": "INR",
    "elements": [{"price_components": [_ENERGY]}], "terms": {"tax_included": "NO"},
    "valid_from": "2026-11-20T18:30:00Z", "valid_to": None,
}  # fmt: skip
A_TARIFF = _answer("In rupees per kWh, in force", _PRICED)
A_NEW_TARIFF = _answer("Its next version", {**_PRICED, "version": 4}, status_code="201")
A_PRICE_LIST = OpenApiExample(
    "Cheaper at night, idle costs",
    request_only=True,
    value={
        "network": "depot", "external_id": "DAY", "name": "Day and night", "per_kwh": "19.50", "per_session": "0",
        "idle_per_hour": "60", "hours": [{"start": "22:00", "end": "06:00", "per_kwh": "14.00"}],
        "stations": ["FC-IN-2W8T4NHB"], "connectors": [],
    },
)  # fmt: skip
A_NETWORK = _answer(
    "Connected, and just polled",
    {
        "slug": "city", "name": "City Charging Network", "kind": "ocpi-2.2.1", "state": "connected", "stations": 412,
        "has_access": True, "licence": "CC BY 4.0", "attribution": "© City Charging Network",
        "last_polled_at": "2026-11-21T06:00:02Z", "last_push_at": "2026-11-21T06:33:55Z", "poll": None,
        "last_poll": {
            "began_at": "2026-11-21T06:00:00Z", "ended_at": "2026-11-21T06:00:02Z", "seconds": 2.1, "result": "done",
            "is_full": False, "objects": 37, "written": 2, "refused": 0,
        },
    },
)  # fmt: skip
A_STATUS_TABLE = OpenApiExample(
    "Two connectors",
    response_only=True,
    status_codes=["200"],
    value={
        "cursor": "48113:48113:",
        "columns": ["connector", "status", "heard_at", "station"],
        "rows": [
            ["FCC-7K3M9QZX", "available", "2026-11-21T06:33:55+00:00", "FC-IN-2W8T4NHB"],
            ["FCC-0B5C8EJP", "charging", "2026-11-21T06:33:57+00:00", "FC-IN-2W8T4NHB"],
        ],
    },
)
BAD_PARAMETER = OpenApiResponse(
    OpenApiTypes.OBJECT,
    "A filter that cannot be used, named.",
    examples=[
        OpenApiExample(
            "Latitude comes first",
            value={
                "detail": "near: That point is not on earth; latitude comes first.",
                "code": "invalid",
                "fields": {"near": ["That point is not on earth; latitude comes first."]},
            },
        )
    ],
)
