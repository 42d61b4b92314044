"""Sessions that are told badly over real sockets: late tokens, lost ids, values after the stop, silence in between."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from billing.models import CDR, BillingException, ChargingSession, Hold, MeterValue, SessionCorrection
from billing.services import ending, overdue
from billing.tests.factories import fund, make_tariff
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger, Connector
from stations.services import NOBODYS_PLUG
from vehicles.models import IdToken, Vehicle, VehicleModel

NOW = datetime.now(UTC).replace(microsecond=0)
TOKEN = {"idToken": "TAG1", "type": "ISO14443"}
Kind = BillingException.Kind


def instant(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


def moment(minutes: float, wh: int, power_w: int | None = None, context: str = "Sample.Periodic") -> dict[str, Any]:
    sampled: list[dict[str, Any]] = [{"value": wh, "context": context}]
    if power_w is not None:
        sampled.append({"value": power_w, "measurand": "Power.Active.Import"})
    return {"timestamp": instant(minutes), "sampledValue": sampled}


def text_moment(minutes: float, wh: int) -> dict[str, Any]:
    return {"timestamp": instant(minutes), "sampledValue": [{"value": str(wh)}]}


def event(kind: str, minutes: float, sequence: int = 0, state: str = "", **fields: Any) -> dict[str, Any]:
    info = {"transactionId": "tx-1"} | ({"chargingState": state} if state else {})
    return {
        "eventType": kind, "timestamp": instant(minutes), "triggerReason": "Trigger", "seqNo": sequence,
        "transactionInfo": info, **fields,
    }  # fmt: skip


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    model = VehicleModel.objects.create(
        manufacturer="Tata", name="Ace", battery_wh=40_000, plugs=["ccs2"], max_dc_power_w=60_000,
        consumption_wh_per_km=150,
    )  # fmt: skip
    vehicle = Vehicle.objects.create(organisation=organisation, registration="KA 01 AB 0001", model=model)
    IdToken.objects.create(organisation=organisation, uid="TAG1", vehicle=vehicle)
    fund(organisation, 10_000_00)
    made = factories.charger(organisation, "HYD-1")
    Connector.objects.filter(evse__charger=made).update(tariff=make_tariff(made.location.source))
    return made


@pytest.fixture
async def old(connect: Connect, station: Charger) -> Socket:
    opened: Socket = await connect("HYD-1", subprotocols=["ocpp1.6"])
    return opened


@pytest.fixture
async def new(connect: Connect, station: Charger) -> Socket:
    opened: Socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    return opened


async def start_16(socket: Socket, minutes: float = -60, **fields: Any) -> int:
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 1_000, "timestamp": instant(minutes)}
    return int((await socket.call("StartTransaction", {**start, **fields}))["transactionId"])


def reasons() -> list[str]:
    return list(ChargingSession.objects.get().quality_reasons)


# --- OCPP 2.x -----------------------------------------------------------------------------------------------------


async def test_a_token_that_arrives_in_an_update_is_judged_then(new: Socket) -> None:
    begin = [moment(-60, 1_000, context="Transaction.Begin")]
    plugged = event("Started", -60, 0, "EVConnected", evse={"id": 1, "connectorId": 1}, meterValue=begin)
    assert await new.call("TransactionEvent", plugged) == {}
    assert not Hold.objects.exists()
    assert not BillingException.objects.exists()
    answer = await new.call("TransactionEvent", event("Updated", -59, 1, "Charging", idToken=TOKEN))
    assert answer["idTokenInfo"]["status"] == "Accepted"
    session = await sync_to_async(ChargingSession.objects.select_related("vehicle").get)()
    assert (session.id_token_uid, session.vehicle.registration) == ("TAG1", "KA 01 AB 0001")
    assert (session.authorisation_reason, session.quality) == ("accepted", "billable")
    assert Hold.objects.get().state == Hold.State.ACTIVE
    learnt = SessionCorrection.objects.get(field="id_token_uid")
    assert (learnt.before, learnt.after) == ("", "TAG1")
    assert "Updated seqNo 1" in learnt.cause
    await new.call("TransactionEvent", event("Ended", -30, 2, meterValue=[moment(-30, 9_000)]))
    assert reasons() == []
    assert CDR.objects.get().energy_wh == 8_000


async def test_a_session_without_any_token_waits_for_finance(new: Socket) -> None:
    await new.call("TransactionEvent", event("Started", -60, evse={"id": 1}, meterValue=[moment(-60, 1_000)]))
    await new.call("TransactionEvent", event("Ended", -30, 1, meterValue=[moment(-30, 9_000)]))
    assert BillingException.objects.get().kind == Kind.UNKNOWN_TOKEN
    assert (reasons(), CDR.objects.get().is_blocked) == (["unknown_token"], True)


async def test_another_card_is_answered_for_itself_and_changes_nothing(new: Socket) -> None:
    await new.call("TransactionEvent", event("Started", -60, evse={"id": 1}, idToken=TOKEN))
    other = {"idToken": "NOBODY", "type": "ISO14443"}
    answer = await new.call("TransactionEvent", event("Updated", -50, 1, idToken=other))
    assert answer["idTokenInfo"]["status"] == "Unknown"
    assert ChargingSession.objects.get().id_token_uid == "TAG1"


async def test_a_late_start_puts_the_session_at_its_own_plug(new: Socket) -> None:
    await new.call("TransactionEvent", event("Updated", -50, 1, "Charging", meterValue=[moment(-50, 2_000)]))
    provisional = await sync_to_async(ChargingSession.objects.select_related("connector__evse").get)()
    assert (provisional.is_start_reported, provisional.connector.evse.evse_number) == (False, NOBODYS_PLUG)
    begin = [moment(-60, 1_000, context="Transaction.Begin")]
    start = event("Started", -60, 0, evse={"id": 2, "connectorId": 2}, idToken=TOKEN, meterValue=begin)
    await new.call("TransactionEvent", start)
    session = await sync_to_async(ChargingSession.objects.select_related("connector__evse").get)()
    assert (session.started_at, session.meter_start_wh) == (NOW - timedelta(minutes=60), 1_000)
    assert session.connector.evse.evse_number == 2
    taken = dict(Connector.objects.values_list("evse__evse_number", "has_session"))
    assert taken == {1: False, 2: True, NOBODYS_PLUG: False}
    assert set(SessionCorrection.objects.values_list("field", flat=True)) >= {"started_at", "connector_id"}


async def test_a_session_that_was_ended_for_its_station_takes_no_plug_any_more(new: Socket, station: Charger) -> None:
    """The station goes on as if nothing had happened; its own end, which changes no plug, comes later or never."""
    begin = [moment(-60, 1_000)]
    start = event("Started", -60, 0, "Charging", evse={"id": 1}, idToken=TOKEN, meterValue=begin)
    await new.call("TransactionEvent", start)
    plug = Connector.objects.get(evse__charger=station, evse__evse_number=1)
    assert (plug.has_session, plug.is_delivering) == (True, True)
    [session] = ChargingSession.objects.all()
    ChargingSession.objects.update(suspect_reason=overdue.LEFT, suspect_since=NOW)
    end = sync_to_async(ending.end_as_estimated)
    assert await end(session_id=session.pk, why=overdue.LEFT, not_after=None, now=NOW)
    await new.call("TransactionEvent", event("Updated", -1, 1, "SuspendedEV"))
    await new.call("TransactionEvent", event("Updated", 0, 2, "Charging"))
    plug.refresh_from_db()
    assert (plug.has_session, plug.is_delivering) == (False, False)


async def test_what_the_vehicle_does_not_take_is_idle_what_the_station_holds_back_is_not(new: Socket) -> None:
    begin, end = [moment(-60, 1_000)], [moment(-10, 9_000)]
    await new.call("TransactionEvent", event("Started", -60, 0, evse={"id": 1}, idToken=TOKEN, meterValue=begin))
    await new.call("TransactionEvent", event("Updated", -59, 1, "Charging"))
    await new.call("TransactionEvent", event("Updated", -40, 2, "SuspendedEVSE"))
    await new.call("TransactionEvent", event("Updated", -30, 3, "SuspendedEV", meterValue=[moment(-30, 9_000, 0)]))
    await new.call("TransactionEvent", event("Ended", -10, 4, meterValue=end))
    assert (CDR.objects.get().idle_seconds, CDR.objects.get().charging_seconds) == (20 * 60, 30 * 60)


async def test_skipped_messages_are_listed(new: Socket) -> None:
    begin, end = [moment(-60, 1_000)], [moment(-57, 2_000)]
    await new.call("TransactionEvent", event("Started", -60, 0, evse={"id": 1}, idToken=TOKEN, meterValue=begin))
    await new.call("TransactionEvent", event("Updated", -59, 1, meterValue=[moment(-59, 1_300)]))
    await new.call("TransactionEvent", event("Updated", -58, 4))
    await new.call("TransactionEvent", event("Ended", -57, 5, meterValue=end))
    session = ChargingSession.objects.get()
    assert session.gaps == [{"kind": "messages", "from": 2, "to": 3}]
    assert session.quality == "billable"


async def test_a_queue_that_comes_after_a_live_end_leaves_no_gap(new: Socket) -> None:
    """Also in a session that was billable all the time."""
    begin, end = [moment(-60, 1_000)], [moment(-57, 2_000)]
    await new.call("TransactionEvent", event("Started", -60, 0, evse={"id": 1}, idToken=TOKEN, meterValue=begin))
    await new.call("TransactionEvent", event("Ended", -57, 4, meterValue=end))
    assert ChargingSession.objects.get().gaps == [{"kind": "messages", "from": 1, "to": 3}]
    await new.call("TransactionEvent", event("Updated", -59, 1, offline=True, meterValue=[moment(-59, 1_300)]))
    await new.call("TransactionEvent", event("Updated", -58.5, 2, "Charging", offline=True))
    again = event("Updated", -58, 3, offline=True, meterValue=[moment(-59, 1_300)])  # the same sample once more
    await new.call("TransactionEvent", again)
    assert await sync_to_async(overdue.revise_ended)(now=NOW) == 1
    session = ChargingSession.objects.get()
    assert (session.gaps, session.quality, session.energy_wh) == ([], "billable", 1_000)
    assert await sync_to_async(overdue.revise_ended)(now=NOW) == 0


async def test_samples_that_come_after_an_end_without_start_are_counted(new: Socket) -> None:
    await new.call("TransactionEvent", event("Ended", -10, 3, idToken=TOKEN, meterValue=[moment(-10, 9_000)]))
    assert ChargingSession.objects.get().energy_wh == 0
    await new.call("TransactionEvent", event("Updated", -40, 1, meterValue=[moment(-40, 4_000)]))
    await new.call("TransactionEvent", event("Updated", -30, 2, meterValue=[moment(-30, 6_000)]))
    assert await sync_to_async(overdue.revise_ended)(now=NOW) == 1
    session = ChargingSession.objects.get()
    assert (session.energy_wh, session.started_at) == (5_000, NOW - timedelta(minutes=40))
    assert (session.quality, CDR.objects.get().energy_wh) == ("review", 5_000)


async def test_the_last_sample_may_be_a_moment_younger_than_the_stop(old: Socket) -> None:
    number = await start_16(old)
    last = {"value": "9000", "context": "Transaction.End"}
    await old.call("StopTransaction", {
        "transactionId": number, "timestamp": instant(-30),
        "transactionData": [{"timestamp": instant(-29.99), "sampledValue": [last]}],
    })  # fmt: skip
    assert (ChargingSession.objects.get().energy_wh, reasons()) == (8_000, [])


@pytest.mark.parametrize(("kind", "status"), [("NoAuthorization", "Accepted"), ("ISO14443", "Unknown")])
async def test_a_token_that_is_there_but_empty_is_answered(new: Socket, kind: str, status: str) -> None:
    """OCPP 2.0.1 part 2 C02.FR.02: started with a button."""
    empty = {"idToken": "", "type": kind}
    start = event("Started", -60, 0, evse={"id": 1}, idToken=empty, meterValue=[moment(-60, 1_000)])
    assert await new.call("TransactionEvent", start) == {"idTokenInfo": {"status": status}}
    update = event("Updated", -50, 1, idToken=empty, meterValue=[moment(-50, 1_500)])
    assert await new.call("TransactionEvent", update) == {"idTokenInfo": {"status": status}}
    await new.call("TransactionEvent", event("Ended", -30, 2, meterValue=[moment(-30, 2_000)]))
    assert (ChargingSession.objects.get().energy_wh, reasons()) == (1_000, ["unknown_token"])


async def test_a_button_is_nobodys_whatever_stands_beside_it(new: Socket) -> None:
    button = {"idToken": "TAG1", "type": "NoAuthorization"}
    start = event("Started", -60, 0, evse={"id": 1}, idToken=button, meterValue=[moment(-60, 1_000)])
    assert await new.call("TransactionEvent", start) == {"idTokenInfo": {"status": "Accepted"}}
    assert (ChargingSession.objects.get().id_token_uid, ChargingSession.objects.get().vehicle) == ("", None)


# --- a counter that begins anew -----------------------------------------------------------------------------------

OTHER = {"idToken": "TAG2", "type": "ISO14443"}


async def day(socket: Socket, began: float, first_wh: int, token: dict[str, str], order: str = "SUE") -> None:
    """One session of half an hour and 8 kWh, its three events in this order."""
    told = {
        "S": event(
            "Started", began, 0, "Charging", evse={"id": 1}, idToken=token, meterValue=[moment(began, first_wh)]
        ),
        "U": event("Updated", began + 10, 1, meterValue=[moment(began + 10, first_wh + 3_000)]),
        "E": event("Ended", began + 30, 2, meterValue=[moment(began + 30, first_wh + 8_000)]),
    }
    for letter in order:
        await socket.call("TransactionEvent", told[letter])


@pytest.mark.parametrize("order", ["SUE", "USE", "ESU", "UES", "SUESUE"])
async def test_a_number_used_again_is_another_session(new: Socket, organisation: Organisation, order: str) -> None:
    await sync_to_async(factories.token)(organisation, "TAG2")
    await day(new, -600, 1_000, TOKEN)
    await day(new, -60, 50_000, OTHER, order)
    await day(new, -600, 1_000, TOKEN, "E")  # the old end once more
    await sync_to_async(overdue.revise_ended)(now=NOW)
    first, second = ChargingSession.objects.order_by("started_at")
    assert (first.id_token_uid, second.id_token_uid, second.transaction_ref) == ("TAG1", "TAG2", "tx-1")
    assert [first.energy_wh, second.energy_wh] == [8_000, 8_000]
    assert [first.state, second.state] == ["ended", "ended"]
    assert [first.quality, second.quality] == ["billable", "billable"]
    assert [first.ended_at, second.ended_at] == [NOW - timedelta(minutes=570), NOW - timedelta(minutes=30)]
    assert not BillingException.objects.open().exists()
    assert sorted(CDR.objects.values_list("energy_wh", flat=True)) == [8_000, 8_000]
    renamed = SessionCorrection.objects.get(field="reused_transaction_ref")
    assert (renamed.before, renamed.after, renamed.session_id) == ("tx-1", first.transaction_ref, first.pk)
    assert MeterValue.objects.filter(transaction_ref="tx-1").count() == 3


@pytest.mark.parametrize("order", ["SUE", "SE"])
async def test_late_samples_of_the_old_number_go_to_the_old_session(new: Socket, order: str) -> None:
    await day(new, -600, 1_000, TOKEN, "SE")
    await day(new, -60, 50_000, TOKEN, "S")
    await day(new, -600, 1_000, TOKEN, "U")
    await day(new, -60, 50_000, TOKEN, order)
    await sync_to_async(overdue.revise_ended)(now=NOW)
    first, second = ChargingSession.objects.order_by("started_at")
    assert [first.energy_wh, second.energy_wh] == [8_000, 8_000]
    assert [first.gaps, first.quality] == [[], "billable"]
    own = MeterValue.objects.filter(transaction_ref=first.transaction_ref).order_by("at")
    assert list(own.values_list("energy_wh", flat=True)) == [1_000, 4_000, 9_000]


async def test_a_number_used_again_without_a_clock_is_told_by_its_register(new: Socket) -> None:
    def dead(told: dict[str, Any]) -> dict[str, Any]:
        values = [{**one, "timestamp": "1970-01-01T00:00:00Z"} for one in told.get("meterValue", [])]
        return {**told, "timestamp": "1970-01-01T00:00:00Z", "meterValue": values}

    for began, first_wh in ((0, 1_000), (0, 9_000)):
        for _ in range(2):  # a retry of the start is a retry
            start = event("Started", 0, 0, evse={"id": 1}, idToken=TOKEN, meterValue=[moment(0, first_wh)])
            await new.call("TransactionEvent", dead(start))
        await new.call("TransactionEvent", dead(event("Ended", 0, 1, meterValue=[moment(began, first_wh + 300)])))
        past = {"started_at": NOW - timedelta(hours=2), "ended_at": NOW - timedelta(hours=1)}
        await sync_to_async(ChargingSession.objects.filter(transaction_ref="tx-1").update)(**past)
    told = ChargingSession.objects.order_by("pk").values_list("energy_wh", "meter_start_wh")
    assert list(told) == [(300, 1_000), (300, 9_000)]


async def test_a_number_used_again_while_its_stop_is_missing(new: Socket, organisation: Organisation) -> None:
    await sync_to_async(factories.token)(organisation, "TAG2")
    await day(new, -600, 1_000, TOKEN, "SU")
    await day(new, -60, 50_000, OTHER)
    first, second = ChargingSession.objects.order_by("started_at")
    assert (first.state, second.state, second.energy_wh) == ("active", "ended", 8_000)
    await day(new, -600, 1_000, TOKEN, "E")
    await sync_to_async(first.refresh_from_db)()
    assert (first.state, first.energy_wh, first.quality) == ("ended", 8_000, "billable")


async def test_the_same_start_again_is_no_other_session(new: Socket) -> None:
    await day(new, -60, 1_000, TOKEN, "SUESSE")
    assert ChargingSession.objects.count() == 1


# --- OCPP 1.6 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost_id", [0, -1, 987_654])
async def test_a_stop_that_lost_its_id_brings_its_samples_to_the_session(old: Socket, lost_id: int) -> None:
    number = await start_16(old)
    stop = {
        "transactionId": lost_id, "idTag": "TAG1", "meterStop": 9_000, "timestamp": instant(-30),
        "transactionData": [text_moment(-50, 3_000), text_moment(-40, 6_000)],
    }  # fmt: skip
    assert await old.call("StopTransaction", stop) == {"idTagInfo": {"status": "Accepted"}}
    session = ChargingSession.objects.get()
    assert (session.state, session.energy_wh, session.transaction_ref) == ("ended", 8_000, str(number))
    assert set(MeterValue.objects.values_list("transaction_ref", "energy_wh")) == {
        (str(number), 3_000), (str(number), 6_000),
    }  # fmt: skip
    found = SessionCorrection.objects.get(field="transaction_ref")
    assert (found.before, found.after) == (str(lost_id), str(number))
    await old.call("StopTransaction", stop, "another-id")
    assert not BillingException.objects.open().exists()


async def test_a_station_that_counts_transactions_by_itself_is_understood(old: Socket) -> None:
    number = await start_16(old)
    for minutes, wh in ((-50, 3_000), (-40, 6_000)):
        values = {"connectorId": 1, "transactionId": 41, "meterValue": [text_moment(minutes, wh)]}
        await old.call("MeterValues", values)
    stop = {"transactionId": 41, "idTag": "TAG1", "meterStop": 9_000, "timestamp": instant(-30)}
    await old.call("StopTransaction", stop)
    session = ChargingSession.objects.get()
    assert (session.state, session.energy_wh, session.quality) == ("ended", 8_000, "billable")
    assert set(MeterValue.objects.values_list("transaction_ref", flat=True)) == {str(number)}


async def test_samples_of_a_stop_that_were_sent_before_are_kept_once(old: Socket, connect: Connect) -> None:
    number = await start_16(old)
    sent = {"connectorId": 1, "transactionId": number, "meterValue": [text_moment(-50, 3_000)]}
    await old.call("MeterValues", sent)
    again: Socket = await connect("HYD-1", subprotocols=["ocpp1.6"])
    stop = {"transactionId": number, "meterStop": 9_000, "timestamp": instant(-30)}
    await again.call("StopTransaction", {**stop, "transactionData": [text_moment(-50, 3_000), text_moment(-35, 8_000)]})
    assert sorted(MeterValue.objects.values_list("energy_wh", flat=True)) == [3_000, 8_000]
    assert ChargingSession.objects.get().energy_wh == 8_000


@pytest.mark.parametrize("named", [True, False])
async def test_values_after_the_stop_are_kept_and_not_billed(old: Socket, named: bool) -> None:
    number = await start_16(old)
    await old.call("StopTransaction", {"transactionId": number, "meterStop": 9_000, "timestamp": instant(-30)})
    late = {"connectorId": 1, "transactionId": number if named else 0, "meterValue": [text_moment(-20, 12_000)]}
    assert await old.call("MeterValues", late) == {}
    session = ChargingSession.objects.get()
    assert (session.state, session.energy_wh) == ("ended", 8_000)
    assert MeterValue.objects.get().transaction_ref == (str(number) if named else "")


async def test_a_start_without_a_tag_is_answered_with_an_id(old: Socket) -> None:
    start = {"connectorId": 1, "idTag": "", "meterStart": 0, "timestamp": instant(-60)}
    answer = await old.call("StartTransaction", start)
    assert (answer["transactionId"] > 0, answer["idTagInfo"]["status"]) == (True, "Invalid")


async def test_a_suspended_vehicle_is_idle_in_1_6(old: Socket) -> None:
    number = await start_16(old)
    for minutes, status in ((-59, "Charging"), (-30, "SuspendedEV")):
        said = {"connectorId": 1, "errorCode": "NoError", "status": status, "timestamp": instant(minutes)}
        await old.call("StatusNotification", said)
    await old.call("StopTransaction", {"transactionId": number, "meterStop": 9_000, "timestamp": instant(-10)})
    assert CDR.objects.get().idle_seconds == 20 * 60


async def test_units_may_change_within_a_session_and_signed_values_are_kept(old: Socket) -> None:
    """As solidstudio's VCP sends them: kWh with float noise, then Wh, then a signed text as a value."""
    number = await start_16(old, meterStart=0)
    signed = 'OCMF|{"FV":"1.0","RD":[{"RV":0.15}]}|{"SD":"3045"}'
    sampled = [{"value": "0.15003999999999998", "unit": "kWh", "measurand": "Energy.Active.Import.Register"}]
    await old.call("MeterValues", {
        "connectorId": 1, "transactionId": number, "meterValue": [{"timestamp": instant(-50), "sampledValue": sampled}],
    })  # fmt: skip
    end = [{"value": "8000"}, {"value": signed, "format": "SignedData", "context": "Transaction.End"}]
    await old.call("StopTransaction", {
        "transactionId": number, "meterStop": 8_000, "timestamp": instant(-30),
        "transactionData": [{"timestamp": instant(-30), "sampledValue": end}],
    })  # fmt: skip
    assert list(MeterValue.objects.order_by("at").values_list("energy_wh", flat=True)) == [150, 8_000]
    assert MeterValue.objects.order_by("at").last().sampled[1]["value"] == signed
    assert (ChargingSession.objects.get().energy_wh, reasons()) == (8_000, [])


