"""How fast we call a peer, how fast it may call us, and when we leave it alone (rate limits, circuit breaker)."""

import time

from django.conf import settings

from fleetcharge.accounts.throttling import Rate, counter
from stations.cpo.base import CPOUnavailable
from stations.models import Source

LONGEST_WAIT_SECONDS = 10.0


def wait_for_turn(source: Source) -> None:
    """Take a call out of the peer's allowance (OCPI_PEER_RATE), waiting for the next window where it is used up."""
    rate = Rate.parse(settings.OCPI_PEER_RATE)
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while rate and (seconds := counter.add("ocpi-out", str(source.pk), rate)):
        if time.monotonic() + seconds > deadline:
            raise CPOUnavailable(f"{source.name} was called too often; later.", retry_after_seconds=seconds)
        time.sleep(seconds)


def may_call_us(source_id: int, *, calls: int = 1) -> tuple[int, int]:
    """Count calls of a peer (OCPI_PUSH_RATE): how many of them it may make, the seconds it should wait for the rest."""
    rate = Rate.parse(settings.OCPI_PUSH_RATE)
    return counter.take("ocpi-in", str(source_id), rate, by=calls) if rate else (calls, 0)


def check_circuit(source: Source) -> None:
    """Nothing but its next poll is sent to a network that fails: that poll closes the circuit again."""
    if source.state in {Source.State.FAILING, Source.State.DISABLED}:
        raise CPOUnavailable(f"{source.name} is failing; it is asked again at its next poll.")
