"""What a fleet has agreed with a network, everywhere or at one site, from one day to another."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User
from stations.models import Location, Source


class NegotiatedRateQuerySet(models.QuerySet["NegotiatedRate"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class NegotiatedRate(models.Model):
    """One version, never changed and never deleted (a trigger refuses): a later one begins where this one ends.

    It is made when a second person approves. `is_end`: from `valid_from` on nothing is agreed any more.
    """

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="negotiated_rates")
    source = models.ForeignKey(Source, models.PROTECT, related_name="negotiated_rates", verbose_name=_("network"))
    location = models.ForeignKey(
        Location, models.PROTECT, null=True, blank=True, related_name="negotiated_rates", verbose_name=_("site"),
        help_text=_("Empty: at all sites of the network that have no rate of their own."),
    )  # fmt: skip
    version = models.PositiveIntegerField()
    name = models.CharField(max_length=120)
    currency = models.CharField(max_length=3, default="INR")
    elements = models.JSONField(default=list, help_text=_("OCPI TariffElement list, as in a tariff."))
    terms = models.JSONField(default=dict, blank=True, help_text=_("OCPI min_price, max_price, tax_included."))
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    is_end = models.BooleanField(default=False)
    asked_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField()

    objects = NegotiatedRateQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                "organisation", "source", "location", "version", nulls_distinct=False, name="one_row_per_rate_version"
            ),
            models.CheckConstraint(condition=~Q(asked_by=F("approved_by")), name="a_rate_has_four_eyes"),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=F("valid_from")), name="rate_ends_after_it_begins"
            ),
            models.CheckConstraint(condition=Q(is_end=False) | Q(elements=[]), name="an_ended_rate_has_no_price"),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"
