"""What docs/networks.md shows of vendors' JSON is what we read, and what Kaveri Charge sends."""

import re
from datetime import datetime
from pathlib import Path

import orjson

from fleetcharge.demo.peers import vendor
from stations.cpo.webhooks.mapping import FeedMapping
from stations.cpo.webhooks.paging import PollPlan

TEXT = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
EVENT, MAPPING, PLAN = (orjson.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))


def test_the_mapping_of_the_page_reads_the_event_of_the_page() -> None:
    assert MAPPING == vendor.MAPPING
    (entry,) = FeedMapping.parse(MAPPING).read(EVENT).entries
    assert entry.status is not None
    assert (entry.status.key, entry.status.status) == ("KVR-001*KVR-001-1", "charging")


def test_the_event_of_the_page_is_what_kaveri_sends() -> None:
    kaveri = vendor.KaveriCharge()
    (event,) = EVENT["events"]
    sent = kaveri.change("KVR-001-1", "in use", datetime.fromisoformat(event["since"]))
    assert set(sent) == set(event)
    assert {**sent, "since": event["since"]} == event
    assert set(orjson.loads(kaveri.envelope([sent]))) == set(EVENT)


def test_the_poll_plan_of_the_page_is_kaveris() -> None:
    assert vendor.poll_plan("https://kaveri.example") == PLAN
    assert PollPlan.parse(PLAN).first() == "https://kaveri.example/kaveri/v1/stations?limit=50"


def test_every_name_a_mapping_knows_is_on_the_page() -> None:
    from stations.cpo.webhooks import mapping, paging, signatures, sites

    names = mapping.PATHS | mapping.CONDITIONS | sites.LOCATION | sites.EVSE | sites.CONNECTOR | {"words", "plugs"}
    names |= paging.KNOWN - {"headers", "query"} | set(signatures.PLACES)
    missing = {name for name in names if not re.search(rf"[`\"{{]{name}[`\"}}]", TEXT)}
    assert missing == set()
