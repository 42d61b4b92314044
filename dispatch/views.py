"""The pages of the dispatcher; each picks rows and renders them, readable before any script runs."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language

from billing.models import ChargingSession
from billing.services import gst_rates
from dispatch import figures, histories, pages
from dispatch.doorkeeper import PATH
from dispatch.models import Alert, ChargePlan
from dispatch.saved import reads as saved
from dispatch.serializers import AlertSerializer
from dispatch.texts import script_texts
from dispatch.wording import told
from fleetcharge.accounts.idempotency import decider
from fleetcharge.accounts.models import Membership, Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from stations.credits import credits_of
from stations.models import Connector, Location
from stations.services import is_theirs
from vehicles.models import Stop

FIRST_ROWS = 40
DEED_MINUTES = (15, 30, 45, 60, 90, 120)
View = Callable[..., HttpResponse]


def needs(scope: Scope) -> Callable[[View], View]:
    """Only for people whose role carries `scope`; the others get a page that says whom to ask."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: FleetRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.organisation is None or scope not in request.scopes:
                return render(request, "no_access.html", status=403)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


@needs(Scope.DISPATCH_READ)
def index(request: FleetRequest) -> HttpResponse:
    """The live page. Figures, first rows and alerts are in the HTML; the map comes with the script."""
    return render(request, "dispatch/index.html", live(request))


@needs(Scope.DISPATCH_READ)
def wall(request: FleetRequest) -> HttpResponse:
    """The live page for a screen on the wall: nothing on it can be touched, everything can be read from afar."""
    return render(request, "dispatch/wall.html", live(request))


def live(request: FleetRequest) -> dict[str, Any]:
    """What the live page needs, for whoever looks at it on behalf of the request's fleet."""
    organisation, now = organisation_of(request), timezone.now()
    fleet = pages.fleet_by_urgency(organisation, now=now)
    counts = pages.group_counts(fleet)
    opened = list(Alert.objects.for_organisation(organisation).open().for_display())
    for alert in opened:
        alert.words = told(alert, organisation.time_zone)  # type: ignore[attr-defined]  # for the page
    alerts = [alert for alert in opened if alert.snoozed_until is None or alert.snoozed_until <= now]
    return {
        "kpis": figures.kpis(organisation, now=now),
        "groups": _grouped(pages.fleet_rows(list(fleet[:FIRST_ROWS])), counts, organisation.soc_low_percent),
        "counts": dict(zip([key for key, _label in pages.GROUPS], counts, strict=True)),
        "fleet_total": sum(counts),
        "alerts": sorted(alerts, key=lambda alert: (alert.severity != Alert.Severity.BAD, alert.opened_at)),
        "boot": _boot(request, opened),  # the snoozed ones, too: they come back by themselves
        "map_settings": {"TILES": _tiles()},
        "deed_minutes": DEED_MINUTES,
        "kept": saved.of_page(request, organisation, "dispatch"),
        "page": "dispatch",
    }


def _grouped(rows: list[pages.FleetRow], counts: list[int], low_percent: int) -> list[dict[str, Any]]:
    groups = []
    for number, (key, label) in enumerate(pages.GROUPS):
        members = [row for row in rows if row.group == number]
        if members:
            text = str(label) % {"percent": low_percent} if key == "low" else label
            groups.append({"key": key, "label": text, "count": counts[number], "rows": members})
    return groups


def _tiles() -> list[tuple[str, str, dict[str, Any]]]:
    """The operator's raster tiles, when there are any; by default no request leaves the house."""
    if not settings.TILES_URL:
        return []
    return [("Map", settings.TILES_URL, {"attribution": settings.TILES_ATTRIBUTION})]


