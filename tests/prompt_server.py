"""uvicorn for tests that start a server each: its own `Server` takes two or three tenths of a second to leave."""

import asyncio
import contextlib
import socket

import uvicorn

TICK_SECONDS = 1.0  # how often its answers get another date
POLL_SECONDS = 0.002


class PromptServer(uvicorn.Server):  # type: ignore[misc]
    """Leaves as soon as it is told to and has answered everybody."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_told = asyncio.Event()

    def leave(self) -> None:
        """From any thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has gone
                self._loop.call_soon_threadsafe(self._is_told.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._is_told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for door in [*self.servers, *(sockets or [])]:
            door.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(POLL_SECONDS)
        for server in self.servers:
            await server.wait_closed()
