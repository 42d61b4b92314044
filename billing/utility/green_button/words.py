"""What both sides of a Green Button file are made of. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

ATOM, ESPI = "http://www.w3.org/2005/Atom", "http://naesb.org/espi"
WATT_HOURS, WATTS = 72, 38
FORWARD, INR = 1, 356
MONEY_UNITS_PER_PAISA = 1_000  # amounts are in hundred-thousandths of the currency


class BadFeed(ValueError):
    """Nothing of the file was taken. `code` names why; `where` says in which part of it."""

    def __init__(self, code: str, text: str, where: str = "") -> None:
        super().__init__(f"{where}: {text}" if where else text)
        self.code, self.where = code, where


@dataclass(frozen=True, order=True)
class Reading:
    """Energy drawn within `[starts_at, starts_at + seconds)`, in whole Wh; `quality`: QualityOfReading, 0 is valid."""

    starts_at: datetime
    seconds: int
    energy_wh: int
    quality: int = 0


@dataclass(frozen=True)
class Summary:
    """A bill as UsageSummary tells it: what was to be paid, of what (`(note, paise)`), for how much energy."""

    starts_at: datetime
    seconds: int
    paise: int
    energy_wh: int | None = None
    items: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Feed:
    """`tz_offset_s`: standard time of the place, east of Greenwich; None: the file does not say."""

    title: str
    readings: tuple[Reading, ...] = ()
    summaries: tuple[Summary, ...] = ()
    tz_offset_s: int | None = None
    skipped: dict[str, int] = field(default_factory=dict)
