"""Who gets in by a link: nobody without a good one, nobody too often; no page of these is found, kept or told on."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from billing.services.tariffs import zone_of
from dispatch.driving import links
from dispatch.driving.models import DriverLink
from fleetcharge.accounts import throttling
from fleetcharge.accounts.public import View, public
from fleetcharge.accounts.sign_in import too_many
from fleetcharge.accounts.throttling import Rate, counter
from fleetcharge.lib.addresses import address_of_request

LOOKS, DEEDS = Rate(240, 60), Rate(20, 60)
HEADERS = {
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store, private",
}
Inside = Callable[..., HttpResponse]


def by_link(kind: str, *, rate: Rate = LOOKS) -> Callable[[Inside], View]:
    """A view of (request, link), for whoever has one of this kind.

    Without the CSRF check: no cookie lets anybody in here, the address itself does, and a stranger's page has not got
    that. (Under `no-referrer` browsers would also send no origin to check.)
    """

    def decorate(view: Inside) -> View:
        @functools.wraps(view)
        def guarded(request: HttpRequest, token: str, **named: Any) -> HttpResponse:
            response = _let_in(view, request, token, kind, rate, named)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return csrf_exempt(public(guarded))

    return decorate


def _let_in(
    view: Inside, request: HttpRequest, token: str, kind: str, rate: Rate, named: dict[str, Any]
) -> HttpResponse:
    try:
        link = links.follow(token, kind=kind, now=timezone.now())
    except links.LinkOver:
        return ended(request, status=410)
    except links.NoSuchLink:
        seconds = throttling.wrong_credential("driver-link", address_of_request(request))
        return _too_many(request, seconds) if seconds else ended(request, status=404)
    if seconds := counter.add(f"driver-link:{rate.limit}", str(link.pk), rate):
        return _too_many(request, seconds)
    with timezone.override(zone_of(link.organisation.time_zone)):
        return view(request, link, **named)


def _too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    response = too_many(request, seconds)
    assert isinstance(response, HttpResponse)  # noqa: S101 (nothing is streamed)
    return response


def ended(request: HttpRequest, *, status: int) -> HttpResponse:
    """The same words for a link that is over and for one that never was."""
    return render(request, "driver/over.html", status=status)


def is_by_script(request: HttpRequest) -> bool:
    return request.headers.get("X-Requested-With") == "drive"


def of_plan(link: DriverLink, text: str) -> int | None:
    """The plan a button was drawn for, if it is this drive's; the plan of another vehicle is nobody's business."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
    return number if number == links.plan_of(link).pk else None
