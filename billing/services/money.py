"""Money for a session that begins: how much it may cost, set aside from the wallet."""

from collections.abc import Sequence
from datetime import datetime

from billing.entitlement import Limit, bounds_of
from billing.models import ChargingSession
from billing.services import tariffs, wallets
from vehicles.models import VehicleState

HOLD_MARGIN_PERCENT = 115
NOMINAL_BATTERY_WH = 20_000


def hold_for(session: ChargingSession, now: datetime, limits: Sequence[Limit] = ()) -> None:
    """The limits and the wallet have the last word: they may have been used up since we looked."""
    wanted_wh = _wanted_wh(session)
    max_wh, max_paise = bounds_of(limits)
    result = wallets.hold(
        organisation_id=session.organisation_id,
        session_key=wallets.hold_key(session.pk),
        amount_paise=_within(_estimate_paise(session, wanted_wh), max_paise),
        minimum_paise=_within(wallets.FLOOR_HOLD_PAISE, max_paise),
        energy_wh=_within(wanted_wh * HOLD_MARGIN_PERCENT // 100, max_wh),
        limits=limits,
        now=now,
    )
    if not result.is_held:
        session.authorisation_reason, session.quality = result.reason, ChargingSession.Quality.REVIEW
        session.save(update_fields=["authorisation_reason", "quality"])


def _within(wanted: int, bound: int | None) -> int:
    return wanted if bound is None else max(0, min(wanted, bound))


def _estimate_paise(session: ChargingSession, wanted_wh: int) -> int:
    """What filling up to the target would cost, with a margin; never below the floor."""
    power_w = session.connector.max_power_w or 7_000
    price = tariffs.quote_at(
        connector=session.connector,
        energy_wh=wanted_wh,
        duration_s=wanted_wh * 3600 // power_w,
        at=session.started_at,
        organisation_id=session.organisation_id,
        vehicle_id=session.vehicle_id,
    )
    return max(wallets.FLOOR_HOLD_PAISE, (price or 0) * HOLD_MARGIN_PERCENT // 100)


def _wanted_wh(session: ChargingSession) -> int:
    if session.vehicle_id is None:
        return NOMINAL_BATTERY_WH
    state = VehicleState.objects.select_related("vehicle__model", "vehicle__organisation").filter(
        vehicle_id=session.vehicle_id
    ).first()  # fmt: skip
    if state is None:
        return NOMINAL_BATTERY_WH
    missing_percent = state.vehicle.organisation.target_soc_percent - (state.soc_percent or 0)
    return max(1_000, round(state.vehicle.model.battery_wh * missing_percent / 100))
