"""What a verdict rests on, in a form that is stored beside it and judged again for years. Pure.

Series are text: numbers with a space between, each the difference to the one before, so that a parked hour stays small
and a spreadsheet can still read it. -1 stands for "not told". Energy in Wh, power in W, instants in UTC.
"""

from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
UNKNOWN = -1
REFERENCE, CHARGE = "reference", "charge"


def packed(values: Any) -> str:
    """Whole numbers as stored text."""
    steps = np.array(values, dtype=np.int64)
    steps[1:] -= steps[:-1].copy()
    return msgspec.json.encode(steps.tolist())[1:-1].decode().replace(",", " ")


def unpacked(text: str) -> Numbers:
    if not text:
        return np.empty(0, dtype=np.int64)
    return np.cumsum(np.fromstring(text, dtype=np.int64, sep=" "))


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Plain values, compared by content."""


class Track(Facts, frozen=True):
    """Where the tracker was. `seconds` after the session's start; the rest as the columns of Position."""

    seconds: str = ""
    latitude_e7: str = ""
    longitude_e7: str = ""
    speed_dkmh: str = ""
    accuracy_m: str = ""
    soc_permille: str = ""
    flags: str = ""


class Series(Facts, frozen=True):
    """What a meter (`told_power`: a network's record, on average) said, `seconds` after the session's start."""

    seconds: str = ""
    values: str = ""


class Duty(Facts, frozen=True):
    """A planned shift of the vehicle."""

    starts_at: datetime
    ends_at: datetime
    driver: int


class Neighbour(Facts, frozen=True):
    """Another session of the same vehicle, or at the same plug, around this one."""

    session: int
    starts_at: datetime
    ends_at: datetime
    energy_wh: int
    latitude_e7: int
    longitude_e7: int
    is_same_vehicle: bool
    is_same_connector: bool
    reference: str = ""
    soc_rise_percent: float | None = None


class Witness(Facts, frozen=True):
    """Another vehicle of the fleet that stood at the station in the middle of the session."""

    vehicle: str
    distance_m: int
    soc_rise_percent: float | None = None


class LimitUse(Facts, frozen=True):
    """A limit of the fleet, and what was used of it with this session."""

    name: str
    limit: int
    used: int


class Price(Facts, frozen=True):
    """What the network asks for its record, beside its own tariff. Paise. `is_disputed`: the price check asks, too."""

    asked: int
    by_tariff: int
    tariff: str = ""
    is_disputed: bool = False


class Week(Facts, frozen=True):
    """Energy and kilometres of the seven days up to the session's end."""

    driven_m: int
    bought_wh: int
    soc_change_percent: float
    wh_per_km: int
    sessions: int


class Evidence(Facts, frozen=True, kw_only=True):
    """Everything known of one session when it was judged. None and empty: nobody told.

    Evidence is the fleet's to read and to download: of another fleet's session it holds only by what it is the same
    (`told_to_others`: REFERENCE or CHARGE), never whose, when or how much.
    """

    session: int = 0
    started_at: datetime
    ended_at: datetime
    energy_wh: int
    known_at: datetime | None = None
    latitude_e7: int
    longitude_e7: int
    base_radius_m: int
    point: str = "stated"
    is_depot: bool = False
    is_dc: bool = True
    plug: str = ""
    connector_power_w: int = 0
    has_vehicle: bool = True
    plugs: tuple[str, ...] = ()
    usable_wh: int = 0
    max_ac_power_w: int = 0
    max_dc_power_w: int = 0
    track: Track = Track()
    jumps: int = 0
    power: Series = Series()
    register: Series = Series()
    told_power: Series = Series()
    meter_wh: int | None = None
    network_wh: int | None = None
    signature: str = ""
    charger_soc_start_percent: float | None = None
    charger_soc_end_percent: float | None = None
    shifts: tuple[Duty, ...] = ()
    has_shift_plan: bool = False
    token_driver: int | None = None
    is_site_allowed: bool | None = None
    limits: tuple[LimitUse, ...] = ()
    record: str = ""
    reference: str = ""
    record_started_at: datetime | None = None
    heard_started_at: datetime | None = None
    neighbours: tuple[Neighbour, ...] = ()
    told_to_others: str = ""
    witnesses: tuple[Witness, ...] = ()
    price: Price | None = None
    idle_seconds: int = 0
    idle_paise: int = 0
    week: Week | None = None


def as_json(evidence: Evidence) -> dict[str, Any]:
    """Plain JSON; `from_json` gives the same evidence again."""
    plain: dict[str, Any] = msgspec.to_builtins(evidence)
    return plain


def from_json(stored: dict[str, Any]) -> Evidence:
    """Raises msgspec.ValidationError for what was not stored by `as_json`."""
    return msgspec.convert(stored, Evidence)
