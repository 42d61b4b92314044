"""Who is at the other end: the client's address, or what a proxy of ours says it is."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from fleetcharge.lib.asgi import header


def address_of_scope(scope: dict[str, Any]) -> str:
    """Of an ASGI request or socket; '' when the server does not know."""
    return _believed((scope.get("client") or ("",))[0], header(scope, b"x-forwarded-for").decode("latin-1"))


def address_of_request(request: HttpRequest) -> str:
    """Of a Django request; '' when the server does not know."""
    return _believed(str(request.META.get("REMOTE_ADDR", "")), request.headers.get("X-Forwarded-For", ""))


def _believed(address: str, forwarded: str) -> str:
    """The last entry is what our own proxy saw; whatever stands before it was sent by the client."""
    if forwarded and (address in settings.TRUSTED_PROXIES or not address):
        return forwarded.rsplit(",", 1)[-1].strip()[:64]
    return address
