"""Failures on demand: time-outs before and after the deed, HTML, 429, 500, a cut connection."""

from dataclasses import dataclass, field


@dataclass
class Fault:
    """`kind` is timeout, html, busy, error or cut; `after` the deed was done, or before it (it never is)."""

    kind: str
    method: str = "POST"
    path: str = "/v1/"
    after: bool = False
    times: int = 1
    hold_s: float = 5.0
    retry_after_s: int = 0


@dataclass
class Faults:
    planned: list[Fault] = field(default_factory=list)
    happened: int = 0

    def plan(self, fault: Fault) -> None:
        self.planned.append(fault)

    def clear(self) -> None:
        self.planned.clear()

    def next_for(self, method: str, path: str) -> Fault | None:
        for fault in self.planned:
            if fault.times > 0 and fault.method == method and path.startswith(fault.path):
                fault.times -= 1
                self.happened += 1
                return fault
        return None
