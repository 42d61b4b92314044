"""How fast each fleet gets about, hour by hour; made every night, never by hand."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from dispatch.engines.crow import SECONDS_EXPONENT
from dispatch.speeds.models import SpeedLaw
from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin
from fleetcharge.accounts.models import Membership

SHOWN_M = 5_000


@admin.register(SpeedLaw)
class SpeedLawAdmin(ReadOnlyAdmin):
    view_roles = DESK | {Membership.Role.DISPATCHER}
    list_display = ["organisation", "from_to", "road_km", "minutes", "speed_kmh", "trips", "learned_on"]
    list_select_related = ["organisation"]
    list_filter = ["organisation"]
    search_fields = ["organisation__name"]
    ordering = ["organisation", "hour"]

    @admin.display(description=_("Hour"), ordering="hour")
    def from_to(self, law: SpeedLaw) -> str:
        return f"{law.hour:02}:00-{(law.hour + 1) % 24:02}:00"

    @admin.display(description=_("5 km straight, by road in km"), ordering="circuity")
    def road_km(self, law: SpeedLaw) -> str:
        return f"{law.circuity * SHOWN_M / 1000:.1f}"

    @admin.display(description=_("Minutes for it"), ordering="seconds_factor")
    def minutes(self, law: SpeedLaw) -> int:
        return round(_seconds(law) / 60)

    @admin.display(description=_("km/h on the road"))
    def speed_kmh(self, law: SpeedLaw) -> int:
        return round(law.circuity * SHOWN_M / _seconds(law) * 3.6)


def _seconds(law: SpeedLaw) -> float:
    return float(law.seconds_factor * SHOWN_M**SECONDS_EXPONENT)
