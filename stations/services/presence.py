"""Which of our chargers are there: sockets that open and close, signs of life, silence."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from fleetcharge.lib.events import publish
from stations.events import ChargerCameBack, ChargerWentSilent
from stations.models import Charger, Connector
from stations.services.statuses import locked, show


@transaction.atomic
def charger_connected(*, charger_id: int, node: str, protocol: str, at: datetime) -> int:
    """A socket opened; returns the epoch that every later write of this socket must carry."""
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    was_silent = charger.disconnected_at is not None and not charger.is_online
    charger.connection_epoch += 1
    charger.is_online, charger.node, charger.protocol = True, node, protocol
    charger.connected_at, charger.last_seen_at, charger.disconnected_at = at, at, None
    charger.save()
    if was_silent:
        publish(ChargerCameBack(charger.pk, charger.location_id, charger.organisation_id, at))
    _show_all(charger, at)
    return charger.connection_epoch


@transaction.atomic
def charger_disconnected(*, charger_id: int, epoch: int, at: datetime) -> bool:
    """The socket of this epoch closed; False when a newer one has taken over. Shown only after a grace."""
    closed = Charger.objects.filter(pk=charger_id, connection_epoch=epoch, is_online=True).update(
        is_online=False, disconnected_at=at, node=""
    )
    return bool(closed)


def charger_seen(*, charger_ids: Iterable[int], at: datetime) -> None:
    """Any frame is a sign of life: keeps the charger and what we believe of its connectors fresh."""
    ids = list(charger_ids)
    Charger.objects.filter(pk__in=ids).filter(Q(last_seen_at=None) | Q(last_seen_at__lt=at)).update(last_seen_at=at)
    Connector.objects.filter(evse__charger_id__in=ids).exclude(status_at=None).update(heard_at=at)


@transaction.atomic
def show_silent(*, charger_id: int, at: datetime) -> None:
    """The grace is over: connectors of an offline charger become unknown, and dispatch hears of it."""
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    if charger.is_online:
        return
    charger.silent_shown_at = at
    charger.save(update_fields=["silent_shown_at"])
    publish(ChargerWentSilent(charger.pk, charger.location_id, charger.organisation_id, at))
    _show_all(charger, at)


def _show_all(charger: Charger, at: datetime) -> None:
    for connector in locked(evse__charger_id=charger.pk):
        connector.evse.charger = charger
        show(connector, at)


@transaction.atomic
def register_boot(
    *, charger_id: int, vendor: str, model: str, serial_number: str, firmware_version: str, at: datetime
) -> str:
    """Keep who the charger says it is; returns its registration (Accepted | Pending | Rejected)."""
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    charger.vendor, charger.model, charger.serial_number = vendor[:50], model[:50], serial_number[:50]
    charger.firmware_version, charger.last_boot_at = firmware_version[:50], at
    charger.save(update_fields=["vendor", "model", "serial_number", "firmware_version", "last_boot_at"])
    return charger.registration
