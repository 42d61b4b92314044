"""The charger's side of a real socket, frame by frame: says what a test wants, answers as the test wants."""

import asyncio
import base64
import contextlib
import itertools
import json
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

PATIENCE_SECONDS = 120.0  # only a red test waits this long
V16, V201, V21 = "ocpp1.6", "ocpp2.0.1", "ocpp2.1"
ALL_VERSIONS = (V16, V201, V21)
NEWER = (V201, V21)
SILENCE = object()  # as a reply: never answer

Payload = dict[str, Any]


def text_of(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _variables(asked: Payload) -> Payload:
    (kind,) = asked
    rows = [
        {"attributeStatus": "Accepted" if kind == "setVariableData" else "UnknownVariable",
         "component": one["component"], "variable": one["variable"]}
        for one in asked[kind]
    ]  # fmt: skip
    return {kind.replace("Data", "Result"): rows}


DEFAULT_REPLIES: dict[str, Any] = {
    "GetConfiguration": {"configurationKey": []},
    "GetVariables": _variables,
    "SetVariables": _variables,
    "GetLocalListVersion": lambda asked: {"listVersion": 0},
    "GetTransactionStatus": {"messagesInQueue": False},
    "GetDiagnostics": {},
    "UpdateFirmware": {},
    "CostUpdated": {},
}


class Refusal(Exception):
    """A CALLERROR: code, description, details."""

    def __init__(self, code: str, description: str, details: object) -> None:
        super().__init__(f"{code}: {description}")
        self.code, self.description, self.details = code, description, details


class Station:
    """One open socket. A reader of its own resolves answers by id, so both directions may cross."""

    def __init__(self, socket: ClientConnection, identity: str) -> None:
        self.socket, self.identity, self.version = socket, identity, str(socket.subprotocol or "")
        self.replies: dict[str, Any] = {}
        self.asked: dict[str, asyncio.Queue[Payload]] = defaultdict(asyncio.Queue)
        self.asked_ids: dict[str, list[str]] = defaultdict(list)
        self.frames: list[Any] = []
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._new_frame = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    # --- speaking -------------------------------------------------------------------------------------------------
    async def call(self, action: str, payload: Payload, message_id: str | None = None) -> Any:
        """The payload of the result; a CALLERROR raises Refusal."""
        message_id = message_id or f"{uuid.uuid4()}"
        await self.send([2, message_id, action, payload])
        return await self.answer_to(message_id)

    async def send(self, frame: object) -> None:
        """Anything: a text goes as it is."""
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def answer_to(self, message_id: str) -> Any:
        """The next answer with this id, also when it has come already."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._new_frame:
            while True:
                for index, frame in enumerate(self.frames):
                    if frame[0] in (3, 4) and frame[1] == message_id:
                        del self.frames[index]
                        if frame[0] == 4:
                            raise Refusal(*frame[2:5])
                        return frame[2]
                await self._new_frame.wait()

    async def refusal_of(self, frame: object, message_id: str) -> str:
        """Send a frame that must be refused; the error code."""
        await self.send(frame)
        try:
            answer = await self.answer_to(message_id)
        except Refusal as refusal:
            return refusal.code
        raise AssertionError(f"answered {answer}")

    # --- being asked ----------------------------------------------------------------------------------------------
    async def next(self, action: str, seconds: float = PATIENCE_SECONDS) -> Payload:
        """The payload of the next CALL of the system with this action."""
        async with asyncio.timeout(seconds):
            return await self.asked[action].get()

    async def closed(self, seconds: float = PATIENCE_SECONDS) -> int | None:
        """The close code, once the system has closed."""
        async with asyncio.timeout(seconds):
            await self.socket.wait_closed()
        return self.socket.close_code

    async def close(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.socket.close(), 2)

    def cut(self) -> None:
        """The line breaks without a word."""
        self._reader.cancel()
        self.socket.transport.abort()

    async def _read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.socket:
                frame = json.loads(text)
                if frame[0] == 2:
                    await self._obey(frame)
                    continue
                async with self._new_frame:
                    self.frames.append(frame)
                    self._new_frame.notify_all()

    async def _obey(self, frame: list[Any]) -> None:
        _, message_id, action, payload = frame
        reply = self.replies.get(action, DEFAULT_REPLIES.get(action, {"status": "Accepted"}))
        if callable(reply):
            reply = reply(payload)
        self.asked_ids[action].append(message_id)
        self.asked[action].put_nowait(payload)
        if isinstance(reply, list):
            await self.send([4, message_id, *reply])
        elif reply is not SILENCE:
            await self.send([3, message_id, reply])

    # --- the words of each version --------------------------------------------------------------------------------
    @property
    def is_16(self) -> bool:
        return self.version == V16

    async def boot(self) -> Payload:
        if self.is_16:
            boot: Payload = {"chargePointVendor": "Test", "chargePointModel": "T1"}
        else:
            boot = {"reason": "PowerUp", "chargingStation": {"vendorName": "Test", "model": "T1"}}
        return dict(await self.call("BootNotification", boot))

    async def status(self, status: str, plug: int = 1, at: datetime | None = None, **more: Any) -> None:
        if self.is_16:
            report: Payload = {"connectorId": plug, "errorCode": "NoError", "status": status, **more}
            if at:
                report["timestamp"] = text_of(at)
        else:
            report = {"evseId": plug, "connectorId": 1 if plug else 0, "connectorStatus": status, **more}
            report["timestamp"] = text_of(at or now())
        await self.call("StatusNotification", report)

    def started(self, token: str, register_wh: int, at: datetime, *, plug: int = 1, reference: str = "",
                **more: Any) -> tuple[str, Payload]:  # fmt: skip
        """StartTransaction, or TransactionEvent Started of the transaction `reference`."""
        if self.is_16:
            start = {"connectorId": plug, "idTag": token, "meterStart": register_wh, "timestamp": text_of(at)}
            return "StartTransaction", {**start, **more}
        payload = self._event("Started", "Authorized", reference, register_wh, at, "Transaction.Begin")
        payload |= {"evse": {"id": plug, "connectorId": 1}, "idToken": id_token(token)}
        return "TransactionEvent", {**payload, **more}

    def metered(self, reference: str, register_wh: int, at: datetime, *, plug: int = 1, seq: int = 1,
                samples: list[Payload] | None = None, **more: Any) -> tuple[str, Payload]:  # fmt: skip
        if self.is_16:
            sampled = samples or [{"value": str(register_wh)}]
            values = [{"timestamp": text_of(at), "sampledValue": sampled}]
            named = {"transactionId": int(reference)} if reference else {}
            return "MeterValues", {"connectorId": plug, **named, "meterValue": values, **more}
        payload = self._event("Updated", "MeterValuePeriodic", reference, register_wh, at, "Sample.Periodic", samples)
        return "TransactionEvent", {**payload, "seqNo": seq, **more}

    def stopped(self, reference: str, register_wh: int, at: datetime, *, seq: int = 2, reason: str = "Local",
                token: str = "", **more: Any) -> tuple[str, Payload]:  # fmt: skip
        if self.is_16:
            stop: Payload = {"transactionId": int(reference), "meterStop": register_wh, "timestamp": text_of(at)}
            return "StopTransaction", {**stop, "reason": reason, **({"idTag": token} if token else {}), **more}
        payload = self._event("Ended", "StopAuthorized", reference, register_wh, at, "Transaction.End")
        payload["transactionInfo"]["stoppedReason"] = reason
        return "TransactionEvent", {**payload, "seqNo": seq, **({"idToken": id_token(token)} if token else {}), **more}

    async def start(self, token: str, register_wh: int, at: datetime | None = None, **more: Any) -> str:
        """Begin a session; what it is called from now on."""
        reference = more.pop("reference", "") or ("" if self.is_16 else str(uuid.uuid4()))
        answer = await self.call(*self.started(token, register_wh, at or now(), reference=reference, **more))
        return str(answer["transactionId"]) if self.is_16 else reference

    async def meter(self, reference: str, register_wh: int, at: datetime | None = None, **more: Any) -> Any:
        return await self.call(*self.metered(reference, register_wh, at or now(), **more))

    async def stop(self, reference: str, register_wh: int, at: datetime | None = None, **more: Any) -> Any:
        return await self.call(*self.stopped(reference, register_wh, at or now(), **more))

    async def authorize(self, token: str) -> str:
        """What is said of a token."""
        if self.is_16:
            return str((await self.call("Authorize", {"idTag": token}))["idTagInfo"]["status"])
        return str((await self.call("Authorize", {"idToken": id_token(token)}))["idTokenInfo"]["status"])

    def _event(
        self, kind: str, trigger: str, reference: str, register_wh: int, at: datetime, context: str,
        samples: list[Payload] | None = None,
    ) -> Payload:  # fmt: skip
        sampled = samples or [{"value": register_wh, "context": context}]
        return {
            "eventType": kind,
            "timestamp": text_of(at),
            "triggerReason": trigger,
            "seqNo": 0,
            "transactionInfo": {"transactionId": reference, "chargingState": "Charging"},
            "meterValue": [{"timestamp": text_of(at), "sampledValue": sampled}],
        }


def id_token(uid: str) -> Payload:
    return {"idToken": uid, "type": "ISO14443"}


def basic(user: str, key: str | bytes) -> dict[str, str]:
    secret = user.encode() + b":" + (key.encode() if isinstance(key, str) else key)
    return {"Authorization": f"Basic {base64.b64encode(secret).decode()}"}


async def connect(
    url: str,
    identity: str,
    *,
    versions: tuple[str, ...] = (V16,),
    headers: dict[str, str] | None = None,
    **options: Any,
) -> Station:
    """Open a socket at exactly `url`; raises websockets.InvalidStatus when it is refused."""
    socket = await websockets.connect(
        url, subprotocols=[websockets.Subprotocol(name) for name in versions] or None,
        additional_headers=headers or {}, compression=None, open_timeout=PATIENCE_SECONDS, max_size=2**22, **options,
    )  # fmt: skip
    return Station(socket, identity)


async def refused(url: str, **options: Any) -> int:
    """The HTTP status with which a handshake is refused."""
    try:
        station = await connect(url, "", **options)
    except websockets.InvalidStatus as error:
        return int(error.response.status_code)
    await station.close()
    raise AssertionError("the handshake was accepted")


async def until(look: Callable[[], Any], what: str = "", seconds: float = PATIENCE_SECONDS) -> Any:
    """The first truthy answer of `look`, asked again and again; may be a coroutine function."""
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                last = look()
                if asyncio.iscoroutine(last):
                    last = await last
                if last:
                    return last
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:.0f} s for {what or look}; last saw {last!r}") from None
