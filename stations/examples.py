"""Answers as people read them in the API's documentation."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

_CONNECTOR = {
    "public_id": "FCC-7K3M9QZX", "station": "FC-IN-2W8T4NHB", "evse": "FCE-5R1D6VYA", "connector_id": 1, "plug": "ccs2",
    "plug_label": "CCS2", "format": "CABLE", "power_type": "DC", "max_power_w": 60_000, "status": "available",
    "coarse_status": "available", "status_reason": "reported by the source", "raw_status": "AVAILABLE",
    "status_since": "2026-11-21T06:12:10Z", "heard_at": "2026-11-21T06:33:55Z", "freshness": "live",
    "error_code": "", "is_reservable": True, "tariff": 12,
}  # fmt: skip
A_STATION = OpenApiExample(
    "Nearest free 60 kW",
    description="`?near=12.9716,77.5946&plug=ccs2&min_kw=60&available=true`",
    response_only=True,
    status_codes=["200"],
    value={
        "public_id": "FC-IN-2W8T4NHB", "name": "Ring Road Hub", "network": "City Charging Network",
        "address": "Outer Ring Road", "city": "Bengaluru", "state": "Karnataka", "postal_code": "560037",
        "country_code": "IN", "latitude": 12.9569,
        "longitude": 77.7011, "time_zone": "Asia/Kolkata", "opening_times": None, "is_private": False,
        "distance_m": 11_640, "connectors_total": 1, "connectors_available": 1, "connectors": [_CONNECTOR],
        "attribution": [
            {"source": "City Charging Network", "licence": "CC BY 4.0", "attribution": "© City Charging Network"}
        ],
    },
)  # fmt: skip
AN_EVSE = OpenApiExample(
    "A free unit",
    description="`?network=city&available=true`",
    response_only=True,
    status_codes=["200"],
    value={
        "public_id": "FCE-5R1D6VYA", "station": "FC-IN-2W8T4NHB", "network": "City Charging Network", "evse_number": 1,
        "uid": "IN*CCN*E017*1", "physical_reference": "Bay 1",
        "capabilities": ["REMOTE_START_STOP_CAPABLE", "RESERVABLE"], "is_reservable": True, "status": "available",
        "coarse_status": "available", "status_since": "2026-11-21T06:12:10Z", "heard_at": "2026-11-21T06:33:55Z",
        "freshness": "live", "max_power_w": 60_000, "connectors": [_CONNECTOR],
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
