"""What would the nearest free charger have cost? The same snapshot, decided as a driver without help would."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatch.core import choose


@dataclass(frozen=True)
class Saving:
    """A plan against driving to the nearest free plug. `nearest` None: none was free.

    `is_stranded`: the nearest one could not have been reached with the reserve, the plan's could. Positive is better;
    minutes can be lost where rupees are won.
    """

    chosen: choose.Verdict
    nearest: choose.Verdict | None
    is_stranded: bool = False

    @property
    def seconds(self) -> int:
        """0 where the two cannot be compared: nothing free, or out of reach."""
        comparable = self.nearest is not None and not self.is_stranded
        return self.nearest.delay_seconds - self.chosen.delay_seconds if comparable and self.nearest else 0

    @property
    def paise(self) -> int:
        """Minutes at the fleet's rate, price and risk together."""
        comparable = self.nearest is not None and not self.is_stranded
        return self.nearest.total_paise - self.chosen.total_paise if comparable and self.nearest else 0


def against_nearest(snapshot: Mapping[str, Any], *, connector_id: int | None = None) -> Saving | None:
    """Of the plug that was chosen (None: the core's best); None when no plug could be reached.

    A snapshot keeps the sixty best plugs: should a nearer free one have been left out, it would have cost more than
    the one that is taken here, so a saving is never shown too large.
    """
    choice = choose.replay(snapshot)
    verdicts = {verdict.connector_id: verdict for verdict in choice.ranking}
    chosen = verdicts.get(connector_id or -1) or choice.best
    if chosen is None or chosen.problem:
        return None
    nearest = nearest_free(choose.Candidate(**values) for values in snapshot["candidates"])
    if nearest is None:
        return Saving(chosen, None)
    verdict = verdicts[nearest.connector_id]
    return Saving(chosen, verdict, is_stranded=verdict.problem == "unreachable")


def nearest_free(candidates: Any) -> choose.Candidate | None:
    """By metres on the road; one that says it is free now and can be plugged in on arrival."""
    free = (one for one in candidates if one.is_free and one.wait_seconds == 0)
    return min(free, key=lambda one: (one.drive_m, one.connector_id), default=None)
