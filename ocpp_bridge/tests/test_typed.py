"""The classes of the hot message take nothing that its schema refuses, and make the same rows of it."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.services.meters import MeterReading
from fleetcharge.lib.batching import Receipt
from fleetcharge.lib.sockets import WRITE
from ocpp_bridge import frames, recorder, writers
from ocpp_bridge.calls import Calls
from ocpp_bridge.consumers import ChargerConsumer
from ocpp_bridge.dialects import V16
from ocpp_bridge.quirks import QuirkProfile
from ocpp_bridge.station import Station
from ocpp_bridge.throttle import Bucket
from ocpp_bridge.v16 import MEANING_16, typed
from ocpp_bridge.v16.transactions import meter_values_at_once
from stations.models import Charger

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LIMIT = 65_536


def odd_or(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there."""
    odd: st.SearchStrategy[Any] = st.sampled_from(
        ["", "odd", None, 0, 1, -1, 1.0, True, 2**70, 40_000, [], {}, "é", "a\\b", "\x00", "\u2028", "1"]
    )
    return st.one_of(usual, usual, usual, usual, odd)


def words(*usual: str) -> st.SearchStrategy[Any]:
    return odd_or(st.sampled_from(usual))


VALUES = odd_or(
    st.one_of(
        st.integers(-5, 10**16).map(str),
        st.decimals(-1000, 10**7, places=3).map(str),
        st.sampled_from(["48000.0", "48.", ".5", "1e3", " 7", "٣", "1_0", "+4", "NaN", "9" * 20]),
    )
)
SAMPLES = st.fixed_dictionaries(
    {"value": VALUES},
    optional={
        "context": words("Sample.Periodic", "Sample.Clock", "Transaction.End"),
        "format": words("Raw", "SignedData"),
        "location": words("Outlet", "EV", "Inlet", "Body"),
        "measurand": words("Energy.Active.Import.Register", "Power.Active.Import", "SoC", "Voltage"),
        "phase": words("L1", "L2", "L3", "L1-N", "N"),
        "unit": words("Wh", "kWh", "W", "kW", "Percent", "V"),
    },
)
TIMES = odd_or(
    st.one_of(
        st.datetimes(datetime(2019, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.isoformat() + "Z"),
        st.datetimes(datetime(2019, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.isoformat() + "+05:30"),
        st.sampled_from(
            [
                "2026-11-22T08:00:00", "2026-11-22 08:00:00Z", "2026-11-22t08:00:00z", "2026-11-22",
                "0001-01-01T00:00:00+09:00", "2026-11-22T08:00:60Z", "2026-11-22T24:00:00Z", "2026-11-22T08:00Z",
                "2026-11-22T08:00:00.123456789Z", "2026-11-22T08:00:00+0530", "2026-02-30T08:00:00Z",
                "9999-12-31T23:59:59-12:00", "2026-11-22T08:00:00.Z", "2026-11-22_08:00:00Z",
            ]
        ),
    )
)  # fmt: skip
MOMENTS = st.fixed_dictionaries({"timestamp": TIMES, "sampledValue": odd_or(st.lists(odd_or(SAMPLES), max_size=4))})
PAYLOADS = st.fixed_dictionaries(
    {"connectorId": odd_or(st.integers(0, 4)), "meterValue": odd_or(st.lists(odd_or(MOMENTS), max_size=3))},
    optional={"transactionId": odd_or(st.integers(-3, 2**40)), "vendor": st.just("x")},
)
USUAL = {
    "connectorId": 1,
    "transactionId": 77,
    "meterValue": [
        {
            "timestamp": "2026-11-22T08:20:34.234Z",
            "sampledValue": [
                {"value": "12340", "measurand": "Energy.Active.Import.Register", "unit": "Wh", "context": "Other"},
                {"value": "48000.0", "measurand": "Power.Active.Import", "unit": "W"},
                {"value": "61", "measurand": "SoC", "location": "EV", "unit": "Percent"},
            ],
        }
    ],
}  # fmt: skip


def station() -> Station:
    return Station(5, 1, "BLR-1", Charger.Registration.ACCEPTED)


OFFERED: list[Any] = []  # what would be written


def _offer(readings: Any) -> Receipt[Any]:
    OFFERED.append(readings)
    return Receipt()


@pytest.fixture(autouse=True, scope="module")
def writer() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writers.meter_writer, "offer", _offer)
        yield


def read(text: str) -> frames.TypedCall | None:
    return frames.parse_typed(text, typed.READERS, limit_bytes=LIMIT)


def rows(promise: object) -> list[dict[str, Any]]:
    assert promise is not None
    names = [field.name for field in dataclasses.fields(MeterReading)]
    found = [{name: getattr(reading, name) for name in names} for reading in OFFERED.pop()]
    return [{**row, "sampled": orjson.dumps(row["sampled"])} for row in found]


def goes_the_short_way(payload: Any) -> bool:
    """And if so, the schema takes it too, and the rows are the same."""
    text = json.dumps([2, "m-1", "MeterValues", payload], ensure_ascii=False)
    call = read(text)
    if call is None or (promise := typed.meter_values(station(), call.payload, NOW)) is None:  # type: ignore[arg-type]
        return False
    short = rows(promise)
    plain = frames.parse(text, V16, limit_bytes=LIMIT)
    assert isinstance(plain, frames.Call)
    assert V16.request_error("MeterValues", plain.payload) is None
    assert short == rows(meter_values_at_once(station(), plain.payload, NOW))
    return True


@given(PAYLOADS)
def test_what_the_classes_take_the_schema_takes_and_the_rows_are_the_same(payload: Any) -> None:
    goes_the_short_way(payload)


@pytest.mark.parametrize("time", ["2026-11-22T08:20:34.234Z", "2026-11-22T13:50:34+05:30", "2019-01-01T00:00:00Z"])
def test_what_chargers_say_all_day_goes_the_short_way(time: str) -> None:
    payload = orjson.loads(orjson.dumps(USUAL))
    payload["meterValue"][0]["timestamp"] = time
    assert goes_the_short_way(payload)
    del payload["transactionId"]
    assert goes_the_short_way(payload)


@pytest.mark.parametrize(
    "change",
    [
        {"connectorId": -1}, {"connectorId": 40_000}, {"connectorId": 1.0}, {"connectorId": True}, {"vendor": "x"},
        {"meterValue": []}, {"transactionId": None}, {"transactionId": 2**70}, {"transactionId": "77"},
    ],
)  # fmt: skip
def test_what_is_odd_goes_the_common_way(change: dict[str, Any]) -> None:
    assert not goes_the_short_way(USUAL | change)


@pytest.mark.parametrize(
    "change",
    [
        {"value": 5},
        {"phase": None},
        {"unit": "kwh"},
        {"vendor": "x"},
        {"value": "a\\b"},
        {"value": "a\x00b"},
        {"value": None},
    ],
)
def test_an_odd_sample_goes_the_common_way(change: dict[str, Any]) -> None:
    payload = orjson.loads(orjson.dumps(USUAL))
    payload["meterValue"][0]["sampledValue"][1].update(change)
    assert not goes_the_short_way(payload)


@pytest.mark.parametrize("time", ["2026-11-22T08:20:34", "2026-11-22", "2026-11-22 08:20:34Z", 5, None, "", "noon"])
def test_an_odd_time_goes_the_common_way(time: object) -> None:
    payload = orjson.loads(orjson.dumps(USUAL))
    payload["meterValue"][0]["timestamp"] = time
    assert not goes_the_short_way(payload)


def test_only_one_whole_short_call_of_a_known_action_is_read() -> None:
    sample = orjson.dumps(USUAL).decode()
    assert read(f'[2,"m","MeterValues",{sample}]') is not None
    assert read(f' [ 2 , "m" , "MeterValues" , {sample} ] ') is not None
    odd = [
        f'[3,"m","MeterValues",{sample}]', f'[2,"m","Heartbeat",{sample}]', f'[2,"{"m" * 37}","MeterValues",{sample}]',
        f'[2,"m","MeterValues",{sample},1]', f'[2,"m","MeterValues",{sample}', f'[2,"m","MeterValues",{sample}] x',
        f'[2,7,"MeterValues",{sample}]', f'[2,"m\\u0000","MeterValues",{sample}]', f'[2,"m","MeterValues",{"[" * 5000}',
        '[2,"m","MeterValues"]', "", "x", f'[2,"m","MeterValues",{sample}{" " * LIMIT}]',
    ]  # fmt: skip
    assert [text for text in odd if read(text) is not None] == []


def test_a_model_with_quirks_goes_the_common_way() -> None:
    call, odd = read(orjson.dumps([2, "m", "MeterValues", USUAL]).decode()), station()
    odd.profile = QuirkProfile("odd")
    assert call is not None and typed.meter_values(odd, call.payload, NOW) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("time", ["2026-11-22T08:20:34Z", "2026-11-22T13:50:34.123456789+05:30"])
async def test_on_a_socket_it_is_answered_once_and_recorded_once_either_way(time: str) -> None:
    said: list[str] = []
    socket = _socket(said)
    payload = orjson.loads(orjson.dumps(USUAL))
    payload["meterValue"][0]["timestamp"] = time
    recorder.recorder._reset()
    assert socket.hear(orjson.dumps([2, "m-1", "MeterValues", payload]).decode())
    assert (said, len(OFFERED.pop())) == ([], 1)
    written = socket.calls._written
    assert written is not None
    written.set_result(True)  # committed
    assert said == ['[3,"m-1",{}]']
    (noted,) = recorder.recorder._buffer
    assert noted.answered_after is not None
    assert socket.is_idle
    recorder.recorder._reset()


async def test_on_a_socket_nothing_is_lost_when_the_writer_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = _socket([])
    monkeypatch.setattr(writers.meter_writer, "offer", lambda readings: None)
    assert not socket.hear(orjson.dumps([2, "m-1", "MeterValues", USUAL]).decode())
    assert socket.read_ahead == frames.Call("m-1", "MeterValues", USUAL)
    assert len(recorder.recorder._buffer) == 1
    recorder.recorder._reset()


def _socket(said: list[str]) -> ChargerConsumer:
    """As after its handshake."""
    socket = ChargerConsumer()
    socket.meaning, socket.dialect, socket.station = MEANING_16, V16, station()
    socket._bucket, socket._limit_bytes = Bucket(1000, 1000), LIMIT
    socket.calls = Calls(socket.station, MEANING_16, socket.send_frame, socket.send_now)

    def write(text: str) -> bool:
        said.append(text)
        return True

    socket._use_short_ways({WRITE: write})
    return socket
