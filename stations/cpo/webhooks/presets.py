"""Mappings and signature schemes of vendors whose shapes are known, to begin with: data, edited in the admin. Pure.

Monta Partner API webhooks, OICP 2.3 eRoamingPushEvseStatus.
"""

from typing import Any

MONTA: dict[str, Any] = {
    "entries": "$.entries",
    "only": {"entityType": ["charge-point", "charge_point", "chargePoint"]},
    "deleted": {"eventType": ["deleted"]},
    "sent_at": "$.timestamp",
    "evse": "entityId|payload.id",
    "status": "payload.state",
    "at": "payload.updatedAt|$.timestamp",
    "words": {
        "available": "available", "busy": "charging", "busy-blocked": "occupied", "busy-charging": "charging",
        "busy-non-charging": "occupied", "busy-non-released": "occupied", "busy-reserved": "reserved",
        "busy-scheduled": "occupied", "disconnected": "unknown", "error": "faulted", "passive": "unavailable",
        "other": "unknown",
    },
    "location": {
        "id": "entityId|payload.id",
        "name": "payload.name",
        "latitude": "payload.location.coordinates.latitude",
        "longitude": "payload.location.coordinates.longitude",
        "address": "payload.location.address.address1",
        "city": "payload.location.address.city",
        "postal_code": "payload.location.address.zip",
        "updated_at": "payload.updatedAt|$.timestamp",
        "evse": {
            "id": "entityId|payload.id",
            "status": "payload.state",
            "at": "payload.updatedAt|$.timestamp",
            "connectors": "payload.connectors",
            "connector": {"id": "identifier", "plug": "identifier|name", "power_kw": "@entry.payload.maxKW"},
        },
        "plugs": {"ccs": "ccs2", "chademo": "chademo", "type2": "type2_socket"},
    },
}  # fmt: skip
OICP: dict[str, Any] = {
    "entries": "$.OperatorEvseStatus.EvseStatusRecord|$.EvseStatusRecord",
    "deleted": {"$.ActionType": ["delete"]},
    "complete": {"$.ActionType": ["fullLoad"]},
    "evse": "EvseID",
    "status": "EvseStatus",
    "words": {
        "Available": "available", "Reserved": "reserved", "Occupied": "charging", "OutOfService": "faulted",
        "EvseNotFound": "unknown", "Unknown": "unknown",
    },
}  # fmt: skip
PLAIN: dict[str, Any] = {"evse": "evse_id", "status": "status", "at": "timestamp"}

MAPPINGS = {"monta": MONTA, "oicp": OICP, "mapping": PLAIN}
