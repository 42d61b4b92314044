"""Which hours and which part of the map are asked for."""

from dataclasses import dataclass
from datetime import datetime

from fleetcharge.accounts.models import Organisation


@dataclass(frozen=True)
class Box:
    """Degrees; the whole world unless said otherwise."""

    west: float = -180.0
    south: float = -90.0
    east: float = 180.0
    north: float = 90.0


@dataclass(frozen=True)
class Span:
    """A part of one fleet's past."""

    organisation: Organisation
    start: datetime
    end: datetime
    box: Box

    @property
    def seconds(self) -> int:
        return round((self.end - self.start).total_seconds())

    def second_of(self, at: datetime) -> int:
        """Whole seconds since the start, below zero before it."""
        return round((at - self.start).total_seconds())
