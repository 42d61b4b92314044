"""What every template may ask of the request."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def page(request: HttpRequest) -> dict[str, Any]:
    return {
        "organisation": getattr(request, "organisation", None),
        "role": getattr(request, "role", ""),
        "other_fleets": getattr(request, "other_fleets", []),
        "scopes": getattr(request, "scopes", frozenset()),
        "csp_nonce": getattr(request, "csp_nonce", ""),
        "realtime_port": settings.REALTIME_PORT,
        "tiles_url": settings.TILES_URL,
        "tiles_attribution": settings.TILES_ATTRIBUTION,
    }
