"""A true session, told twice, out of order, late, over several sockets: the same session, or one that is not billed."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.models import CDR, BillingException, ChargingSession
from billing.services import adjustments, meters, overdue, rating, verification
from billing.tests.factories import fund, make_tariff
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.batching import Receipt
from ocpp_bridge import threads
from ocpp_bridge.station import Station
from ocpp_bridge.tests import factories
from ocpp_bridge.v2 import transactions as v2
from ocpp_bridge.v16 import transactions as v16
from stations.models import Connector

BEGAN = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
METER_START_WH, STEP_WH = 50_000, 500
PAISE_PER_STEP = 1062  # 18.00 per kWh and 18 % GST
_numbers = itertools.count(1)
any_order = settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@dataclass(frozen=True)
class Told:
    """One message of the true session; `number` counts minutes from its start."""

    kind: str
    number: int

    @property
    def is_essential(self) -> bool:
        return self.kind in {"start", "stop"}


@dataclass
class Scene:
    """What happens to the messages: in which order, on which socket, and when the record is priced in between."""

    order: list[Told]
    sockets: list[bool]
    priced_after: set[int]
    minutes: int
    has_constant_sequence: bool
    is_token_late: bool
    carries_data: bool


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    minutes = draw(st.integers(2, 6))
    samples = [Told("sample", number) for number in range(1, minutes)]
    kept = draw(st.lists(st.sampled_from(samples), unique=True, max_size=len(samples)))
    repeated = draw(st.lists(st.sampled_from([Told("start", 0), *samples, Told("stop", minutes)]), max_size=4))
    told = [Told("start", 0), Told("stop", minutes), *kept, *repeated]
    order = draw(st.permutations(told))
    return Scene(
        order=order,
        sockets=draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order))),
        priced_after=draw(st.sets(st.integers(0, len(order)), max_size=2)),
        minutes=minutes,
        has_constant_sequence=draw(st.booleans()),
        is_token_late=draw(st.booleans()),
        carries_data=draw(st.booleans()),
    )


@pytest.fixture
async def site(transactional_db: None, organisation: Organisation) -> AsyncIterator[Organisation]:
    fund(organisation, 100_000_00)
    yield organisation
    await meters.close()
    threads.close_threads()
    connections.close_all()


def station_of(organisation: Organisation) -> Station:
    """A charger with a card of its own: one card cannot charge at two places at once."""
    made = factories.charger(organisation, f"ANY-{next(_numbers)}", plugs=1, subprotocols=["ocpp2.0.1"])
    factories.token(organisation, made.ocpp_identity)
    tariff = make_tariff(made.location.source)
    Connector.objects.filter(evse__charger=made).update(tariff=tariff)
    return Station(made.pk, organisation.pk, made.ocpp_identity, "Accepted")


def instant(number: int) -> str:
    return (BEGAN + timedelta(minutes=number)).isoformat()


def moment(number: int, context: str = "Sample.Periodic") -> dict[str, Any]:
    sampled = {"value": METER_START_WH + STEP_WH * number, "context": context}
    return {"timestamp": instant(number), "sampledValue": [sampled]}


def event_of(told: Told, scene: Scene, reference: str, token: str) -> dict[str, Any]:
    """As an OCPP 2.0.1 station tells it."""
    kinds = {"start": ("Started", "Transaction.Begin"), "stop": ("Ended", "Transaction.End")}
    kind, context = kinds.get(told.kind, ("Updated", "Sample.Periodic"))
    payload: dict[str, Any] = {
        "eventType": kind, "timestamp": instant(told.number), "triggerReason": "MeterValuePeriodic",
        "seqNo": 0 if scene.has_constant_sequence else told.number,
        "transactionInfo": {"transactionId": reference}, "meterValue": [moment(told.number, context)],
    }  # fmt: skip
    if kind == "Started":
        payload["evse"] = {"id": 1, "connectorId": 1}
    if kind == ("Ended" if scene.is_token_late else "Started"):
        payload["idToken"] = {"idToken": token, "type": "ISO14443"}
    return payload


async def told_of(receipt: Receipt[Any]) -> None:
    """Return once it is committed."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    receipt.tell = lambda _, error: done.set_exception(error) if error else done.set_result(None)
    await done


