"""WebSocket routes by path prefix: (prefix, ASGI application)."""

from typing import Any

from ocpp_bridge.consumers import ChargerConsumer

websocket_routes: list[tuple[str, Any]] = [("/ocpp/", ChargerConsumer.as_asgi())]
