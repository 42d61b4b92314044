"""Addresses that come from peers are checked before we call them (SSRF)."""

import ipaddress
import socket
from urllib.parse import urlsplit

from django.conf import settings

from stations.cpo.base import CPOError


def check_url(url: str) -> str:
    """The URL again when we may call it: https, a public address, no credentials in it. Raises CPOError."""
    parts = urlsplit(url)
    if settings.OCPI_ALLOW_PRIVATE_HOSTS and parts.scheme in {"http", "https"} and parts.hostname:
        return url
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise CPOError("hostile_url", f"{_shown(url)} is not a plain https address.")
    for address in _addresses(parts.hostname, parts.port or 443):
        if not address.is_global or address.is_multicast:
            raise CPOError("hostile_url", f"{_shown(url)} leads into a private network.")
    return url


def _addresses(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CPOError("unknown_host", f"{host} cannot be found: {error}") from None
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


def _shown(url: str) -> str:
    return url.split("?", 1)[0][:120]
