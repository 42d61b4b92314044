"""API keys: `Authorization: Bearer fck_...` or `X-API-Key: fck_...`."""

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from fleetcharge.accounts import services, throttling
from fleetcharge.accounts.models import APIKey
from fleetcharge.lib.addresses import address_of_request


class APIKeyAuthentication(BaseAuthentication):
    """Sets `request.auth` to the APIKey; the user stays anonymous."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, APIKey] | None:
        secret = _secret(request)
        if not secret:
            return None
        key = services.find_api_key(secret)
        if key is None and (seconds := throttling.wrong_credential("wrong-key", address_of_request(request))):
            raise Throttled(seconds, "Too many wrong API keys from this address.", code="throttled")
        if key is None:
            raise AuthenticationFailed("This API key is unknown, expired or revoked.", code="invalid_key")
        services.touch_api_key(key)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _secret(request: Request) -> str:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else request.headers.get("X-API-Key", "").strip()
