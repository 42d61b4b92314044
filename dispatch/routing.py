"""WebSocket routes by path prefix: (prefix, ASGI application)."""

from typing import Any

websocket_routes: list[tuple[str, Any]] = []
