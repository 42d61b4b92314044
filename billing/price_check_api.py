"""What networks ask beside what their tariffs give, and the file to argue about the difference."""

from typing import Any

import django_filters
from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from billing import dispute
from billing.api import BillingView, NewestFirst
from billing.models import PriceCheck
from billing.serializers import ExplanationLineSerializer
from billing.services import disputes

RELATED = ("roaming_cdr__source", "session__connector__evse__location", "tariff")


class FindingSerializer(serializers.Serializer[Any]):
    """Where the two prices part; figures in paise, null where it is no figure."""

    rule = serializers.ChoiceField(["tax", "total", "part", "parts", "periods", "tariff"])
    text = serializers.CharField()
    ours = serializers.IntegerField(allow_null=True)
    theirs = serializers.IntegerField(allow_null=True)


class PriceCheckSerializer(serializers.ModelSerializer[PriceCheck]):
    """`difference_paise` is what the network asks more than its tariff gives."""

    network = serializers.CharField(source="roaming_cdr.source.name")
    record = serializers.CharField(source="roaming_cdr.key")
    session = serializers.IntegerField(source="session_id")
    tariff = serializers.IntegerField(source="tariff_id", allow_null=True)
    findings = FindingSerializer(many=True)
    explanation = ExplanationLineSerializer(many=True)

    class Meta:
        model = PriceCheck
        fields = [
            "id", "network", "record", "session", "tariff", "state", "currency", "ours_before_paise",
            "ours_after_paise", "theirs_before_paise", "theirs_after_paise", "difference_paise", "findings",
            "explanation", "checked_at",
        ]  # fmt: skip


class PriceCheckFilter(django_filters.FilterSet):
    network = django_filters.CharFilter(field_name="roaming_cdr__source__slug")

    class Meta:
        model = PriceCheck
        fields = ["state", "session", "network"]


class PriceCheckList(BillingView, generics.ListAPIView[PriceCheck]):
    """Every record of a network, priced again by its own tariff; newest first."""

    queryset = PriceCheck.objects.select_related("roaming_cdr__source")
    serializer_class = PriceCheckSerializer
    filterset_class = PriceCheckFilter
    pagination_class = NewestFirst


class DisputeFile(BillingView, APIView):
    """Both prices line by line, the tariff and the record as sent, as one file for the network."""

    queryset = PriceCheck.objects.select_related(*RELATED)
    serializer_class = PriceCheckSerializer

    @extend_schema(
        operation_id="price_checks_dispute",
        parameters=[OpenApiParameter("as", str, enum=["csv", "json"], description="csv unless asked otherwise.")],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            (200, "application/json"): OpenApiResponse(OpenApiTypes.OBJECT),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        form = request.query_params.get("as", "csv")
        if form not in {"csv", "json"}:
            raise ValidationError({"as": ["csv or json"]})
        return file_of(self.get_object(), form)


def file_of(check: PriceCheck, form: str) -> HttpResponse:
    """As a download."""
    pack = disputes.pack(check)
    answer: HttpResponse = (
        JsonResponse(pack)
        if form == "json"
        else HttpResponse(dispute.as_csv(pack), content_type="text/csv; charset=utf-8")
    )
    answer["Content-Disposition"] = f'attachment; filename="{disputes.file_name(check, form)}"'
    return answer
