"""What the lists of the vehicles API can be asked for."""

import django_filters
from django.db.models import QuerySet

from vehicles.models import Shift, Vehicle


class VehicleFilter(django_filters.FilterSet):
    """`?registration=mx44&is_soc_low=true&device_id=...`"""

    registration = django_filters.CharFilter(lookup_expr="icontains")
    is_soc_low = django_filters.BooleanFilter(field_name="state__is_soc_low")

    class Meta:
        model = Vehicle
        fields = ["registration", "device_id", "is_active", "is_soc_low", "cost_centre"]


class ShiftFilter(django_filters.FilterSet):
    """`?vehicle=&driver=&at=2026-11-21T09:00:00Z`"""

    at = django_filters.IsoDateTimeFilter(method="covering")

    class Meta:
        model = Shift
        fields = ["vehicle", "driver", "at"]

    def covering(self, queryset: QuerySet[Shift], name: str, value: object) -> QuerySet[Shift]:
        return queryset.filter(starts_at__lte=value, ends_at__gte=value)
