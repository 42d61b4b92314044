"""UBC in the whole product as it runs: worker, beat, realtime and database, with a BPP outside of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetcharge.demo.peers.ubc import CDS, SuryaCharge
from stations.tests.serving import serve
from tests.running import RunningSystem, wait_for


@pytest.fixture
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    running = RunningSystem(tmp_path_factory.mktemp("ubc"), FLEETCHARGE_OCPI_ALLOW_PRIVATE_HOSTS="1")
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


KEYS = """
import json
from stations.cpo.ubc import signing
print(json.dumps(signing.new_key_pair()))
"""
SET_UP = """
from stations.cpo.ubc.models import UBCNetwork
from stations.models import Source
source = Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9", poll_interval_seconds=30)
network = UBCNetwork(source=source, subscriber_id="fleet.example", key_id="k1", gateway_id={cds!r},
    gateway_url={base!r} + "/cds", areas=[dict(latitude=12.97, longitude=77.59, radius_m=20000)], order_kwh=10,
    registry_url={base!r} + "/registry/dedi/lookup/{{subscriber_id}}/subscribers.beckn.one/{{key_id}}")
network.signing_key = {seed!r}
network.save()
"""
START = """
from stations.cpo import registry
from stations.cpo.base import StartRequest
from stations.models import Connector
connector = Connector.objects.get(ubc_item__item_id="IND*SURYA*BLR001*1*1")
registry.adapter_for(connector.evse.location.source).start(StartRequest(connector, "S1", "TAG-1"))
"""
STOP = """
from stations.cpo import registry
from stations.cpo.base import StopRequest
from stations.cpo.ubc.models import UBCOrder
order = UBCOrder.objects.get()
registry.adapter_for(order.network.source).stop(StopRequest(order.connector, str(order.transaction_id), "stop"))
"""
LOOK = """
import json
from stations.cpo.ubc.models import UBCOrder
from stations.models import Connector
can_be_ordered = Connector.objects.filter(ubc_item__isnull=False).count()  # what it takes to, is kept behind the plugs
print(json.dumps([can_be_ordered, [order.state for order in UBCOrder.objects.all()]]))
"""


def test_beat_discovers_and_the_worker_takes_an_order_from_quote_to_invoice(system: RunningSystem) -> None:
    surya = SuryaCharge()
    with serve(surya) as base:
        surya.base = base
        seed, surya.registry["fleet.example", "k1"] = system.manage(KEYS)
        system.manage(SET_UP.format(cds=CDS, base=base, seed=seed))  # the beat may ask at once
        wait_for("the catalogue", lambda: system.manage(LOOK)[0] == 4, 240)
        system.manage(START)
        wait_for("the session", lambda: system.manage(LOOK)[1] == ["charging"], 180)
        system.manage(STOP)
        wait_for("its end", lambda: system.manage(LOOK)[1] == ["completed"], 180)
    assert surya.refused == []
    assert {status for _, status, _ in surya.answers} == {200}, json.dumps(surya.answers)
    heard = [body["context"]["action"] for body in surya.heard]
    asked = [action for action in heard if action not in {"discover", "track"}]  # which the beat does as it likes
    assert asked == ["select", "init", "confirm", "update", "update"]
    assert "Traceback" not in Path(system.log.name).read_text()
