"""Who may charge where, when and for how much, and every decision that followed from it."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.sessions import ChargingSession
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.ids import short
from stations.models import Charger, Connector, Location
from vehicles.models import Driver, IdToken, Vehicle


class ChargingPolicy(models.Model):
    """What a fleet wants of its charging. Without a row, the defaults hold."""

    class ReservedBay(models.TextChoices):
        FLAG = "flag", _("Raise an alert")
        STOP = "stop", _("Stop the session and raise an alert")

    organisation = models.OneToOneField(Organisation, models.CASCADE, primary_key=True, related_name="charging_policy")
    needs_shift = models.BooleanField(default=False, help_text=_("Tokens only charge while their driver is on shift."))
    shift_margin_minutes = models.PositiveSmallIntegerField(
        default=30, help_text=_("So long before and after a shift counts as on shift.")
    )
    allows_parallel_use = models.BooleanField(
        default=False, help_text=_("One token may run several sessions at a time.")
    )
    reserved_bay = models.CharField(
        max_length=4, choices=ReservedBay, default=ReservedBay.FLAG,
        help_text=_("At our chargers, when somebody else starts a session on a reserved connector."),
    )  # fmt: skip
    has_local_lists = models.BooleanField(
        default=True, help_text=_("Our chargers know our tokens, so that they charge without a connection.")
    )
    limit_raise_free_paise = models.BigIntegerField(
        null=True, blank=True,
        help_text=_("Finance raises a spending limit by more than this only with a second person; empty: alone."),
    )  # fmt: skip

    class Meta:
        verbose_name_plural = "charging policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(limit_raise_free_paise=None) | Q(limit_raise_free_paise__gte=0),
                name="a_free_raise_is_not_negative",
            )
        ]

    def __str__(self) -> str:
        return str(self.organisation)


class AllowedSite(models.Model):
    """A token, or every token of a vehicle, that is named here only charges at the sites named here."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    id_token = models.ForeignKey(IdToken, models.CASCADE, null=True, blank=True, related_name="allowed_sites")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, null=True, blank=True, related_name="allowed_sites")
    location = models.ForeignKey(Location, models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["id_token", "vehicle", "location"], name="one_row_per_allowed_site", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(id_token=None) ^ Q(vehicle=None), name="allowed_site_is_for_a_token_or_a_vehicle"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id_token or self.vehicle} @ {self.location}"


class AuthorisationDecisionQuerySet(models.QuerySet["AuthorisationDecision"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class AuthorisationDecision(models.Model):
    """One answer to "may this token charge?", with everything it was made of. Kept for a while, then pruned.

    Written for every authorisation: plain ids, no foreign-key checks and few indexes.
    """

    class Door(models.TextChoices):
        AUTHORIZE = "authorize", _("Asked before charging")
        START = "start", _("Session started")
        LATE_START = "late_start", _("Session started without us, told later")

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, null=True, related_name="+", db_constraint=False, db_index=False,
        help_text=_("Who would pay: the token's fleet, or the charger's owner for an unknown token."),
    )  # fmt: skip
    id_token_uid = models.CharField(max_length=36, blank=True)
    id_token = models.ForeignKey(
        IdToken, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    vehicle = models.ForeignKey(
        Vehicle, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    driver = models.ForeignKey(
        Driver, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    charger = models.ForeignKey(
        Charger, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    connector = models.ForeignKey(
        Connector, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    session = models.ForeignKey(
        ChargingSession, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    door = models.CharField(max_length=10, choices=Door)
    is_accepted = models.BooleanField()
    reason = models.CharField(max_length=40)
    max_energy_wh = models.PositiveBigIntegerField(null=True, help_text=_("What the session may draw at most."))
    max_paise = models.BigIntegerField(null=True, help_text=_("What the session may cost at most, incl. GST."))
    inputs = models.JSONField(default=dict, help_text=_("What was known at that moment."))
    duration_us = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(help_text=_("The moment that was judged (the station's clock)."))
    decided_at = models.DateTimeField(default=timezone.now)

    objects = AuthorisationDecisionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(Lower("id_token_uid"), F("decided_at").desc(), name="decisions_of_a_token"),
            models.Index(fields=["organisation", "-id"], name="decisions_of_an_organisation"),
            models.Index(fields=["decided_at"], name="decisions_by_age"),
            models.Index(
                fields=["session"],
                condition=Q(session__isnull=False) & (Q(max_energy_wh__isnull=False) | Q(max_paise__isnull=False)),
                name="bounded_sessions",
            ),
        ]

    def __str__(self) -> str:
        return f"{short(self.id_token_uid) or '?'}: {self.reason.replace('_', ' ')}"