async def tell_2x(scene: Scene, site: Organisation) -> Station:
    first = await asyncio.to_thread(in_thread, station_of, site)
    station, reference = first, f"tx-{next(_numbers)}"
    for place, told in enumerate(scene.order):
        if scene.sockets[place]:
            station = Station(first.charger_id, first.organisation_id, first.identity, "Accepted")
        received_at = BEGAN + timedelta(hours=1, seconds=place)
        payload = event_of(told, scene, reference, first.identity)
        promise = v2.transaction_event_at_once(station, payload, received_at)
        if promise is None:
            await v2.transaction_event(station, payload, received_at)
        elif promise[1] is not None:
            await told_of(promise[1])
        await price(scene, place, first)
    return first


async def tell_16(scene: Scene, site: Organisation) -> Station:
    """Until the start is answered there is no id: a charger says -1 in its stop, nothing in its samples."""
    first = await asyncio.to_thread(in_thread, station_of, site)
    station, number = first, None
    for place, told in enumerate(scene.order):
        if scene.sockets[place]:
            station = Station(first.charger_id, first.organisation_id, first.identity, "Accepted")
        received_at = BEGAN + timedelta(hours=1, seconds=place)
        if told.kind == "start":
            start = {"connectorId": 1, "idTag": first.identity, "timestamp": instant(0), "meterStart": METER_START_WH}
            number = (await v16.start_transaction(station, start, received_at))["transactionId"]
        elif told.kind == "sample":
            values = {"connectorId": 1, "transactionId": number or 0, "meterValue": [moment(told.number)]}
            await v16.meter_values(station, values, received_at)
        else:
            stop = {
                "transactionId": number or -1, "idTag": first.identity, "timestamp": instant(told.number),
                "meterStop": METER_START_WH + STEP_WH * told.number,
            }  # fmt: skip
            if scene.carries_data:
                stop["transactionData"] = [moment(minute) for minute in range(told.number + 1)]
            await v16.stop_transaction(station, stop, received_at)
        await price(scene, place, first)
    return first


async def price(scene: Scene, place: int, station: Station) -> None:
    if place in scene.priced_after:
        await asyncio.to_thread(in_thread, price_all, station.charger_id)


def price_all(charger_id: int) -> None:
    for cdr in CDR.objects.uncaptured().filter(session__charger_id=charger_id):
        rating.rate_and_capture(cdr_id=cdr.pk)


def in_thread(work: Any, *values: Any) -> Any:
    try:
        return work(*values)
    finally:
        connections.close_all()


def assert_as_told(station: Station, scene: Scene) -> None:
    price_all(station.charger_id)
    session = ChargingSession.objects.get(charger_id=station.charger_id)
    energy_wh = STEP_WH * scene.minutes
    assert (session.started_at, session.ended_at) == (BEGAN, BEGAN + timedelta(minutes=scene.minutes))
    assert (session.state, session.energy_wh, session.id_token_uid) == ("ended", energy_wh, station.identity)
    assert (session.quality, session.quality_reasons) == ("billable", [])
    assert not BillingException.objects.open().exists()
    cdr = CDR.objects.get(session=session)
    assert adjustments.figures_of(cdr).energy_wh == energy_wh
    assert cdr.captured_at is not None
    assert cdr.total_paise + session.adjusted_paise == scene.minutes * PAISE_PER_STEP
    assert not Connector.objects.get(evse__charger_id=station.charger_id).has_session
    assert not verification.differences()


@any_order
@given(scene=scenes())
async def test_a_2x_session_is_the_same_in_any_order(scene: Scene, site: Organisation) -> None:
    station = await tell_2x(scene, site)
    await asyncio.to_thread(in_thread, assert_as_told, station, scene)