def _boot(request: FleetRequest, alerts: list[Alert]) -> dict[str, Any]:
    """What the script needs to begin: addresses, rights, texts and the open alerts."""
    organisation = organisation_of(request)
    return {
        "realtimePort": settings.REALTIME_PORT,
        "serverTime": timezone.now().isoformat(),
        "csrfToken": get_token(request),
        "who": decider(request),
        "language": get_language(),
        "timeZone": organisation.time_zone,
        "currency": organisation.currency,
        "socLowPercent": organisation.soc_low_percent,
        "canDispatch": Scope.DISPATCH_WRITE in request.scopes,
        "isStaff": bool(request.user.is_staff),  # signed in, by needs()
        "hasTiles": bool(settings.TILES_URL),
        "urls": {
            "api": "/api/v1/",
            "live": PATH,
            "station": reverse("station-drawer", args=["ID"]),
            "vehicle": reverse("vehicle-drawer", args=[0]),
            "session": reverse("admin:billing_chargingsession_change", args=[0]) if _has_session_admin() else "",
            "sessions": reverse("session-list"),
            "wallet": reverse("wallet-overview") if Scope.BILLING_READ in request.scopes else "",
            "topUp": reverse("wallet-top-up"),
            "webhooks": reverse("admin:webhooks_webhookendpoint_changelist"),
            "login": f"{reverse('login')}?next={reverse('dispatch')}",
        },
        "alerts": [{**AlertSerializer(alert).data, **told(alert, organisation.time_zone)} for alert in alerts],
        "said": [str(message) for message in get_messages(request)],
        "texts": script_texts(),
    }


def _has_session_admin() -> bool:
    return admin.site.is_registered(ChargingSession)


@needs(Scope.STATIONS_READ)
def station_drawer(request: FleetRequest, public_id: str) -> HttpResponse:
    """One site as the drawer shows it; also the whole of its own page."""
    organisation, now = organisation_of(request), timezone.now()
    location = get_object_or_404(pages.sites(organisation, now=now), public_id=public_id)
    plugs = pages.plugs_of(location, organisation, now=now)
    context = {
        "location": location,
        "credits": credits_of(location),
        "plugs": plugs,
        "free": sum(plug.is_free for plug in plugs),
        "first_free": max((plug for plug in plugs if plug.offer.hold), key=lambda plug: plug.power_w, default=None),
        "until": now + timedelta(minutes=settings.RESERVATION_MINUTES),
        "idle_paise_per_hour": _idle_price(location),
        "gst_percent": gst_rates.shown_at(now),
        "hours": pages.busy_by_hour(location, now=now),
        "can_reserve": Scope.DISPATCH_WRITE in request.scopes,
    }
    return _partial_or_page(
        request, "dispatch/_station.html", location.name, context,
        beside=lambda: {
            **histories.of_station(location, organisation, now=now),
            "decides_who_sees": request.role == Membership.Role.OWNER and is_theirs(location, organisation),
        },
    )  # fmt: skip


def _idle_price(location: Location) -> int | None:
    priced = Connector.objects.existing().filter(evse__location=location, tariff__isnull=False)
    connector = priced.select_related("tariff").order_by("evse_id", "pk").first()
    return pages.price_paise(connector.tariff, "PARKING_TIME") if connector else None


@needs(Scope.VEHICLES_READ)
def vehicle_drawer(request: FleetRequest, vehicle_id: int) -> HttpResponse:
    """One vehicle as the drawer shows it."""
    organisation, now = organisation_of(request), timezone.now()
    vehicle = get_object_or_404(pages.fleet_by_urgency(organisation, now=now), pk=vehicle_id)
    sessions = ChargingSession.objects.for_organisation(organisation).active().filter(vehicle=vehicle)
    session = sessions.select_related("connector__evse__location__source").order_by("-started_at", "-pk").first()
    context = {
        "vehicle": vehicle,
        "row": pages.fleet_rows([vehicle])[0],
        "state": getattr(vehicle, "state", None),
        "stops": Stop.objects.filter(vehicle=vehicle, done_at=None)[:4],
        "plan": ChargePlan.objects.for_organisation(organisation).open().for_display().filter(vehicle=vehicle).first(),
        "session": session,
        "plug": pages.plug_of_session(session, organisation, now=now),
        "can_reserve": Scope.DISPATCH_WRITE in request.scopes,
        "can_change": Scope.VEHICLES_WRITE in request.scopes,
    }
    return _partial_or_page(
        request, "dispatch/_vehicle.html", vehicle.registration, context,
        beside=lambda: histories.of_vehicle(vehicle, organisation, now=now),
    )  # fmt: skip


def _partial_or_page(
    request: FleetRequest, template: str, title: str, context: dict[str, Any], *, beside: Callable[[], dict[str, Any]]
) -> HttpResponse:
    """The bare fragment for the drawer, a full page with its history for a link that is opened or shared."""
    if request.headers.get("X-Requested-With") == "drawer":
        return render(request, template, context)
    return render(request, "dispatch/detail.html", {**context, **beside(), "partial": template, "title": title})
