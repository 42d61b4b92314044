"""Who gets in by a screen's link: nobody without a good one, nobody too often, and as nobody but that screen."""

import functools
from collections.abc import Callable

from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.services.tariffs import zone_of
from dispatch.driving.doors import HEADERS
from dispatch.wall import links
from dispatch.wall.models import WallLink
from fleetcharge.accounts import throttling
from fleetcharge.accounts.public import View, public
from fleetcharge.accounts.sign_in import too_many
from fleetcharge.accounts.tenancy import FleetRequest
from fleetcharge.accounts.throttling import Rate, counter
from fleetcharge.lib.addresses import address_of_request

LOOKS = Rate(240, 60)
Inside = Callable[[FleetRequest, WallLink], HttpResponse]


def by_link(view: Inside) -> View:
    """A view of (request, link). Whoever is signed in here besides is not seen: the link alone decides."""

    @functools.wraps(view)
    def guarded(request: FleetRequest, token: str) -> HttpResponse:
        response = _let_in(view, request, token)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return public(require_GET(guarded))


def _let_in(view: Inside, request: FleetRequest, token: str) -> HttpResponse:
    request.user, request.organisation = AnonymousUser(), None
    request.role, request.scopes, request.other_fleets = "", frozenset(), []
    try:
        link = links.follow(token, now=timezone.now())
    except links.LinkOver:
        return render(request, "dispatch/tv_over.html", status=410)
    except links.NoSuchLink:
        seconds = throttling.wrong_credential("wall-link", address_of_request(request))
        return _too_many(request, seconds) if seconds else render(request, "dispatch/tv_over.html", status=404)
    if seconds := counter.add("wall-link", str(link.pk), LOOKS):
        return _too_many(request, seconds)
    request.organisation = link.organisation
    with timezone.override(zone_of(link.organisation.time_zone)):
        return view(request, link)


def _too_many(request: FleetRequest, seconds: int) -> HttpResponse:
    response = too_many(request, seconds)
    assert isinstance(response, HttpResponse)  # noqa: S101 (nothing is streamed)
    return response