@any_order
@given(scene=scenes())
async def test_a_16_session_is_the_same_in_any_order(scene: Scene, site: Organisation) -> None:
    station = await tell_16(scene, site)
    await asyncio.to_thread(in_thread, assert_as_told, station, scene)


@settings(any_order, max_examples=20)
@given(scene=scenes(), lost=st.sampled_from(["start", "stop"]))
async def test_without_an_essential_message_nothing_is_simply_billable(
    scene: Scene, lost: str, site: Organisation
) -> None:
    scene.order = [told for told in scene.order if told.kind != lost]
    station = await tell_2x(scene, site)
    await asyncio.to_thread(in_thread, assert_doubted, station, scene, lost)


def assert_doubted(station: Station, scene: Scene, lost: str) -> None:
    """Every order says the same once the sweep has seen what came after the end."""
    overdue.revise_ended(now=BEGAN + timedelta(hours=2))
    session = ChargingSession.objects.get(charger_id=station.charger_id)
    assert 0 <= session.energy_wh <= STEP_WH * scene.minutes
    if lost == "start":
        assert (session.state, session.quality, session.is_start_reported) == ("ended", "review", False)
        assert "missing_start" in session.quality_reasons
        assert CDR.objects.get(session=session).is_blocked
        first = min(told.number for told in scene.order)
        assert session.energy_wh == STEP_WH * (scene.minutes - first)
        assert session.started_at == BEGAN + timedelta(minutes=first)
        told = {told.number for told in scene.order}
        listed = [gap for gap in session.gaps if gap["kind"] == "messages"]
        missing = {number for gap in listed for number in range(gap["from"], gap["to"] + 1)}
        is_counting = not scene.has_constant_sequence and len(told) > 1
        assert missing == (set(range(scene.minutes + 1)) - told if is_counting else set())
    else:
        assert (session.state, CDR.objects.filter(session=session).count()) == ("active", 0)


# --- two sessions of one card at one plug, every id lost ----------------------------------------------------------


PAIR = {"a": (0, 5), "b": (15, 25)}
Line = tuple[str, str]


async def tell_pair(order: list[Line], site: Organisation) -> Station:
    station = await asyncio.to_thread(in_thread, station_of, site)
    for place, (name, kind) in enumerate(order):
        received_at = BEGAN + timedelta(hours=1, seconds=place)
        minute = PAIR[name][kind == "stop"]
        register = METER_START_WH + STEP_WH * minute
        if kind == "start":
            start = {"connectorId": 1, "idTag": station.identity, "timestamp": instant(minute), "meterStart": register}
            await v16.start_transaction(station, start, received_at)
        else:
            stop = {"transactionId": -1, "idTag": station.identity, "timestamp": instant(minute), "meterStop": register}
            await v16.stop_transaction(station, stop, received_at)
    return station


def assert_pair(station: Station, order: list[Line]) -> None:
    sessions = {
        session.started_at: session for session in ChargingSession.objects.filter(charger_id=station.charger_id)
    }
    begun = {name for name, kind in order if kind == "start"}
    is_all_told = len(set(order)) == 4
    assert len(sessions) == len(begun)
    for name in begun:
        first, last = PAIR[name]
        session = sessions[BEGAN + timedelta(minutes=first)]
        is_right = (session.state, session.energy_wh) == ("ended", STEP_WH * (last - first))
        assert is_right or (not is_all_told and (session.state == "active" or session.quality != "billable"))


@any_order
@given(order=st.permutations([("a", "start"), ("a", "stop"), ("b", "start"), ("b", "stop")]), lost=st.integers(0, 4))
async def test_two_sessions_that_lost_their_ids_are_told_apart_or_questioned(
    order: list[Line], lost: int, site: Organisation
) -> None:
    told = [line for place, line in enumerate(order) if place != lost]
    station = await tell_pair(told, site)
    await asyncio.to_thread(in_thread, assert_pair, station, told)
