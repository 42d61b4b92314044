"""OCPP 2.x: limits from outside, what vehicles need, reservations that a station let go."""

from datetime import datetime
from typing import Any

from ocpp_bridge import notices
from ocpp_bridge.instants import parse_date
from ocpp_bridge.metering import MAX_ENERGY_WH
from ocpp_bridge.station import MAX_INT32, MAX_SMALL, Handler, Station, integer, optional_integer, section, text
from ocpp_bridge.threads import in_database


async def notify_charging_limit(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    limit, schedules = section(payload, "chargingLimit"), payload.get("chargingSchedule")
    is_grid_critical = limit.get("isGridCritical")
    await in_database(
        notices.set_limit,
        charger_id=station.charger_id,
        evse_number=optional_integer(payload, "evseId", high=MAX_SMALL) or 0,
        source=text(limit, "chargingLimitSource", limit=20),
        is_grid_critical=is_grid_critical if isinstance(is_grid_critical, bool) else None,
        schedules=schedules if isinstance(schedules, list) else [],
        received_at=received_at,
    )
    return {}


async def cleared_charging_limit(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    await in_database(
        notices.clear_limit,
        charger_id=station.charger_id,
        evse_number=optional_integer(payload, "evseId", high=MAX_SMALL) or 0,
        source=text(payload, "chargingLimitSource", limit=20),
        received_at=received_at,
    )
    return {}


async def notify_ev_charging_needs(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Processing where the site is planned: a profile follows (K15.FR.07). Elsewhere nobody will send one."""
    will_be_planned = await in_database(
        notices.note_needs,
        charger_id=station.charger_id,
        evse_number=integer(payload, "evseId", low=1, high=MAX_SMALL),
        needs=_needs(section(payload, "chargingNeeds")),
        payload=payload,
        received_at=received_at,
    )
    if will_be_planned:
        return {"status": "Processing"}
    return {"status": "Rejected", "statusInfo": {"reasonCode": "NotPlanned"}}


def _needs(needs: dict[str, Any]) -> notices.Needs:
    """AC, DC and (2.1) V2X parameters say energy in Wh under different names."""
    ac, dc = section(needs, "acChargingParameters"), section(needs, "dcChargingParameters")
    v2x = section(needs, "v2xChargingParameters")
    energies = ((ac, "energyAmount"), (dc, "energyAmount"), (v2x, "evTargetEnergyRequest"))
    found = (_energy_wh(parameters, name) for parameters, name in energies)
    return notices.Needs(
        transfer_mode=text(needs, "requestedEnergyTransfer", limit=30, default=""),
        departure_at=parse_date(needs.get("departureTime")),
        energy_wh=next((energy for energy in found if energy is not None), None),
        soc_percent=optional_integer(dc, "stateOfCharge", high=100),
        capacity_wh=_energy_wh(dc, "evEnergyCapacity"),
    )


def _energy_wh(parameters: dict[str, Any], name: str) -> int | None:
    return optional_integer(parameters, name, high=MAX_ENERGY_WH)


async def reservation_status_update(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Expired by the charger's clock, or Removed: the bay is no longer kept there (H01.FR.24)."""
    status = text(payload, "reservationUpdateStatus", limit=20)
    await in_database(
        notices.reservation_ended,
        charger_id=station.charger_id,
        reservation_number=integer(payload, "reservationId", high=MAX_INT32),
        state="expired" if status == "Expired" else "cancelled",
        reason=f"{status} by the charger",
        at=received_at,
    )
    return {}


def kept(action: str) -> Handler:
    """A handler that keeps the message as it came; `action` is its name in the table of notices."""

    async def keep(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
        await keep_notice(station, action, payload, received_at)
        return {}

    return keep


async def keep_notice(station: Station, action: str, payload: dict[str, Any], received_at: datetime) -> None:
    """Committed when this returns."""
    await in_database(
        notices.keep_notice,
        charger_id=station.charger_id,
        action=action,
        payload=payload,
        evse_number=optional_integer(payload, "evseId", high=MAX_SMALL),
        transaction_ref=text(payload, "transactionId", limit=36, default=""),
        received_at=received_at,
    )


async def notify_ev_charging_schedule(
    station: Station, payload: dict[str, Any], received_at: datetime
) -> dict[str, Any]:
    """The vehicle's own plan is kept; Accepted only says that we have it (K17.FR.08)."""
    await keep_notice(station, "NotifyEVChargingSchedule", payload, received_at)
    return {"status": "Accepted"}


HANDLERS: dict[str, Handler] = {
    "NotifyChargingLimit": notify_charging_limit,
    "ClearedChargingLimit": cleared_charging_limit,
    "NotifyEVChargingNeeds": notify_ev_charging_needs,
    "NotifyEVChargingSchedule": notify_ev_charging_schedule,
    "ReservationStatusUpdate": reservation_status_update,
}
KEPT = frozenset({"NotifyEVChargingSchedule"})
