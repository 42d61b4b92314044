"""Bookings at a CPO (OCPI 2.3.0): ask for a time slot, change it or take it back."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from pydantic import ValidationError

from fleetcharge.lib import crypto
from stations import services
from stations.cpo.base import PENDING, CommandReceipt, CPOError
from stations.cpo.ocpi import pacing
from stations.cpo.ocpi.adapter import source_of, token_of, where_of
from stations.cpo.ocpi.client import OCPIClient
from stations.cpo.ocpi.commanding import count_failure
from stations.cpo.ocpi.directory import OUR_COUNTRY, OUR_PARTY
from stations.cpo.ocpi.objects.base import exact_text
from stations.cpo.ocpi.objects.bookings import BookingIn
from stations.cpo.ocpi.receivers.results import PURPOSE
from stations.models import Connector, CPOCommand, Source
from stations.services.roaming import BOOKING_STATES

ANSWER_WITHIN = timedelta(minutes=5)
TOKEN_FIELDS = ("country_code", "party_id", "uid", "type", "contract_id")


def book(
    *, connector: Connector, booking_key: str, id_token: str, starts_at: datetime, ends_at: datetime,
    power_kw: int | None = None, is_cancelled: bool = False,
) -> CommandReceipt:  # fmt: skip
    """Ask for a time slot, change it (the same key again) or take it back; the CPO's word may come at once or later.

    What becomes of it is told at our bookings receiver. Raises CPOError when the CPO cannot be asked or read.
    """
    source = source_of(connector)
    url = source.endpoints.get("bookings")
    if not url:
        return CommandReceipt("rejected", f"{source.name} takes no bookings.")
    pacing.check_circuit(source)
    token = token_of(id_token, "RFID", "")
    body: dict[str, Any] = {
        "country_code": OUR_COUNTRY,
        "party_id": OUR_PARTY,
        "request_id": booking_key,
        **where_of(connector),
        "tokens": [{name: token[name] for name in TOKEN_FIELDS}],
        "period": {"start_from": exact_text(starts_at), "end_before": exact_text(ends_at)},
        "authorization_reference": booking_key,
    }
    if power_kw:
        body["power_required"] = power_kw
    if is_cancelled:
        body["canceled"] = {"cancellation_reason": "NO_CANCELED", "who_canceled": "EMSP"}
    return _ask(source, url, booking_key, body)


def _ask(source: Source, url: str, booking_key: str, body: dict[str, Any]) -> CommandReceipt:
    command = CPOCommand.objects.create(
        source=source, kind=CPOCommand.Kind.BOOKING, reservation_key=booking_key, request=body,
        response_token_hash=crypto.keyed_hash(crypto.new_token(32), purpose=PURPOSE),
        deadline_at=timezone.now() + ANSWER_WITHIN,
    )  # fmt: skip
    try:
        with OCPIClient(source) as client:
            raw = client.call("POST", url, body=body)
        booking = BookingIn.model_validate(raw)
    except (CPOError, ValidationError) as error:
        _fail(command, str(error))
        told = error if isinstance(error, CPOError) else _unreadable(source)
        count_failure(source, told)
        raise told from None
    waiting = CPOCommand.objects.filter(pk=command.pk, state=CPOCommand.State.SENT)
    waiting.update(
        state=CPOCommand.State.CPO_ACCEPTED, response={"id": booking.id, "state": booking.reservation_status}
    )
    services.take_booking(source=source, booking=booking, raw=raw, at=timezone.now())
    state = BOOKING_STATES.get(booking.reservation_status.upper())
    is_refused = state in {CPOCommand.State.REJECTED, CPOCommand.State.FAILED}
    return CommandReceipt("rejected", booking.reservation_status[:120]) if is_refused else PENDING


def _unreadable(source: Source) -> CPOError:
    return CPOError("not_ocpi", f"{source.name} answers a booking in a form we cannot read.")


def _fail(command: CPOCommand, why: str) -> None:
    waiting = CPOCommand.objects.filter(pk=command.pk, state=CPOCommand.State.SENT)
    waiting.update(state=CPOCommand.State.FAILED, response={"error": why[:500]}, answered_at=timezone.now())
