"""What operators see of the wire: recorded frames, metrics, configuration read after a boot."""

import re
from typing import Any

import httpx
import orjson
import pytest

from ocpp_bridge import configuration
from ocpp_bridge.models import ConfigurationValue
from stations.models import Charger
from tests.flows.ocpp.station import V16, V201, until
from tests.flows.ocpp.world import World

VERSIONS = (V16, V201)


def reader(world: World) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {world.api_key}"}
    return httpx.AsyncClient(base_url=world.system.realtime, headers=headers, trust_env=False, timeout=60)


@pytest.mark.parametrize("version", VERSIONS)
async def test_frames_are_recorded_without_tags_and_found_by_them(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    await station.authorize("S3CR3T-4711")
    mine = {"charger": charger.ocpp_identity}
    async with reader(world) as client:

        async def found() -> Any:
            return (await client.get("/api/v1/frames/", params={**mine, "tag": "s3cr3t-4711"})).json()["results"]

        actions = [row["action"] for row in await until(found, "the frame")]
        lines = (await client.get("/api/v1/frames/download/", params=mine)).text
    assert actions == ["Authorize"]
    assert "s3cr3t" not in lines.lower()
    rows = [orjson.loads(line) for line in lines.splitlines()]
    answers = [row for row in rows if row["action"] == "BootNotification" and row["direction"] == "out"]
    assert answers[0]["latency_ms"] >= 0


async def test_a_running_process_tells_prometheus_what_it_does(world: World) -> None:
    _, station = await world.ready(V16)
    await station.refusal_of([2, "odd-1", "NoSuchThing", {}], "odd-1")
    async with reader(world) as client:

        async def told() -> str:
            text = (await client.get("/metrics")).text
            return (
                text
                if re.search(r'ocpp_call_errors_total\{direction="out",code="NotImplemented"\} [1-9]', text)
                else ""
            )

        text = await until(told, "the counted CALLERROR")
    assert re.search(r'ocpp_chargers_online\{protocol="ocpp1.6",node="[^"]+"\} [1-9]', text)
    assert re.search(r'ocpp_answer_seconds_count\{direction="out"\} [1-9]', text)
    assert re.search(r'ocpp_sockets\{node="[^"]+"\} [1-9]', text)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_boot_is_followed_by_one_look_at_the_configuration(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    if version == V16:
        key = {"key": "HeartbeatInterval", "readonly": False, "value": "777"}
        station.replies["GetConfiguration"] = {"configurationKey": [key], "unknownKey": []}
        await station.next("GetConfiguration")
    else:
        result = {
            "attributeStatus": "Accepted", "attributeValue": "777", "component": {"name": "OCPPCommCtrlr"},
            "variable": {"name": "HeartbeatInterval"},
        }  # fmt: skip
        station.replies["GetVariables"] = {"getVariableResult": [result]}
        await station.next("GetVariables")
    kept = ConfigurationValue.objects.filter(charger=charger, key="HeartbeatInterval", value="777")
    await until(kept.exists, "the value the charger reported")
    gaps = {gap.key: gap.found for gap in configuration.drift_of(Charger.objects.get(pk=charger.pk))}
    assert gaps["HeartbeatInterval"] == "777"
