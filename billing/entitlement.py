"""May this token charge here, now? Pure: everything known about the question in, one reason out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

ACCEPTED = "accepted"
UNKNOWN_TOKEN = "unknown_token"  # noqa: S105
BLOCKED_TOKEN = "blocked_token"  # noqa: S105
EXPIRED_TOKEN = "expired_token"  # noqa: S105
VEHICLE_INACTIVE = "vehicle_inactive"
DRIVER_INACTIVE = "driver_inactive"
NETWORK_NOT_AUTHORISED = "network_not_authorised"
SITE_NOT_ALLOWED = "site_not_allowed"
NOT_ON_SHIFT = "not_on_shift"
NO_WALLET = "no_wallet"
WALLET_FROZEN = "wallet_frozen"
INSUFFICIENT = "insufficient"
LIMIT = "limit:"
"""Followed by the scope of the hard limit that is used up, as `limit:vehicle`."""
CONCURRENT_TX = "concurrent_tx"
FLOOR_WH = 1_000
"""Less energy than this is no session worth starting."""


class Facts(NamedTuple):
    """One row of the database about one question; the token's columns are None when nobody knows the token.

    `site_owner_id` is set for a private depot, `network_owner_id` for a fleet's own network. `parallel_session_id`:
    another session that this token has running, asked only when a session starts.
    """

    token_id: int | None
    organisation_id: int | None
    is_active: bool | None
    valid_until: datetime | None
    vehicle_id: int | None
    driver_id: int | None
    is_vehicle_active: bool | None
    is_driver_active: bool | None
    shift_id: int | None
    location_id: int | None
    site_owner_id: int | None
    network_owner_id: int | None
    has_contract: bool
    is_site_listed: bool
    has_site_list: bool
    wallet_state: str | None
    available_paise: int | None
    needs_shift: bool
    allows_parallel_use: bool
    parallel_session_id: int | None
    time_zone: str
    has_limits: bool


class Limit(NamedTuple):
    """One limit in the period of the question, in paise including GST and Wh; None: no bound.

    `used_*` counts settled sessions and what is reserved for running ones; 0 for the limit of a single session.
    `usage_id` is None for that one, and before the first session of the period.
    """

    scope: str
    period: str
    is_hard: bool = True
    amount_paise: int | None = None
    energy_wh: int | None = None
    used_paise: int = 0
    used_wh: int = 0
    limit_id: int = 0
    period_start: date | None = None
    usage_id: int | None = None

    @property
    def left_paise(self) -> int | None:
        return None if self.amount_paise is None else self.amount_paise - self.used_paise

    @property
    def left_wh(self) -> int | None:
        return None if self.energy_wh is None else self.energy_wh - self.used_wh


@dataclass(frozen=True)
class Verdict:
    """`max_*`: what this session may draw and cost at most; None: no bound."""

    reason: str
    max_energy_wh: int | None = field(default=None)
    max_paise: int | None = field(default=None)


def judge(facts: Facts, limits: Sequence[Limit], *, at: datetime, floor_paise: int) -> Verdict:
    """The first thing that stands against it, from the token outwards to the money; or accepted, with its bounds.

    `floor_paise`: less than this buys no session worth starting.
    """
    reason = next(_objections(facts, limits, at, floor_paise), ACCEPTED)
    if reason != ACCEPTED:
        return Verdict(reason)
    return Verdict(ACCEPTED, *bounds_of(limits))


def bounds_of(limits: Sequence[Limit]) -> tuple[int | None, int | None]:
    """(Wh, paise) that hard limits leave for one session."""
    hard = [limit for limit in limits if limit.is_hard]
    energy = [limit.left_wh for limit in hard if limit.left_wh is not None]
    money = [limit.left_paise for limit in hard if limit.left_paise is not None]
    return min(energy, default=None), min(money, default=None)


def _objections(facts: Facts, limits: Sequence[Limit], at: datetime, floor_paise: int) -> Iterator[str]:
    if facts.token_id is None:
        yield UNKNOWN_TOKEN
        return
    yield from _about_token(facts, at)
    yield from _about_place(facts)
    if facts.needs_shift and facts.shift_id is None:
        yield NOT_ON_SHIFT
    yield from _about_wallet(facts, floor_paise)
    for limit in limits:
        yield from _about_limit(limit, floor_paise)
    if facts.parallel_session_id is not None and not facts.allows_parallel_use:
        yield CONCURRENT_TX


def _about_token(facts: Facts, at: datetime) -> Iterator[str]:
    if not facts.is_active:
        yield BLOCKED_TOKEN
    if facts.valid_until is not None and facts.valid_until <= at:
        yield EXPIRED_TOKEN
    if facts.is_vehicle_active is False:
        yield VEHICLE_INACTIVE
    if facts.is_driver_active is False:
        yield DRIVER_INACTIVE


def _about_place(facts: Facts) -> Iterator[str]:
    """Another fleet's depot is closed; a network needs a contract, our own chargers do not."""
    if facts.location_id is None:
        return
    is_own = facts.network_owner_id is not None and facts.network_owner_id == facts.organisation_id
    is_closed = facts.site_owner_id not in (None, facts.organisation_id)
    if is_closed or not (is_own or facts.has_contract):
        yield NETWORK_NOT_AUTHORISED
    if facts.has_site_list and not facts.is_site_listed:
        yield SITE_NOT_ALLOWED


def _about_wallet(facts: Facts, floor_paise: int) -> Iterator[str]:
    if facts.wallet_state is None:
        yield NO_WALLET
    elif facts.wallet_state != "active":
        yield WALLET_FROZEN
    elif (facts.available_paise or 0) < floor_paise:
        yield INSUFFICIENT


def _about_limit(limit: Limit, floor_paise: int) -> Iterator[str]:
    """The limit of one session only bounds it; those of a period may be used up."""
    if not limit.is_hard or limit.period == "session":
        return
    if limit.left_paise is not None and limit.left_paise < floor_paise:
        yield LIMIT + limit.scope
    if limit.left_wh is not None and limit.left_wh < FLOOR_WH:
        yield LIMIT + limit.scope
