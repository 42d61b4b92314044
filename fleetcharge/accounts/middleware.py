"""Puts the signed-in person's organisation and role on the request, and a strict content policy on the answer."""

import secrets
from collections.abc import Callable
from datetime import tzinfo
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from fleetcharge.accounts.models import ROLE_SCOPES, Membership, Organisation
from fleetcharge.accounts.tenancy import FleetRequest

GetResponse = Callable[[HttpRequest], HttpResponse]
SESSION_KEY = "organisation_id"


class OrganisationMiddleware:
    """`request.organisation`, `role`, `scopes` and `other_fleets`; None and empty for strangers."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: FleetRequest) -> HttpResponse:
        request.organisation, request.role, request.scopes, request.other_fleets = None, "", frozenset(), []
        if request.user.is_authenticated:
            self._attach(request)
        with timezone.override(_zone_of(request.organisation)):
            return self.get_response(request)

    def _attach(self, request: FleetRequest) -> None:
        memberships = list(
            Membership.objects.filter(user_id=request.user.pk or 0).select_related("organisation").order_by("pk")
        )
        chosen = request.session.get(SESSION_KEY)
        membership = next((one for one in memberships if one.organisation_id == chosen), None) or next(
            iter(memberships), None
        )
        if membership:
            request.other_fleets = [one.organisation for one in memberships if one is not membership]
            request.organisation, request.role = membership.organisation, membership.role
            request.scopes = frozenset(ROLE_SCOPES[membership.role])


def _zone_of(organisation: Organisation | None) -> tzinfo:
    """Pages tell the time of the fleet, as their scripts do; the API, further in, speaks UTC."""
    try:
        return ZoneInfo(organisation.time_zone) if organisation else timezone.get_default_timezone()
    except (ZoneInfoNotFoundError, ValueError):
        return timezone.get_default_timezone()


class ContentSecurityPolicyMiddleware:
    """Pages load nothing from elsewhere and run only our scripts; `request.csp_nonce` is for the rare inline one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: FleetRequest) -> HttpResponse:
        request.csp_nonce = secrets.token_urlsafe(16)
        response = self.get_response(request)
        if "Content-Security-Policy" not in response:
            response["Content-Security-Policy"] = policy(request)
        return response


def policy(request: FleetRequest) -> str:
    """The admin (Unfold uses Alpine) needs inline code and styles; nothing else does."""
    relaxed = request.path.startswith("/admin/")
    script = "'unsafe-inline' 'unsafe-eval'" if relaxed else f"'nonce-{request.csp_nonce}'"
    style = "'unsafe-inline'" if relaxed else f"'nonce-{request.csp_nonce}'"
    return "; ".join([
        "default-src 'self'", f"script-src 'self' {script}", f"style-src 'self' {style}", "object-src 'none'",
        f"img-src 'self' data: blob: {_tile_servers()}".strip(), "font-src 'self'",
        f"connect-src 'self' {_live_socket(request)}",
        "frame-ancestors 'none'", "base-uri 'self'", "form-action 'self'",
    ])  # fmt: skip


def _tile_servers() -> str:
    """Where the operator's map tiles come from; Leaflet puts a, b and c in the place of `{s}`."""
    address = urlsplit(settings.TILES_URL)
    scheme = f"{address.scheme}://" if address.scheme else ""
    servers = [f"{scheme}{address.netloc}".replace("{s}", letter) for letter in "abc"]
    return " ".join(dict.fromkeys(servers)) if address.netloc else ""


def _live_socket(request: FleetRequest) -> str:
    """The realtime process on its own port of the same host, when it has one."""
    if not settings.REALTIME_PORT:
        return ""
    host = request.get_host().rsplit(":", 1)[0]
    secure = "s" if request.is_secure() else ""
    return " ".join(f"{scheme}{secure}://{host}:{settings.REALTIME_PORT}" for scheme in ("ws", "http"))
