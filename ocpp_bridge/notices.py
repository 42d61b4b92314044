"""What chargers notify us of, written down: limits, needs, monitored components, costs, and plain notices."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from fleetcharge.lib.events import publish
from ocpp_bridge.matters import raise_matter, settle_matter
from ocpp_bridge.models import (
    ChargingNeeds,
    ChargingSite,
    Command,
    ComponentEvent,
    ExternalLimit,
    Notice,
    Settlement,
    StationCost,
)
from stations.events import ReservationAnswered

KEEP = timedelta(days=90)
DANGEROUS = 2  # 0 danger, 1 hardware failure, 2 system failure (OCPP 2.x part 2, EventNotification severity)


def keep_notice(
    *,
    charger_id: int,
    action: str,
    payload: dict[str, Any],
    evse_number: int | None = None,
    transaction_ref: str = "",
    received_at: datetime,
) -> None:
    """Keep one message as it came."""
    Notice.objects.create(
        charger_id=charger_id,
        action=action[:40],
        payload=payload,
        evse_number=evse_number,
        transaction_ref=transaction_ref,
        received_at=received_at,
    )


@transaction.atomic
def set_limit(
    *,
    charger_id: int,
    evse_number: int,
    source: str,
    is_grid_critical: bool | None,
    schedules: list[Any],
    received_at: datetime,
) -> None:
    """Somebody outside limits this EVSE (0: the whole station); the one before from the same source is over."""
    clear_limit(charger_id=charger_id, evse_number=evse_number, source=source, received_at=received_at)
    ExternalLimit.objects.create(
        charger_id=charger_id,
        evse_number=evse_number,
        source=source,
        is_grid_critical=is_grid_critical,
        schedules=schedules,
        notified_at=received_at,
    )


def clear_limit(*, charger_id: int, evse_number: int, source: str, received_at: datetime) -> int:
    """A limit of this source is lifted; how many were in force (EVSE 0: all of the station)."""
    limits = ExternalLimit.objects.filter(charger_id=charger_id, source=source, cleared_at=None)
    if evse_number:
        limits = limits.filter(evse_number=evse_number)
    return limits.update(cleared_at=received_at)


@dataclass(frozen=True)
class Needs:
    """What a vehicle asks for; energy in Wh, None: not said."""

    transfer_mode: str
    departure_at: datetime | None
    energy_wh: int | None
    soc_percent: int | None
    capacity_wh: int | None


@transaction.atomic
def note_needs(
    *, charger_id: int, evse_number: int, needs: Needs, payload: dict[str, Any], received_at: datetime
) -> bool:
    """The latest needs of the vehicle at an EVSE; True when its site is managed, and is now planned anew."""
    values = {**asdict(needs), "payload": payload, "received_at": received_at}
    ChargingNeeds.objects.update_or_create(charger_id=charger_id, evse_number=evse_number, defaults=values)
    sites = ChargingSite.objects.filter(is_active=True, location__chargers=charger_id)
    return ChargingSite.objects.filter(pk__in=sites.values("pk")).update(due_at=received_at) > 0


@transaction.atomic
def note_component_events(*, charger_id: int, events: Sequence[ComponentEvent], received_at: datetime) -> int:
    """Keep the entries of a NotifyEvent (unsaved rows); how many are new. Dangerous ones are shown to a person."""
    fact = ("event_id", "at", "component", "variable")
    numbers = {event.event_id for event in events}
    known = set(ComponentEvent.objects.filter(charger_id=charger_id, event_id__in=numbers).values_list(*fact))
    told = {tuple(getattr(event, name) for name in fact): event for event in reversed(events)}
    new = [event for key, event in reversed(told.items()) if key not in known]
    ComponentEvent.objects.bulk_create(new, ignore_conflicts=True)
    for event in new:
        _show(event, received_at)
    return len(new)


def _show(event: ComponentEvent, at: datetime) -> None:
    key = f"{event.component}.{event.variable}"[:50]
    if event.is_cleared:
        settle_matter(charger_id=event.charger_id, cause="component", key=key, at=at)
    elif event.severity is not None and event.severity <= DANGEROUS:
        raise_matter(
            charger_id=event.charger_id, cause="component", key=key, title=f"{key} = {event.value[:40]}",
            detail=event.tech_info, is_bad=event.severity == 0, at=at,
        )  # fmt: skip


@transaction.atomic
def reservation_ended(*, charger_id: int, reservation_number: int, state: str, reason: str, at: datetime) -> bool:
    """The charger let a reservation go by itself; whoever made it hears of it. False: it was not ours."""
    asked = Command.objects.filter(
        charger_id=charger_id,
        action=Command.Action.RESERVE_NOW,
        parameters__reservation_number=reservation_number,
    )
    key = asked.order_by("-created_at").values_list("reservation_key", flat=True).first()
    if not key:
        return False
    publish(ReservationAnswered(key, state, reason, at))
    return True


def note_cost(
    *,
    charger_id: int,
    transaction_ref: str,
    currency: str,
    total_paise: int | None,
    tariff_id: str,
    failure: str | None,
    details: dict[str, Any],
    at: datetime,
) -> None:
    """What the station itself calculated for a transaction, as last told; `failure` None: it could."""
    values = {
        "currency": currency, "total_paise": total_paise, "tariff_id": tariff_id, "has_failed": failure is not None,
        "reason": failure or "", "details": details, "at": at,
    }  # fmt: skip
    StationCost.objects.update_or_create(charger_id=charger_id, transaction_ref=transaction_ref, defaults=values)


def note_settlement(*, charger_id: int, psp_ref: str, status: str, **facts: Any) -> bool:
    """A payment at the station's terminal, by the columns of Settlement; False for a repeat."""
    _, is_new = Settlement.objects.get_or_create(charger_id=charger_id, psp_ref=psp_ref, status=status, defaults=facts)
    return is_new


def forget_old(*, now: datetime) -> int:
    """Delete notices and component events past their time; how many."""
    oldest = now - KEEP
    return sum(rows.filter(received_at__lt=oldest).delete()[0] for rows in (Notice.objects, ComponentEvent.objects))
