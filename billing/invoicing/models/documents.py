"""Tax documents as they were issued. Triggers (0030) refuse every change; corrections are notes of their own."""

from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _


class TaxDocumentQuerySet(models.QuerySet["TaxDocument"]):
    def for_organisation(self, organisation: Any) -> Self:
        return self.filter(organisation=organisation)


class TaxDocument(models.Model):
    """An invoice, a voucher or a note. Amounts are positive; a credit note and a refund voucher take away."""

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("Tax invoice")
        CREDIT_NOTE = "credit_note", _("Credit note")
        DEBIT_NOTE = "debit_note", _("Debit note")
        RECEIPT_VOUCHER = "receipt_voucher", _("Receipt voucher")
        REFUND_VOUCHER = "refund_voucher", _("Refund voucher")

    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="tax_documents")
    supplier = models.ForeignKey("billing.SupplierRegistration", models.PROTECT, related_name="documents")
    registration = models.ForeignKey(
        "billing.OrganisationRegistration", models.PROTECT, null=True, blank=True, related_name="documents"
    )
    kind = models.CharField(max_length=16, choices=Kind)
    number = models.CharField(max_length=16)
    financial_year = models.CharField(max_length=7)
    dated_on = models.DateField()
    month = models.ForeignKey(
        "billing.AccountingMonth", models.PROTECT, null=True, blank=True, related_name="documents"
    )
    original = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="notes",
        help_text=_("The invoice that a note corrects, or the receipt voucher that is refunded."),
    )  # fmt: skip
    advance = models.OneToOneField(
        "billing.LedgerTransfer", models.PROTECT, null=True, blank=True, related_name="receipt_voucher",
        help_text=_("The top-up that a receipt voucher confirms."),
    )  # fmt: skip
    supplier_facts = models.JSONField(help_text=_("Name, address and GSTIN on that day."))
    recipient_facts = models.JSONField()
    place_of_supply = models.CharField(max_length=2)
    supply_kind = models.CharField(max_length=6, help_text=_("B2B, SEZWP, SEZWOP or B2C."))
    state_head = models.CharField(max_length=5, default="SGST", help_text=_("SGST or UTGST."))
    currency = models.CharField(max_length=3, default="INR")
    taxable_paise = models.BigIntegerField()
    cgst_paise = models.BigIntegerField(default=0)
    sgst_paise = models.BigIntegerField(default=0)
    igst_paise = models.BigIntegerField(default=0)
    round_off_paise = models.BigIntegerField(default=0)
    total_paise = models.BigIntegerField()
    charged_paise = models.BigIntegerField(
        default=0, help_text=_("What had been taken from the wallet for it before, session by session.")
    )
    advance_paise = models.BigIntegerField(default=0, help_text=_("Of it paid by advances with a receipt voucher."))
    annexure_sha256 = models.CharField(max_length=64, blank=True)
    annexure_rows = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=200, blank=True)
    request_key = models.CharField(max_length=120, unique=True, help_text=_("One document per business fact."))
    issued_at = models.DateTimeField()
    issued_by = models.CharField(max_length=120, default="system")

    objects = TaxDocumentQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint("supplier", "financial_year", "number", name="one_document_per_number"),
            models.CheckConstraint(
                condition=Q(
                    total_paise=F("taxable_paise")
                    + F("cgst_paise")
                    + F("sgst_paise")
                    + F("igst_paise")
                    + F("round_off_paise")
                ),
                name="document_adds_up",
            ),
            models.CheckConstraint(condition=Q(cgst_paise=F("sgst_paise")), name="state_tax_is_a_copy_of_central_tax"),
            models.CheckConstraint(
                condition=Q(igst_paise=0) | Q(cgst_paise=0), name="tax_is_integrated_or_central_and_state"
            ),
            models.CheckConstraint(
                condition=Q(total_paise__gte=0, taxable_paise__gte=0), name="document_is_not_negative"
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "-dated_on"], name="documents_of_an_organisation"),
            models.Index(fields=["kind", "dated_on"], name="documents_of_a_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.number}"

    @property
    def tax_paise(self) -> int:
        return self.cgst_paise + self.sgst_paise + self.igst_paise

    @property
    def sign(self) -> int:
        return -1 if self.kind in {self.Kind.CREDIT_NOTE, self.Kind.REFUND_VOUCHER} else 1

    @cached_property
    def annexure(self) -> list[dict[str, Any]]:
        """The facts of its sessions in their order; read once, for however many files."""
        return list(self.items.order_by("position").values_list("facts", flat=True))

    @property
    def file_name(self) -> str:
        """`FC-26-27-0000123`, without an extension."""
        return self.number.replace("/", "-")


class DocumentLine(models.Model):
    """Sessions with the same SAC, rate, site, network and component."""

    document = models.ForeignKey(TaxDocument, models.PROTECT, related_name="lines")
    position = models.PositiveSmallIntegerField()
    sac_code = models.CharField(max_length=8, verbose_name="SAC")
    description = models.CharField(max_length=300)
    site = models.CharField(max_length=255, blank=True)
    network = models.CharField(max_length=120, blank=True)
    component = models.CharField(max_length=30)
    rate_percent = models.DecimalField(max_digits=6, decimal_places=3)
    quantity = models.DecimalField(max_digits=14, decimal_places=3)
    unit = models.CharField(max_length=12)
    sessions = models.PositiveIntegerField(default=0)
    taxable_paise = models.BigIntegerField()
    cgst_paise = models.BigIntegerField(default=0)
    sgst_paise = models.BigIntegerField(default=0)
    igst_paise = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["document", "position"]
        constraints = [models.UniqueConstraint("document", "position", name="one_line_per_position")]

    def __str__(self) -> str:
        return self.description

    @property
    def total_paise(self) -> int:
        return self.taxable_paise + self.cgst_paise + self.sgst_paise + self.igst_paise


class BilledItem(models.Model):
    """A session, or a later correction of one, on exactly one document; the row of its annexure."""

    document = models.ForeignKey(TaxDocument, models.PROTECT, related_name="items")
    position = models.PositiveIntegerField()
    cdr = models.ForeignKey("billing.CDR", models.PROTECT, related_name="billed_items")
    adjustment = models.OneToOneField(
        "billing.CDRAdjustment", models.PROTECT, null=True, blank=True, related_name="billed_item"
    )
    taxable_paise = models.BigIntegerField()
    tax_paise = models.BigIntegerField(help_text=_("As charged from the wallet, session by session."))
    facts = models.JSONField(help_text=_("When, where, which vehicle, kWh, verdict: what the annexure shows."))

    class Meta:
        ordering = ["document", "position"]
        constraints = [
            models.UniqueConstraint("document", "position", name="one_item_per_position"),
            models.UniqueConstraint("cdr", condition=Q(adjustment=None), name="a_session_is_billed_once"),
        ]

    def __str__(self) -> str:
        return f"{self.document_id}/{self.position}"


class AdvanceUse(models.Model):
    """What of an advance an invoice used up, or a refund voucher gave back, tax included."""

    voucher = models.ForeignKey(TaxDocument, models.PROTECT, related_name="uses")
    document = models.ForeignKey(TaxDocument, models.PROTECT, related_name="advances")
    amount_paise = models.BigIntegerField()
    cgst_paise = models.BigIntegerField(default=0)
    sgst_paise = models.BigIntegerField(default=0)
    igst_paise = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint("voucher", "document", name="one_use_per_voucher_and_document"),
            models.CheckConstraint(condition=Q(amount_paise__gt=0), name="advance_use_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.voucher_id} → {self.document_id}"


class DebtPayment(models.Model):
    """What of a top-up pays for documents that were issued before: no advance, so no voucher taxes it once more.

    The rest of the top-up is its receipt voucher. `document` empty: it pays what no document has open any more, e.g.
    because the payment before was taken back.
    """

    transfer = models.ForeignKey("billing.LedgerTransfer", models.PROTECT, related_name="debt_payments")
    document = models.ForeignKey(TaxDocument, models.PROTECT, null=True, blank=True, related_name="payments")
    amount_paise = models.BigIntegerField()
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                "transfer", "document", name="one_payment_per_top_up_and_document", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(amount_paise__gt=0), name="debt_payment_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.transfer_id} → {self.document_id or '—'}"


class AdvanceReturn(models.Model):
    """Money of a payment that went back, once per `key`; its refund vouchers are made in the background.

    What no open advance stood for has none: `vouchers_paise` says how much had.
    """

    key = models.CharField(max_length=80, unique=True, help_text=_("The refund or dispute."))
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    payment = models.ForeignKey("billing.GatewayPayment", models.PROTECT, related_name="+")
    amount_paise = models.BigIntegerField()
    vouchers_paise = models.BigIntegerField(default=0)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_paise__gt=0, vouchers_paise__gte=0, vouchers_paise__lte=F("amount_paise")),
                name="no_more_vouchers_than_went_back",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class EInvoice(models.Model):
    """What the portal says of a document; the only thing about it that changes."""

    class State(models.TextChoices):
        PENDING = "pending", _("To be reported")
        REGISTERED = "registered", _("Registered")
        FAILED = "failed", _("Refused by the portal")
        TOO_LATE = "too_late", _("Too old to be reported")
        CANCELLED = "cancelled", _("Cancelled")

    document = models.OneToOneField(TaxDocument, models.PROTECT, related_name="e_invoice")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    predicted_irn = models.CharField(max_length=64)
    irn = models.CharField(max_length=64, blank=True, verbose_name="IRN")
    ack_number = models.CharField(max_length=20, blank=True)
    ack_at = models.DateTimeField(null=True, blank=True)
    signed_qr = models.TextField(blank=True)
    signed_invoice = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancel_reason = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["next_attempt_at"], condition=Q(state="pending"), name="e_invoices_to_report")]

    def __str__(self) -> str:
        return f"{self.document}: {self.get_state_display()}"


class EmulatedEInvoice(models.Model):
    """The memory of the bundled portal emulator; empty where the real portal is asked."""

    irn = models.CharField(max_length=64, unique=True)
    answer = models.JSONField()
    payload = models.JSONField()
    registered_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.irn
