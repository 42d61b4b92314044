"""Rules 22-29: one session for what happened, whatever order, number or repetition it is told in."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.models import CDR, BillingException, ChargingSession
from billing.services import overdue
from ocpp_bridge import following
from tests.flows.ocpp.station import ALL_VERSIONS, NEWER, V16, V201, Refusal, id_token, now, until
from tests.flows.ocpp.world import World
from tests.running import RealtimeNode

HOUR = timedelta(hours=1)
FIGURES = ("state", "started_at", "ended_at", "energy_wh", "stop_reason", "meter_start_wh", "meter_stop_wh")


async def test_rule_22_every_start_gets_a_number_of_its_own(world: World) -> None:
    numbers = []
    for tag, status in ((world.tag(), "Accepted"), ("NEVER-SEEN", "Invalid"), (world.tag(is_active=False), "Blocked")):
        charger, station = await world.ready()
        answer = await station.call(*station.started(tag, 0, now()))
        assert answer["idTagInfo"]["status"] == status
        numbers.append(answer["transactionId"])
        assert ChargingSession.objects.get(charger=charger).transaction_ref == str(answer["transactionId"])
    assert len(set(numbers)) == 3
    assert all(0 < number < 2**31 for number in numbers)


async def test_rule_23_a_repeated_start_is_the_same_session_everywhere(world: World, second: RealtimeNode) -> None:
    charger, station = await world.ready()
    start = station.started(world.tag(), 1234, now())
    first = await station.call(*start)
    assert await station.call(*start) == first  # another message id, the same words
    elsewhere = await world.connect(charger, at=second.ocpp)
    assert await elsewhere.call(*start) == first
    back = await world.connect(charger)
    together = await asyncio.gather(*(back.call(*start) for _ in range(5)))
    assert together == [first] * 5
    assert ChargingSession.objects.filter(charger=charger).count() == 1


async def test_rule_24_the_first_stop_wins_and_none_is_refused(world: World) -> None:
    charger, station = await world.ready()
    tag, began_at = world.tag(), now() - HOUR
    reference = await station.start(tag, 1000, began_at)
    ended_at = began_at + timedelta(minutes=20)
    await station.stop(reference, 5000, ended_at)
    first = await world.session(charger)
    await station.stop(reference, 5000, ended_at)  # a retry
    assert world.exceptions(charger) == set()
    await station.stop(reference, 9000, ended_at + timedelta(minutes=9))  # another story
    kept = await world.session(charger)
    assert [kept[key] for key in FIGURES] == [first[key] for key in FIGURES]
    assert BillingException.Kind.CONFLICTING_STOP in world.exceptions(charger)
    await station.meter(reference, 3000, began_at + timedelta(minutes=10))  # late, but of its time
    await station.meter(reference, 8000, ended_at + timedelta(minutes=5))  # after the stop
    after = await world.session(charger)
    assert (after["energy_wh"], after["ended_at"]) == (4000, first["ended_at"])
    assert len(after["meter_values"]) >= 1

    for lost in ("0", "-1", "2000000001"):
        other, station = await world.ready()
        tag = world.tag()
        await station.start(tag, 1000, began_at)
        await station.stop(lost, 1700, ended_at, token=tag)
        session = await world.session(other)
        assert (session["state"], session["energy_wh"]) == ("ended", 700), lost

    orphan, station = await world.ready()
    for _ in range(2):
        await station.stop("2000000002", 1700, ended_at)
    assert BillingException.Kind.ORPHAN_STOP in world.exceptions(orphan)
    assert BillingException.objects.filter(reference__startswith=f"{orphan.pk}/").count() == 1


async def test_rule_25_samples_find_their_session_and_wake_none(world: World) -> None:
    charger, station = await world.ready()
    began_at = now() - HOUR
    reference = await station.start(world.tag(), 1000, began_at, plug=1)
    for minute, (named, register) in enumerate((("", 1500), ("0", 2000), ("-1", 2500)), start=1):
        await station.meter(named, register, began_at + timedelta(minutes=minute), plug=1)
    assert (await world.session(charger))["energy_wh"] == 1500
    await station.meter("", 90_000, began_at + timedelta(minutes=4), plug=2)  # another plug
    assert (await world.session(charger))["energy_wh"] == 1500
    await station.stop(reference, 3000, began_at + timedelta(minutes=6))
    for named in ("", reference, "0"):
        await station.meter(named, 3500, began_at + timedelta(minutes=7), plug=1)
    session = await world.session(charger)
    assert (session["state"], session["energy_wh"]) == ("ended", 2000)
    assert ChargingSession.objects.filter(charger=charger).count() == 1


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_26_a_session_of_the_day_before_yesterday(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    began_at = now() - timedelta(days=2)
    offline = {} if version == V16 else {"offline": True}
    reference = await station.start(world.tag(), 1000, began_at, **offline)
    await station.meter(reference, 6000, began_at + timedelta(minutes=20), **offline)
    await station.stop(reference, 11_000, began_at + timedelta(minutes=40), **offline)
    session = await world.session(charger)
    assert (session["energy_wh"], session["state"]) == (10_000, "ended")
    assert datetime.fromisoformat(session["started_at"]) == began_at
    cdr = await until(lambda: CDR.objects.filter(session=session["id"]).exclude(rated_at=None).first(), "the price")
    assert cdr.total_paise == 10 * 2000 * 118 // 100  # 10 kWh at the tariff of that day, with GST
    unknown, station = await world.ready(version)
    reference = await station.start("NOBODYS-CARD", 0, began_at, **offline)
    await station.stop(reference, 900, began_at + timedelta(minutes=9), **offline)
    assert BillingException.Kind.UNKNOWN_TOKEN in world.exceptions(unknown)
    assert (await world.session(unknown))["energy_wh"] == 900


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_27_a_remote_start_is_followed_to_its_session(world: World, version: str) -> None:
    action = "RemoteStartTransaction" if version == V16 else "RequestStartTransaction"
    charger, station = await world.ready(version)
    tag = world.tag()
    followed = await world.command(charger, "RemoteStart", id_token=tag, evse_number=1)
    asked = await station.next(action)
    more: dict[str, Any] = (
        {}
        if version == V16
        else {"transactionInfo": {"transactionId": "tx-27", "remoteStartId": asked["remoteStartId"]}}
    )
    await station.start(tag, 0, reference="tx-27" if more else "", **more)
    session = ChargingSession.objects.get(charger=charger)

    async def linked() -> bool:
        await world.outcome(followed, "accepted")
        [row] = [row for row in world.commands(charger) if row.action == "RemoteStart"]
        return row.session_id == session.pk

    await until(linked, "the session to be linked to its command")
    lonely, station = await world.ready(version)
    command = await world.command(lonely, "RemoteStart", id_token=world.tag(), evse_number=1)
    await station.next(action)
    await world.outcome(command, "accepted")
    following.sweep(now=now())
    assert (await world.outcome(command, "accepted"))["state"] == "accepted"  # it still has time
    following.sweep(now=now() + timedelta(minutes=10))
    assert (await world.outcome(command, "no_session"))["state"] == "no_session"
    assert not ChargingSession.objects.filter(charger=lonely).exists()


@pytest.mark.parametrize("version", NEWER)
async def test_rule_28_events_in_any_order_are_one_session(world: World, version: str) -> None:
    began_at = now() - HOUR
    ten = timedelta(minutes=10)

    charger, station = await world.ready(version)  # seqNo 0 in every event
    await station.start(world.tag(), 1000, began_at, reference="zero")
    for number in range(1, 4):
        await station.meter("zero", 1000 + 500 * number, began_at + number * timedelta(minutes=1), seq=0)
    await station.stop("zero", 4000, began_at + ten, seq=0)
    session = await world.session(charger)
    assert (session["energy_wh"], session["quality"], len(session["meter_values"])) == (3000, "billable", 5)

    charger, station = await world.ready(version)  # everything twice, backwards
    tag = world.tag()
    events = [
        station.started(tag, 1000, began_at, reference="back"),
        station.metered("back", 2500, began_at + timedelta(minutes=5), seq=1),
        station.stopped("back", 4000, began_at + ten, seq=2),
    ]
    for event in [*reversed(events), *reversed(events)]:
        await station.call(*event)
    session = await world.session(charger)
    assert (session["state"], session["energy_wh"], session["id_token"]) == ("ended", 3000, tag)
    assert datetime.fromisoformat(session["started_at"]) == began_at

    charger, station = await world.ready(version)  # an end alone
    await station.call(*station.stopped("alone", 9000, began_at, token=world.tag()))
    session = await world.session(charger)
    assert session["state"] == "ended"
    assert session["quality"] != "billable"

    charger, station = await world.ready(version)  # a gap is noted, asked about once, and closed by what was queued
    station.replies["GetTransactionStatus"] = {"ongoingIndicator": False, "messagesInQueue": True}
    await station.start(world.tag(), 1000, began_at, reference="gap")
    await station.meter("gap", 3000, began_at + timedelta(minutes=5), seq=7)
    await station.stop("gap", 4000, began_at + ten, seq=8)
    row = ChargingSession.objects.get(charger=charger)
    assert row.energy_wh == 3000
    assert row.gaps == [{"kind": "messages", "from": 1, "to": 6}]
    assert (await station.next("GetTransactionStatus"))["transactionId"] == "gap"
    for number in range(1, 7):
        at = began_at + timedelta(minutes=5 + number / 2)
        await station.meter("gap", 3000 + 100 * number, at, seq=number, offline=True)
    overdue.revise_ended(now=now())
    row.refresh_from_db()
    assert (row.gaps, row.energy_wh, row.quality) == ([], 3000, "billable")
    assert station.asked["GetTransactionStatus"].empty()

    charger, station = await world.ready(version)  # a counter that begins anew: two sessions, two cards
    first, second = world.tag(), world.tag()
    for hours, tag in ((0, first), (9, second)):
        began = began_at + timedelta(hours=hours - 10)
        await station.start(tag, 1000, began, reference="1")
        await station.stop("1", 3000 + 100 * hours, began + ten, seq=1)
    told = [(one["id_token"], one["energy_wh"], one["quality"]) for one in await world.sessions(charger)]
    assert told == [(first, 2000, "billable"), (second, 2900, "billable")]

    charger, station = await world.ready(version)  # an end before everything else, and no start at all
    await station.call(*station.stopped("late", 9000, began_at + ten, token=world.tag()))
    await station.meter("late", 4000, began_at, seq=1)
    overdue.revise_ended(now=now())
    assert (await world.session(charger))["energy_wh"] == 5000

    charger, station = await world.ready(version)  # an end that never came is asked about
    station.replies["GetTransactionStatus"] = {"ongoingIndicator": False, "messagesInQueue": False}
    await station.start(world.tag(), 1000, began_at, reference="lost")
    await station.meter("lost", 3000, began_at + timedelta(minutes=5))
    await station.start(world.tag(), 3000, began_at + ten, reference="next")
    overdue.sweep(now=now())
    assert (await station.next("GetTransactionStatus"))["transactionId"] == "lost"
    lost = ChargingSession.objects.get(charger=charger, transaction_ref="lost")
    await until(lambda: _reason(lost) == "not_ongoing", "the answer to count")
    overdue.sweep(now=now() + timedelta(minutes=3))
    lost.refresh_from_db()
    assert (lost.state, lost.energy_wh, lost.quality) == ("ended", 2000, "estimated")
    assert ChargingSession.objects.get(charger=charger, transaction_ref="next").state == "active"


def _reason(session: ChargingSession) -> str:
    session.refresh_from_db()
    return session.suspect_reason


@pytest.mark.parametrize("version", NEWER)
async def test_rule_29_what_is_said_once_holds_for_the_whole_session(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    tag, reference = world.tag(), "x" * 36
    began_at = now() - HOUR
    action, started = station.started("", 1000, began_at, reference=reference, plug=2)
    started.pop("idToken")
    started |= {"offline": True, "reservationId": 77}
    assert "idTokenInfo" not in await station.call(action, started)
    shown: dict[str, Any] = {"evse": {"id": 2}, "idToken": id_token(tag)}
    answer = await station.call(*station.metered(reference, 1500, began_at + timedelta(minutes=1), **shown))
    assert answer["idTokenInfo"]["status"] == "Accepted"
    station.cut()
    station = await world.connect(charger, version)  # a socket that never heard of EVSE or token
    await station.meter(reference, 2500, began_at + timedelta(minutes=2), seq=2)
    ended = await station.stop(reference, 11_000, began_at + timedelta(minutes=20), seq=3, reason="EVDisconnected")
    assert ended["totalCost"] == pytest.approx(10 * 20 * 1.18)
    row = ChargingSession.objects.get(charger=charger)
    assert (row.id_token_uid, row.reservation_number, row.stop_reason) == (tag, 77, "EVDisconnected")
    assert (row.connector.evse.evse_number, row.energy_wh, row.transaction_ref) == (2, 10_000, reference)
    other, station = await world.ready(version)  # the same number at another station is another session
    await station.start(world.tag(), 0, reference=reference)
    assert ChargingSession.objects.filter(transaction_ref=reference).count() >= 2
    assert (await world.session(other))["state"] == "active"


@pytest.mark.parametrize("version", [V201])
async def test_a_transaction_needs_a_name(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    action, payload = station.started(world.tag(), 0, now(), reference="named")
    del payload["transactionInfo"]
    with pytest.raises(Refusal):
        await station.call(action, payload)
    assert not ChargingSession.objects.filter(charger=charger).exists()
