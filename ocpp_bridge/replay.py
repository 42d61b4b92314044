"""Plays the charger's side of a recording against a test server: its CALLs in its rhythm, its answers to ours."""

import asyncio
import base64
import contextlib
import re
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import websockets
from websockets.asyncio.client import ClientConnection

ANSWER_SECONDS = 30
RECORDED_TAG = re.compile(r"#[0-9a-f]{16}")  # as the recorder writes it (recorder.hash_tag)


@dataclass(frozen=True)
class Line:
    """One line of a downloaded recording."""

    at: datetime
    is_inbound: bool
    kind: str
    action: str
    message_id: str
    frame: Any
    raw: str


@dataclass
class Outcome:
    """What came of a replay."""

    sent: int = 0
    answered: int = 0
    errors: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    different: list[str] = field(default_factory=list)
    unanswered: int = 0
    asked: int = 0
    skipped: int = 0
    seconds: float = 0.0


def read(lines: Iterable[bytes]) -> list[Line]:
    """The recording in time order; lines that are none are left out. Frames that are no JSON keep their text."""
    found = []
    for text in lines:
        with contextlib.suppress(orjson.JSONDecodeError, KeyError, ValueError, TypeError):
            row = orjson.loads(text)
            raw = str(row["frame"])
            with contextlib.suppress(orjson.JSONDecodeError):
                row["frame"] = orjson.loads(raw)
            found.append(
                Line(
                    datetime.fromisoformat(row["at"]), row["direction"] == "in", str(row["kind"]), str(row["action"]),
                    str(row["message_id"]), row["frame"], raw,
                )
            )  # fmt: skip
    return sorted(found, key=lambda line: line.at)


def tags_of(lines: Iterable[Line]) -> set[str]:
    """The hashes of all tags that the charger sent."""
    return {text for line in lines if line.is_inbound for text in _texts(line.frame) if RECORDED_TAG.fullmatch(text)}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


class Replay:
    """`speed` 10 means ten times as fast as it was; 0 without any pause.

    OCPP 1.6 transaction ids are the server's: the ids of the recording are replaced by those this server gives. A
    recording has only the hashes of tags; `tags` says which token of this server each of them is to be.
    """

    def __init__(self, lines: list[Line], *, speed: float, tags: Mapping[str, str] | None = None) -> None:
        self.lines, self.speed, self.tags = lines, speed, tags or {}
        self.outcome = Outcome()
        self._waiting: dict[str, asyncio.Future[list[Any]]] = {}
        self._transactions: dict[int, int] = {}
        self._recorded: dict[str, Line] = {}
        self._replies: dict[str, deque[Any]] = defaultdict(deque)
        self._learn()

    def _learn(self) -> None:
        """What the server answered then, and what the charger answered to each action."""
        for line in self.lines:
            is_answer = line.kind in {"CALLRESULT", "CALLERROR"} and isinstance(line.frame, list)
            if is_answer and line.is_inbound:
                self._replies[line.action].append(line.frame)
            elif is_answer:
                self._recorded[line.message_id] = line

    async def run(self, url: str, *, identity: str, key: str = "", protocol: str = "ocpp1.6") -> Outcome:
        headers = {}
        if key:
            token = base64.b64encode(f"{identity}:{key}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        began = time.monotonic()
        async with websockets.connect(
            f"{url.rstrip('/')}/{identity}", subprotocols=[websockets.Subprotocol(protocol)], compression=None,
            additional_headers=headers, max_size=None,
        ) as socket:  # fmt: skip
            reader = asyncio.create_task(self._read(socket))
            try:
                await self._play(socket)
            finally:
                reader.cancel()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    async def _play(self, socket: ClientConnection) -> None:
        before: datetime | None = None
        for line in self.lines:
            if not line.is_inbound or line.kind in {"CALLRESULT", "CALLERROR"}:
                continue
            if before is not None and self.speed > 0:
                await asyncio.sleep(max(0.0, (line.at - before).total_seconds()) / self.speed)
            before = line.at
            if line.kind == "CALL" and isinstance(line.frame, list) and len(line.frame) == 4:
                await self._call(socket, line)
            else:
                await socket.send(line.raw)
                self.outcome.skipped += 1

    async def _call(self, socket: ClientConnection, line: Line) -> None:
        frame = [*line.frame[:3], self._with_tokens(self._with_new_ids(line.frame[3]))]
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting[str(frame[1])] = future
        self.outcome.sent += 1
        await socket.send(orjson.dumps(frame).decode())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await future
        except TimeoutError:
            self.outcome.unanswered += 1
            return
        finally:
            self._waiting.pop(str(frame[1]), None)
        self._compare(line, answer)

    def _with_tokens(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._with_tokens(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self._with_tokens(part) for part in value]
        return self.tags.get(value, value) if isinstance(value, str) else value

    def _with_new_ids(self, payload: Any) -> Any:
        if not isinstance(payload, dict) or payload.get("transactionId") not in self._transactions:
            return payload
        return {**payload, "transactionId": self._transactions[payload["transactionId"]]}

    def _compare(self, line: Line, answer: list[Any]) -> None:
        self.outcome.answered += 1
        if answer[0] == 4:
            self.outcome.errors[str(answer[2])] += 1
        then = self._recorded.get(line.message_id)
        if then is None:
            return
        if line.action == "StartTransaction" and answer[0] == 3 and then.frame[0] == 3:
            with contextlib.suppress(KeyError, TypeError):
                self._transactions[then.frame[2]["transactionId"]] = answer[2]["transactionId"]
        if _gist(then.frame) != _gist(answer):
            self.outcome.different.append(f"{line.action} {line.message_id}: {_gist(then.frame)} -> {_gist(answer)}")

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in socket:
                frame = orjson.loads(text)
                if frame[0] == 2:
                    self.outcome.asked += 1
                    await socket.send(orjson.dumps(self._answer(frame)).decode())
                elif (waiting := self._waiting.get(str(frame[1]))) and not waiting.done():
                    waiting.set_result(frame)

    def _answer(self, frame: list[Any]) -> list[Any]:
        """As the charger answered this action then; `Accepted` when it was never asked."""
        replies = self._replies.get(frame[2])
        if not replies:
            return [3, frame[1], {"status": "Accepted"}]
        reply = replies[0] if len(replies) == 1 else replies.popleft()
        return [reply[0], frame[1], *reply[2:]]


def _gist(frame: list[Any]) -> str:
    """What must be the same for two answers to mean the same."""
    if frame[0] == 4:
        return f"CALLERROR {frame[2]}"
    payload = frame[2] if isinstance(frame[2], dict) else {}
    info = payload.get("idTagInfo") or payload.get("idTokenInfo") or {}
    return str(payload.get("status") or info.get("status") or "ok")
