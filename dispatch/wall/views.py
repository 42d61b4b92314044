"""What a screen is shown by its link, and the page on which owners make such links and take them back."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from dispatch import api_static, live_reads, views, wording
from dispatch.doorkeeper import screen_path
from dispatch.overlays import reads as overlays
from dispatch.wall import doors, links
from dispatch.wall.models import WallLink
from fleetcharge.accounts.models import Membership
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of
from fleetcharge.lib.api import etag_of

WITHHELD: dict[str, Any] = {"driver": "", "next_stop": None}
"""Of a vehicle: who drives it and to whom. The wall shows neither."""


@doors.by_link
def screen(request: FleetRequest, link: WallLink) -> HttpResponse:
    """The live page as the wall shows it; nothing on it leads anywhere, and its rows of vehicles stay away."""
    context = {**views.live(request), "groups": [], "kept": []}
    for alert in context["alerts"]:
        alert.words = wording.told_on_screens(alert, link.organisation.time_zone)
    path = links.path_of(link)
    context["boot"] = {
        **context["boot"], "who": "", "csrfToken": "", "canDispatch": False, "isStaff": False, "said": [],
        "alerts": _alerts(link),
        "urls": {
            "api": f"{path}api/", "live": screen_path(links.token_of(link)), "login": path, "station": "",
            "vehicle": "", "session": "", "sessions": "", "wallet": "", "topUp": "", "webhooks": "",
        },
    }  # fmt: skip
    return render(request, "dispatch/tv.html", context)


def _alerts(link: WallLink) -> list[dict[str, Any]]:
    language = get_language() or wording.ENGLISH
    opened = live_reads.alerts_after(link.organisation_id, 0)
    return [live_reads.spoken_on_screens(message, language) for message in opened]


@doors.by_link
def names(request: FleetRequest, link: WallLink) -> HttpResponse:
    """As `GET /api/v1/live/static/`, without what is withheld."""
    revision = live_reads.static_revision(link.organisation)
    etag = etag_of("wall", link.organisation_id, revision)
    if etag in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=304, headers={"ETag": etag})
    body = api_static.static_of(link.organisation, revision, 0)
    body["vehicles"] = [{**vehicle, **WITHHELD} for vehicle in body["vehicles"]]
    return JsonResponse(body, headers={"ETag": etag})


@doors.by_link
def marks(request: FleetRequest, link: WallLink) -> HttpResponse:
    """As `GET /api/v1/live/overlays/`."""
    organisation = link.organisation
    return JsonResponse({"reservations": overlays.reservations(organisation), "gaps": overlays.gaps(organisation)})


# --- for owners ---------------------------------------------------------------------------------------------------
def _days() -> list[tuple[int, str]]:
    return [(days, ngettext("%d day", "%d days", days) % days) for days in links.DAYS]


class LinkForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Which screen"), max_length=60, widget=forms.TextInput(attrs={"class": "input"})
    )
    days = forms.TypedChoiceField(
        label=gettext_lazy("For how long"), coerce=int, initial=links.DAYS[1],
        choices=_days,
        widget=forms.Select(attrs={"class": "input"}),
    )  # fmt: skip


@never_cache
def manage(request: FleetRequest) -> HttpResponse:
    """Owners only: whoever has such an address sees where every vehicle is."""
    if request.organisation is None or request.role != Membership.Role.OWNER:
        return render(request, "no_access.html", {"why": _("Only owners make links for screens.")}, status=403)
    if request.method == "POST" and request.POST.get("revoke"):
        return _revoke(request)
    form = LinkForm(request.POST or None, label_suffix="", auto_id="w-%s")
    if request.method == "POST" and form.is_valid():
        return _make(request, form)
    return _page(request, form)


def _make(request: FleetRequest, form: LinkForm) -> HttpResponse:
    organisation = organisation_of(request)
    try:
        links.make(organisation_id=organisation.pk, now=timezone.now(), **form.cleaned_data, **author_of(request))
    except links.TooManyLinks:
        form.add_error(None, _("You have %(most)s links that work; take one back first.") % {"most": links.MOST_LINKS})
        return _page(request, form)
    messages.success(request, _("The link is made. Open it on the screen; it needs no sign-in."))
    return redirect("wall-links")


def _revoke(request: FleetRequest) -> HttpResponse:
    number = request.POST["revoke"]
    mine = WallLink.objects.for_organisation(organisation_of(request))
    link = get_object_or_404(mine, pk=int(number) if number.isdecimal() and len(number) < 18 else 0)
    if links.revoke(link_id=link.pk, now=timezone.now(), **author_of(request)):
        messages.success(request, _("The link is taken back; its screen goes dark within a minute."))
    return redirect("wall-links")


def _page(request: FleetRequest, form: LinkForm) -> HttpResponse:
    now = timezone.now()
    rows = WallLink.objects.for_organisation(organisation_of(request)).open(now).select_related("created_by")
    context = {"form": form, "links": [(link, links.url_of(link)) for link in rows]}
    return render(request, "dispatch/wall_links.html", context, status=400 if form.errors else 200)
