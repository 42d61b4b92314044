"""What the realtime process serves while it is measured: the application as it is, and beside its sockets the floor."""

import os
from typing import Any

from bench.live import _floor as floor
from bench.ui.system import ALL_SPRITES
from fleetcharge import asgi

if os.environ.get(ALL_SPRITES):  # nothing is told in cells
    from dispatch import cells

    cells.FEW = cells.MANY = 10**9


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket" and scope["path"] == "/floor/":
        await floor(receive, send)
    else:
        await asgi.application(scope, receive, send)
