"""How often one may try: counted in Valkey, so that all processes agree; without Valkey nobody is kept out.

Passwords are counted before they are looked at. Keys and tokens are too long to be guessed, so a right one is never
refused because a neighbour behind the same address presents wrong ones: only the wrong ones are told to wait.
"""

import functools
import hashlib
import logging
import math
import time
from dataclasses import dataclass

import redis
from django.conf import settings

PAUSE_SECONDS = 5.0  # after Valkey did not answer it is left alone so long, and nothing is counted
NAMESPACE = "throttle"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rate:
    """At most `limit` in each window of `seconds`."""

    limit: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate | None":
        """`6000/min`; s, min, hour and day are known, `0/min` or nothing means no limit. ValueError for the rest."""
        number, _, unit = text.replace(" ", "").partition("/")
        if not text.strip() or int(number) == 0:
            return None
        seconds = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
        if unit not in seconds:
            raise ValueError(f"{text!r} is not a rate such as 6000/min")
        return cls(int(number), seconds[unit])


class Counter:
    """Counts things by name within the window of a rate."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def add(self, what: str, who: str, rate: Rate, *, by: int = 1, now: float | None = None) -> int:
        """Seconds to wait once the limit is passed, else 0; also 0 when Valkey does not answer."""
        return self.take(what, who, rate, by=by, now=now)[1]

    def take(self, what: str, who: str, rate: Rate, *, by: int, now: float | None = None) -> tuple[int, int]:
        """(how many of these are within the limit, seconds to wait for the others); all when Valkey does not answer."""
        now = time.time() if now is None else now
        if not who or time.monotonic() < self._silent_until:
            return by, 0
        try:
            count = self._count(_name(what, who, rate, now), rate, by)
        except (redis.RedisError, OSError) as error:
            self._silent_until = time.monotonic() + PAUSE_SECONDS
            logger.warning("attempts are not counted, Valkey is away: %s", error)
            return by, 0
        granted = min(by, max(0, rate.limit - (count - by)))
        return granted, _rest_of_window(rate, now) if count > rate.limit else 0

    def forget(self, what: str, who: str, rate: Rate, *, now: float | None = None) -> None:
        """Start the window of `who` anew."""
        try:
            _client(settings.REDIS_URL).delete(_name(what, who, rate, time.time() if now is None else now))
        except (redis.RedisError, OSError) as error:
            logger.warning("attempts are not forgotten, Valkey is away: %s", error)

    def _count(self, name: str, rate: Rate, by: int) -> int:
        client = _client(settings.REDIS_URL)
        count = int(client.incrby(name, by))  # type: ignore[arg-type]
        if count == by:  # the first of its window
            client.expire(name, rate.seconds + 1)
        return count


counter = Counter()


def _rest_of_window(rate: Rate, now: float) -> int:
    return math.ceil(rate.seconds - now % rate.seconds) or rate.seconds


def _name(what: str, who: str, rate: Rate, now: float) -> str:
    """Names of accounts and addresses are not kept in the clear."""
    digest = hashlib.blake2b(who.encode(), digest_size=12).hexdigest()
    return f"{NAMESPACE}:{what}:{digest}:{int(now // rate.seconds)}"


@functools.cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)


# --- what is counted ----------------------------------------------------------------------------------------------
WRONG_CREDENTIALS = Rate(30, 60)
PASSWORDS_OF_ACCOUNT = Rate(10, 300)
PASSWORDS_FROM_ADDRESS = Rate(60, 300)
INVITATIONS = Rate(50, 3600)


def wrong_credential(kind: str, address: str) -> int:
    """Count a wrong API key or token; how many seconds the address is told to wait, 0 while it is only wrong."""
    return counter.add(kind, address, WRONG_CREDENTIALS)


def may_request(key_id: int) -> int:
    """Count a request of an API key (FLEETCHARGE_API_RATE); seconds to wait, 0 while within the rate."""
    rate = Rate.parse(settings.API_RATE)
    return counter.add("key", str(key_id), rate) if rate else 0


def may_invite(organisation_id: int) -> int:
    """Count an invitation; seconds to wait, 0 when it may be made."""
    return counter.add("invitations", str(organisation_id), INVITATIONS)


def try_password(account: str, address: str) -> int:
    """Count an attempt before the password is looked at; seconds to wait, 0 when it may be tried."""
    by_account = counter.add("account", account.strip().lower(), PASSWORDS_OF_ACCOUNT)
    return max(by_account, counter.add("login", address, PASSWORDS_FROM_ADDRESS))


def password_was_right(account: str, address: str) -> None:
    """Whoever signs in has not been guessing."""
    counter.forget("account", account.strip().lower(), PASSWORDS_OF_ACCOUNT)
    counter.add("login", address, PASSWORDS_FROM_ADDRESS, by=-1)