async def test_the_stop_of_hours_ago_is_still_the_stop(old: Socket, connect: Connect) -> None:
    """As SAP's simulator replays it: values go on, and the stop, older than they are, comes last."""
    number = await start_16(old, minutes=-300)
    for minutes in (-100, -90):
        values = {"connectorId": 1, "transactionId": number, "meterValue": [text_moment(minutes, 9_500)]}
        await old.call("MeterValues", values)
    again: Socket = await connect("HYD-1", subprotocols=["ocpp1.6"])
    stop = {"transactionId": number, "meterStop": 9_000, "timestamp": instant(-200), "idTag": "TAG1"}
    await again.call("StopTransaction", stop)
    session = ChargingSession.objects.get()
    assert (session.ended_at, session.energy_wh, session.quality) == (NOW - timedelta(minutes=200), 8_000, "billable")


# --- samples that name no transaction -----------------------------------------------------------------------------


async def say_unnamed(socket: Socket, minutes: float, wh: int, context: str = "Sample.Periodic", plug: int = 1) -> None:
    sampled = [{"value": str(wh), "context": context}]
    values = {"connectorId": plug, "meterValue": [{"timestamp": instant(minutes), "sampledValue": sampled}]}
    await socket.call("MeterValues", values)


async def test_samples_without_an_id_that_come_before_their_start_become_its_own(old: Socket) -> None:
    await say_unnamed(old, -61, 900)  # before it
    await say_unnamed(old, -50, 3_000)
    await say_unnamed(old, -45, 3_500, "Sample.Clock")
    await say_unnamed(old, -44, 70_000, plug=2)
    await say_unnamed(old, -40, 6_000)
    number = await start_16(old)
    session = ChargingSession.objects.get()
    assert (session.energy_wh, session.metered_at) == (5_000, NOW - timedelta(minutes=40))
    own = MeterValue.objects.filter(transaction_ref=str(number)).order_by("at")
    assert list(own.values_list("energy_wh", flat=True)) == [3_000, 6_000]
    await old.call("StopTransaction", {"transactionId": number, "timestamp": instant(-39)})
    assert (ChargingSession.objects.get().energy_wh, reasons()) == (5_000, [])


