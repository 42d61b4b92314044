"""`POST /ingest/v1/pings`: bodies, credentials, answers."""

import gzip
from datetime import UTC, datetime

import httpx
import orjson
import pytest
import time_machine

from fleetcharge.accounts.models import APIKey, Organisation, Scope
from fleetcharge.accounts.services import create_api_key
from vehicles import ingest
from vehicles.models import Position, UnknownDevice, VehicleState
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
URL = "/ingest/v1/pings"


@pytest.fixture(autouse=True)
def _frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def van(organisation: Organisation):
    return make_vehicle(organisation, device_id="van-1")


def ping(seconds_ago: int = 0, **fields):
    return {"ts": NOW_S - seconds_ago, "lat": 12.97, "lon": 77.59, **fields}


async def test_a_single_ping_is_stored_and_becomes_the_latest_state(tracker, van) -> None:
    body = {"device": "van-1", "speed_kmh": 31.5, "course": 90, "soc": 44.4, "odo_km": 1200.5, "acc": 6, **ping()}
    answer = await tracker.post(URL, json=body)
    assert answer.json() == {"accepted": 1, "duplicate": 0, "late": 0, "rejected": [], "warnings": []}
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.latitude, state.longitude, state.speed_kmh, state.heading_deg) == (12.97, 77.59, 31.5, 90)
    assert (state.soc_percent, state.odometer_m, state.position_at, state.version) == (44.4, 1_200_500, NOW, 1)
    row = await Position.objects.aget(vehicle=van)
    assert (row.latitude_e7, row.longitude_e7, row.speed_dkmh, row.soc_permille) == (129700000, 775900000, 315, 444)
    assert (row.fix_at, row.accuracy_m, row.odometer_m, row.flags) == (NOW, 6, 1_200_500, 0)


async def test_a_batch_of_one_device(tracker, van) -> None:
    answer = await tracker.post(URL, json={"device": "van-1", "pings": [ping(20), ping(10), ping(10)]})
    assert (answer.json()["accepted"], answer.json()["duplicate"]) == (2, 1)


async def test_a_batch_of_many_devices(tracker, organisation, van) -> None:
    await in_thread(make_vehicle, organisation, device_id="van-2")
    answer = await tracker.post(URL, json={"pings": [{"device": "van-1", **ping()}, {"device": "van-2", **ping()}]})
    assert answer.json()["accepted"] == 2
    assert await VehicleState.objects.filter(position_at=NOW).acount() == 2


async def test_ndjson_and_gzip(tracker, van) -> None:
    lines = b"\n".join(orjson.dumps({"device": "van-1", **ping(n)}) for n in range(3))
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    answer = await tracker.post(URL, content=gzip.compress(lines, mtime=0), headers=headers)
    assert answer.json()["accepted"] == 3


async def test_a_bad_ping_never_fails_the_batch(tracker, van) -> None:
    pings = [ping(3), {"ts": "yesterday", "lat": 1, "lon": 2}, {"lat": 12}, "nonsense", ping(1, lat="12.97"), ping()]
    answer = await tracker.post(URL, json={"device": "van-1", "pings": pings})
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2
    assert [(item["i"], item["code"]) for item in answer.json()["rejected"]] == [
        (1, "invalid"), (2, "invalid"), (3, "invalid"), (4, "invalid"),
    ]  # fmt: skip
    assert all(item["detail"] for item in answer.json()["rejected"])


