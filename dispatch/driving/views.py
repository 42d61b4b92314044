"""The driver's page, its buttons, the page for those who wait for the vehicle, and the code on a plug."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import check_for_language
from django.views.decorators.http import require_GET, require_POST

from dispatch.driving import deeds, doors, eta, links, page, texts
from dispatch.driving.models import DriverLink
from dispatch.models import ChargePlan
from dispatch.tasks import send_command
from fleetcharge.accounts.public import public
from fleetcharge.lib import hints

DRIVE, ETA = DriverLink.Kind.DRIVE, DriverLink.Kind.ETA
LONGEST_CODE = 1000


# --- the driver ---------------------------------------------------------------------------------------------------
@doors.by_link(DRIVE)
def drive(request: HttpRequest, link: DriverLink) -> HttpResponse:
    """The whole page, with the next step in its HTML."""
    now = timezone.now()
    flash = _words(request.GET.get("said", ""), request.GET.get("no", ""))
    context = {
        "link": link,
        "token": links.token_of(link),
        "boot": {"texts": texts.script_texts(), "path": links.path_of(link), "hasTiles": bool(settings.TILES_URL)},
        "map_settings": {"TILES": _tiles()},
        "fragment": _fragment(request, link, now, flash),
        "now": now,
    }
    return render(request, "driver/drive.html", context)


def _tiles() -> list[tuple[str, str, dict[str, Any]]]:
    """The operator's tiles, if there are any; else the page draws its own ground."""
    if not settings.TILES_URL:
        return []
    return [("Map", settings.TILES_URL, {"attribution": settings.TILES_ATTRIBUTION})]


@doors.by_link(DRIVE)
def drive_now(request: HttpRequest, link: DriverLink) -> HttpResponse:
    """What changes, for the page that is open; 304 while nothing did."""
    return _unless_known(request, _fragment(request, link, timezone.now(), _words("", "")))


def _fragment(request: HttpRequest, link: DriverLink, now: datetime, flash: dict[str, Any]) -> str:
    shared = DriverLink.objects.open(now).filter(
        vehicle_id=link.vehicle_id, organisation_id=link.organisation_id, kind=ETA, plan_id__gte=link.plan_id
    )
    shown = page.page_of(link, now)
    context = {
        "link": link,
        "page": shown,
        "path": links.path_of(link),
        "eta_url": next((links.url_of(row) for row in shared.filter(stop=shown.stop)[:1]), ""),
        "code": request.GET.get("code", "")[:LONGEST_CODE],
        **flash,
    }
    return render_to_string("driver/_now.html", context, request)


def _unless_known(request: HttpRequest, html: str) -> HttpResponse:
    etag = f'"{hashlib.blake2b(html.encode(), digest_size=12).hexdigest()}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponseNotModified(headers={"ETag": etag})
    return HttpResponse(html, headers={"ETag": etag})


# --- the buttons --------------------------------------------------------------------------------------------------
def _off(request: HttpRequest, link: DriverLink, plan: ChargePlan) -> str:
    return "off" if deeds.set_off(plan_id=plan.pk, now=timezone.now()) else "nothing"


def _arrived(request: HttpRequest, link: DriverLink, plan: ChargePlan) -> str:
    by = ChargePlan.ArrivedBy.DRIVER
    return "arrived" if deeds.arrive(plan_id=plan.pk, by=by, now=timezone.now()) else "nothing"


def _report(request: HttpRequest, link: DriverLink, plan: ChargePlan) -> str:
    deeds.report_plug(plan_id=plan.pk, kind=request.POST.get("kind", ""), now=timezone.now())
    return "reported"


def _charge(request: HttpRequest, link: DriverLink, plan: ChargePlan) -> str:
    deeds.say_charge(link=link, soc_percent=_percent(request.POST.get("soc_percent", "")), now=timezone.now())
    return "charge"


def _start(request: HttpRequest, link: DriverLink, plan: ChargePlan) -> str:
    code = request.POST.get("code", "")[:LONGEST_CODE]
    command = deeds.start(link=link, plan=plan, code=code, now=timezone.now())
    hints.start(send_command, command.pk)
    return "start"


def _stop(request: HttpRequest, link: DriverLink, plan: ChargePlan) -> str:
    hints.start(send_command, deeds.stop(link=link, now=timezone.now()).pk)
    return "stop"


