"""Raw ASGI routes by path prefix: (prefix, ASGI application)."""

from typing import Any

http_routes: list[tuple[str, Any]] = []
