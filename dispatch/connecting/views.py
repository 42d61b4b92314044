"""Connect a vehicle: which have no device, which devices nobody knows, and how one sender is doing."""

import io
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import segno
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from dispatch.connecting.texts import FLAGS, NOT_HEARD, NOTES, STORED_STAYS, TOO_EARLY, TOO_MANY, WHEN
from dispatch.views import needs
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from fleetcharge.lib.crypto import new_token
from vehicles import services
from vehicles.explaining import explain
from vehicles.fixes import is_imei
from vehicles.models import DeviceAssignment, Position, RawPacket, UnknownDevice, Vehicle
from vehicles.packets import watch

SHOWN_DEVICES, SHOWN_PINGS, SHOWN_PACKETS, SHOWN_ASSIGNMENTS, ID_BYTES = 50, 20, 20, 20, 16


@needs(Scope.VEHICLES_WRITE)
def overview(request: FleetRequest) -> HttpResponse:
    """Vehicles without a device, and the devices that reported with the fleet's key and belong to no vehicle."""
    organisation = organisation_of(request)
    vehicles = Vehicle.objects.for_organisation(organisation).filter(is_active=True).order_by("registration")
    devices = UnknownDevice.objects.for_organisation(organisation).order_by("-last_seen_at")[:SHOWN_DEVICES]
    context = {
        "without": vehicles.filter(device_id=None) | vehicles.filter(device_id=""),
        "vehicles": vehicles,
        "devices": devices,
    }
    return render(request, "dispatch/connect.html", context)


@needs(Scope.VEHICLES_WRITE)
def vehicle(request: FleetRequest, vehicle_id: int) -> HttpResponse:
    """How to connect one vehicle, and its last pings with what is odd about them."""
    van = _own(request, vehicle_id)
    watch(vehicle_id=van.pk, now=timezone.now())
    pings = list(Position.objects.filter(vehicle_id=van.pk).order_by("-fix_at")[:SHOWN_PINGS])
    notes = [(note, NOTES[note.code]) for note in explain(services.as_fixes(reversed(pings)))]
    context = {
        "vehicle": van,
        "address": f"{settings.PUBLIC_BASE_URL}/ingest/osmand",
        "code": _code(van.device_id) if van.device_id and not is_imei(van.device_id) else "",
        "pings": [(ping, round((ping.received_at - ping.fix_at).total_seconds())) for ping in pings],
        "notes": notes,
        "assignments": DeviceAssignment.objects.filter(vehicle=van)[:SHOWN_ASSIGNMENTS],
        "others": Vehicle.objects.for_organisation(organisation_of(request)).filter(is_active=True).exclude(pk=van.pk),
        "packets": _packets(van),
    }
    return render(request, "dispatch/connect_vehicle.html", context)


@needs(Scope.VEHICLES_WRITE)
def packets(request: FleetRequest, vehicle_id: int) -> HttpResponse:
    """The table of packets alone, for the page that is open."""
    van = _own(request, vehicle_id)
    watch(vehicle_id=van.pk, now=timezone.now())
    return render(request, "dispatch/_packets.html", {"packets": _packets(van)})


@needs(Scope.VEHICLES_WRITE)
@require_POST
def new_device(request: FleetRequest, vehicle_id: int) -> HttpResponse:
    """A fresh id of 128 random bits: the old one stops working within 15 seconds."""
    van = _own(request, vehicle_id)
    services.replace_id(vehicle_id=van.pk, device_id=new_token(ID_BYTES))
    messages.success(request, _("The new id is ready. Scan the code with the phone."))
    return HttpResponseRedirect(reverse("connect-vehicle", args=[van.pk]))


@needs(Scope.VEHICLES_WRITE)
@require_POST
def claim(request: FleetRequest) -> HttpResponse:
    """Let a device that nobody knew report for a vehicle from now on: a listed one, or the IMEI that was typed."""
    organisation = organisation_of(request)
    van = _own(request, _number(request.POST.get("vehicle", "")))
    imei = request.POST.get("imei", "").strip()
    if imei and not is_imei(imei):
        messages.error(request, _("An IMEI has 15 digits."))
        return HttpResponseRedirect(reverse("connect"))
    device_id = imei or _listed(request, organisation)
    try:
        services.claim_device(vehicle_id=van.pk, device_id=device_id)
    except services.DeviceTaken:
        messages.error(request, _("This device reports for another vehicle."))
        return HttpResponseRedirect(reverse("connect"))
    except services.DeviceNotHeard as error:
        messages.error(request, str(TOO_MANY if error.wait_seconds else NOT_HEARD))
        return HttpResponseRedirect(reverse("connect"))
    messages.success(request, _("The device reports for %(vehicle)s from now on.") % {"vehicle": van.registration})
    return HttpResponseRedirect(reverse("connect-vehicle", args=[van.pk]))


