"""One line per figure: what it is, what it should be, and how it stands to the floor of the same run."""

import os
from dataclasses import dataclass, field


@dataclass
class Report:
    """Prints as it goes; remembers what was missed."""

    missed: list[str] = field(default_factory=list)

    def title(self, text: str) -> None:
        print(f"\n{text}   (load {os.getloadavg()[0]:.1f})", flush=True)

    def says(self, name: str, text: str) -> None:
        print(f"  {name:<46} {text}", flush=True)

    def figure(
        self, name: str, value: float, unit: str, *, at_least: float | None = None, at_most: float | None = None,
        floor: float | None = None,
    ) -> None:  # fmt: skip
        """A figure without a bound is only printed."""
        text = f"{value:9.1f} {unit:<5}"
        if floor is not None:
            text += f" {value / floor if floor else 0:6.2f} of the floor"
        if at_least is not None or at_most is not None:
            is_kept = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
            bound = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}"
            text += f"   goal {bound}: {'reached' if is_kept else 'NOT reached'}"
            if not is_kept:
                self.missed.append(name)
        self.says(name, text)


def at_percent(values: list[float], percent: float) -> float:
    """The value that so many percent do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
