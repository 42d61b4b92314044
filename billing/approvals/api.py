"""Wishes of the fleet's own money over the API: read by keys and people, decided by people alone."""

from collections.abc import Callable
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api import BillingView, NewestFirst
from billing.approvals import services
from billing.approvals.models import Approval
from fleetcharge.accounts.models import User
from fleetcharge.accounts.tenancy import author_of
from fleetcharge.lib.api import Conflict


class ChangeSerializer(serializers.Serializer[Any]):
    what = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    """`changes` says in words what it would change, as it was when it was asked for."""

    asked_by = serializers.CharField()
    decided_by = serializers.CharField(allow_null=True)
    changes = serializers.SerializerMethodField()

    class Meta:
        model = Approval
        fields = [
            "id", "kind", "title", "amount_paise", "reason", "state", "asked_by", "asked_at", "expires_at",
            "decided_by", "decided_at", "decided_because", "outcome", "changes",
        ]  # fmt: skip

    @extend_schema_field(ChangeSerializer(many=True))
    def get_changes(self, row: Approval) -> list[dict[str, str]]:
        return [{"what": what, "before": before, "after": after} for what, before, after in services.changes(row)]


class WishDecisionSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, help_text="Kept with the wish; who asked reads it.")


class ApprovalFilter(django_filters.FilterSet):
    """`?state=asked&kind=refund`"""

    state = django_filters.ChoiceFilter(choices=Approval.State.choices)

    class Meta:
        model = Approval
        fields = ["state", "kind"]


class OwnWishes(BillingView):
    """What the fleet itself decides; wishes about our own money are not among them."""

    queryset = Approval.objects.all()
    serializer_class = ApprovalSerializer

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset().exclude(kind__in=services.ours())
        return rows.select_related("asked_by", "decided_by", "organisation")


class ApprovalList(OwnWishes, generics.ListAPIView[Approval]):
    """Wishes of the fleet that wait for a second person, or were decided, newest first."""

    filterset_class = ApprovalFilter
    pagination_class = NewestFirst


class ApprovalDetail(OwnWishes, generics.RetrieveAPIView[Approval]):
    """One wish."""


class Decision(OwnWishes):
    def decide(self, request: Request, deed: Callable[..., Approval], who: str) -> Response:
        """403 for who has no say in it, 409 when it was decided, has expired or cannot be done, and for keys."""
        row = self.get_object()
        form = WishDecisionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        person: dict[str, User] = {who: _person(request)}
        try:
            deed(approval_id=row.pk, now=timezone.now(), reason=form.validated_data["reason"], **person)
        except ValueError as error:
            raise PermissionDenied(str(error), code="not_yours") from error
        return Response(ApprovalSerializer(self.get_object()).data)


class ApprovalApprove(Decision):
    """The second person's yes."""

    @extend_schema(request=WishDecisionSerializer, responses=ApprovalSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """It is done at once. For people who are signed in; a key is nobody's second pair of eyes (409)."""
        return self.decide(request, services.approve, "decided_by")


class ApprovalDecline(Decision):
    """The second person's no."""

    @extend_schema(request=WishDecisionSerializer, responses=ApprovalSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Nothing of it happens. For people who are signed in."""
        return self.decide(request, services.decline, "decided_by")


class ApprovalWithdraw(Decision):
    """Who asked thinks better of it."""

    @extend_schema(request=WishDecisionSerializer, responses=ApprovalSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Nothing of it happens. For who asked alone."""
        return self.decide(request, services.withdraw, "by")


def _person(request: Request) -> User:
    person = author_of(request)["actor"]
    if person is None:
        raise Conflict("Wishes are decided by people, not by a key.", code="person_needed")
    return person
