"""WebSocket routes by path prefix: (prefix, ASGI application)."""

from typing import Any

from ocpp_bridge.consumers import ChargerConsumer
from ocpp_bridge.upload_route import http_routes

__all__ = ["http_routes", "websocket_routes"]

websocket_routes: list[tuple[str, Any]] = [("/ocpp/", ChargerConsumer.as_asgi())]
