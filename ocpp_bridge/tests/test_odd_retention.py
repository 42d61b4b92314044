"""Odd messages are kept for a time and in a number; what somebody still has to decide about is kept longer."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from billing.models import BillingException
from fleetcharge.accounts.models import Organisation
from ocpp_bridge import frames, odd_retention, tasks
from ocpp_bridge.models import OddMessage
from ocpp_bridge.oddities import tell_finance
from ocpp_bridge.station import call_hash
from ocpp_bridge.tests import factories
from stations.models import Charger

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
FLAW = ("TypeConstraintViolation", "connectorId: is not of type integer")


@pytest.fixture
def station(db: None, organisation: Organisation, settings: Any) -> Charger:
    settings.OCPP_ODD_DAYS, settings.OCPP_ODD_MESSAGES = 30, 5
    return factories.charger(organisation, "BLR-017")


def say(station: Charger, number: int, at: datetime, *, is_taken: bool = True, padding: str = "") -> frames.Call:
    payload: dict[str, Any] = {"meterStart": number, "padding": padding}
    call = frames.Call(f"m{number}", "StartTransaction", payload)
    OddMessage.objects.create(
        charger=station, protocol="ocpp1.6", message_id=call.message_id, action=call.action, payload=payload,
        payload_hash=bytes.fromhex(call_hash(call)), code=FLAW[0], flaw=FLAW[1], is_taken=is_taken, received_at=at,
    )  # fmt: skip
    return call


def kept(station: Charger) -> list[int]:
    return [row.payload["meterStart"] for row in OddMessage.objects.filter(charger=station).order_by("received_at")]


def test_the_newest_of_every_charger_are_kept(station: Charger, organisation: Organisation) -> None:
    other = factories.charger(organisation, "BLR-018")
    for number in range(12):
        say(station, number, NOW - timedelta(minutes=12 - number))
    for number in range(3):
        say(other, number, NOW - timedelta(minutes=number))
    with time_machine.travel(NOW, tick=False):
        tasks.sweep_reports()
    assert kept(station) == [7, 8, 9, 10, 11]
    assert len(kept(other)) == 3
    assert odd_retention.forget_old(now=NOW) == 0


def test_what_is_old_goes_unless_finance_still_has_to_decide(station: Charger) -> None:
    asked = say(station, 1, NOW - timedelta(days=31), is_taken=False)
    tell_finance(charger_id=station.pk, call=asked, flaw=FLAW, at=NOW - timedelta(days=31))
    say(station, 2, NOW - timedelta(days=31))
    say(station, 3, NOW - timedelta(days=29))
    for number in range(4, 9):
        say(station, number, NOW - timedelta(minutes=10 - number))
    assert odd_retention.forget_old(now=NOW) == 2
    assert kept(station) == [1, 4, 5, 6, 7, 8]
    BillingException.objects.update(resolved_at=NOW, resolution="Booked by hand.")
    assert odd_retention.forget_old(now=NOW) == 1
    assert kept(station) == [4, 5, 6, 7, 8]


def test_a_few_giants_are_too_many_too(station: Charger) -> None:
    third = os.urandom(odd_retention.MOST_BYTES // 5).hex()  # nothing packs this
    for number in range(3):
        say(station, number, NOW - timedelta(minutes=3 - number), padding=third)
    assert odd_retention.forget_old(now=NOW) == 1
    assert kept(station) == [1, 2]
    say(station, 3, NOW, padding=8 * third)
    assert odd_retention.forget_old(now=NOW) == 2
    assert kept(station) == [3], "the newest is always there"
