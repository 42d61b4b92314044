"""Realtime routes by path prefix: (prefix, ASGI application)."""

from typing import Any

from dispatch.consumers import live_socket
from dispatch.doorkeeper import PATH
from dispatch.live_events import live_events

websocket_routes: list[tuple[str, Any]] = [(PATH, live_socket)]
http_routes: list[tuple[str, Any]] = [(PATH, live_events)]
