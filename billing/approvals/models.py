"""What one person asked for and another has to decide; the database refuses one person for both."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User


class ApprovalQuerySet(models.QuerySet["Approval"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def open(self) -> Self:
        return self.filter(state=Approval.State.ASKED)


class Approval(models.Model):
    """One wish about money. What was asked for never changes, and a decision is final (a trigger refuses).

    `facts` holds what the deed needs, among it `before` and `after`: what the wish would change, as it was then.
    """

    class State(models.TextChoices):
        ASKED = "asked", _("Waits for a second person")
        APPROVED = "approved", _("Approved")
        DECLINED = "declined", _("Declined")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        EXPIRED = "expired", _("Expired")
        FREE = "free", _("Small, needed nobody else")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="approvals")
    kind = models.CharField(max_length=30, help_text=_("Which deed follows the second person's yes."))
    subject = models.CharField(max_length=120, help_text=_("What it is about; one open wish per kind and subject."))
    title = models.CharField(max_length=200)
    facts = models.JSONField(default=dict, help_text=_("What the deed needs to know, as it was asked for."))
    amount_paise = models.BigIntegerField(default=0)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    asked_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True, help_text=_("Nobody can approve it from then on."))
    free_up_to_paise = models.BigIntegerField(default=0, help_text=_("What needed no second person when it was asked."))
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_because = models.CharField(max_length=500, blank=True)
    outcome = models.CharField(max_length=200, blank=True, help_text=_("What the deed left behind, e.g. its entry."))

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                "organisation", "kind", "subject", condition=Q(state="asked"), name="one_open_wish_per_subject"
            ),
            models.CheckConstraint(condition=Q(amount_paise__gte=0), name="a_wish_is_about_no_negative_amount"),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "declined"]) | ~Q(decided_by=F("asked_by")),
                name="a_wish_has_four_eyes",
            ),
            models.CheckConstraint(
                condition=Q(state="asked", decided_by=None, decided_at=None)
                | Q(state="expired", decided_by=None, decided_at__isnull=False)
                | Q(decided_by__isnull=False, decided_at__isnull=False) & ~Q(state__in=["asked", "expired"]),
                name="a_decided_wish_says_by_whom",
            ),
            models.CheckConstraint(
                condition=~Q(state="free")
                | Q(amount_paise__lte=F("free_up_to_paise"), amount_paise__gt=0, decided_by=F("asked_by")),
                name="a_free_wish_is_small_and_of_one_person",
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "asked_at"], condition=Q(state="asked"), name="open_wishes"),
            models.Index(
                fields=["organisation", "kind", "decided_at"], condition=Q(state="free"), name="small_wishes_of_a_day"
            ),
        ]

    def __str__(self) -> str:
        return self.title
