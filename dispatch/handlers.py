"""Subscribers: one thought each, no logic."""

from billing.events import SessionMetered
from dispatch import live
from dispatch.events import AlertChanged, PlanChanged
from fleetcharge.lib.events import subscribe
from stations.events import ConnectorStatusChanged, LocationChanged
from vehicles.events import VehiclesMoved


@subscribe(VehiclesMoved)
def move_on_live_map(event: VehiclesMoved) -> None:
    live.send_moves(event.moves)


@subscribe(ConnectorStatusChanged)
def show_station_on_live_map(event: ConnectorStatusChanged) -> None:
    live.send_stations([event.location_id])


@subscribe(LocationChanged)
def show_new_site_on_live_map(event: LocationChanged) -> None:
    live.send_stations([event.location_id])
    live.send_to_map("static")


@subscribe(SessionMetered)
def show_session_on_live_map(event: SessionMetered) -> None:
    live.send_to_map("sessions", rows=event.readings)


@subscribe(PlanChanged)
def mark_vehicle_on_live_map(event: PlanChanged) -> None:
    live.send_marks(event.organisation_id, [event.vehicle_id])


@subscribe(AlertChanged)
def tell_browsers_of_alert(event: AlertChanged) -> None:
    live.send_to_map("alerts", o=event.organisation_id, ids=[event.alert_id])
