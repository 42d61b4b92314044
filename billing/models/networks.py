"""What we know of money with other networks: our figure beside theirs, and what was settled for orders."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.models.sessions import ChargingSession
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.ids import short
from fleetcharge.lib.money import format_inr
from stations.cpo.ocpi.models import RoamingCDR
from stations.cpo.ubc.models import UBCOrder
from stations.models import Tariff


class PriceCheckQuerySet(models.QuerySet["PriceCheck"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def disputed(self) -> Self:
        """Where the network asks another price than its tariff gives, and has not taken it back."""
        return self.filter(state=PriceCheck.State.DIFFERS)


class PriceCheck(models.Model):
    """A network's record priced again by its own tariff. The first comparison stands; a credit ends a dispute."""

    class State(models.TextChoices):
        AGREES = "agrees", _("Agrees")
        DIFFERS = "differs", _("Differs")
        TAKEN_BACK = "taken_back", _("Taken back by the network")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="price_checks")
    session = models.ForeignKey(ChargingSession, models.PROTECT, related_name="price_checks")
    roaming_cdr = models.OneToOneField(RoamingCDR, models.PROTECT, related_name="price_check")
    tariff = models.ForeignKey(Tariff, models.PROTECT, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=10, choices=State)
    currency = models.CharField(max_length=3, default="INR")
    ours_before_paise = models.BigIntegerField(help_text=_("Without tax."))
    ours_after_paise = models.BigIntegerField(help_text=_("With tax."))
    theirs_before_paise = models.BigIntegerField(null=True, blank=True)
    theirs_after_paise = models.BigIntegerField(null=True, blank=True, help_text=_("Empty: the network did not say."))
    difference_paise = models.BigIntegerField(help_text=_("What the network asks more; with tax where it says so."))
    findings = models.JSONField(default=list, help_text=_("[{rule, text, ours, theirs}]"))
    explanation = models.JSONField(default=list, help_text=_("Our price, line by line."))
    checked_at = models.DateTimeField()

    objects = PriceCheckQuerySet.as_manager()

    class Meta:
        ordering = ["-checked_at"]
        indexes = [
            models.Index(fields=["organisation", "-checked_at"], condition=Q(state="differs"), name="price_disputes")
        ]

    def __str__(self) -> str:
        return f"{short(self.roaming_cdr.key)}: {format_inr(self.difference_paise)}"


class OrderSettlement(models.Model):
    """What of a UBC order is in the ledger already: the order's own figures minus these are still to be posted."""

    order = models.OneToOneField(UBCOrder, models.PROTECT, related_name="settlement")
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="+")
    paid_paise = models.BigIntegerField(default=0, help_text=_("Paid with the order."))
    value_paise = models.BigIntegerField(default=0, help_text=_("What the session cost in the end."))
    refunded_paise = models.BigIntegerField(default=0)
    carried_paise = models.BigIntegerField(default=0, help_text=_("Of earlier orders, paid with this one."))
    postings = models.PositiveSmallIntegerField(default=0)
    settled_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{short(self.order.order_id or str(self.order.transaction_id))}: {format_inr(self.value_paise)}"
