"""A simulated charger without I/O: bays, transactions, and an outbox of calls that survives broken connections."""

import random
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from fleetcharge.demo import obedience, quirks
from fleetcharge.demo.bays import CHARGING, ENDED, PLUGGED, REFUSED, Bay, Visit, facts_of
from fleetcharge.demo.calls import Call, Dialect, Said
from fleetcharge.demo.configuration import Configuration
from fleetcharge.demo.profiles import Profile, limit_w
from fleetcharge.demo.quirks import Quirk

METER_EVERY = timedelta(seconds=5)
AUTHORISE_WITHIN = timedelta(seconds=20)
NOISE_EVERY = timedelta(seconds=30)
MAX_OUTBOX = 400
MAX_ATTEMPTS = 4


@dataclass
class SimCharger:
    """`rng` makes ids; everything else follows from the calls. Times are wall-clock, passed in.

    `later` holds calls with their own time; `restart_at` says that the power is gone until then; `resets_from`: it
    starts again when no session runs after that moment; `installing` is (firmware version, requestId).
    """

    identity: str
    password: str
    model: str
    dialect: Dialect
    bays: list[Bay]
    rng: random.Random
    quirks: set[Quirk] = field(default_factory=set)
    outbox: deque[Call] = field(default_factory=deque)
    later: list[tuple[datetime, Call]] = field(default_factory=list)
    in_flight: Call | None = None
    is_connected: bool = False
    has_booted: bool = False
    meter_every: timedelta = METER_EVERY
    heartbeat_every: timedelta = timedelta(seconds=300)
    heartbeat_at: datetime | None = None
    noise_at: datetime | None = None
    restart_at: datetime | None = None
    resets_from: datetime | None = None
    firmware_version: str = ""
    installing: tuple[str, int | None] | None = None
    uploads: deque[tuple[str, str]] = field(default_factory=deque)
    configuration: Configuration = field(default_factory=Configuration)
    profiles: list[Profile] = field(default_factory=list)
    local_list: dict[str, str] = field(default_factory=dict)
    list_version: int = 0
    meter_at: dict[int, datetime] = field(default_factory=dict)
    shown: dict[int, str] = field(default_factory=dict)
    answered: int = 0
    dropped: int = 0
    log: Callable[[str], None] = lambda line: None
    finished: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=200))
    _references: dict[str, str] = field(default_factory=dict)
    _said_before: deque[Call] = field(default_factory=lambda: deque(maxlen=5))
    _count: int = 0
    _is_refused: bool = False

    # --- the wire -------------------------------------------------------------------------------------------------
    def connected(self, now: datetime) -> None:
        """A socket is open: boot once per power-up, then tell every status; what was unanswered goes first again."""
        self.is_connected, self.shown, self._count, self.restart_at = True, {}, 0, None
        self._is_refused = False
        if self.in_flight and self.in_flight.is_durable:
            self.outbox.appendleft(self.in_flight)
        self.in_flight = None
        self.outbox = deque(call for call in self.outbox if call.is_durable)
        if Quirk.STOP_LATE in self.quirks:
            self._hold_back_stops(now)
        if Quirk.REPEATS_ON_NEW_SOCKET in self.quirks:
            self.outbox.extendleft(replace(call, kind="repeat") for call in reversed(self._said_before))
        self.has_booted |= Quirk.NEVER_BOOTS in self.quirks
        if not self.has_booted or Quirk.BOOT_MID_SESSION in self.quirks:
            self.say("boot", self.dialect.boot(self), at_front=True)
        for bay in self.bays:
            if bay.visit and bay.visit.state == PLUGGED and not bay.visit.waits_for_start:
                self.say("authorize", self.dialect.authorize(bay.visit.token), visit=bay.visit)
        self.heartbeat_at = now + self.heartbeat_every

    def disconnected(self) -> None:
        self.is_connected = False

    def next_call(self) -> Call | None:
        """The call to put on the wire now, if none is unanswered."""
        if self.in_flight or not self.is_connected:
            return None
        while self.outbox and not (self._is_refused and self.outbox[0].kind != "boot"):
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
        if call.is_durable and call.kind != "repeat":
            self._said_before.append(call)
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
        is_passing = code == "InternalError"  # "not stored, send it again": a charger that keeps its money does
        if call.is_durable and (is_passing or call.attempts < MAX_ATTEMPTS):
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
        handler = obedience.HANDLERS.get(order.kind)
        return handler(self, order, now) if handler else None

    # --- what people do -------------------------------------------------------------------------------------------
    def plug_in(self, bay: Bay, visit: Visit, now: datetime) -> None:
        """A car arrives; its token is asked for, and when nobody answers the local list or patience decides."""
        bay.visit, bay.expected, visit.state = visit, "", PLUGGED
        visit.wait_until = None if visit.waits_for_start else now + AUTHORISE_WITHIN
        is_for_others = bay.booking is not None and bay.booking.token != visit.token
        if bay.is_switched_off or (is_for_others and Quirk.IGNORES_RESERVATIONS not in self.quirks):
            visit.state = REFUSED
        elif visit.waits_for_start:
            return
        elif self.is_connected:
            self.say("authorize", self.dialect.authorize(visit.token), visit=visit)
        elif listed := self.local_list.get(visit.token.upper()):
            visit.wait_until = now
            visit.state = PLUGGED if listed == "Accepted" else REFUSED

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
        is_told = reason != "PowerLoss" or Quirk.NO_STOP_AFTER_POWER_LOSS not in self.quirks
        if is_told:
            self.say("stop", self.dialect.stop(bay, visit, now), is_durable=True, visit=visit, names_it=True)
        self.meter_at.pop(bay.number, None)
        self.profiles = [one for one in self.profiles if one.purpose != "TxProfile" or one.evse_number != bay.number]
        self.finished.append({**facts_of(bay, visit), "is_told": is_told})

    def break_down(self, bay: Bay, code: str, now: datetime, cleared_at: datetime | None = None) -> None:
        """A fault ends what runs; the driver moves on."""
        self.end(bay, now, "Other")
        bay.fault, bay.cleared_at, bay.booking = code, cleared_at, None

    def restart(self, now: datetime, seconds: float, reason: str) -> None:
        """Everything that runs ends, the line breaks, and after some seconds it boots again."""
        for bay in self.bays:
            self.leave(bay, now, reason)
            if Quirk.FORGETS_RESERVATIONS in self.quirks:
                bay.booking = None
        obedience.on_restart(self)
        self.has_booted, self.resets_from = False, None
        self.restart_at = now + timedelta(seconds=seconds)

    def tick(self, now: datetime) -> None:
        """Samples, expiries, waiting tokens, statuses and whatever else is due."""
        self._release_due(now)
        for bay in self.bays:
            if bay.fault and bay.cleared_at and bay.cleared_at <= now:
                bay.fault = ""
            bay.expire_booking(now)
            self._limit(bay, now)
            if bay.visit:
                self._tend(bay, bay.visit, now)
            self._show(bay, now)
        if self.is_connected and self.heartbeat_at and self.heartbeat_at <= now:
            self.heartbeat_at = now + self.heartbeat_every
            self.say("heartbeat", ("Heartbeat", {}))
        is_idle = not any(bay.visit and bay.visit.is_running for bay in self.bays)
        if self.resets_from and self.resets_from <= now and is_idle:
            self.restart(now, obedience.RESTART_SECONDS, "Reboot")

    def noise(self, now: datetime) -> list[str]:
        """Texts on the wire that mean nothing, for those who make noise."""
        texts = [text for quirk, text in _NOISE.items() if quirk in self.quirks]
        if not texts or (self.noise_at and now < self.noise_at):
            return []
        self.noise_at = now + NOISE_EVERY
        return texts

    def forget(self, bay: Bay) -> None:
        """The car was never here: nothing of its visit has been told yet."""
        key = bay.visit.key if bay.visit else ""
        self.outbox = deque(call for call in self.outbox if call.visit_key != key)
        bay.visit = None
        self.meter_at.pop(bay.number, None)

    def unanswered(self) -> list[Call]:
        """What must be said again, oldest first."""
        held = [call for _, call in self.later]
        return [call for call in [self.in_flight, *self.outbox, *held] if call and call.is_durable]

    def stops_after_power_cut(self, now: datetime) -> list[Call]:
        """The stops of what runs now, as they would be told when the power comes back."""
        calls = []
        for bay in self.bays:
            visit = bay.visit
            if visit is None or not visit.is_running:
                continue
            ended = replace(visit, state=ENDED, stop_reason="PowerLoss", sequence=visit.sequence + 1)
            action, payload = self.dialect.stop(bay, ended, now)
            payload = quirks.bend(self.quirks, "stop", payload, visit.meter_start_wh)
            reference = visit.transaction_ref
            payload = self.dialect.with_reference(payload, reference) if reference else payload
            calls.append(Call(self._random_id(), "stop", action, payload, True, visit.key, not reference))
        return calls

    def say(
        self, kind: str, said: Said, *, is_durable: bool = False, visit: Visit | None = None, names_it: bool = False,
        at_front: bool = False, at: datetime | None = None,
    ) -> None:  # fmt: skip
        """Queue a call. `names_it`: it names a transaction the system may not have numbered yet; `at`: not before."""
        action, payload = said
        payload = quirks.bend(self.quirks, kind, payload, visit.meter_start_wh if visit else 0)
        if action == "TransactionEvent" and not self.is_connected:
            payload["offline"] = True
        call = Call(self._new_id(), kind, action, payload, is_durable, visit.key if visit else "", names_it)
        if names_it and visit is not None and visit.transaction_ref:
            self._name(call, visit.transaction_ref)
        if at is not None:
            self.later.append((at, call))
        elif at_front:
            self.outbox.appendleft(call)
        else:
            self.outbox.append(call)
        if len(self.outbox) > MAX_OUTBOX:
            self._thin_out()

    def bay(self, number: int | None) -> Bay | None:
        return next((bay for bay in self.bays if bay.number == number), None)

    # --- inside ---------------------------------------------------------------------------------------------------
    def _show(self, bay: Bay, now: datetime) -> None:
        status = bay.status
        if status == "Charging" and Quirk.AVAILABLE_WHILE_CHARGING in self.quirks:
            status = "Available"
        if status == "Available" and bay.visit is None and Quirk.STATUS_FLAPPING in self.quirks:
            status = "Unavailable" if self.shown.get(bay.number) == "Available" else "Available"
        if self.is_connected and self.has_booted and self.shown.get(bay.number) != status:
            self.shown[bay.number] = status
            self.say("status", self.dialect.status(bay, status, now))

    def _limit(self, bay: Bay, now: datetime) -> None:
        visit = bay.visit if bay.visit and bay.visit.is_running else None
        bay.limit_w = limit_w(
            self.profiles, bay.number, now, transaction_ref=visit.transaction_ref if visit else "",
            began_at=visit.began_at if visit else None,
        ) if self.profiles else None  # fmt: skip

    def _tend(self, bay: Bay, visit: Visit, now: datetime) -> None:
        if visit.state == PLUGGED and visit.wait_until and now >= visit.wait_until:
            self.begin(bay, visit, now)
        if visit.is_running and now >= self.meter_at.get(bay.number, now):
            self.meter_at[bay.number] = now + self.meter_every
            visit.sequence += 1
            self.say("meter", self.dialect.meter(bay, visit, now), is_durable=True, visit=visit, names_it=True)

    def begin(self, bay: Bay, visit: Visit, now: datetime) -> None:
        """The transaction starts."""
        visit.state, visit.began_at, visit.meter_start_wh = CHARGING, now, int(bay.meter_wh)
        if bay.booking and bay.booking.token == visit.token:
            visit.reservation, bay.booking = bay.booking.number, None
        self.say("start", self.dialect.start(bay, visit, now), is_durable=True, visit=visit)
        self.meter_at[bay.number] = now + self.meter_every

    def _hold_back_stops(self, now: datetime) -> None:
        self.later += [(now + quirks.LATE_STOP, call) for call in self.outbox if call.kind == "stop"]
        self.outbox = deque(call for call in self.outbox if call.kind != "stop")

    def _release_due(self, now: datetime) -> None:
        if any(at <= now for at, _ in self.later):
            for _, call in [entry for entry in self.later if entry[0] <= now]:
                (self.outbox.appendleft if call.kind == "boot" else self.outbox.append)(call)
            self.later = [(at, call) for at, call in self.later if at > now]

    def _new_id(self) -> str:
        self._count += 1
        return str(self._count) if Quirk.NUMERIC_IDS in self.quirks else self._random_id()

    def _random_id(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

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
        if reference := self._references.get(call.visit_key, ""):
            self._name(call, reference)
        return bool(reference)

    def _name(self, call: Call, reference: str) -> None:
        payload = self.dialect.with_reference(call.payload, reference)
        call.payload, call.needs_ref = quirks.bend_reference(self.quirks, call.kind, payload), False

    def _visit(self, key: str) -> tuple[Bay, Visit] | None:
        return next(((bay, bay.visit) for bay in self.bays if bay.visit and bay.visit.key == key), None)

    def _after_boot(self, call: Call, answer: dict[str, Any], now: datetime) -> None:
        self.has_booted = answer.get("status") == "Accepted"
        self._is_refused = answer.get("status") == "Rejected"
        interval = timedelta(seconds=max(10, int(answer.get("interval") or 300)))
        self.heartbeat_at = now + interval
        if self.has_booted:
            self.heartbeat_every = interval
            obedience.firmware_installed(self)
        else:
            self.say("boot", self.dialect.boot(self), at=now + interval, at_front=True)

    def _after_authorize(self, call: Call, answer: dict[str, Any], now: datetime) -> None:
        found = self._visit(call.visit_key)
        if found is None or found[1].state != PLUGGED:
            return
        bay, visit = found
        if self.dialect.token_status(answer) == "Accepted":
            self.begin(bay, visit, now)
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


_NOISE = {
    Quirk.MALFORMED_FRAMES: '[2,"noise","Heartbeat",{',
    Quirk.RESULT_FOR_UNKNOWN_ID: '[3,"nobody-asked-this",{}]',
}
