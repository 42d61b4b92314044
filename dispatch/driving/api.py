"""The driver's link over the API: made for a plan, handed on by whoever asked, taken back."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from dispatch.driving import links
from dispatch.driving.shapes import DriverLinkSerializer
from dispatch.models import ChargePlan
from fleetcharge.accounts.tenancy import author_of
from fleetcharge.lib.api import Conflict


class DriverLinks(viewsets.GenericViewSet[ChargePlan]):
    """Two actions of a plan."""

    @extend_schema(summary="The driver's link", request=None, responses=DriverLinkSerializer)
    @action(detail=True, methods=["post"], url_path="driver-link", filter_backends=[], pagination_class=None)
    def driver_link(self, request: Request, pk: str) -> Response:
        """The link of an accepted plan: always the same one, until it ends or is taken back."""
        plan = self.get_object()
        try:
            made = links.make(plan_id=plan.pk, now=timezone.now(), **author_of(request))
        except links.NothingToShow as error:
            raise Conflict("Nobody is to drive by this plan.", code="plan_not_accepted") from error
        return Response(DriverLinkSerializer(made).data)

    @extend_schema(summary="Take the vehicle's links back", request=None, responses={204: None})
    @driver_link.mapping.delete
    def revoke_driver_link(self, request: Request, pk: str) -> Response:
        links.revoke(plan_id=self.get_object().pk, now=timezone.now(), **author_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
