"""A simulated charger without I/O: bays, transactions, and an outbox of calls that survives broken connections."""

import random
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from fleetcharge.demo.bays import CHARGING, ENDED, PLUGGED, REFUSED, Bay, Booking, Visit

METER_EVERY = timedelta(seconds=5)
AUTHORISE_WITHIN = timedelta(seconds=20)
MAX_OUTBOX = 400
MAX_ATTEMPTS = 4


@dataclass
class Call:
    """One CALL to the system; a durable one is kept and repeated, with the same id, until it is answered."""

    id: str
    kind: str
    action: str
    payload: dict[str, Any]
    is_durable: bool = False
    visit_key: str = ""
    needs_ref: bool = False
    attempts: int = 0


@dataclass
class Order:
    """A command of the system, version-neutral. `kind` is start, stop, reserve, cancel, trigger or unknown."""

    kind: str
    number: int | None = None
    token: str = ""
    reference: str = ""
    expires_at: datetime | None = None
    message: str = ""
    remote_start_id: int | None = None


class Dialect(Protocol):
    """How one OCPP version says things: (action, payload), and what an answer or a command means."""

    subprotocol: str

    def boot(self, charger: "SimCharger") -> tuple[str, dict[str, Any]]: ...
    def status(self, bay: Bay, at: datetime) -> tuple[str, dict[str, Any]]: ...
    def authorize(self, token: str) -> tuple[str, dict[str, Any]]: ...
    def start(self, bay: Bay, visit: Visit, at: datetime) -> tuple[str, dict[str, Any]]: ...
    def meter(self, bay: Bay, visit: Visit, at: datetime) -> tuple[str, dict[str, Any]]: ...
    def stop(self, bay: Bay, visit: Visit, at: datetime) -> tuple[str, dict[str, Any]]: ...
    def with_reference(self, payload: dict[str, Any], reference: str) -> dict[str, Any]: ...
    def reference_in(self, key: str, answer: dict[str, Any]) -> str: ...
    def token_status(self, answer: dict[str, Any]) -> str: ...
    def order(self, action: str, payload: dict[str, Any]) -> Order: ...


