"""The kept messages of Traccar Client (samples/traccar_client.json), each over the wire: 11 queries and 4 of JSON."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import time_machine

from vehicles import intake
from vehicles.events import SocLow
from vehicles.fixes import IGNITION_ON, MOCK_LOCATION, is_imei
from vehicles.models import Position, Vehicle, VehicleState
from vehicles.tests.conftest import empty_positions, in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
SAMPLES = json.loads((Path(__file__).parent / "samples" / "traccar_client.json").read_text())
URL = "/ingest/osmand"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# When it was said; what became of it: (latitude, longitude, km/h, flags), "status", or the code of its refusal.
QUERIES: list[tuple[datetime, Any]] = [
    (at("2013-08-22T13:14:27+00:00"), "status"),
    (at("2013-08-22T13:14:27+00:00"), "invalid"),
    (at("2016-01-27T18:55:47+00:00"), (42.06288, -88.23412, 0, 0)),
    (at("2015-09-12T14:38:06.579+00:00"), (42.06288, -88.23412, 0, 0)),
    (at("2014-06-04T09:10:11+00:00"), (49.60688, 6.15788, 0, 0)),
    (at("2013-08-22T13:14:27+00:00"), (60, 30, 0, 0)),
    (at("2013-08-22T13:14:27+00:00"), (60, 30, None, 0)),
    (NOW, (60, 30, 0, 0)),
    (NOW, (41.666667, -0.883333, 0, 0)),
    (at("2013-08-22T13:14:27+00:00"), (60, 30, None, 0)),
    (at("2017-09-07T05:56:50+00:00"), (40.7232949, -74.0061409, 74.1, IGNITION_ON)),  # 40 knots
]
MESSAGES: list[tuple[datetime, Any]] = [
    (at("2025-06-15T13:45:12.862+00:00"), (37.4219983, -122.084, 0, 0)),
    (at("2025-06-15T13:45:12.862+00:00"), (37.4219983, -122.084, 0, 0)),
    (at("2025-05-09T04:11:30.579+00:00"), (37.785834, -122.406417, None, MOCK_LOCATION)),
    (at("2021-07-21T08:06:34.444+00:00"), (-6.1148096, 106.6837015, 67.2, 0)),  # 18.67 m/s
]


def test_every_sample_has_its_expectation() -> None:
    assert (len(SAMPLES["osmand_query"]), len(SAMPLES["traccar_client_json"])) == (len(QUERIES), len(MESSAGES))
    assert (len(QUERIES), len(MESSAGES)) == (11, 4)


async def check(answer: Any, said_at: datetime, expected: Any) -> None:
    if isinstance(expected, str):
        assert await Position.objects.acount() == 0
        assert await VehicleState.objects.filter(position_at__isnull=False).acount() == 0
        assert answer.status_code == (200 if expected == "status" else 400)
        assert expected == "status" or answer.json()["code"] == expected
        return
    assert (answer.status_code, answer.content) == (200, b"")
    row = await Position.objects.aget()
    assert row.fix_at == said_at
    assert (row.latitude, row.longitude, row.speed_kmh, row.flags) == expected
    assert row.soc_percent is None  # `batt` and `battery` are the phone


async def test_every_query(door, organisation) -> None:
    for text, (said_at, expected) in zip(SAMPLES["osmand_query"], QUERIES, strict=True):
        fields = dict(parse_qsl(urlsplit(text).query))
        device = fields.get("id") or fields.get("deviceid")
        await make_claimed(organisation, device)
        if device and is_imei(device):
            assert (await door.get(URL + text[1:])).json()["code"] == "imei_is_no_secret"
            text = text.replace(device, f"own-{device}")
            await make_claimed(organisation, f"own-{device}")
        with time_machine.travel(said_at, tick=False):
            await check(await door.get(URL + text[1:]), said_at, expected)
        await forget_everything()


async def test_every_json_message(door, organisation) -> None:
    for message, (said_at, expected) in zip(SAMPLES["traccar_client_json"], MESSAGES, strict=True):
        await make_claimed(organisation, message["device_id"])
        with time_machine.travel(said_at, tick=False):
            await check(await door.post(URL, json=message), said_at, expected)
        await forget_everything()


async def test_the_phones_battery_at_five_percent_triggers_nothing(door, organisation, heard) -> None:
    await make_claimed(organisation, "phone-7")
    fields = {"id": "phone-7", "timestamp": int(NOW.timestamp()), "lat": 12.97, "lon": 77.59, "batt": 5}
    with time_machine.travel(NOW, tick=False):
        assert (await door.get(URL, params=fields)).status_code == 200
    state = await VehicleState.objects.aget()
    assert (state.soc_percent, state.is_soc_low, state.latitude) == (None, False, 12.97)
    assert await heard.all_of(SocLow) == []


async def test_a_message_without_a_fix_moves_no_vehicle_but_may_tell_its_charge(door, organisation) -> None:
    await make_claimed(organisation, "phone-7")
    fields = {"id": "phone-7", "timestamp": int(NOW.timestamp()), "lat": 12.97, "lon": 77.59, "valid": "false"}
    with time_machine.travel(NOW, tick=False):
        answer = await door.get(URL, params=fields)
        assert (answer.status_code, answer.headers["x-ping-rejected"]) == (200, "no_fix")
        assert (await door.get(URL, params={**fields, "soc": 61})).status_code == 200
    state = await VehicleState.objects.aget()
    assert (state.latitude, state.position_at, state.soc_percent, state.soc_at) == (None, None, 61, NOW)
    assert await Position.objects.acount() == 0


async def make_claimed(organisation: Any, device: str | None) -> None:
    if device:
        await in_thread(make_vehicle, organisation, device_id=device)


async def forget_everything() -> None:
    """Before the next sample: three of them are of one device and one instant."""
    await in_thread(empty_positions)
    await Vehicle.objects.all().adelete()
    intake.telemetry.registry.forget()
