"""OCPP 2.x: a card is shown first, and the EVSE is only said when the cable goes in (2.0.1 part 2, E01)."""

from typing import Any

import pytest

from billing.events import SessionStarted
from billing.models import ChargingSession, SessionCorrection
from billing.tests.factories import make_tariff
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from ocpp_bridge.tests.test_socket_201 import TOKEN, event, meter
from stations.models import Charger, Connector
from stations.services import NOBODYS_PLUG

PLACE: dict[str, Any] = {"evse": {"id": 2, "connectorId": 1}}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "HYD-1", subprotocols=["ocpp2.0.1"])


def plug(station: Charger, number: int) -> Connector:
    return Connector.objects.get(evse__charger=station, evse__evse_number=number)


def shown(station: Charger) -> list[tuple[bool, bool]]:
    return [(one.has_session, one.is_delivering) for one in (plug(station, 1), plug(station, 2))]


def place_of(session: ChargingSession) -> int:
    session.refresh_from_db()
    return session.connector.evse.evse_number


@pytest.mark.parametrize("has_new_socket", [False, True])
async def test_the_session_is_where_the_cable_went(connect: Connect, station: Charger, has_new_socket: bool) -> None:
    socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    started = event("Started", -600, idToken=TOKEN, info={"chargingState": "Idle"})
    assert "idTokenInfo" in await socket.call("TransactionEvent", started)
    session = ChargingSession.objects.get()
    assert place_of(session) == NOBODYS_PLUG  # neither EVSE is taken
    assert shown(station) == [(False, False), (False, False)]
    if has_new_socket:
        socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    plugged = event("Updated", -560, meterValue=meter(-560, 10.0), info={"chargingState": "Charging"}, **PLACE)
    assert await socket.call("TransactionEvent", plugged) == {}
    assert place_of(session) == 2
    assert shown(station) == [(False, False), (True, True)]
    assert SessionCorrection.objects.filter(session=session, field="connector_id").count() == 1
    await socket.call("TransactionEvent", event("Ended", -60, meterValue=meter(-60, 15.0, "Transaction.End")))
    assert place_of(session) == 2
    assert (session.state, session.energy_wh) == ("ended", 5_000)
    assert "no_such_plug" not in session.quality_reasons
    assert shown(station) == [(False, False), (False, False)]


async def test_a_sample_that_names_the_plug_moves_what_flows_along(connect: Connect, station: Charger) -> None:
    """The usual way of samples, which looks at nothing else, is not taken."""
    socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", -600, idToken=TOKEN))
    await socket.call("TransactionEvent", event("Updated", -590, info={"chargingState": "Charging"}))
    await socket.call("TransactionEvent", event("Updated", -500, meterValue=meter(-500, 11.0), **PLACE))
    assert place_of(ChargingSession.objects.get()) == 2
    assert shown(station) == [(False, False), (True, True)]


async def test_the_price_is_that_of_the_plug_named_with_the_end(connect: Connect, station: Charger) -> None:
    Connector.objects.filter(pk=plug(station, 2).pk).update(tariff=make_tariff(station.location.source))
    socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    begin = meter(-600, 10.0, "Transaction.Begin")
    await socket.call("TransactionEvent", event("Started", -600, idToken=TOKEN, meterValue=begin))
    end = event("Ended", -60, meterValue=meter(-60, 12.0, "Transaction.End"), **PLACE)
    answer = await socket.call("TransactionEvent", end)
    assert answer["totalCost"] == pytest.approx(2 * 18 * 1.18)
    assert place_of(ChargingSession.objects.get()) == 2


async def test_a_station_with_one_evse_need_not_name_it(connect: Connect, organisation: Organisation) -> None:
    factories.token(organisation, "TAG1")
    single = factories.charger(organisation, "HYD-2", plugs=1, subprotocols=["ocpp2.0.1"])
    socket = await connect("HYD-2", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", -600, idToken=TOKEN))
    assert place_of(ChargingSession.objects.get()) == 1
    assert plug(single, 1).has_session


async def test_a_session_that_was_never_placed_waits_for_finance(connect: Connect, station: Charger) -> None:
    socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    begin = meter(-600, 10.0, "Transaction.Begin")
    await socket.call("TransactionEvent", event("Started", -600, idToken=TOKEN, meterValue=begin))
    await socket.call("TransactionEvent", event("Ended", -60, meterValue=meter(-60, 12.0, "Transaction.End")))
    session = ChargingSession.objects.get()
    assert (session.quality, session.energy_wh) == ("review", 2_000)
    assert "no_such_plug" in session.quality_reasons


async def test_others_look_again_at_the_plug_once_it_is_known(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was promised to somebody, and how its power is shared; also where the Started itself comes late."""
    told: list[SessionStarted] = []
    monkeypatch.setitem(events._handlers, SessionStarted, [told.append])
    socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", -600, "one", idToken=TOKEN))
    await socket.call("TransactionEvent", event("Updated", -590, "one", meterValue=meter(-590, 11.0), **PLACE))
    await socket.call("TransactionEvent", event("Updated", -90, "two", meterValue=meter(-90, 13.0)))
    await socket.call("TransactionEvent", event("Started", -100, "two", evse={"id": 1}))
    places = [Connector.objects.get(pk=one.connector_id).evse.evse_number for one in told]
    assert places == [NOBODYS_PLUG, 2, NOBODYS_PLUG, 1]


async def test_what_it_was_asked_or_promised_for_may_come_later(connect: Connect, station: Charger) -> None:
    socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", -600, idToken=TOKEN, **PLACE))
    later: dict[str, Any] = {"meterValue": meter(-500, 11.0), "info": {"remoteStartId": 41}, "reservationId": 7}
    await socket.call("TransactionEvent", event("Updated", -500, **later))
    session = ChargingSession.objects.get()
    assert (session.remote_start_id, session.reservation_number) == (41, 7)
