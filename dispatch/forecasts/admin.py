"""What was learned of plugs and vehicles, and whether forecasts come true, for the operator of the house."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from dispatch.core import waits
from dispatch.forecasts.forecasting import drift
from dispatch.forecasts.models import Calibration, Forecast, LearnedCurve, PlugGroup
from fleetcharge.accounts.admin import ReadOnlyAdmin

DRIFT_DAYS = 30


class OfTheHouse(ReadOnlyAdmin):
    """Learned from what every fleet did: nobody's rows but the house's."""

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.all()
        return rows if request.user.is_superuser else rows.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)


@admin.register(Forecast)
class ForecastAdmin(OfTheHouse):
    """Every forecast beside what came of it."""

    list_display = ["made_at", "connector", "horizon_minutes", "was_free", "probability", "is_free", "scored_at"]
    list_filter = ["horizon_minutes", "was_free", "is_free"]
    list_select_related = ["connector"]
    search_fields = ["connector__public_id"]
    actions_list = ["drift_page"]

    def has_drift_page_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    @action(description=_("Drift"), url_path="drift", permissions=["drift_page"])
    def drift_page(self, request: HttpRequest) -> HttpResponse:
        if not self.has_drift_page_permission(request):
            return HttpResponseForbidden()
        zone = timezone.get_current_timezone_name()
        context = {
            **self.admin_site.each_context(request), "opts": self.model._meta,
            "title": gettext("Do forecasts come true?"),
            "rows": drift(since=timezone.now() - timedelta(days=DRIFT_DAYS), zone=zone),
            "calibrations": Calibration.objects.order_by("was_free", "horizon_minutes"),
        }  # fmt: skip
        return TemplateResponse(request, "admin/dispatch/drift.html", context)


@admin.register(PlugGroup)
class PlugGroupAdmin(OfTheHouse):
    """How long sessions last at plugs of one kind at one site, and when they are busy."""

    list_display = ["__str__", "plugs", "sessions", "median_minutes", "p90_minutes", "busy", "keeps", "learned_at"]
    list_filter = ["plug"]
    list_select_related = ["location"]
    search_fields = ["location__name", "location__public_id"]
    ordering = ["location__name", "plug", "max_power_w"]

    @admin.display(description=_("Median, min"))
    def median_minutes(self, group: PlugGroup) -> int:
        return _minutes(group, waits.P50)

    @admin.display(description=_("p90, min"))
    def p90_minutes(self, group: PlugGroup) -> int:
        return _minutes(group, waits.P90)

    @admin.display(description=_("Busy"))
    def busy(self, group: PlugGroup) -> str:
        return f"{sum(group.busy_by_hour) / max(1, len(group.busy_by_hour)):.0%}"


def _minutes(group: PlugGroup, share: float) -> int:
    law = waits.evenly(group.session_seconds) if group.session_seconds else waits.default_law()
    return round(law.remaining(0, share) / 60)


@admin.register(LearnedCurve)
class LearnedCurveAdmin(OfTheHouse):
    list_display = ["vehicle_model", "evse", "is_dc", "sessions", "peak_kw", "learned_at"]
    list_select_related = ["vehicle_model", "evse"]
    search_fields = ["vehicle_model__name", "vehicle_model__manufacturer", "evse__public_id"]
    ordering = ["vehicle_model", "evse"]

    @admin.display(description=_("Peak, kW"))
    def peak_kw(self, curve: LearnedCurve) -> float:
        return round(max((power for _soc, power in curve.points), default=0.0) / 1000, 1)
