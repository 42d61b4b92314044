"""The page of one charger, for those who look after it, and the files it sent."""

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from fleetcharge.accounts.models import Scope, User
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from ocpp_bridge import deeds, pages, uploads
from ocpp_bridge.frames_api import FrameQuerySerializer
from ocpp_bridge.models import Upload
from stations.models import Charger

View = Callable[..., HttpResponseBase]
FILTERS = ("since", "until", "action", "direction", "only_errors", "message_id", "text", "tag", "before")


class IdentityConverter:
    """Any charger identity in an address; it may hold slashes."""

    regex = ".+?"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


def for_keepers(view: View) -> View:
    """Only owners and dispatchers; the others are told whom to ask."""

    @wraps(view)
    def guarded(request: FleetRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.organisation is None or Scope.STATIONS_WRITE not in request.scopes:
            return render(request, "no_access.html", status=403)
        return view(request, *args, **kwargs)

    return guarded


@for_keepers
def charger_page(request: FleetRequest, identity: str) -> HttpResponseBase:
    """One tab of a charger's page; POST carries out one order. `?part=head` is the header alone, for its refresh."""
    organisation = organisation_of(request)
    charger = get_object_or_404(
        Charger.objects.for_organisation(organisation).select_related("location"), ocpp_identity=identity
    )
    tab = request.GET.get("tab", "frames")
    if tab not in pages.CONTENT:
        raise Http404
    if request.method == "POST":
        return _obey(request, charger, tab)
    context: dict[str, Any] = {"charger": charger, **pages.header(charger, organisation)}
    if request.GET.get("part") == "head":
        return render(request, "ocpp/_head.html", context)
    may_command = Scope.DISPATCH_WRITE in request.scopes
    context |= {
        "tab": tab,
        "tabs": pages.TABS,
        "template": f"ocpp/_{tab}.html",
        "deeds": pages.deeds_of(tab, charger, organisation) if may_command else [],
        "order_key": uuid.uuid4().hex,
        "record_days": settings.OCPP_RECORD_DAYS,
        **pages.CONTENT[tab](charger, organisation, {**_wanted(request), "now": timezone.now()} if tab != "frames"
                             else _wanted(request)),
    }  # fmt: skip
    return render(request, "ocpp/charger.html", context)


def _wanted(request: HttpRequest) -> dict[str, Any]:
    """The filter of the frames tab; what makes no sense is ignored, one field at a time."""
    query = FrameQuerySerializer(data={"charger": "-", **{k: v for k, v in request.GET.items() if v and k in FILTERS}})
    query.is_valid()
    bad = set(query.errors)
    query = FrameQuerySerializer(
        data={"charger": "-", **{k: v for k, v in request.GET.items() if v and k in FILTERS and k not in bad}}
    )
    query.is_valid(raise_exception=True)
    return {name: value for name, value in query.validated_data.items() if name in FILTERS and value}


def _obey(request: FleetRequest, charger: Charger, tab: str) -> HttpResponse:
    if Scope.DISPATCH_WRITE not in request.scopes:
        return render(request, "no_access.html", status=403)
    order = deeds.Order(
        organisation=organisation_of(request),
        charger=charger,
        actor=request.user if isinstance(request.user, User) else None,
        actor_label=str(request.user),
        reason=request.POST.get("reason", "").strip()[: deeds.MAX_REASON],
        key=f"page:{charger.pk}:{request.POST.get('key', '')[:40] or uuid.uuid4().hex}",
        now=timezone.now(),
    )
    try:
        deed = deeds.do(request.POST.get("do", ""), request.POST.dict(), order)
        messages.success(request, _("%(what)s: asked for.") % {"what": deed.label})
    except deeds.Refused as refused:
        messages.error(request, str(refused))
    return HttpResponseRedirect(f"{reverse('charger', args=[charger.ocpp_identity])}?tab={tab}")


@for_keepers
def charger_file(request: FleetRequest, upload_id: uuid.UUID) -> HttpResponseBase:
    """A log that one of the fleet's chargers sent; always a download, never shown."""
    uploads_here = Upload.objects.for_organisation(organisation_of(request)).select_related("charger")
    upload = get_object_or_404(uploads_here, pk=upload_id, state=Upload.State.RECEIVED)
    path = uploads.path_of(upload)
    if not path.exists():
        raise Http404
    name = upload.file_name or f"{upload.kind}.bin"
    return FileResponse(
        path.open("rb"), as_attachment=True, filename=f"{upload.charger.ocpp_identity}-{name}",
        content_type="application/octet-stream",
    )  # fmt: skip
