"""Subscribers: one thought each, no logic."""

from django.utils import timezone

from billing.events import ExceptionOpened, ExceptionResolved, SessionEnded, SessionMetered, SessionStarted
from dispatch import live, services, tasks
from dispatch.events import EXTENDED, AlertChanged, PlanChanged, ReservationBreached, ReservationChanged
from dispatch.models import Alert, Reservation, ReservationBreach
from dispatch.wording import Says
from fleetcharge.lib import hints
from fleetcharge.lib.events import subscribe, subscribe_many
from fleetcharge.webhooks.events import WebhookGivenUp, WebhookMended
from stations.events import (
    ChargerBooted,
    ChargerCameBack,
    ChargerMatterSettled,
    ChargerNeedsAttention,
    ChargerWentSilent,
    CommandAnswered,
    ConnectorStatusChanged,
    LocationChanged,
    NetworkOrderChanged,
    ReservationAnswered,
    SourceStateChanged,
)
from stations.models import Connector
from vehicles.events import SocLow, SocRecovered, StopDone, TrackerAlarmCleared, TrackerAlarmRaised, VehiclesMoved

STOP_AFTER_SECONDS = 2


@subscribe(VehiclesMoved)
def move_on_live_map(event: VehiclesMoved) -> None:
    live.send_moves(event.moves)


@subscribe_many(ConnectorStatusChanged)
def show_stations_on_live_map(events: tuple[ConnectorStatusChanged, ...]) -> None:
    live.send_stations(event.location_id for event in events)


@subscribe(LocationChanged)
def show_new_site_on_live_map(event: LocationChanged) -> None:
    live.send_stations([event.location_id])
    live.send_to_map("static")


@subscribe(SessionMetered)
def show_session_on_live_map(event: SessionMetered) -> None:
    live.send_to_map("sessions", rows=event.readings)


@subscribe_many(PlanChanged)
def mark_vehicles_on_live_map(events: tuple[PlanChanged, ...]) -> None:
    for organisation_id in {event.organisation_id for event in events}:
        live.send_marks(organisation_id, [one.vehicle_id for one in events if one.organisation_id == organisation_id])


@subscribe_many(AlertChanged)
def tell_browsers_of_alerts(events: tuple[AlertChanged, ...]) -> None:
    for organisation_id in {event.organisation_id for event in events}:
        ids = sorted({event.alert_id for event in events if event.organisation_id == organisation_id})
        live.send_to_map("alerts", o=organisation_id, ids=ids)


@subscribe(SocLow)
def look_for_a_charger(event: SocLow) -> None:
    hints.start(tasks.plan_charge_stop, event.vehicle_id, event.telemetry_version)


@subscribe(StopDone)
def look_at_the_way_ahead(event: StopDone) -> None:
    hints.start(tasks.look_ahead, event.vehicle_id)


@subscribe(SocRecovered)
def stop_looking(event: SocRecovered) -> None:
    services.close_recovered(vehicle_id=event.vehicle_id, now=event.at)


@subscribe(TrackerAlarmRaised)
def call_for_help(event: TrackerAlarmRaised) -> None:
    services.vehicle_alarm(alarm_id=event.alarm_id, now=event.at)


@subscribe(TrackerAlarmCleared)
def help_is_not_needed(event: TrackerAlarmCleared) -> None:
    services.vehicle_alarm_over(
        organisation_id=event.organisation_id, vehicle_id=event.vehicle_id, kind=event.kind, now=event.at
    )


@subscribe_many(ReservationChanged)
def let_go_at_the_network(events: tuple[ReservationChanged, ...]) -> None:
    over = [(event.reservation_number,) for event in events if event.state in services.LET_GO]
    hints.start_each(tasks.cancel_at_network, over)


@subscribe_many(ReservationChanged)
def ask_the_network(events: tuple[ReservationChanged, ...]) -> None:
    new = [event for event in events if event.state == Reservation.State.REQUESTED]
    longer = [event for event in events if event not in new and event.reason == EXTENDED]
    hints.start_each(tasks.send_reservation, [(event.reservation_number,) for event in new])
    hints.start_each(tasks.send_extension, [(event.reservation_number,) for event in longer])


@subscribe_many(ReservationChanged)
def look_for_another_place(events: tuple[ReservationChanged, ...]) -> None:
    lost = [event for event in events if event.plan_id is None and event.state in Reservation.LOST]
    hints.start_each(tasks.rebook, [(event.reservation_number,) for event in lost])


@subscribe(CommandAnswered)
def take_what_a_start_came_to(event: CommandAnswered) -> None:
    services.answer_command(
        key=event.key, state=event.state, reason=event.reason, at=event.at, network_command_id=event.command_id,
        result=event.result,
    )  # fmt: skip


@subscribe(NetworkOrderChanged)
def follow_an_order(event: NetworkOrderChanged) -> None:
    services.order_moved(reference=event.transaction_ref, state=event.new, reason=event.reason, at=event.at)


@subscribe(ReservationBreached)
def stop_the_stranger(event: ReservationBreached) -> None:
    """A little later: the charger gets its answer to the start first."""
    if event.state == ReservationBreach.State.STOPPING:
        hints.start(tasks.stop_breach, event.breach_id, countdown=STOP_AFTER_SECONDS)