@dataclass
class SimCharger:
    """`rng` makes ids; everything else follows from the calls. Times are wall-clock, passed in."""

    identity: str
    password: str
    model: str
    dialect: Dialect
    bays: list[Bay]
    rng: random.Random
    outbox: deque[Call] = field(default_factory=deque)
    in_flight: Call | None = None
    is_connected: bool = False
    has_booted: bool = False
    heartbeat_every: timedelta = timedelta(seconds=300)
    heartbeat_at: datetime | None = None
    meter_at: dict[int, datetime] = field(default_factory=dict)
    shown: dict[int, str] = field(default_factory=dict)
    answered: int = 0
    dropped: int = 0
    log: Callable[[str], None] = lambda line: None
    finished: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=200))
    _references: dict[str, str] = field(default_factory=dict)

    # --- the wire -------------------------------------------------------------------------------------------------
    def connected(self, now: datetime) -> None:
        """A socket is open: boot once per power-up, then tell every status; what was unanswered goes first again."""
        self.is_connected, self.shown = True, {}
        if self.in_flight and self.in_flight.is_durable:
            self.outbox.appendleft(self.in_flight)
        self.in_flight = None
        self.outbox = deque(call for call in self.outbox if call.is_durable)
        if not self.has_booted:
            self._say("boot", *self.dialect.boot(self), at_front=True)
        for bay in self.bays:
            if bay.visit and bay.visit.state == PLUGGED:
                self._say("authorize", *self.dialect.authorize(bay.visit.token), visit_key=bay.visit.key)
        self.heartbeat_at = now + self.heartbeat_every

    def disconnected(self) -> None:
        self.is_connected = False

    def next_call(self) -> Call | None:
        """The call to put on the wire now, if none is unanswered."""
        if self.in_flight or not self.is_connected:
            return None
        while self.outbox:
            call = self.outbox.popleft()
            if call.needs_ref and not self._fill_reference(call):
                self.dropped += 1
                continue
            call.attempts += 1
            self.in_flight = call
            return call
        return None

    def on_result(self, call_id: str, answer: dict[str, Any], now: datetime) -> None:
        call = self.in_flight
        if call is None or call.id != call_id:
            return
        self.in_flight = None
        self.answered += 1
        handler = getattr(self, f"_after_{call.kind}", None)
        if handler:
            handler(call, answer, now)

    def on_error(self, call_id: str, code: str, description: str) -> None:
        """A CALLERROR: a durable call is tried a few times more, then given up."""
        call = self.in_flight
        if call is None or call.id != call_id:
            return
        self.in_flight = None
        self.log(f"{self.identity}: {call.action} answered {code}: {description[:80]}")
        if call.is_durable and call.attempts < MAX_ATTEMPTS:
            self.outbox.appendleft(call)
        else:
            self.dropped += 1

    def on_timeout(self, now: datetime) -> None:
        """No answer in time: the same as a lost connection for this call."""
        if self.in_flight and self.in_flight.is_durable:
            self.outbox.appendleft(self.in_flight)
        self.in_flight = None

    def on_call(self, action: str, payload: dict[str, Any], now: datetime) -> dict[str, Any] | None:
        """The answer to a command, None when we do not know it."""
        order = self.dialect.order(action, payload)
        handler = getattr(self, f"_order_{order.kind}", None)
        return handler(order, now) if handler else None

    # --- what people do -------------------------------------------------------------------------------------------
    def plug_in(self, bay: Bay, visit: Visit, now: datetime) -> None:
        """A car arrives; its token is asked for, and when nobody answers it charges offline."""
        bay.visit, bay.expected, visit.state = visit, "", PLUGGED
        visit.wait_until = now + AUTHORISE_WITHIN
        if bay.booking and bay.booking.token != visit.token:
            visit.state = REFUSED
        elif self.is_connected:
            self._say("authorize", *self.dialect.authorize(visit.token), visit_key=visit.key)

    def leave(self, bay: Bay, now: datetime, reason: str = "Local") -> None:
        """The driver stops and pulls the plug."""
        if bay.visit and bay.visit.is_running:
            self.end(bay, now, reason)
        bay.visit = None

    def end(self, bay: Bay, now: datetime, reason: str) -> None:
        """Close the transaction; the car may still stand there."""
        visit = bay.visit
        if visit is None or not visit.is_running:
            return
        visit.state, visit.power_w, visit.ended_at, visit.stop_reason = ENDED, 0.0, now, reason
        visit.sequence += 1
        self._say("stop", *self.dialect.stop(bay, visit, now), is_durable=True, visit=visit)
        self.meter_at.pop(bay.number, None)
        self.finished.append(facts_of(bay, visit))

    def break_down(self, bay: Bay, code: str, now: datetime, cleared_at: datetime | None = None) -> None:
        """A fault ends what runs; the driver moves on."""
        self.end(bay, now, "Other")
        bay.fault, bay.cleared_at, bay.booking = code, cleared_at, None

    def tick(self, now: datetime) -> None:
        """Samples, expiries, waiting tokens and statuses that are due."""
        for bay in self.bays:
            if bay.fault and bay.cleared_at and bay.cleared_at <= now:
                bay.fault = ""
            bay.expire_booking(now)
            if bay.visit:
                self._tend(bay, bay.visit, now)
            if self.is_connected and self.has_booted and self.shown.get(bay.number) != bay.status:
                self.shown[bay.number] = bay.status
                self._say("status", *self.dialect.status(bay, now))
        if self.is_connected and self.heartbeat_at and self.heartbeat_at <= now:
            self.heartbeat_at = now + self.heartbeat_every
            self._say("heartbeat", "Heartbeat", {})

    def forget(self, bay: Bay) -> None:
        """The car was never here: nothing of its visit has been told yet."""
        key = bay.visit.key if bay.visit else ""
        self.outbox = deque(call for call in self.outbox if call.visit_key != key)
        bay.visit = None
        self.meter_at.pop(bay.number, None)

    def stops_after_power_cut(self, now: datetime) -> list[Call]:
        """The stops of what runs now, as they would be told when the power comes back."""
        calls = []
        for bay in self.bays:
            visit = bay.visit
            if visit is None or not visit.is_running:
                continue
            ended = replace(visit, state=ENDED, stop_reason="PowerLoss", sequence=visit.sequence + 1)
            action, payload = self.dialect.stop(bay, ended, now)
            reference = visit.transaction_ref
            payload = self.dialect.with_reference(payload, reference) if reference else payload
            call_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
            calls.append(Call(call_id, "stop", action, payload, True, visit.key, not reference))
        return calls

    # --- inside ---------------------------------------------------------------------------------------------------
    def _tend(self, bay: Bay, visit: Visit, now: datetime) -> None:
        if visit.state == PLUGGED and visit.wait_until and now >= visit.wait_until:
            self._begin(bay, visit, now)
        if visit.is_running and now >= self.meter_at.get(bay.number, now):
            self.meter_at[bay.number] = now + METER_EVERY
            visit.sequence += 1
            self._say("meter", *self.dialect.meter(bay, visit, now), is_durable=True, visit=visit)

    def _begin(self, bay: Bay, visit: Visit, now: datetime) -> None:
        visit.state, visit.began_at, visit.meter_start_wh = CHARGING, now, int(bay.meter_wh)
        if bay.booking and bay.booking.token == visit.token:
            visit.reservation, bay.booking = bay.booking.number, None
        self._say("start", *self.dialect.start(bay, visit, now), is_durable=True, visit_key=visit.key)
        self.meter_at[bay.number] = now + METER_EVERY

    def _say(
        self, kind: str, action: str, payload: dict[str, Any], *, is_durable: bool = False, visit_key: str = "",
        visit: Visit | None = None, at_front: bool = False,
    ) -> None:  # fmt: skip
        """Queue a call; `visit` says that the call names a transaction the system may not have numbered yet."""
        call_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        needs_ref = visit is not None and not visit.transaction_ref
        if visit is not None and visit.transaction_ref:
            payload = self.dialect.with_reference(payload, visit.transaction_ref)
        call = Call(call_id, kind, action, payload, is_durable, visit.key if visit else visit_key, needs_ref)
        if at_front:
            self.outbox.appendleft(call)
        else:
            self.outbox.append(call)
        if len(self.outbox) > MAX_OUTBOX:
            self._thin_out()

    def _thin_out(self) -> None:
        """A charger that was offline for long keeps starts and stops, and forgets every other sample."""
        keep, seen = [], 0
        for call in self.outbox:
            seen += call.kind == "meter"
            if call.kind != "meter" or seen % 2:
                keep.append(call)
        self.dropped += len(self.outbox) - len(keep)
        self.outbox = deque(keep)

    def _fill_reference(self, call: Call) -> bool:
        reference = self._references.get(call.visit_key, "")
        if reference:
            call.payload, call.needs_ref = self.dialect.with_reference(call.payload, reference), False
        return bool(reference)

    def _visit(self, key: str) -> tuple[Bay, Visit] | None:
        return next(((bay, bay.visit) for bay in self.bays if bay.visit and bay.visit.key == key), None)

    def _after_boot(self, call: Call, answer: dict[str, Any], now: datetime) -> None:
        self.has_booted = answer.get("status") == "Accepted"
        interval = timedelta(seconds=max(10, int(answer.get("interval") or 300)))
        if self.has_booted:
            self.heartbeat_every, self.heartbeat_at = interval, now + interval

    def _after_authorize(self, call: Call, answer: dict[str, Any], now: datetime) -> None:
        found = self._visit(call.visit_key)
        if found is None or found[1].state != PLUGGED:
            return
        bay, visit = found
        if self.dialect.token_status(answer) == "Accepted":
            self._begin(bay, visit, now)
        else:
            self.log(f"{self.identity}: {visit.vehicle or visit.token} refused: {self.dialect.token_status(answer)}")
            visit.state = REFUSED

    def _after_start(self, call: Call, answer: dict[str, Any], now: datetime) -> None:
        found = self._visit(call.visit_key)
        key = call.visit_key
        reference = self._references[key] = self.dialect.reference_in(key, answer)
        for facts in self.finished:
            if facts["key"] == key:
                facts["transaction_ref"] = reference
        if found is None:
            return
        bay, visit = found
        visit.transaction_ref = reference
        if self.dialect.token_status(answer) not in ("Accepted", "") and visit.is_running:
            self.log(f"{self.identity}: {visit.vehicle or visit.token} stopped: {self.dialect.token_status(answer)}")
            self.end(bay, now, "DeAuthorized")

    def _after_stop(self, call: Call, answer: dict[str, Any], now: datetime) -> None:
        self._references.pop(call.visit_key, None)
        for facts in self.finished:
            if facts["key"] == call.visit_key:
                facts["is_acknowledged"] = True

    # --- commands -------------------------------------------------------------------------------------------------
    def bay(self, number: int | None) -> Bay | None:
        return next((bay for bay in self.bays if bay.number == number), None)

    def _order_reserve(self, order: Order, now: datetime) -> dict[str, Any]:
        bay = self.bay(order.number)
        if bay is None or order.expires_at is None:
            return {"status": "Rejected"}
        if bay.fault:
            return {"status": "Faulted"}
        if bay.visit or (bay.booking and bay.booking.number != order.reference):
            return {"status": "Occupied"}
        bay.booking = Booking(order.reference, order.token, order.expires_at)
        return {"status": "Accepted"}

    def _order_cancel(self, order: Order, now: datetime) -> dict[str, Any]:
        for bay in self.bays:
            if bay.booking and bay.booking.number == order.reference:
                bay.booking = None
                return {"status": "Accepted"}
        return {"status": "Rejected"}

    def _order_start(self, order: Order, now: datetime) -> dict[str, Any]:
        """Accepted when a car is plugged in and waits; without a car nothing would ever start."""
        waiting = [bay for bay in self.bays if bay.visit and bay.visit.state in (PLUGGED, REFUSED)]
        for bay in waiting:
            if bay.visit and order.number in (None, bay.number):
                bay.visit.token, bay.visit.remote_start_id = order.token, order.remote_start_id
                self._begin(bay, bay.visit, now)
                return {"status": "Accepted"}
        return {"status": "Rejected"}

    def _order_stop(self, order: Order, now: datetime) -> dict[str, Any]:
        for bay in self.bays:
            if bay.visit and bay.visit.is_running and bay.visit.transaction_ref == order.reference:
                self.end(bay, now, "Remote")
                return {"status": "Accepted"}
        return {"status": "Rejected"}

    def _order_trigger(self, order: Order, now: datetime) -> dict[str, Any]:
        if order.message == "StatusNotification":
            for bay in self.bays:
                if order.number in (None, 0, bay.number):
                    self.shown.pop(bay.number, None)
        elif order.message == "BootNotification":
            self._say("boot", *self.dialect.boot(self))
        elif order.message == "Heartbeat":
            self._say("heartbeat", "Heartbeat", {})
        elif order.message in ("MeterValues", "TransactionEvent"):
            self.meter_at = {}
        else:
            return {"status": "NotImplemented"}
        return {"status": "Accepted"}


def facts_of(bay: Bay, visit: Visit) -> dict[str, Any]:
    """What this charger knows to be true of a session, for kill tests."""
    return {
        "key": visit.key,
        "bay": bay.key,
        "vehicle": visit.vehicle,
        "token": visit.token,
        "transaction_ref": visit.transaction_ref,
        "state": visit.state,
        "started_at": visit.began_at.isoformat(),
        "ended_at": visit.ended_at.isoformat() if visit.ended_at else None,
        "meter_start_wh": visit.meter_start_wh,
        "meter_wh": int(bay.meter_wh),
        "energy_wh": int(bay.meter_wh) - visit.meter_start_wh,
        "soc_percent": round(visit.pack.soc_percent, 2),
        "is_acknowledged": False,
    }
