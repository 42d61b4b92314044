"""So many requests a minute per API key; people in a browser are not counted."""

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from fleetcharge.accounts import throttling
from fleetcharge.accounts.models import APIKey


class KeyRate(BaseThrottle):
    """FLEETCHARGE_API_RATE; 429 with Retry-After above it."""

    def allow_request(self, request: Request, view: Any) -> bool:
        self._seconds = throttling.may_request(request.auth.pk) if isinstance(request.auth, APIKey) else 0
        return self._seconds == 0

    def wait(self) -> float:
        return float(self._seconds)
