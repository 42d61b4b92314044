"""Who is at the other end: the client's address, or what a proxy of ours says it is."""

import functools
import ipaddress
from collections.abc import Sequence
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


def is_proxy(address: str) -> bool:
    """Is this one of our proxies, whose headers we believe (FLEETCHARGE_TRUSTED_PROXIES)?"""
    return _is_within(address, tuple(settings.TRUSTED_PROXIES))


@functools.lru_cache(maxsize=4096)
def _is_within(address: str, networks: Sequence[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # how a socket for both families names an IPv4 client
    return any((mapped or found) in ipaddress.ip_network(network, strict=False) for network in networks)


def _believed(address: str, forwarded: str) -> str:
    """The last entry is what our own proxy saw; whatever stands before it was sent by the client."""
    if forwarded and (is_proxy(address) or not address):
        return forwarded.rsplit(",", 1)[-1].strip()[:64]
    return address
