"""TLS ends at the proxy: what a trusted one says of the client's certificate and of the encryption."""

import re
from typing import Any

from fleetcharge.lib.addresses import is_proxy

VERIFIED, SUBJECT, PROTOCOL = b"x-client-cert-verified", b"x-client-cert-subject", b"x-forwarded-proto"
_PART = re.compile(r"(?:\\.|[^\\,+])+")  # an escaped comma separates nothing
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)")


def is_trusted(scope: dict[str, Any]) -> bool:
    """Did this request come from one of our proxies, and not only say so?"""
    return is_proxy((scope.get("client") or ("",))[0])


def is_encrypted(scope: dict[str, Any]) -> bool:
    """TLS up to us, or up to a trusted proxy."""
    if scope.get("scheme") in {"wss", "https"}:
        return True
    return is_trusted(scope) and _only(scope, PROTOCOL).lower() in {"https", "wss"}


def subject_of(scope: dict[str, Any]) -> str | None:
    """The common name of the client certificate that a trusted proxy has verified; None: there was none.

    A header that comes twice is nobody's word: the proxy sets each once.
    """
    if not is_trusted(scope) or _only(scope, VERIFIED) != "SUCCESS":
        return None
    attributes = (part.partition("=") for part in _PART.findall(_only(scope, SUBJECT)))
    names = [_unescaped(value) for kind, _, value in attributes if kind.strip().upper() == "CN"]
    return names[0] if len(names) == 1 else ""


def _only(scope: dict[str, Any], name: bytes) -> str:
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("utf-8", "replace").strip() if len(values) == 1 else ""


def _unescaped(name: str) -> str:
    """RFC 4514 escapes: a backslash before a special character, or before the two hexadecimal digits of a byte."""

    def plain(match: re.Match[bytes]) -> bytes:
        return bytes.fromhex(match[1].decode()) if len(match[1]) == 2 else match[1]

    return _ESCAPED.sub(plain, name.strip().encode()).decode("utf-8", "replace")
