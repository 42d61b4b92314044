"""Subscribers of the letters: one thought each, no logic."""

from billing.events import LettersWaiting
from billing.notices import tasks
from fleetcharge.lib import hints
from fleetcharge.lib.events import subscribe


@subscribe(LettersWaiting)
def bring_them_to_the_post(event: LettersWaiting) -> None:
    hints.start(tasks.send_letters)
