"""Local lists over REST: what each charger should know, what it knows, and what it said last."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import mixins, serializers, viewsets

from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import organisation_of
from fleetcharge.lib.api import CursorPagination
from ocpp_bridge.models import LocalList


class LocalListSerializer(serializers.ModelSerializer[LocalList]):
    """`tokens`: how many should be on it; `left_out`: how many do not fit or are too long for OCPP 1.6."""

    charger = serializers.CharField(source="charger.ocpp_identity")
    tokens = serializers.SerializerMethodField()

    class Meta:
        model = LocalList
        fields = [
            "charger", "state", "tokens", "left_out", "version_wanted", "version_there", "changed_at", "compared_at",
            "confirmed_at", "is_enabled", "max_per_message", "capacity", "failures", "last_result", "last_result_at",
            "retry_at",
        ]  # fmt: skip

    def get_tokens(self, row: LocalList) -> int:
        return len(row.entries)


class LocalListFilter(filters.FilterSet):  # type: ignore[misc]
    charger = filters.CharFilter(field_name="charger__ocpp_identity")

    class Meta:
        model = LocalList
        fields = ["charger", "state"]


class ByCharger(CursorPagination):
    ordering = "charger_id"


class LocalListViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[LocalList]):
    """The local authorisation list of every charger of the organisation."""

    queryset = LocalList.objects.none()
    serializer_class = LocalListSerializer
    pagination_class = ByCharger
    filterset_class = LocalListFilter
    read_scope = Scope.DISPATCH_READ
    write_scope = Scope.DISPATCH_WRITE

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return LocalList.objects.none()
        return LocalList.objects.filter(organisation=organisation_of(self.request)).select_related("charger")
