"""One charger's socket: handshake, frames in order, answers out; no input may end it wrongly."""

import asyncio
import logging
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from channels.exceptions import StopConsumer
from django.conf import settings

from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.sockets import ABORT, HEAR, WRITE
from ocpp_bridge import arrivals, frames, handshake, metrics
from ocpp_bridge.calls import Calls
from ocpp_bridge.clocks import ClockWatch
from ocpp_bridge.handshake import Admission, Known, Refused
from ocpp_bridge.hub import hub
from ocpp_bridge.lane import Lane
from ocpp_bridge.lean import LeanConsumer
from ocpp_bridge.packs import IN
from ocpp_bridge.recorder import Noted, recorder
from ocpp_bridge.station import Station
from ocpp_bridge.threads import in_database
from ocpp_bridge.throttle import Bucket, Throttle
from ocpp_bridge.v2 import MEANING_21, MEANING_201
from ocpp_bridge.v16 import MEANING_16
from stations.models import Charger
from stations.services import Arrival

MEANINGS = {meaning.dialect.subprotocol: meaning for meaning in (MEANING_16, MEANING_201, MEANING_21)}
MALFORMED_PER_MINUTE = 20
MAX_HANDSHAKES = 5_000  # at a time; a storm of reconnects is far below, a flood is told to come again
REPLACED, PROTOCOL_ERROR = 4000, 1002
CLOSE_SECONDS = 2.0  # for the close frame to find room behind what the charger has not read yet
THROTTLED = 429, "throttled", "Too many failed attempts; try again in a minute."
_ANSWERS = frozenset({frames.RESULT, frames.ERROR})
NO_PROOF = Charger.SecurityProfile.NONE
PERHAPS = "a proxy that is missing in FLEETCHARGE_TRUSTED_PROXIES, or chargers of one site with wrong keys"

# Per address and identity, so that a stranger's failures never lock a charger out of its own line. An address that
# fails too often, whatever the identities, only hears 429; who brings the right key is let in all the same.
identity_throttle = Throttle(limit=10, seconds=60)
address_throttle = Throttle(limit=100, seconds=60)

logger = logging.getLogger(__name__)


