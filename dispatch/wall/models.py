"""Which screens of a fleet may show its live page, until when."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from fleetcharge.accounts.models import Organisation, User


class WallLinkQuerySet(models.QuerySet["WallLink"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def open(self, now: datetime) -> Self:
        return self.filter(revoked_at=None, expires_at__gt=now)


class WallLink(models.Model):
    """Whoever has its address sees the fleet's live page, and can do nothing, until it ends or is taken back."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="wall_links")
    name = models.CharField(max_length=60)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = WallLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="a_wall_link_ends_after_it_begins")
        ]

    def __str__(self) -> str:
        return self.name