@subscribe_many(ChargerBooted)
def remind_restarted_chargers(events: tuple[ChargerBooted, ...]) -> None:
    promised = services.with_promises([(event.charger_id, event.at) for event in events])
    for charger_id, booted_at in promised:
        hints.start(tasks.send_reservations_again, charger_id, booted_at.isoformat())


@subscribe(ReservationAnswered)
def take_the_answer(event: ReservationAnswered) -> None:
    services.answer_reservation(
        reservation_key=event.reservation_key, state=event.state, reason=event.reason, at=event.at
    )


@subscribe(ReservationAnswered)
def learn_whether_its_status_was_true(event: ReservationAnswered) -> None:
    services.learn_from_answer(
        reservation_key=event.reservation_key, state=event.state, reason=event.reason, at=event.at
    )


@subscribe_many(ConnectorStatusChanged)
def look_for_other_plugs(events: tuple[ConnectorStatusChanged, ...]) -> None:
    wanted = services.wanted_connectors({event.connector_id for event in events})
    lost = [(event.connector_id, event.new) for event in events if event.connector_id in wanted]
    if len(lost) > 1:
        hints.start(tasks.follow_connectors, lost)
    for change in lost if len(lost) == 1 else ():
        hints.start(tasks.follow_connector, *change)


@subscribe_many(ConnectorStatusChanged)
def reserve_plugs_that_came_free(events: tuple[ConnectorStatusChanged, ...]) -> None:
    free = {event.connector_id for event in events if event.new == Connector.Status.AVAILABLE}
    hints.start_each(tasks.send_reservation, [(number,) for number in services.waiting_reservations(free)])


@subscribe(ChargerWentSilent)
def leave_a_silent_charger(event: ChargerWentSilent) -> None:
    hints.start(tasks.follow_silent_charger, event.charger_id)


@subscribe_many(ChargerCameBack)
def close_silence_alerts(events: tuple[ChargerCameBack, ...]) -> None:
    services.close_alerts_by_key(
        causes=[(event.organisation_id, f"charger:{event.charger_id}", event.at) for event in events],
        reason="came back",
    )


@subscribe(ChargerNeedsAttention)
def show_what_a_charger_says(event: ChargerNeedsAttention) -> None:
    services.open_alert(
        organisation_id=event.organisation_id, kind=Alert.Kind.CHARGER_MATTER, dedupe_key=services.matter_key(event),
        title=event.title, body=event.detail[:400], location_id=event.location_id,
        severity=Alert.Severity.BAD if event.is_bad else Alert.Severity.WARN, now=event.at,
        data={"charger_id": event.charger_id, "cause": event.cause},
    )  # fmt: skip


@subscribe(ChargerMatterSettled)
def a_charger_is_fine_again(event: ChargerMatterSettled) -> None:
    services.close_alert_by_key(
        organisation_id=event.organisation_id, dedupe_key=services.matter_key(event), reason="settled", now=event.at
    )


@subscribe(SessionStarted)
def show_charging_on_live_map(event: SessionStarted) -> None:
    """Also of a vehicle whose tracker says nothing, or not yet."""
    if event.vehicle_id is not None:
        live.send_marks(event.organisation_id, [event.vehicle_id])


@subscribe(SessionEnded)
def show_charged_on_live_map(event: SessionEnded) -> None:
    if event.vehicle_id is not None:
        live.send_marks(event.organisation_id, [event.vehicle_id])


@subscribe(SessionStarted)
def follow_start(event: SessionStarted) -> None:
    services.session_began(session_id=event.session_id, now=timezone.now())
    services.session_started(
        session_id=event.session_id, vehicle_id=event.vehicle_id, connector_id=event.connector_id,
        location_id=event.location_id, now=timezone.now(),
    )  # fmt: skip


@subscribe(SessionEnded)
def follow_end(event: SessionEnded) -> None:
    services.session_ended(session_id=event.session_id, now=timezone.now())
    services.session_over(session_id=event.session_id, now=timezone.now())
    services.stops_done(session_id=event.session_id, now=timezone.now())


@subscribe(ExceptionOpened)
def show_held_money(event: ExceptionOpened) -> None:
    services.open_alert(
        organisation_id=event.organisation_id, kind=Alert.Kind.MONEY, dedupe_key=services.money_key(event.exception_id),
        says=Says("session_held"), severity=Alert.Severity.INFO, session_id=event.session_id,
        data={"exception_id": event.exception_id, "exception_kind": event.kind}, now=timezone.now(),
    )  # fmt: skip


@subscribe(ExceptionResolved)
def money_waits_no_more(event: ExceptionResolved) -> None:
    key = services.money_key(event.exception_id)
    services.close_alert_by_key(organisation_id=event.organisation_id, dedupe_key=key, reason="resolved", now=event.at)


@subscribe(SourceStateChanged)
def say_how_a_network_does(event: SourceStateChanged) -> None:
    hints.start(tasks.follow_network, event.source_id)


@subscribe(WebhookGivenUp)
def say_that_a_webhook_is_off(event: WebhookGivenUp) -> None:
    services.show_webhook(endpoint_id=event.endpoint_id, organisation_id=event.organisation_id, now=event.at)


@subscribe(WebhookMended)
def a_webhook_is_fine_again(event: WebhookMended) -> None:
    services.show_webhook(endpoint_id=event.endpoint_id, organisation_id=event.organisation_id, now=event.at)
