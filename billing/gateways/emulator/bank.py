"""What the emulated gateway remembers: its objects, its clock, and the events it still has to tell of."""

import copy
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Entity = dict[str, Any]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
HOUR, DAY = 3600, 86_400


class Problem(Exception):
    """A refusal as the gateway words it."""

    def __init__(
        self, description: str, *, field: str = "", reason: str = "input_validation_failed", status: int = 400,
        code: str = "BAD_REQUEST_ERROR",
    ) -> None:  # fmt: skip
        super().__init__(description)
        self.status = status
        self.body: Entity = {
            "error": {
                "code": code, "description": description, "source": "business", "step": "payment_initiation",
                "reason": reason, "field": field or None, "metadata": {},
            }
        }  # fmt: skip


@dataclass
class Event:
    """One webhook: its id stays the same however often it is sent."""

    id: str
    name: str
    body: Entity
    created_at: int


@dataclass
class Bank:
    """Deterministic: the same seed, clock and calls give the same ids and the same answers."""

    seed: str = "fleetcharge"
    clock: Callable[[], float] = time.time
    path: Path | None = None  # where it is kept over a restart
    offset_s: int = 0
    debit_after_s: int = 25 * HOUR  # the demo is less patient
    counter: int = 0
    rows: dict[str, dict[str, Entity]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def now(self) -> int:
        return int(self.clock()) + self.offset_s

    def advance(self, *, seconds: int) -> None:
        """Let time pass; what falls due happens at the next `duties.fall_due`."""
        self.offset_s += seconds

    def new_id(self, prefix: str) -> str:
        self.counter += 1
        number = int.from_bytes(hashlib.sha256(f"{self.seed}:{self.counter}".encode()).digest()[:12], "big")
        letters = []
        for _ in range(14):
            number, rest = divmod(number, len(ALPHABET))
            letters.append(ALPHABET[rest])
        return f"{prefix}_{''.join(letters)}"

    # --- objects --------------------------------------------------------------------------------------------------

    def add(self, kind: str, prefix: str, **fields: Any) -> Entity:
        entity = {"id": self.new_id(prefix), "entity": kind, "created_at": self.now(), **fields}
        self.rows.setdefault(kind, {})[entity["id"]] = entity
        return entity

    def get(self, kind: str, entity_id: str) -> Entity:
        try:
            return self.rows[kind][entity_id]
        except KeyError:
            raise Problem("The id provided does not exist", field="id", reason="input_validation_failed") from None

    def find(self, kind: str, entity_id: str | None) -> Entity | None:
        return self.rows.get(kind, {}).get(entity_id or "")

    def every(self, kind: str, **equal: Any) -> list[Entity]:
        """Newest first, as the gateway lists."""
        return list(self._matching(kind, equal))[::-1]

    def _matching(self, kind: str, equal: Entity) -> Iterator[Entity]:
        for entity in self.rows.get(kind, {}).values():
            if all(entity.get(name) == value for name, value in equal.items()):
                yield entity

    # --- events ---------------------------------------------------------------------------------------------------

    def tell(self, name: str, **entities: Entity) -> Event:
        """Remember to tell of it; the payload is a snapshot of this moment."""
        payload = {kind: {"entity": copy.deepcopy(public(entity))} for kind, entity in entities.items()}
        body = {
            "entity": "event", "account_id": "acc_FleetChargeDemo", "event": name, "contains": list(payload),
            "payload": payload, "created_at": self.now(),
        }  # fmt: skip
        event = Event(self.new_id("evt"), name, body, self.now())
        self.events.append(event)
        return event

    # --- over a restart -------------------------------------------------------------------------------------------

    def load(self) -> None:
        """What was kept; ids go on where no earlier run can have been, even if the last moments were lost."""
        if self.path and self.path.exists():
            kept = json.loads(self.path.read_text())
            self.seed, self.counter, self.offset_s = kept["seed"], kept["counter"] + 1_000_000, kept["offset_s"]
            self.rows = kept["rows"]
            self.events = [Event(**event) for event in kept["events"]]
            self.keep()

    def keep(self) -> None:
        if self.path:
            kept = {
                "seed": self.seed, "counter": self.counter, "offset_s": self.offset_s, "rows": self.rows,
                "events": [vars(event) for event in self.events],
            }  # fmt: skip
            fresh = self.path.with_suffix(".new")
            fresh.write_text(json.dumps(kept))
            fresh.replace(self.path)


def public(entity: Entity) -> Entity:
    """Without what the emulator notes for itself."""
    return {name: value for name, value in entity.items() if not name.startswith("_")}


def paise(data: Entity, name: str = "amount", *, least: int = 100) -> int:
    """An amount of a request; the gateway takes whole paise from one rupee up."""
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise Problem(f"The amount must be atleast INR {least / 100:.2f}", field=name)
    return value
