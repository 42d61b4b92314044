"""The one door to the live map: each committed batch becomes one small JSON message on Valkey."""

from collections.abc import Iterable

import orjson

from dispatch import live_reads
from fleetcharge.lib import hints
from vehicles.events import VehicleMove

CHANNEL = "fc:live"


def send_to_map(kind: str, **payload: object) -> None:
    """Publish one message to every realtime process. Hubs read the database again after a gap, so a loss heals."""
    hints.tell(CHANNEL, orjson.dumps({"k": kind, **payload}))


def send_moves(moves: Iterable[VehicleMove]) -> None:
    """Positions ride in the message itself: they are many, and the newest wins."""
    rows = [[move.organisation_id, move.at.timestamp(), *live_reads.vehicle_row(move)] for move in moves]
    if rows:
        send_to_map("vehicles", rows=rows)


def send_stations(location_ids: Iterable[int]) -> None:
    """Only a hint: the hub counts the plugs again, so the order of messages cannot matter."""
    send_to_map("stations", ids=sorted(set(location_ids)))


def send_marks(organisation_id: int, vehicle_ids: Iterable[int]) -> None:
    """Only a hint: the plan or alert of these vehicles changed."""
    send_to_map("marks", o=organisation_id, ids=sorted(set(vehicle_ids)))