async def test_a_broken_charge_reading_keeps_the_position_and_says_so(tracker, van) -> None:
    answer = await tracker.post(URL, json={"device": "van-1", **ping(soc=180)})
    assert answer.json()["warnings"] == [{"i": 0, "code": "soc_out_of_range"}]
    assert answer.json()["accepted"] == 1
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent is None


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", {}, 400, "bad_json"),
        (b"\xff\xfe", {}, 400, "bad_json"),
        (b"[" * 100_000, {}, 400, "invalid"),
        (b'{"x": ' + b"[" * 100_000, {}, 400, "bad_json"),
        (b'"pings"', {}, 400, "invalid"),
        (b'{"pings": 5}', {}, 400, "invalid"),
        (b"x" * (512 * 1024 + 1), {}, 413, "too_large"),
        (gzip.compress(b" " * 600_000, mtime=0), {"Content-Encoding": "gzip"}, 413, "too_large"),
        (gzip.compress(b"{}", mtime=0)[:-9], {"Content-Encoding": "gzip"}, 400, "bad_gzip"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "bad_gzip"),
        (b"{}", {"Content-Encoding": "br"}, 415, "unsupported_encoding"),
        (orjson.dumps({"device": "van-1", "pings": [{"ts": 1, "lat": 1, "lon": 1}] * 1001}), {}, 413, "too_many"),
    ],
)
async def test_a_body_we_cannot_read_is_refused_as_a_whole(tracker, content, headers, status, code) -> None:
    answer = await tracker.post(URL, content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"]


async def test_only_post_and_only_this_address(tracker) -> None:
    assert (await tracker.get(URL)).status_code == 405
    assert (await tracker.post(URL + "x")).status_code == 404


async def test_without_a_key_nothing_is_stored(door, van) -> None:
    answer = await door.post(URL, json={"device": "van-1", **ping()})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    answer = await door.post(URL, json={"device": "van-1", **ping()}, headers={"X-API-Key": "fck_made_up"})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")
    assert await Position.objects.acount() == 0


async def test_a_key_without_the_scope_is_forbidden(door, organisation) -> None:
    _, secret = await in_thread(create_api_key, organisation=organisation, name="reader", scopes=[Scope.VEHICLES_READ])
    answer = await door.post(URL, json={"device": "van-1", **ping()}, headers={"X-API-Key": secret})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


async def test_a_revoked_key_stops_working_within_thirty_seconds(
    tracker: httpx.AsyncClient, telemetry_key: tuple[APIKey, str], van, monkeypatch: pytest.MonkeyPatch
) -> None:
    elapsed = [0.0]
    monkeypatch.setattr(ingest.keys, "_clock", lambda: elapsed[0])
    assert (await tracker.post(URL, json={"device": "van-1", **ping(1)})).status_code == 200
    await APIKey.objects.filter(pk=telemetry_key[0].pk).aupdate(revoked_at=NOW)
    elapsed[0] = 30.0
    assert (await tracker.post(URL, json={"device": "van-1", **ping()})).status_code == 401
    assert await Position.objects.acount() == 1


async def test_a_device_of_another_organisation_is_an_unknown_device(tracker, other_organisation) -> None:
    theirs = await in_thread(make_vehicle, other_organisation, device_id="their-van")
    answer = await tracker.post(URL, json={"device": "their-van", **ping()})
    nobodys = await tracker.post(URL, json={"device": "nobody", **ping()})
    assert answer.json() == nobodys.json()  # a stranger cannot tell the two apart
    assert answer.json()["rejected"][0]["code"] == "unknown_device"
    assert await Position.objects.filter(vehicle=theirs).acount() == 0


async def test_unknown_devices_are_counted_for_the_senders_organisation(tracker, organisation) -> None:
    for n in range(3):
        await tracker.post(URL, json={"device": "new-tracker", **ping(n)})
    row = await UnknownDevice.objects.aget()
    assert (row.device_id, row.organisation_id, row.messages) == ("new-tracker", organisation.pk, 3)
    assert "new-tracker" in row.last_message


async def test_the_realtime_process_serves_the_route(telemetry_key, van, door) -> None:
    from fleetcharge.asgi import application

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=application), base_url="http://testserver") as web:
        headers = {"X-API-Key": telemetry_key[1]}
        answer = await web.post(URL, json={"device": "van-1", **ping()}, headers=headers)
    assert answer.json()["accepted"] == 1