def _share(request: HttpRequest, link: DriverLink, plan: ChargePlan) -> str:
    try:
        links.make(plan_id=plan.pk, actor=None, actor_label=deeds.author_of(link), kind=ETA, now=timezone.now())
    except links.NothingToShow:
        raise deeds.Refused("too_late") from None
    return ""


BUTTONS: dict[str, Callable[[HttpRequest, DriverLink, ChargePlan], str]] = {
    "off": _off, "arrived": _arrived, "report": _report, "charge": _charge, "start": _start, "stop": _stop,
    "share": _share,
}  # fmt: skip


@require_POST
@doors.by_link(DRIVE, rate=doors.DEEDS)
def press(request: HttpRequest, link: DriverLink, deed: str) -> HttpResponse:
    """One button. The plan it was drawn for must still be the one, or nothing happens."""
    if deed not in BUTTONS:
        raise Http404
    said, refused = "", ""
    plan = links.plan_of(link)
    try:
        if doors.of_plan(link, request.POST.get("plan", "")) is None:
            raise deeds.Refused("too_late")
        said = BUTTONS[deed](request, link, plan)
    except deeds.Refused as refusal:
        refused = refusal.code
    return _answer(request, link, said, refused)


def _answer(request: HttpRequest, link: DriverLink, said: str, refused: str) -> HttpResponse:
    if doors.is_by_script(request):
        return HttpResponse(_fragment(request, link, timezone.now(), _words(said, refused)))
    query = urlencode({key: value for key, value in (("said", said), ("no", refused)) if value})
    return HttpResponseRedirect(f"{links.path_of(link)}?{query}" if query else links.path_of(link))


def _words(said: str, refused: str) -> dict[str, Any]:
    """Only words of ours: whatever else stands in the address is not shown."""
    known = texts.REFUSALS.get(refused)
    other = str(texts.NOT_NOW) % {"code": refused} if refused.isidentifier() or ":" in refused else ""
    return {"said": texts.SAID.get(said, ""), "refused": (known or other[:200]) if refused else ""}


def _percent(text: str) -> float:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise deeds.Refused("not_a_percentage") from None


@require_POST
@doors.by_link(DRIVE)
def language(request: HttpRequest, link: DriverLink) -> HttpResponse:
    chosen = request.POST.get("language", "")
    response = HttpResponseRedirect(links.path_of(link))
    if check_for_language(chosen):
        response.set_cookie(settings.LANGUAGE_COOKIE_NAME, chosen, samesite="Lax", secure=request.is_secure())
    return response


# --- those who wait -----------------------------------------------------------------------------------------------
@doors.by_link(ETA)
def arrival(request: HttpRequest, link: DriverLink) -> HttpResponse:
    """The vehicle's name and when it comes; nothing else."""
    return render(request, "driver/eta.html", {"fragment": _arrival(request, link), "boot": _eta_boot(link)})


@doors.by_link(ETA)
def arrival_now(request: HttpRequest, link: DriverLink) -> HttpResponse:
    return _unless_known(request, _arrival(request, link))


def _eta_boot(link: DriverLink) -> dict[str, Any]:
    return {"texts": texts.script_texts(), "path": links.path_of(link)}


def _arrival(request: HttpRequest, link: DriverLink) -> str:
    """At the place where somebody was promised it, whatever stop comes next."""
    stop, plan = link.stop, links.plan_of(link)
    was_at = plan.arrived_at if stop is None else stop.done_at or stop.reached_at
    when = eta.Expected() if was_at else eta.expected(link.vehicle, plan, stop, timezone.now())
    at = when.plug_at if stop is None else when.stop_at
    context = {
        "vehicle": link.vehicle, "at": page.clock(at) if at else "", "was_at": page.clock(was_at) if was_at else "",
        "is_expected": stop is not None or plan.closed_at is None,
    }  # fmt: skip
    return render_to_string("driver/_eta.html", context, request)


# --- without a link -----------------------------------------------------------------------------------------------
@public
@require_GET
def at_plug(request: HttpRequest, code: str) -> HttpResponse:
    """Where the code on a plug leads a phone's camera: to the driver's page that this phone had open last."""
    response = render(request, "driver/at_plug.html", {"code": code, "boot": {"texts": {}}})
    response["Referrer-Policy"] = "no-referrer"
    return response


@public
@require_GET
def worker(request: HttpRequest) -> HttpResponse:
    """The script that keeps the page without a connection; it may speak for /go/ alone."""
    return render(request, "driver/worker.js", content_type="text/javascript", context={})
