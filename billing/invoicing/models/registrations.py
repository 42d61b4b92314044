"""GST registrations: ours that supply, the fleets' that receive, and the counters of our serial numbers."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.gst import gstin as gstins
from billing.gst import states

STATE_CHOICES = sorted(states.STATES.items())


def validate_gstin(text: str) -> None:
    """For fields and forms."""
    try:
        gstins.clean(text)
    except gstins.InvalidGSTIN as error:
        raise ValidationError(str(error)) from error


class Registration(models.Model):
    """Name and address as on the certificate; what a document shows is copied from here when it is issued."""

    legal_name = models.CharField(max_length=120)
    trade_name = models.CharField(max_length=120, blank=True)
    address = models.CharField(max_length=200, help_text=_("Building, street, area."))
    city = models.CharField(max_length=60)
    pin_code = models.CharField(max_length=6, verbose_name="PIN")
    state_code = models.CharField(max_length=2, choices=STATE_CHOICES)
    email = models.EmailField(blank=True)

    class Meta:
        abstract = True

    def clean(self) -> None:
        """A GSTIN is upper case, right, and of the state that the address is in."""
        gstin = getattr(self, "gstin", "")
        validate_gstin(gstin)
        if gstin:
            self.gstin = gstins.clean(gstin)
            if gstins.state_of(self.gstin) != self.state_code:
                raise ValidationError({"state_code": _("The GSTIN is of another state.")})
        if not (self.pin_code.isascii() and self.pin_code.isdigit() and len(self.pin_code) == 6):
            raise ValidationError({"pin_code": _("A PIN has six digits.")})


class SupplierRegistration(Registration):
    """One of our own GSTINs. The default one supplies wherever we have none in a site's state."""

    gstin = models.CharField(max_length=15, unique=True, verbose_name="GSTIN", validators=[validate_gstin])
    number_prefix = models.CharField(max_length=2, default="FC", help_text=_("First letters of its invoice numbers."))
    is_default = models.BooleanField(default=False)
    has_undertaking = models.BooleanField(
        default=False, help_text=_("Letter of undertaking: supplies to special economic zones without tax.")
    )
    einvoice_from = models.DateField(
        null=True, blank=True, help_text=_("From this day its documents to registered recipients need an IRN.")
    )
    bank_details = models.TextField(blank=True)
    terms = models.TextField(blank=True, help_text=_("Printed at the foot of an invoice."))
    closed_on = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ["gstin"]
        constraints = [models.UniqueConstraint("is_default", condition=Q(is_default=True), name="one_default_supplier")]

    def __str__(self) -> str:
        return f"{self.legal_name} ({self.gstin})"


class OrganisationRegistration(Registration):
    """A GSTIN of a fleet, or its address when it has none. The default one gets what nothing is mapped to."""

    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="gst_registrations")
    gstin = models.CharField(
        max_length=15, blank=True, verbose_name="GSTIN", validators=[validate_gstin],
        help_text=_("Empty: not registered."),
    )  # fmt: skip
    is_sez = models.BooleanField(default=False, help_text=_("A unit in a special economic zone."))
    is_default = models.BooleanField(default=False)

    class Meta:
        ordering = ["organisation", "gstin"]
        constraints = [
            models.UniqueConstraint(
                "organisation", "gstin", condition=~Q(gstin=""), name="one_row_per_gstin_of_an_organisation"
            ),
            models.UniqueConstraint(
                "organisation", condition=Q(is_default=True), name="one_default_registration_of_an_organisation"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.legal_name} ({self.gstin or 'unregistered'})"


class RegistrationMapping(models.Model):
    """Which GSTIN of a fleet a vehicle, or a cost centre, is billed to. The vehicle's own comes first."""

    organisation = models.ForeignKey("accounts.Organisation", models.CASCADE, related_name="+")
    registration = models.ForeignKey(OrganisationRegistration, models.CASCADE, related_name="mappings")
    vehicle = models.ForeignKey("vehicles.Vehicle", models.CASCADE, null=True, blank=True, related_name="+")
    cost_centre = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint("vehicle", condition=Q(vehicle__isnull=False), name="one_gstin_per_vehicle"),
            models.UniqueConstraint(
                "organisation", "cost_centre", condition=~Q(cost_centre=""), name="one_gstin_per_cost_centre"
            ),
            models.CheckConstraint(
                condition=Q(vehicle__isnull=False, cost_centre="") | (Q(vehicle__isnull=True) & ~Q(cost_centre="")),
                name="a_vehicle_or_a_cost_centre_is_mapped",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle or self.cost_centre} → {self.registration}"

    def clean(self) -> None:
        owners = {self.organisation_id, self.registration.organisation_id}
        if self.vehicle is not None:
            owners.add(self.vehicle.organisation_id)
        if len(owners) > 1:
            raise ValidationError(_("Vehicle and registration belong to different organisations."))
        if bool(self.vehicle) == bool(self.cost_centre):
            raise ValidationError(_("Name a vehicle or a cost centre, not both."))


class NumberSeries(models.Model):
    """The counter of one kind of document of one GSTIN in one year, raised by the transaction that issues it."""

    supplier = models.ForeignKey(SupplierRegistration, models.PROTECT, related_name="series")
    financial_year = models.CharField(max_length=7)
    prefix = models.CharField(max_length=3)
    last_number = models.PositiveIntegerField(default=0)
    last_on = models.DateField(help_text=_("A document is never dated before the one with the number before."))

    class Meta:
        verbose_name_plural = "number series"
        ordering = ["-financial_year", "prefix"]
        constraints = [
            models.UniqueConstraint("supplier", "financial_year", "prefix", name="one_counter_per_series"),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}/{self.financial_year}: {self.last_number}"
