"""Subscribers: one thought each, no logic."""

from django.utils import timezone

from billing.events import SessionStarted
from fleetcharge.lib.events import subscribe
from ocpp_bridge import following, tasks
from ocpp_bridge.events import CommandFinished


@subscribe(SessionStarted)
def see_which_start_it_was(event: SessionStarted) -> None:
    following.session_started(session_id=event.session_id, now=timezone.now())


@subscribe(CommandFinished)
def read_what_it_brought(event: CommandFinished) -> None:
    if event.action in tasks.BRINGS_NEWS:
        tasks.take_command_answer.delay(event.command_id)
