"""A charger that speaks OCPP 1.6J and behaves like real ones: keeps what was not acknowledged and sends it again."""

import asyncio
import base64
import contextlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import websockets


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TestCharger:
    """One connector. `run()` connects, boots, reconnects for ever; `call()` returns only when it was answered."""

    __test__ = False

    def __init__(self, base_url: str, identity: str, key: str) -> None:
        self.url, self.identity, self.key = f"{base_url}/{identity}", identity, key
        self.answers: dict[str, asyncio.Future[Any]] = {}
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.reserved: dict[str, Any] | None = None
        self.connections = 0
        self._socket: Any = None
        self._up = asyncio.Event()

    async def run(self) -> None:
        token = base64.b64encode(f"{self.identity}:{self.key}".encode()).decode()
        while True:
            with contextlib.suppress(OSError, websockets.WebSocketException, TimeoutError):
                async with websockets.connect(
                    self.url, subprotocols=[websockets.Subprotocol("ocpp1.6")], compression=None, open_timeout=20,
                    additional_headers={"Authorization": f"Basic {token}"},
                ) as socket:  # fmt: skip
                    await self._serve(socket)
            self._up.clear()
            await asyncio.sleep(0.2)

    async def _serve(self, socket: Any) -> None:
        self._socket = socket
        self.connections += 1
        reader = asyncio.create_task(self._read(socket))
        try:
            boot = {"chargePointVendor": "Test", "chargePointModel": "T1"}
            await self._exchange("BootNotification", boot, str(uuid.uuid4()), 20)
            self._up.set()
            await reader
        finally:
            reader.cancel()

    async def _read(self, socket: Any) -> None:
        async for text in socket:
            frame = json.loads(text)
            if frame[0] == 2:
                await socket.send(json.dumps([3, frame[1], self._obey(frame[2], frame[3])]))
            elif (waiting := self.answers.get(frame[1])) and not waiting.done():
                if frame[0] == 3:
                    waiting.set_result(frame[2])
                else:
                    waiting.set_exception(ConnectionError(f"CALLERROR {frame[2:]}"))

    def _obey(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.received.append((action, payload))
        if action == "ReserveNow":
            self.reserved = payload
        if action == "CancelReservation":
            self.reserved = None
        return {"status": "Accepted"}

    async def _exchange(self, action: str, payload: dict[str, Any], message_id: str, seconds: float) -> Any:
        self.answers[message_id] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps([2, message_id, action, payload]))
        return await asyncio.wait_for(self.answers[message_id], seconds)

    async def call(self, action: str, payload: dict[str, Any], seconds: float = 180.0) -> Any:
        """Send until acknowledged, always under the same message id, whatever dies in between."""
        message_id = str(uuid.uuid4())
        async with asyncio.timeout(seconds):
            while True:
                await self._up.wait()
                with contextlib.suppress(OSError, websockets.WebSocketException, TimeoutError):
                    return await self._exchange(action, payload, message_id, 4)
                await asyncio.sleep(0.1)

    async def status(self, status: str) -> None:
        report = {"connectorId": 1, "errorCode": "NoError", "status": status, "timestamp": now_text()}
        await self.call("StatusNotification", report)

    async def start(self, id_tag: str, meter_wh: int, reservation: int | None = None) -> int:
        request = {"connectorId": 1, "idTag": id_tag, "meterStart": meter_wh, "timestamp": now_text()}
        if reservation is not None:
            request["reservationId"] = reservation
        answer = await self.call("StartTransaction", request)
        return int(answer["transactionId"])

    async def meter(self, transaction: int, energy_wh: int, power_w: int, soc: int) -> None:
        sampled = [
            {"value": str(energy_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
            {"value": str(power_w), "measurand": "Power.Active.Import", "unit": "W"},
            {"value": str(soc), "measurand": "SoC", "unit": "Percent", "location": "EV"},
        ]
        values = [{"timestamp": now_text(), "sampledValue": sampled}]
        await self.call("MeterValues", {"connectorId": 1, "transactionId": transaction, "meterValue": values})

    async def stop(self, transaction: int, energy_wh: int, id_tag: str) -> None:
        request = {"transactionId": transaction, "meterStop": energy_wh, "timestamp": now_text(), "idTag": id_tag}
        await self.call("StopTransaction", request)