class ChargerConsumer(LeanConsumer):
    """OCPP-J server side. CALLs go through one ordered worker; results of our own CALLs are resolved at once.

    What needs no more than a write is answered where it arrives, if the server offers that (`hear`), without the queue
    of the socket and a turn of this task.
    """

    station: Station | None = None
    epoch = 0
    is_closed = False
    is_busy = True  # between messages nobody is
    read_ahead: frames.Frame | None = None
    _last_heard: Noted | None = None
    has_courier = False
    has_settled = False
    asked_to_boot_at = asked_for_a_sign_at = float("-inf")
    is_leaving = False
    handshakes = 0
    address = ""

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        offered = self.scope.get("subprotocols") or ()
        ChargerConsumer.handshakes += 1
        try:
            identity, known, admission = await self._authenticate()
            subprotocol = handshake.choose_subprotocol(offered, known.subprotocols)
            self.epoch = await self._take_over(known, subprotocol, admission)
            self.admission = admission
            hub.taken_over(known.charger_id, self.epoch)
        except Refused as refused:
            await self._refuse(refused)
            return
        finally:
            ChargerConsumer.handshakes -= 1
        self.meaning, self.dialect = MEANINGS[subprotocol], MEANINGS[subprotocol].dialect
        self.lane = Lane(self.dialect, self.send_frame, settings.OCPP_CALL_TIMEOUT_SECONDS)
        self.station = Station(known.charger_id, known.organisation_id, identity, known.registration)
        self.station.has_booted = known.has_booted or self.meaning.before_acceptance is None
        self.station.profile = known.profile
        self.station.clock = ClockWatch(known.clock_skew_seconds)
        self._bucket = Bucket(settings.OCPP_MESSAGES_PER_SECOND, settings.OCPP_MESSAGES_BURST)
        self.calls = Calls(self.station, self.meaning, self.send_frame, self.send_now)
        self._limit_bytes: int = settings.OCPP_MAX_FRAME_BYTES
        self._malformed: deque[float] = deque(maxlen=MALFORMED_PER_MINUTE)
        self.connected_at = self.heard_at = time.monotonic()
        recorder.start()
        metrics.connected(subprotocol, self.epoch)
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol if offered else None})
        await hub.register(self)
        self._use_short_ways(self.scope.get("extensions") or {})

    def _use_short_ways(self, extensions: dict[str, Any]) -> None:
        self._write = extensions.get(WRITE, _never)
        self.is_busy = False
        if HEAR in extensions:
            extensions[HEAR](self.hear)

    async def _authenticate(self) -> tuple[str, Known, Admission]:
        if hub.is_draining:
            raise Refused(503, "draining", "This node is stopping; another one takes over.")
        if ChargerConsumer.handshakes > MAX_HANDSHAKES:
            raise Refused(503, "busy", "Too many chargers knock at once; try again in a minute.")
        identity = handshake.identity_of(self.scope)
        self.address = address_of_scope(self.scope)
        pair = f"{identity}|{self.address}"
        self._check_pair(pair)
        try:
            known = await self._look_up(identity, may_onboard=not address_throttle.is_blocked(self.address))
            self._check_pair(pair)  # hundreds may have asked while the database looked
            admission = handshake.admit(self.scope, identity, known)
        except Refused as refused:
            if refused.status in {401, 404}:
                self._note_failure(pair)
            raise
        if admission.security_profile == NO_PROOF and address_throttle.is_blocked(self.address):
            raise Refused(*THROTTLED)
        identity_throttle.forgive(pair)
        return identity, known, admission

    @staticmethod
    def _check_pair(pair: str) -> None:
        if identity_throttle.is_blocked(pair):
            raise Refused(*THROTTLED)

    def _note_failure(self, pair: str) -> None:
        """Count it; from a blocked address it is no answer to what was asked. Raises Refused(429) then."""
        was_blocked = address_throttle.is_blocked(self.address)
        identity_throttle.fail(pair)
        if address_throttle.fail(self.address) and (others := hub.count_at(self.address)):
            logger.warning(
                "%s is blocked for its failures, and holds %d sockets of ours: " + PERHAPS, self.address, others
            )
        if was_blocked:
            raise Refused(*THROTTLED)

    async def _look_up(self, identity: str, *, may_onboard: bool) -> Known:
        try:
            known = await arrivals.known_charger(identity)
            if known is None and may_onboard and settings.OCPP_UNKNOWN_CHARGERS == "onboard":
                known = await in_database(handshake.onboard, identity, self.scope, datetime.now(UTC))
        except Exception:
            logger.exception("cannot look up %r", identity)
            raise Refused(503, "unavailable", "The database does not answer.") from None
        if known is None:
            raise Refused(404, "unknown_charger", "No charger has this identity.")
        return known

    async def _take_over(self, known: Known, subprotocol: str, admission: Admission) -> int:
        """From here on, the charger's newest socket is this one: a higher epoch than any before."""
        try:
            return await arrivals.take_over(
                Arrival(
                    charger_id=known.charger_id,
                    node=hub.node,
                    protocol=subprotocol,
                    security_profile=admission.security_profile,
                    used_key_hash=admission.next_key_hash,
                    at=datetime.now(UTC),
                )
            )
        except Exception:
            logger.exception("cannot register the socket of charger %s", known.charger_id)
            raise Refused(503, "unavailable", "The database does not answer.") from None

    async def _refuse(self, refused: Refused) -> None:
        """A real HTTP status where the server has the extension (uvicorn); Daphne can only say 403.

        The answer is complete once uvicorn says that the connection is gone; then the consumer ends.
        """
        path = self.scope["path"][:80]
        logger.warning("refused %r: %s %s (%s)", path, refused.status, refused.code, refused.detail)
        metrics.refusals.add((refused.code,))
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            await self.send({"type": "websocket.close", "code": 4000 + refused.status})
            raise StopConsumer
        headers = [(b"content-type", b"application/json")]
        if refused.status == 401:
            headers.append((b"www-authenticate", b'Basic realm="OCPP"'))
        body = b'{"detail":"%s","code":"%s"}' % (refused.detail.encode(), refused.code.encode())
        await self.send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
        await self.send({"type": "websocket.http.response.body", "body": body})

    async def dispatch(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.receive":  # all but two events of a socket's life
            return await self.websocket_receive(message)
        return await super().dispatch(message)

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        if self.is_closed or self.station is None:
            return
        self.is_busy = True
        raw = message.get("text")
        if raw is None:
            raw = message.get("bytes") or b""
        frame, self.read_ahead = self.read_ahead, None
        if frame is None:
            frame = self._read(raw)
            await self._deal_with(frame, len(raw))
            if pause := self._bucket.take(len(raw)):
                await asyncio.sleep(pause)
        else:
            await self._deal_with(frame, len(raw))
        self.is_busy = False

    def hear(self, text: str) -> bool:
        """Take a text before it is queued, when nothing is before it and it can be dealt with at once.

        False leaves it, perhaps read already, to `websocket_receive`, which gets it next.
        """
        if self.is_busy or self.is_closed or not self._bucket.spend(len(text)):
            return False
        frame = self._read_typed(text)
        if frame is not None:
            self._note(text, frame)
            if self._is_taken(frame):
                return True
            plain = frames.parse(text, self.dialect, limit_bytes=self._limit_bytes)
            if isinstance(plain, frames.Call):
                plain.message_id = frame.message_id  # the recorder knows its answer by it
        else:
            plain = self._read(text)
        if isinstance(plain, frames.Call) and self._is_taken(plain):
            return True
        self.read_ahead = plain
        return False

    def _read_typed(self, text: str) -> frames.TypedCall | None:
        if self.station is None or self.station.profile is not None:  # the classes know no quirks
            return None
        return frames.parse_typed(text, self.meaning.readers, limit_bytes=self._limit_bytes)

    def _is_taken(self, call: frames.Call | frames.TypedCall) -> bool:
        try:
            return self.calls.put_now(call)
        except Exception:
            logger.exception("a short way failed")
            return False

    @property
    def is_idle(self) -> bool:
        """Everything that was heard has been answered, also what has only just come in."""
        return not self.is_busy and self.read_ahead is None and self.calls.is_idle

    def _read(self, raw: str | bytes) -> frames.Frame:
        frame = frames.parse(raw, self.dialect, limit_bytes=self._limit_bytes)
        self._note(raw, frame)
        return frame

    def _note(self, raw: str | bytes, frame: frames.Frame | frames.TypedCall) -> None:
        assert self.station is not None  # noqa: S101 (nobody is heard before)
        self.heard_at = time.monotonic()
        head = frames.head_of(frame)
        if head[0] in _ANSWERS:
            kind, message_id, _, code, _ = head
            action, seconds = self.lane.asked(message_id)
            head = (kind, message_id, action, code, seconds)
        self._last_heard = recorder.note(self.station.charger_id, IN, raw, head)

    async def _deal_with(self, frame: frames.Frame, length: int) -> None:
        assert self.station is not None  # noqa: S101
        if isinstance(frame, frames.Call):
            await self.calls.put(frame, length)
        elif isinstance(frame, frames.Malformed):
            await self._answer_malformed(frame)
        elif isinstance(frame, frames.ResultError):
            logger.warning("%s cannot use our answer: %s %s", self.station.identity, frame.code, frame.description)
        else:
            self.lane.resolve(frame)

    async def _answer_malformed(self, frame: frames.Malformed) -> None:
        now = time.monotonic()
        identity = self.station.identity if self.station else ""
        logger.warning("malformed frame from %s: %s %s", identity, frame.code, frame.description)
        self._malformed.append(now)
        if frame.message_id is not None:
            head = (frames.ERROR, frame.message_id, "", frame.code, None)
            await self.send_frame(frames.encode_error(frame.message_id, frame.code, frame.description), head)
        if len(self._malformed) == MALFORMED_PER_MINUTE and now - self._malformed[0] < 60:
            await self.close(PROTOCOL_ERROR, "too many malformed frames")

    def send_now(self, text: str, head: frames.Head) -> bool:
        """Send if that needs no waiting; False: nothing happened."""
        if self.is_closed or self.station is None or not self._write(text):
            return False
        recorder.note_answer(self._last_heard, self.station.charger_id, text, head)
        return True

    async def send_frame(self, text: str, head: frames.Head) -> None:
        """Send unless the socket is gone; then the receive loop learns of it by itself."""
        if self.is_closed or self.station is None:
            return
        recorder.note_answer(self._last_heard, self.station.charger_id, text, head)
        try:
            await self.base_send({"type": "websocket.send", "text": text})
        except Exception as error:  # servers raise their own classes here
            logger.debug("cannot send: %r", error)

    async def replaced(self) -> None:
        """A newer socket of the same charger has taken over; nothing this one says counts any more."""
        await self.close(REPLACED, "replaced")

    async def close(self, code: int, reason: str) -> None:
        if self.is_closed:
            return
        self._stop(reason)
        limit = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._abort)
        try:
            await self.base_send({"type": "websocket.close", "code": code, "reason": reason})
        except Exception as error:
            logger.debug("cannot close: %r", error)
        finally:
            limit.cancel()

    def _abort(self) -> None:
        """It does not take what it is sent, so it will not take a goodbye either (Daphne gives up by itself)."""
        abort = (self.scope.get("extensions") or {}).get(ABORT)
        if abort is not None:
            abort()

    def _stop(self, reason: str) -> None:
        self.is_closed = True
        self.calls.stop()
        self.lane.fail(reason)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def cleanup(self) -> None:
        if self.station is None:
            return
        self._stop("disconnected")
        hub.unregister(self)
        try:
            await arrivals.leave(charger_id=self.station.charger_id, epoch=self.epoch, at=datetime.now(UTC))
        except Exception:  # the sweep of silent chargers will notice
            logger.warning("could not note the end of the socket of %s", self.station.identity)


def _never(text: str) -> bool:
    """For servers without the short way."""
    return False
