"""What a session would cost before it starts, line by line, at one or several connectors."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.prices.price import TARIFF, Price
from billing.serializers import ExplanationLineSerializer
from billing.services import tariffs
from billing.services.gst_rates import percent_at
from billing.services.rating import explain
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import organisation_of
from stations.models import Connector

MAX_CONNECTORS = 20
MAX_SECONDS = 7 * 86_400
A_QUOTE = OpenApiExample(
    "20 kWh in half an hour",
    description="`?connector=FCC-7K3M9QZX&energy_wh=20000&duration_s=1800`",
    response_only=True,
    status_codes=["200"],
    value=[{
        "connector": "FCC-7K3M9QZX", "is_priced": True, "price_kind": "tariff",
        "tariff": 12, "tariff_name": "Day", "currency": "INR",
        "taxable_paise": 36_000, "tax_paise": 6_480, "total_paise": 42_480, "lines": [
            {"dimension": "ENERGY", "quantity": "20.000", "unit": "kWh", "unit_price_paise": "1800",
             "amount_paise": 36_000},
            {"dimension": "CGST", "quantity": "9", "unit": "%", "amount_paise": 3_240},
            {"dimension": "SGST", "quantity": "9", "unit": "%", "amount_paise": 3_240},
        ],
    }],
)  # fmt: skip


class QuoteQuery(serializers.Serializer[Any]):
    """What would be charged; the power is taken as even."""

    connector = serializers.CharField(max_length=400, help_text=f"Up to {MAX_CONNECTORS} public ids, with commas.")
    energy_wh = serializers.IntegerField(min_value=0, max_value=10_000_000)
    duration_s = serializers.IntegerField(min_value=0, max_value=MAX_SECONDS)
    idle_s = serializers.IntegerField(
        min_value=0, max_value=MAX_SECONDS, default=0, help_text="Plugged in afterwards, taking nothing."
    )
    at = serializers.DateTimeField(required=False, help_text="When it would start; now, if left out.")

    def validate_connector(self, text: str) -> list[str]:
        names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        if not 0 < len(names) <= MAX_CONNECTORS:
            raise serializers.ValidationError(f"Name 1 to {MAX_CONNECTORS} connectors.")
        return names


class QuoteSerializer(serializers.Serializer[Any]):
    """Money in paise. Where `is_priced` is false nobody told us a price, or one that can be read: it is not 0."""

    connector = serializers.CharField()
    is_priced = serializers.BooleanField()
    price_kind = serializers.ChoiceField(
        choices=["contract", "subscription", "tariff", ""], help_text="Whose price: agreed, of a plan, or public."
    )
    tariff = serializers.IntegerField(allow_null=True, help_text="The public tariff behind it, if there is one.")
    tariff_name = serializers.CharField()
    currency = serializers.CharField()
    taxable_paise = serializers.IntegerField(allow_null=True)
    tax_paise = serializers.IntegerField(allow_null=True)
    total_paise = serializers.IntegerField(allow_null=True, help_text="With tax.")
    lines = ExplanationLineSerializer(many=True)


class QuoteList(APIView):
    """Quotes at the connectors the caller may see."""

    read_scope = Scope.STATIONS_READ

    @extend_schema(parameters=[QuoteQuery], responses={200: QuoteSerializer(many=True)}, examples=[A_QUOTE])
    def get(self, request: Request) -> Response:
        """The exact price before a start, calculated as the final record will be: in the order asked for.

        Connectors that do not exist for the caller are left out.
        """
        query = QuoteQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = dict(query.validated_data)
        names, at = wanted.pop("connector"), wanted.pop("at", timezone.now())
        visible = Connector.objects.visible_to(organisation_of(request)).filter(public_id__in=names)
        found = {row.public_id: row for row in visible.select_related("evse__location__source", "tariff")}
        asked = {**wanted, "at": at, "organisation_id": organisation_of(request).pk}
        return Response([_quote(found[name], asked) for name in names if name in found])


def name_of(price: Price) -> str:
    return price.tariff.name if price.kind == TARIFF and price.tariff else price.name


def _quote(connector: Connector, session: dict[str, Any]) -> dict[str, Any]:
    offer = tariffs.offer_at(connector=connector, **session)
    rated = offer.rated if offer else None
    return {
        "connector": connector.public_id,
        "is_priced": offer is not None,
        "price_kind": offer.price.kind if offer else "",
        "tariff": offer.tariff.pk if offer and offer.tariff else None,
        "tariff_name": name_of(offer.price) if offer else "",
        "currency": offer.price.currency if offer else "",
        "taxable_paise": rated.taxable_paise if rated else None,
        "tax_paise": rated.tax.total_paise if rated else None,
        "total_paise": rated.total_paise if rated else None,
        "lines": explain(rated, gst_percent=percent_at(session["at"])) if rated else [],
    }
