"""Frames over REST: for those who look after the chargers, and only their own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test import Client

from fleetcharge.accounts.models import Organisation, User
from ocpp_bridge import packs
from ocpp_bridge.tests import factories
from stations.models import Charger

NOW = datetime.now(UTC).replace(microsecond=0)


def record(
    charger: Charger, *, action: str, direction: int = 0, kind: int = 2, payload: str = "{}", age: float = 0
) -> int:
    """The id of a frame as the recorder would have kept it."""
    at = NOW - timedelta(minutes=age)
    kept = packs.Kept(at.timestamp(), direction, kind, action, f"m-{action}", "", len(payload), None, False, payload)
    return insert(charger.pk, at, [kept])


def insert(charger_id: int, at: datetime, kept: list[packs.Kept]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ocpp_bridge_frame_pack (charger_id, at, until, frames) VALUES (%s, %s, %s, %s) RETURNING id",
            [charger_id, at, at, packs.pack(kept)],
        )
        return int(cursor.fetchone()[0])


@pytest.fixture
def charger(organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-1")


def actions(client: Client, **query: Any) -> list[str]:
    answer = client.get("/api/v1/frames/", {"charger": "BLR-1", **query})
    assert answer.status_code == 200, answer.content
    return [row["action"] for row in answer.json()["results"]]


def test_frames_are_found_by_what_they_are(client: Client, dispatcher: User, charger: Charger) -> None:
    client.force_login(dispatcher)
    record(charger, action="BootNotification", age=30)
    record(charger, action="Heartbeat", direction=1, kind=3, payload='[3,"m",{"currentTime":"now"}]', age=20)
    record(charger, action="Reset", direction=1, kind=4, age=10)
    assert actions(client) == ["Reset", "Heartbeat", "BootNotification"]
    assert actions(client, action="Heartbeat") == ["Heartbeat"]
    assert actions(client, direction="in") == ["BootNotification"]
    assert actions(client, only_errors="true") == ["Reset"]
    assert actions(client, text="currenttime") == ["Heartbeat"]
    assert actions(client, message_id="m-Reset") == ["Reset"]
    assert actions(client, since=(NOW - timedelta(minutes=25)).isoformat()) == ["Reset", "Heartbeat"]
    assert actions(client, until=(NOW - timedelta(minutes=25)).isoformat()) == ["BootNotification"]


def test_pages_go_back_and_the_tail_goes_on(client: Client, dispatcher: User, charger: Charger) -> None:
    client.force_login(dispatcher)
    ids = [record(charger, action=f"A{number}") for number in range(5)]
    wanted: dict[str, Any] = {"charger": "BLR-1", "limit": 2}
    page = client.get("/api/v1/frames/", wanted).json()
    assert [row["id"] for row in page["results"]] == [ids[4], ids[3]]
    older = client.get("/api/v1/frames/", {**wanted, "limit": 9, "before": page["next_before"]}).json()
    assert [row["id"] for row in older["results"]] == [ids[2], ids[1], ids[0]]
    assert older["next_before"] is None
    assert client.get("/api/v1/frames/", {"charger": "BLR-1", "after": page["newest"]}).json()["results"] == []
    newest = record(charger, action="A5")
    tail = client.get("/api/v1/frames/", {"charger": "BLR-1", "after": page["newest"]}).json()
    assert [row["id"] for row in tail["results"]] == [newest]


def test_who_follows_a_filter_that_finds_nothing_does_not_read_everything_again(
    client: Client, dispatcher: User, charger: Charger
) -> None:
    client.force_login(dispatcher)
    last = record(charger, action="Heartbeat")
    wanted: dict[str, Any] = {"charger": "BLR-1", "action": "Reset"}
    page = client.get("/api/v1/frames/", wanted).json()
    assert page["results"] == []
    assert page["newest"] >= last
    found = record(charger, action="Reset")
    tail = client.get("/api/v1/frames/", {**wanted, "after": page["newest"]}).json()
    assert [row["id"] for row in tail["results"]] == [found]


def test_a_long_frame_is_shortened_in_the_list_and_whole_by_itself(
    client: Client, dispatcher: User, charger: Charger
) -> None:
    client.force_login(dispatcher)
    frame_id = record(charger, action="NotifyReport", payload="x" * 9_000)
    row = client.get("/api/v1/frames/", {"charger": "BLR-1"}).json()["results"][0]
    assert (len(row["frame"]), row["is_cut"], row["size_bytes"]) == (2_000, True, 9_000)
    assert len(client.get(f"/api/v1/frames/{frame_id}/").json()["frame"]) == 9_000


def test_the_download_is_json_lines_in_time_order(client: Client, dispatcher: User, charger: Charger) -> None:
    client.force_login(dispatcher)
    record(charger, action="BootNotification")
    record(charger, action="Heartbeat")
    answer: Any = client.get("/api/v1/frames/download/", {"charger": "BLR-1"})
    rows = [orjson.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [row["action"] for row in rows] == ["BootNotification", "Heartbeat"]
    assert "attachment" in answer["Content-Disposition"]


def test_others_see_nothing(client: Client, stranger: User, finance: User, dispatcher: User, charger: Charger) -> None:
    frame_id = record(charger, action="BootNotification")
    client.force_login(stranger)
    for path in (
        "/api/v1/frames/?charger=BLR-1",
        "/api/v1/frames/download/?charger=BLR-1",
        f"/api/v1/frames/{frame_id}/",
    ):
        assert client.get(path).status_code in {403, 404}
    client.force_login(finance)
    assert client.get("/api/v1/frames/?charger=BLR-1").status_code == 403
    client.force_login(dispatcher)
    assert client.get("/api/v1/frames/").json()["code"] == "invalid"
    assert client.get("/api/v1/frames/?charger=BLR-1&before=x").status_code == 400
