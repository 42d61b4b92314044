"""Addresses that others gave us are checked before we call them, and called where they were checked (SSRF)."""

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")


class RefusedAddress(Exception):
    """We do not call this address; `code` is hostile_url or unknown_host, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Target:
    """Where to connect (`url`), and whom to expect there: the Host header and the name in the certificate."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)


def check_url(url: str, *, allow_private: bool) -> Target:
    """The address we may call: https, public, without credentials, pinned to the IP that was looked at.

    A name that leads elsewhere a moment later (DNS rebinding) therefore leads nowhere. Asks the name server, so never
    inside a transaction. `allow_private`: for laboratories, http and inner addresses too. Raises RefusedAddress.
    """
    parts, port = _parts(url)
    if allow_private and parts.scheme in {"http", "https"} and parts.hostname:
        return Target(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise RefusedAddress("hostile_url", f"{_shown(url)} is not a plain https address.")
    addresses = _addresses(parts.hostname, port or 443)
    if not addresses or not all(map(is_public, addresses)):
        raise RefusedAddress("hostile_url", f"{_shown(url)} leads into a private network.")
    address = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
    pinned = urlunsplit(parts._replace(netloc=f"{address}:{port}" if port else address))
    return Target(pinned, {"Host": parts.netloc}, {"sni_hostname": parts.hostname})


def is_public(address: Address) -> bool:
    """Global unicast, and no tunnel (6to4, Teredo, NAT64) that ends at some other address."""
    if isinstance(address, ipaddress.IPv6Address) and _is_tunnel(address):
        return False
    return address.is_global and not address.is_multicast


def same_origin(url: str, other: str) -> bool:
    one, two = urlsplit(url), urlsplit(other)
    return (one.scheme, one.netloc.lower()) == (two.scheme, two.netloc.lower())


def _is_tunnel(address: ipaddress.IPv6Address) -> bool:
    return address not in PUBLIC_IPV6 or address.sixtofour is not None or address.teredo is not None


def _parts(url: str) -> tuple[Any, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except (ValueError, AttributeError):
        raise RefusedAddress("hostile_url", f"{_shown(url)} is no address.") from None


def _addresses(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RefusedAddress(
            "unknown_host", f"Nobody knows the host {host[:80]}: check how its address is written, and our name server."
        ) from None
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


def _shown(url: object) -> str:
    """Without what may be secret in it: a name and password, parameters."""
    return re.sub(r"//[^/@]*@", "//…@", re.split(r"[?#]", str(url), maxsplit=1)[0], count=1)[:120]
