"""API keys on raw ASGI routes, where no Django view looks at them."""

from typing import NamedTuple

from fleetcharge.accounts import services
from fleetcharge.accounts.models import APIKey
from fleetcharge.lib.asgi import Scope, header


class Caller(NamedTuple):
    """Who presented a live key."""

    key_id: int
    organisation_id: int
    scopes: frozenset[str]


def presented_secret(scope: Scope) -> str:
    """The key in `Authorization: Bearer` or `X-API-Key`, or ''."""
    kind, _, value = header(scope, b"authorization").partition(b" ")
    secret = value if kind.lower() == b"bearer" else header(scope, b"x-api-key")
    return secret.strip().decode("ascii", "replace")


def find_caller(secret: str) -> Caller | None:
    """The caller behind a secret, None when the key is unknown, expired or revoked. Queries."""
    key = services.find_api_key(secret) if secret else None
    if key is None:
        return None
    services.touch_api_key(key)
    return Caller(key.pk, key.organisation_id, frozenset(key.scopes))


def is_live(key_id: int) -> bool:
    """Whether the key still opens doors. Queries."""
    return APIKey.objects.live().filter(pk=key_id).exists()
