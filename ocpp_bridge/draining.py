"""How a realtime process ends: SIGTERM first lets the chargers go, then stops the server."""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

from django.conf import settings

from ocpp_bridge.hub import hub

logger = logging.getLogger(__name__)


def drain_on_sigterm(*others: Callable[[], Awaitable[None]]) -> None:
    """Put the drain before the server's own handler of SIGTERM (uvicorn installs it before it starts the lifespan).

    `others` close what else would keep its connections open. A second SIGTERM, and SIGINT, go to the server at once.
    """
    server = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(server):
        return
    loop = asyncio.get_running_loop()
    running: list[asyncio.Task[None]] = []

    async def let_go(number: int, frame: FrameType | None) -> None:
        try:
            await asyncio.gather(hub.drain(settings.OCPP_DRAIN_SECONDS), *(close() for close in others))
        except Exception:
            logger.exception("the drain failed")
        server(number, frame)

    def begin(number: int, frame: FrameType | None) -> None:
        if running:
            server(number, frame)
        else:
            loop.call_soon_threadsafe(lambda: running.append(loop.create_task(let_go(number, frame))))

    signal.signal(signal.SIGTERM, begin)
