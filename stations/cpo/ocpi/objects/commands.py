"""Commands and charging profiles: the answer at once, and the result that comes later."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from stations.cpo.ocpi.objects.base import Id, Instant, Number, Wire


def _seconds(value: Any) -> int:
    try:
        return min(max(int(float(value)), 1), 3600)
    except (ValueError, TypeError, OverflowError):
        return 60


class CommandResponseIn(Wire):
    """`timeout` in seconds; what is no sensible number counts as a minute (2.1.1 has none)."""

    result: str = ""
    timeout: Annotated[int, BeforeValidator(_seconds)] = 60


class CommandResultIn(Wire):
    """`message` is a list in 2.2.1, a single text with some peers; `profile` comes with an active profile."""

    result: str
    message: Any = None
    profile: dict[str, Any] | None = None


class ProfilePeriodIn(Wire):
    start_period: int
    limit: Number


class ChargingProfileIn(Wire):
    """`charging_rate_unit` W (in all) or A (per phase); `duration` in seconds."""

    start_date_time: Instant | None = None
    duration: int | None = None
    charging_rate_unit: str
    min_charging_rate: Number | None = None
    charging_profile_period: list[ProfilePeriodIn] = []


class ActiveProfileIn(Wire):
    """What the EVSE will really do."""

    start_date_time: Instant
    charging_profile: ChargingProfileIn


class ClientInfoIn(Wire):
    """A party behind a hub: CONNECTED, OFFLINE, PLANNED or SUSPENDED (module `hubclientinfo`)."""

    party_id: Id
    country_code: Id
    role: str
    status: str
    last_updated: Instant
