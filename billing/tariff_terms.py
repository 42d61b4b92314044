"""What holds for a whole OCPI tariff: least and most of a session, tax, for whom and from when to when. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any

import orjson

from billing.tariff_elements import TariffError, number_of

FOR_ROAMING = {"", "REGULAR"}
"""Types that a session may be priced by when its driver chose nothing else (OCPI 2.2.1 TariffType)."""


@dataclass(frozen=True)
class Limit:
    """In paise. `after` None: the tariff does not say it with tax."""

    before: Fraction
    after: Fraction | None = None


@dataclass(frozen=True)
class Terms:
    """`is_tax_included`: prices contain the tax (OCPI 2.3.0 tax_included YES)."""

    least: Limit | None = None
    most: Limit | None = None
    is_tax_included: bool = False
    type: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def is_plain(self) -> bool:
        return self.least is None and self.most is None and not self.is_tax_included

    def holds_at(self, at: datetime) -> bool:
        """From the first second of `start_date_time` until before `end_date_time`."""
        return (self.starts_at is None or at >= self.starts_at) and (self.ends_at is None or at < self.ends_at)


NO_TERMS = Terms()


def read_terms(raw: Mapping[str, Any] | None) -> Terms:
    """The terms as a Tariff keeps them; raises TariffError when a limit or an instant cannot be read."""
    return _read(orjson.dumps(raw)) if raw else NO_TERMS


@lru_cache(maxsize=4096)
def _read(raw: bytes) -> Terms:
    told = orjson.loads(raw)
    if not isinstance(told, dict):
        raise TariffError("the terms are not an object")
    return Terms(
        least=_limit(told.get("min_price")),
        most=_limit(told.get("max_price")),
        is_tax_included=told.get("tax_included") == "YES",
        type=str(told.get("type") or ""),
        starts_at=_instant(told.get("start_date_time")),
        ends_at=_instant(told.get("end_date_time")),
    )


def _limit(told: Any) -> Limit | None:
    if told is None:
        return None
    if not isinstance(told, dict):
        raise TariffError("a price limit is not an object")
    after = told.get("after_taxes")
    before = number_of(told.get("before_taxes"), "before_taxes") * 100
    return Limit(before, None if after is None else number_of(after, "after_taxes") * 100)


def _instant(told: Any) -> datetime | None:
    """OCPI DateTime: no offset means UTC."""
    try:
        at = datetime.fromisoformat(str(told).replace("Z", "+00:00")) if told else None
    except ValueError:
        raise TariffError(f"not an instant: {told!r}") from None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
