"""WebSocket routes by path prefix: (prefix, ASGI application)."""

from typing import Any

from dispatch.consumers import live_socket

websocket_routes: list[tuple[str, Any]] = [("/ws/live/", live_socket)]