async def test_samples_of_the_next_session_do_not_stay_with_the_one_before(old: Socket) -> None:
    """The queue of a station: samples of the new session overtake the stop of the old one, and the new start."""
    first = await start_16(old, minutes=-120)
    await say_unnamed(old, -110, 4_000)
    await say_unnamed(old, -50, 9_500)  # of the second
    await old.call("StopTransaction", {"transactionId": first, "meterStop": 9_000, "timestamp": instant(-90)})
    second = await start_16(old, minutes=-60, meterStart=9_000)
    await say_unnamed(old, -40, 10_000)
    named = MeterValue.objects.order_by("at").values_list("transaction_ref", "energy_wh")
    assert list(named) == [(str(first), 4_000), (str(second), 9_500), (str(second), 10_000)]
    await old.call("StopTransaction", {"transactionId": second, "timestamp": instant(-39.5)})
    await sync_to_async(overdue.revise_ended)(now=NOW)
    told = ChargingSession.objects.order_by("started_at").values_list("energy_wh", "quality")
    assert list(told) == [(8_000, "billable"), (1_000, "billable")]


async def test_samples_of_the_next_session_leave_one_that_still_runs(old: Socket) -> None:
    first = await start_16(old, minutes=-120)
    await say_unnamed(old, -50, 9_500)
    second = await start_16(old, minutes=-60, meterStart=9_000)
    assert MeterValue.objects.get().transaction_ref == str(second)
    await old.call("StopTransaction", {"transactionId": first, "meterStop": 9_000, "timestamp": instant(-90)})
    assert ChargingSession.objects.get(transaction_ref=str(first)).energy_wh == 8_000
