"""Subscribers: one thought each, no logic."""

from django.utils import timezone

from billing.events import SessionDoubted, SessionEnded, SessionMetered, SessionStarted
from fleetcharge.lib import hints
from fleetcharge.lib.events import subscribe, subscribe_many
from ocpp_bridge import doubts, following, local_lists, running_costs, tasks
from ocpp_bridge.charging import planning
from ocpp_bridge.events import CommandFinished
from ocpp_bridge.models import Command
from stations.events import ChargerBooted, ChargerCameBack, ChargerWentSilent


@subscribe(SessionStarted)
def see_which_start_it_was(event: SessionStarted) -> None:
    following.session_started(session_id=event.session_id, now=timezone.now())


@subscribe(CommandFinished)
def read_what_it_brought(event: CommandFinished) -> None:
    if event.action in tasks.BRINGS_NEWS:
        hints.start(tasks.take_command_answer, event.command_id)


@subscribe(CommandFinished)
def go_on_with_the_local_list(event: CommandFinished) -> None:
    if event.action in local_lists.ASKS:
        local_lists.command_finished(command_id=event.command_id, now=timezone.now())


@subscribe_many(ChargerBooted)
def compare_the_local_lists(events: tuple[ChargerBooted, ...]) -> None:
    now = max(event.at for event in events)
    local_lists.chargers_booted(charger_ids={event.charger_id for event in events}, now=now)


@subscribe(SessionDoubted)
def ask_the_station(event: SessionDoubted) -> None:
    doubts.ask(charger_id=event.charger_id, transaction_ref=event.transaction_ref, at=event.at)


@subscribe(CommandFinished)
def believe_the_station(event: CommandFinished) -> None:
    if event.action == Command.Action.GET_TRANSACTION_STATUS:
        doubts.take_answer(command_id=event.command_id, now=event.at)


@subscribe(SessionMetered)
def say_what_it_costs(event: SessionMetered) -> None:
    running_costs.say(session_ids=[reading[0] for reading in event.readings], now=timezone.now())


@subscribe(SessionStarted, SessionEnded)
def share_the_power_anew(event: SessionStarted | SessionEnded) -> None:
    for site_id in planning.mark_due(location_ids=[event.location_id], now=timezone.now()):
        hints.start(tasks.plan_charging, site_id, type(event).__name__)


@subscribe(CommandFinished)
def go_on_with_the_profiles(event: CommandFinished) -> None:
    if event.action in planning.ASKS:
        for site_id in planning.mark_due(charger_ids=[event.charger_id], now=timezone.now()):
            hints.start(tasks.plan_charging, site_id, "answer")


@subscribe_many(ChargerBooted)
def say_the_profiles_again(events: tuple[ChargerBooted, ...]) -> None:
    for site_id in planning.forget_after_boot(charger_ids={event.charger_id for event in events}, now=timezone.now()):
        hints.start(tasks.plan_charging, site_id, "boot")


@subscribe_many(ChargerWentSilent, ChargerCameBack)
def count_with_silent_chargers(events: tuple[ChargerWentSilent | ChargerCameBack, ...]) -> None:
    for site_id in planning.mark_due(location_ids={event.location_id for event in events}, now=timezone.now()):
        hints.start(tasks.plan_charging, site_id, type(events[0]).__name__)
