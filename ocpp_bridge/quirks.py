"""What single charger models get wrong about meters and clocks: profiles as data, found once per socket and boot."""

import functools
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from django.conf import settings

SHIPPED = Path(__file__).with_name("quirks.toml")
ENERGY, POWER = ("Energy.Active.Import.Register", "Energy.Active.Import.Interval"), ("Power.Active.Import",)
_DECIMALS = {"energy_scale", "power_scale", "transaction_meter_scale"}


class BadProfile(ValueError):
    """A profile names a key we do not know, or a value that cannot be."""


@dataclass(frozen=True)
class QuirkProfile:
    """How to read one family of chargers; every default means: as the specification says.

    `register_unit`, `power_unit`: what a value without unit is in. `*_scale`: multiplies after units.
    `transaction_meter_scale`: for meterStart and meterStop (OCPP 1.6 says Wh). `is_transaction_meter_wrong`: ignore
    both, the samples know better. `is_register_relative`: samples count from the start of the session.
    `are_phases_ignored`: the total is enough; `is_total_wrong`: the phases are right. `clock_ahead_minutes`: local time
    that is called UTC (330 for India).
    """

    name: str
    vendor: str = "*"
    model: str = "*"
    firmware: str = "*"
    register_unit: str = "Wh"
    power_unit: str = "W"
    energy_scale: Decimal = Decimal(1)
    power_scale: Decimal = Decimal(1)
    transaction_meter_scale: Decimal = Decimal(1)
    is_transaction_meter_wrong: bool = False
    is_register_relative: bool = False
    are_phases_ignored: bool = False
    is_total_wrong: bool = False
    ignored_measurands: tuple[str, ...] = ()
    clock_ahead_minutes: int = 0

    @property
    def clock_ahead(self) -> timedelta:
        return timedelta(minutes=self.clock_ahead_minutes)

    def matches(self, vendor: str, model: str, firmware: str) -> bool:
        pairs = ((vendor, self.vendor), (model, self.model), (firmware, self.firmware))
        return all(fnmatchcase(value.casefold(), pattern.casefold()) for value, pattern in pairs)

    def rewrite(self, samples: Sequence[Any]) -> list[Any]:
        """The sampledValue list as a charger without this quirk would have sent it; the original stays untouched."""
        return [self._with_unit(sample) for sample in samples if isinstance(sample, dict) and self._is_wanted(sample)]

    def transaction_meter(self, value: int | None) -> int | None:
        """meterStart or meterStop in Wh; None when this model's are worth nothing."""
        if value is None or self.is_transaction_meter_wrong:
            return None
        return round(value * self.transaction_meter_scale)

    def _is_wanted(self, sample: dict[str, Any]) -> bool:
        if sample.get("measurand", ENERGY[0]) in self.ignored_measurands:
            return False
        return not (self.is_total_wrong if not sample.get("phase") else self.are_phases_ignored)

    def _with_unit(self, sample: dict[str, Any]) -> dict[str, Any]:
        measurand = sample.get("measurand", ENERGY[0])
        if "unit" in sample or "unitOfMeasure" in sample:
            return sample
        unit = self.register_unit if measurand in ENERGY else self.power_unit if measurand in POWER else ""
        return {**sample, "unit": unit} if unit else sample


def find(vendor: str, model: str, firmware: str) -> QuirkProfile | None:
    """The first profile for this charger; None for the many that need none, and for one that has not booted yet."""
    if not (vendor or model):
        return None
    return next((profile for profile in profiles() if profile.matches(vendor, model, firmware)), None)


@functools.cache
def profiles() -> tuple[QuirkProfile, ...]:
    """The installation's own profiles, then ours. Raises BadProfile, OSError or tomllib.TOMLDecodeError."""
    own = [Path(settings.OCPP_QUIRKS_FILE)] if settings.OCPP_QUIRKS_FILE else []
    return tuple(profile for path in [*own, SHIPPED] for profile in load(path.read_text()))


def load(text: str) -> list[QuirkProfile]:
    """Profiles of a TOML text; raises BadProfile."""
    return [_profile(entry) for entry in tomllib.loads(text, parse_float=Decimal).get("profile", [])]


def _profile(entry: dict[str, Any]) -> QuirkProfile:
    unknown = entry.keys() - _names()
    if unknown or not entry.get("name"):
        raise BadProfile(f"{entry.get('name', '(no name)')}: unknown keys {', '.join(sorted(unknown)) or '-'}")
    values: dict[str, Any] = {key: Decimal(value) if key in _DECIMALS else value for key, value in entry.items()}
    values["ignored_measurands"] = tuple(entry.get("ignored_measurands", ()))
    return QuirkProfile(**values)


def _names() -> Iterable[str]:
    return {field.name for field in fields(QuirkProfile)}
