"""What is measured at the moment of a scrape: sockets of this process, queues, the recorder's buffer."""

from collections.abc import Iterable

from ocpp_bridge import metrics
from ocpp_bridge.hub import hub
from ocpp_bridge.metrics import Sample
from ocpp_bridge.recorder import recorder
from ocpp_bridge.writers import meter_writer, status_writer


def _sockets() -> Iterable[Sample]:
    yield {"node": hub.node}, len(hub)


def _queues() -> Iterable[Sample]:
    for writer in (meter_writer, status_writer):
        yield {"writer": writer.name}, writer.waiting
    yield {"writer": "recorder"}, len(recorder)


metrics.gauge("ocpp_sockets", "Open sockets of this process.", _sockets)
metrics.gauge("ocpp_write_queue", "Items that wait for their commit in this process.", _queues)
