"""Who may open a live socket: the page's session cookie, from the page's own host, with a role that may look; or the
token of a screen on the wall, which stands in the address."""

import importlib
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from types import SimpleNamespace
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.utils import timezone

from dispatch.wall import links
from fleetcharge.accounts.middleware import SESSION_KEY
from fleetcharge.accounts.models import ROLE_SCOPES, Membership, Scope
from fleetcharge.lib import asgi

PATH = "/ws/live/"
SCREEN = "tv/"
NOT_SIGNED_IN, NOT_ALLOWED, OTHER_FLEET, TOO_MANY = 4401, 4403, 4409, 4429


@dataclass(frozen=True)
class Guest:
    """A signed-in person and the fleet they look at; or a screen, whose `user_id` is below zero."""

    user_id: int
    organisation_id: int
    session_key: str

    @property
    def is_screen(self) -> bool:
        return self.user_id < 0


def is_own_origin(scope: asgi.Scope) -> bool:
    """Browsers send Origin with every socket; it must name the host they asked for (any port)."""
    origin = urlsplit(asgi.header(scope, b"origin").decode("latin-1")).hostname
    host = urlsplit("//" + asgi.header(scope, b"host").decode("latin-1")).hostname
    return origin is not None and origin == host


def screen_path(token: str) -> str:
    """Where a screen's live channel is; the log leaves the token out (fleetcharge/lib/logs.py)."""
    return f"{PATH}{SCREEN}{token}/"


def is_known(path: str) -> bool:
    return path == PATH or path.startswith(PATH + SCREEN)


def credential_of(scope: asgi.Scope) -> str:
    """The session, or `tv/` and the token of a screen; `identify` knows them apart."""
    below = str(scope["path"]).removeprefix(PATH)
    return below.rstrip("/") if below.startswith(SCREEN) else session_key_of(scope)


def session_key_of(scope: asgi.Scope) -> str:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(asgi.header(scope, b"cookie").decode("latin-1"))
    except CookieError:
        return ""
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    return morsel.value if morsel else ""


def identify(session_key: str) -> Guest | int:
    """The person behind a session, or the close code that says why not. Three queries; one for a screen."""
    if session_key.startswith(SCREEN):
        return _screen(session_key)
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


def _screen(credential: str) -> Guest | int:
    try:
        link = links.follow(credential.removeprefix(SCREEN), now=timezone.now())
    except (links.NoSuchLink, links.LinkOver):
        return NOT_SIGNED_IN
    return Guest(-link.pk, link.organisation_id, credential)
