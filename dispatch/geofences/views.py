"""Geofences on a map and as a table, a form that draws one by a click or from GeoJSON, and who came and left."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from dispatch.geofences.texts import NAME_TAKEN, REFUSED, TOO_MANY
from dispatch.views import needs
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from vehicles.geofences import services, shapes
from vehicles.models import Geofence, GeofenceEvent

SHOWN_EVENTS = 50


class GeofenceForm(forms.Form):
    """A circle by its middle and radius, or else GeoJSON: the page empties the one when the other is chosen."""

    name = forms.CharField(max_length=120)
    latitude = forms.FloatField(required=False, min_value=-90, max_value=90)
    longitude = forms.FloatField(required=False, min_value=-180, max_value=180)
    radius_m = forms.IntegerField(required=False, min_value=shapes.RADIUS_M[0], max_value=shapes.RADIUS_M[-1])
    geojson = forms.JSONField(required=False)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        latitude, longitude, drawn = cleaned.get("latitude"), cleaned.get("longitude"), cleaned.get("geojson")
        if drawn and latitude is not None:  # which of both is wanted, nobody can tell
            return cleaned | {"geometry": None, "radius_m": None}
        if drawn:
            is_point = isinstance(drawn, dict) and drawn.get("type") == "Point"
            return cleaned | {"geometry": drawn, "radius_m": cleaned.get("radius_m") if is_point else None}
        if latitude is None or longitude is None:
            return cleaned | {"geometry": None, "radius_m": None}
        return cleaned | {"geometry": {"type": "Point", "coordinates": [longitude, latitude]}}


@needs(Scope.VEHICLES_READ)
def overview(request: FleetRequest) -> HttpResponse:
    """All of them, and the form: for a new one, or for the one that is to be changed."""
    return _page(request, _values(_edited(request)), 200)


@needs(Scope.VEHICLES_WRITE)
@require_POST
def save(request: FleetRequest) -> HttpResponse:
    """Draw one, or change the one that is named. What cannot be taken is said above the form, which keeps it."""
    form, edited = GeofenceForm(request.POST), _edited(request)
    why = REFUSED["invalid"] if not form.is_valid() else _saved(request, form.cleaned_data, edited)
    if why:
        messages.error(request, str(why))
        return _page(request, {**request.POST.dict(), "pk": edited.pk if edited else ""}, 400)
    messages.success(request, _("The geofence is drawn."))
    return HttpResponseRedirect(reverse("geofences"))


@needs(Scope.VEHICLES_WRITE)
@require_POST
def remove(request: FleetRequest, geofence_id: int) -> HttpResponse:
    """Nobody enters or leaves it any more."""
    row = get_object_or_404(_own(request), pk=geofence_id)
    services.remove(geofence_id=row.pk, now=timezone.now())
    messages.success(request, _("The geofence is removed; what happened at it stays."))
    return HttpResponseRedirect(reverse("geofences"))


def _saved(request: FleetRequest, wanted: dict[str, Any], edited: Geofence | None) -> Any:
    """Why not, or nothing."""
    shape = {name: wanted.get(name) for name in ("name", "geometry", "radius_m")}
    try:
        if edited:
            services.change(geofence_id=edited.pk, **shape)  # type: ignore[arg-type]
        else:
            services.draw(organisation_id=organisation_of(request).pk, **shape)  # type: ignore[arg-type]
    except shapes.BadShape as error:
        return f"{REFUSED[error.code]} ({error})" if error.code == "crosses_itself" else REFUSED[error.code]
    except services.NameTaken:
        return NAME_TAKEN
    except services.TooMany:
        return TOO_MANY
    return ""


def _page(request: FleetRequest, values: dict[str, Any], status: int) -> HttpResponse:
    inside = Count("standings", filter=Q(standings__is_inside=True, standings__vehicle__is_active=True))
    rows = list(_own(request).annotate(inside=inside).order_by("name"))
    events = GeofenceEvent.objects.for_organisation(organisation_of(request)).select_related("geofence", "vehicle")
    context = {
        "rows": rows,
        "events": events[:SHOWN_EVENTS],
        "drawn": [{"name": row.name, "geometry": row.geometry, "radius_m": row.radius_m} for row in rows],
        "values": values,
        "can_draw": Scope.VEHICLES_WRITE in request.scopes,
        "map_settings": {"TILES": _tiles()},
        "boot": {"hasTiles": bool(settings.TILES_URL), "texts": {}, "urls": {}},
    }
    return render(request, "dispatch/geofences.html", context, status=status)


def _tiles() -> list[tuple[str, str, dict[str, Any]]]:
    if not settings.TILES_URL:
        return []
    return [("Map", settings.TILES_URL, {"attribution": settings.TILES_ATTRIBUTION})]


def _own(request: FleetRequest) -> Any:
    return Geofence.objects.for_organisation(organisation_of(request)).drawn()


def _edited(request: FleetRequest) -> Geofence | None:
    """The one that the address or the form names; another fleet's does not exist."""
    text = request.POST.get("geofence", "") if request.method == "POST" else request.GET.get("edit", "")
    if not text:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
    row: Geofence = get_object_or_404(_own(request), pk=number)
    return row


def _values(row: Geofence | None) -> dict[str, Any]:
    """What the form begins with."""
    if row is None:
        return {"pk": "", "radius_m": 200}
    if row.radius_m is None:
        return {"pk": row.pk, "name": row.name, "geojson": _json(row.geometry)}
    longitude, latitude = row.geometry["coordinates"]
    return {"pk": row.pk, "name": row.name, "latitude": latitude, "longitude": longitude, "radius_m": row.radius_m}


def _json(geometry: Any) -> str:
    text: str = forms.JSONField().prepare_value(geometry)
    return text
