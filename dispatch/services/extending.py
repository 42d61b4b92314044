"""Promises for longer: ours at once, the network's when it says so, and what was agreed before if it does not."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from dispatch.events import EXTENDED, ReservationChanged
from dispatch.models import Reservation
from dispatch.services import asking, elsewhere
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish

State, Way = Reservation.State, Reservation.Way
ASK_AGAIN_AFTER = timedelta(seconds=60)


def extend_reservation(
    *, number: int, expires_at: datetime, actor: User | None, actor_label: str = "", now: datetime
) -> Reservation | None:
    """Keep a promise for longer; None when the place is another's then. Its network is asked after the commit.

    It holds among our own vehicles at once; a network that refuses takes it back to what was agreed. ValueError: the
    promise is over, or would not get longer. VehicleIsElsewhere: the vehicle has another place by then.
    """
    try:
        with transaction.atomic():
            row = Reservation.objects.select_for_update().get(pk=number)
            if row.state not in Reservation.ACTIVE_STATES or row.expires_at <= now:
                raise ValueError("This reservation is over.")
            if expires_at <= row.expires_at:
                raise ValueError("It lasts as long already.")
            if row.state == State.CONFIRMED and row.way != Way.SOFT:
                row.agreed_until = row.agreed_until or row.expires_at
            row.expires_at = expires_at
            row.save(update_fields=["agreed_until", "expires_at"])
            audit(action="reservation.extend", target=row, actor=actor, actor_label=actor_label,
                  after={"expires_at": expires_at.isoformat()})  # fmt: skip
            publish(
                ReservationChanged(
                    row.number, row.organisation_id, row.connector_id, row.vehicle_id, row.state, EXTENDED, now,
                    row.plan_id,
                )
            )  # fmt: skip
    except IntegrityError as error:
        if elsewhere.is_about_vehicle(error):
            others = elsewhere.others(row.vehicle_id, row.connector_id, row.starts_at, expires_at)
            raise elsewhere.refusal(others) from None
        return None
    return row


def send_extension(number: int, now: datetime) -> bool:
    """Ask the network for the longer time; False when there is nothing to ask, or nobody answers just now."""
    row = Reservation.objects.select_related(asking.RELATED).get(pk=number)
    if row.agreed_until is None or row.state != State.CONFIRMED:
        return False
    Reservation.objects.filter(pk=number).update(sent_at=now)
    receipt = asking.ask(row, row.way or Way.NETWORK, f"{row.expires_at:%Y%m%d%H%M%S}")
    if receipt is None:
        return False
    if receipt.state != "pending":
        is_about_extension(str(row.key), receipt.state)
    return True


def unanswered_extensions(now: datetime) -> QuerySet[Reservation]:
    """Extensions that no network has said a word about, while what was agreed still holds."""
    return Reservation.objects.filter(state=State.CONFIRMED, agreed_until__gt=now, sent_at__lt=now - ASK_AGAIN_AFTER)


@transaction.atomic
def is_about_extension(reservation_key: str, state: str) -> bool:
    """An answer while an extension is open is about that: what was promised before is promised still."""
    row = Reservation.objects.select_for_update().filter(key=reservation_key, state=State.CONFIRMED).first()
    if row is None or row.agreed_until is None:
        return False
    if state != "accepted":
        row.expires_at = row.agreed_until
    row.agreed_until = None
    row.save(update_fields=["agreed_until", "expires_at"])
    return True
