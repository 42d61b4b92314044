"""Who may open a live socket: the page's session cookie, from the page's own host, with a role that may look."""

import importlib
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from types import SimpleNamespace
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user

from fleetcharge.accounts.middleware import SESSION_KEY
from fleetcharge.accounts.models import ROLE_SCOPES, Membership, Scope
from fleetcharge.lib import asgi

NOT_SIGNED_IN, NOT_ALLOWED, OTHER_FLEET, TOO_MANY = 4401, 4403, 4409, 4429


@dataclass(frozen=True)
class Guest:
    """A signed-in person and the fleet they look at."""

    user_id: int
    organisation_id: int
    session_key: str


def is_own_origin(scope: asgi.Scope) -> bool:
    """Browsers send Origin with every socket; it must name the host they asked for (any port)."""
    origin = urlsplit(asgi.header(scope, b"origin").decode("latin-1")).hostname
    host = urlsplit("//" + asgi.header(scope, b"host").decode("latin-1")).hostname
    return origin is not None and origin == host


def session_key_of(scope: asgi.Scope) -> str:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(asgi.header(scope, b"cookie").decode("latin-1"))
    except CookieError:
        return ""
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    return morsel.value if morsel else ""


def identify(session_key: str) -> Guest | int:
    """The person behind a session, or the close code that says why not. Three queries."""
    if not session_key:
        return NOT_SIGNED_IN
    store = importlib.import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(SimpleNamespace(session=store))  # type: ignore[arg-type]
    if not user.is_authenticated or not user.is_active or user.pk is None:
        return NOT_SIGNED_IN
    memberships = Membership.objects.filter(user_id=user.pk).order_by("pk")
    chosen = store.get(SESSION_KEY)
    membership = (memberships.filter(organisation_id=chosen).first() if chosen else None) or memberships.first()
    if membership is None or Scope.DISPATCH_READ not in ROLE_SCOPES[membership.role]:
        return NOT_ALLOWED
    return Guest(user.pk, membership.organisation_id, session_key)