@needs(Scope.VEHICLES_WRITE)
@require_POST
def move(request: FleetRequest, vehicle_id: int) -> HttpResponse:
    """The vehicle's device reports for another one from now on, or for nobody."""
    van = _own(request, vehicle_id)
    if "release" in request.POST:
        services.release_device(vehicle_id=van.pk)
        messages.success(request, _("The device reports for nobody from now on."))
        return HttpResponseRedirect(reverse("connect-vehicle", args=[van.pk]))
    if not request.POST.get("vehicle"):
        return _not_moved(request, van, _("Choose a vehicle"))
    other = _own(request, _number(request.POST["vehicle"]))
    try:
        since = forms.DateTimeField(required=False).clean(request.POST.get("since"))
    except forms.ValidationError:
        return _not_moved(request, van, str(WHEN))
    return _moved(request, van, other, since)


def _moved(request: FleetRequest, van: Vehicle, other: Vehicle, since: datetime | None) -> HttpResponse:
    if since is not None and since > timezone.now():
        return _not_moved(request, van, str(WHEN))
    if van.device_id:
        lost = services.changed_by_claim(other, van.device_id)[1]
        try:
            services.claim_device(vehicle_id=other.pk, device_id=van.device_id, is_move=True, since=since)
        except services.MovedTooEarly:
            return _not_moved(request, van, str(TOO_EARLY))
        except (services.DeviceTaken, services.DeviceNotHeard):  # somebody else has moved it meanwhile
            return _not_moved(request, van, _("This device reports for another vehicle."))
        _tell_moved(request, other, since, lost)
    return HttpResponseRedirect(reverse("connect-vehicle", args=[other.pk]))


def _tell_moved(request: FleetRequest, other: Vehicle, since: datetime | None, lost: str | None) -> None:
    told = {"vehicle": other.registration}
    messages.success(request, _("The device reports for %(vehicle)s from now on.") % told)
    if since is not None:
        messages.success(request, str(STORED_STAYS))
    if lost:
        messages.success(request, _("Its tracker so far, %(device)s, reports for nobody now.") % {"device": lost})


def _not_moved(request: FleetRequest, van: Vehicle, why: str) -> HttpResponse:
    messages.error(request, why)
    return HttpResponseRedirect(reverse("connect-vehicle", args=[van.pk]))


def _packets(van: Vehicle) -> list[dict[str, Any]]:
    """The last packets of a vehicle, newest first, with what became of their pings."""
    return [
        {"received_at": packet.received_at, "raw": packet.raw, "pings": [_ping(ping) for ping in packet.outcome]}
        for packet in RawPacket.objects.filter(vehicle=van)[:SHOWN_PACKETS]
    ]


def _ping(outcome: dict[str, Any]) -> dict[str, Any]:
    flags = outcome.get("flags", 0)
    at = datetime.fromisoformat(outcome["at"]) if "at" in outcome else None
    return {**outcome, "at": at, "words": [word for flag, word in FLAGS.items() if flags & flag]}


def _listed(request: FleetRequest, organisation: Organisation) -> str:
    own = UnknownDevice.objects.for_organisation(organisation)
    return get_object_or_404(own, pk=_number(request.POST.get("device", ""))).device_id


def _own(request: FleetRequest, vehicle_id: int) -> Vehicle:
    return get_object_or_404(Vehicle.objects.for_organisation(organisation_of(request)), pk=vehicle_id)


def _number(text: Any) -> int:
    """0, which no row has, for anything that is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


def _code(device_id: str) -> SafeString:
    """What Traccar Client takes its server and id from; drawn by us, dark on white in either theme."""
    link = f"{settings.PUBLIC_BASE_URL}/ingest/osmand?{urlencode({'id': device_id, 'interval': 30})}"
    out = io.BytesIO()
    segno.make(link, error="m", micro=False).save(
        out, kind="svg", scale=5, border=3, dark="#0c1424", light="#ffffff", xmldecl=False, nl=False, omitsize=True
    )
    return mark_safe(out.getvalue().decode())  # noqa: S308 - segno's own drawing, of squares
