"""What we know of UBC networks: how we take part, whose keys we hold, what was said, and what was ordered."""

from datetime import datetime
from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.lib import crypto
from stations.cpo.ubc import profiles


class UBCNetwork(models.Model):
    """How we take part in one Beckn network as a BAP: who we are there, how we sign, where we ask."""

    source = models.OneToOneField("stations.Source", models.CASCADE, related_name="ubc")
    profile = models.CharField(
        max_length=20, default=profiles.UBC_09.key, choices=[(name, name) for name in profiles.OFFERED]
    )
    subscriber_id = models.CharField(max_length=120, help_text=_("Our domain name as the registry knows it."))
    key_id = models.CharField(max_length=120, help_text=_("Which of our public keys the registry holds."))
    signing_key_encrypted = models.TextField(blank=True, editable=False)
    registry_url = models.CharField(
        max_length=400, help_text=_("Address of a key, with {subscriber_id} and {key_id} in it.")
    )
    gateway_id = models.CharField(max_length=120, help_text=_("Subscriber id of the discovery service."))
    gateway_url = models.URLField(help_text=_("Address of the discovery service, without /discover."))
    areas = models.JSONField(
        default=list,
        blank=True,
        help_text='Where we look: [{"latitude": 12.97, "longitude": 77.59, "radius_m": 25000}]',
    )
    buyer = models.JSONField(default=dict, blank=True, help_text=_("Our name, telephone, e-mail and GSTIN on orders."))
    settlement_account = models.JSONField(default=dict, blank=True, help_text=_("Where the network settles with us."))
    finder_fee_percent = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    order_kwh = models.DecimalField(
        max_digits=7, decimal_places=2, default=20, help_text=_("Ordered when nobody says how much.")
    )

    class Meta:
        verbose_name = "UBC network"

    def __str__(self) -> str:
        return f"{self.subscriber_id} ({self.profile})"

    def clean(self) -> None:
        """A registry is asked for one key at a time, and an area is a circle on earth."""
        if "{subscriber_id}" not in self.registry_url:
            raise ValidationError({"registry_url": _("Write {subscriber_id} and {key_id} where they belong.")})
        try:
            circles = [(float(a["latitude"]), float(a["longitude"]), int(a["radius_m"])) for a in self.areas]
        except (KeyError, TypeError, ValueError):
            raise ValidationError({"areas": _("Each area has latitude, longitude and radius_m.")}) from None
        if any(abs(latitude) > 90 or abs(longitude) > 180 or radius <= 0 for latitude, longitude, radius in circles):
            raise ValidationError({"areas": _("Each area is a circle on earth.")})

    @property
    def signing_key(self) -> str:
        """Base64 of our Ed25519 seed; '' when there is none yet."""
        return crypto.decrypt(self.signing_key_encrypted)

    @signing_key.setter
    def signing_key(self, value: str) -> None:
        self.signing_key_encrypted = crypto.encrypt(value)

    @property
    def rules(self) -> profiles.Profile:
        return profiles.PROFILES[self.profile]


class UBCKey(models.Model):
    """A public key the registry gave us; asked again when it has aged, and forgotten when it is revoked."""

    network = models.ForeignKey(UBCNetwork, models.CASCADE, related_name="keys")
    subscriber_id = models.CharField(max_length=120)
    key_id = models.CharField(max_length=120)
    public_key = models.CharField(max_length=120)
    url = models.CharField(max_length=400, blank=True)
    fetched_at = models.DateTimeField()
    valid_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "UBC key"
        constraints = [models.UniqueConstraint("network", "subscriber_id", "key_id", name="one_row_per_ubc_key")]

    def __str__(self) -> str:
        return f"{self.subscriber_id}|{self.key_id}"


class UBCItem(models.Model):
    """One connector as a BPP sells it: the words an order needs."""

    connector = models.OneToOneField("stations.Connector", models.CASCADE, related_name="ubc_item")
    network = models.ForeignKey(UBCNetwork, models.CASCADE, related_name="items")
    item_id = models.CharField(max_length=255)
    bpp_id = models.CharField(max_length=120)
    bpp_uri = models.CharField(max_length=400)
    provider_id = models.CharField(max_length=120)
    provider_name = models.CharField(max_length=120, blank=True)
    qr = models.CharField(max_length=400, blank=True)
    offers = models.JSONField(default=list, help_text=_("As the catalogue gave them, cheapest first."))
    can_reserve = models.BooleanField(default=True)
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "UBC item"
        constraints = [models.UniqueConstraint("network", "bpp_id", "item_id", name="one_row_per_ubc_item")]
        indexes = [
            models.Index(fields=["qr"], condition=~Q(qr=""), name="ubc_items_by_code"),
            models.Index(fields=["item_id"], name="ubc_items_by_id"),
        ]

    def __str__(self) -> str:
        return self.item_id


class UBCOrderQuerySet(models.QuerySet["UBCOrder"]):
    def due(self, now: datetime) -> Self:
        """Orders with a message to send."""
        return self.exclude(next_action="").filter(next_at__lte=now)

    def unused(self, now: datetime) -> Self:
        """Orders whose time is over before they charged: nobody came, or an answer never did."""
        waiting = ("quoted", "initialised", "confirmed")
        return self.filter(state__in=waiting, wants_cancel=False, expires_at__lt=now)

    def unanswered(self, now: datetime) -> Self:
        return self.exclude(awaited="").filter(answer_due_at__lte=now)


class UBCOrder(models.Model):
    """One order at a BPP from select to rating. `state` is ours and only goes forward; the raw words stand beside."""

    class State(models.TextChoices):
        SELECTING = "selecting", _("Asking for a price")
        QUOTED = "quoted", _("Quoted")
        INITIALISED = "initialised", _("Terms agreed")
        CONFIRMED = "confirmed", _("Confirmed")
        CHARGING = "charging", _("Charging")
        COMPLETED = "completed", _("Completed")
        CANCELLED = "cancelled", _("Cancelled")
        REJECTED = "rejected", _("Rejected")
        FAILED = "failed", _("No answer")

    network = models.ForeignKey(UBCNetwork, models.PROTECT, related_name="orders")
    connector = models.ForeignKey("stations.Connector", models.PROTECT, related_name="ubc_orders")
    transaction_id = models.UUIDField(help_text=_("Ours; ties every message of this order together."))
    order_id = models.CharField(max_length=120, blank=True, help_text=_("The BPP's."))
    reservation_key = models.CharField(max_length=36, blank=True)
    start_key = models.CharField(max_length=36, blank=True)
    id_token = models.CharField(max_length=36, blank=True)
    item_id = models.CharField(max_length=255)
    bpp_id = models.CharField(max_length=120)
    bpp_uri = models.CharField(max_length=400)
    provider_id = models.CharField(max_length=120)
    offer = models.JSONField(default=dict)
    quantity_kwh = models.DecimalField(max_digits=7, decimal_places=2)
    starts_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    state = models.CharField(max_length=12, choices=State, default=State.SELECTING)
    order_status = models.CharField(max_length=20, blank=True)
    session_status = models.CharField(max_length=20, blank=True)
    payment_status = models.CharField(max_length=20, blank=True)
    fulfillment_id = models.CharField(max_length=120, blank=True)
    payment_id = models.CharField(max_length=120, blank=True)
    terms = models.JSONField(default=dict, blank=True, help_text=_("The BPP's own words that later messages repeat."))
    quoted_paise = models.BigIntegerField(null=True, blank=True)
    paid_paise = models.BigIntegerField(null=True, blank=True)
    value_paise = models.BigIntegerField(null=True, blank=True, help_text=_("What the session cost in the end."))
    refunded_paise = models.BigIntegerField(default=0)
    carried_paise = models.BigIntegerField(default=0, help_text=_("Of what we owed, paid with later orders."))
    currency = models.CharField(max_length=3, default="INR")
    energy_wh = models.PositiveBigIntegerField(null=True, blank=True)
    power_w = models.PositiveIntegerField(null=True, blank=True)
    soc_percent = models.FloatField(null=True, blank=True)
    metered_at = models.DateTimeField(null=True, blank=True)
    charging_at = models.DateTimeField(null=True, blank=True, help_text=_("When the session began."))
    tracking_url = models.CharField(max_length=400, blank=True)
    invoice_url = models.CharField(max_length=400, blank=True)
    support_status = models.CharField(max_length=20, blank=True)
    support = models.JSONField(default=dict, blank=True)
    is_rated = models.BooleanField(default=False)
    error_code = models.CharField(max_length=20, blank=True)
    error = models.CharField(max_length=255, blank=True)

    wants_cancel = models.BooleanField(default=False, editable=False)
    wants_start = models.BooleanField(default=False, editable=False)
    next_action = models.CharField(max_length=12, blank=True, editable=False)
    next_at = models.DateTimeField(null=True, blank=True, editable=False)
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    awaited = models.CharField(max_length=16, blank=True, editable=False, help_text=_("The callback we wait for."))
    answer_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    heard_at = models.DateTimeField(null=True, blank=True, help_text=_("The BPP's clock, of its newest message."))
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = UBCOrderQuerySet.as_manager()

    class Meta:
        verbose_name = "UBC order"
        constraints = [
            models.UniqueConstraint("network", "transaction_id", name="one_ubc_order_per_transaction"),
            models.UniqueConstraint(
                "reservation_key", condition=~Q(reservation_key=""), name="one_ubc_order_per_promise"
            ),
            models.UniqueConstraint("start_key", condition=~Q(start_key=""), name="one_ubc_order_per_start"),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=~Q(next_action=""), name="ubc_orders_to_go_on"),
            models.Index(fields=["answer_due_at"], condition=~Q(awaited=""), name="ubc_orders_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id or self.transaction_id} ({self.state})"

    @property
    def balance_paise(self) -> int:
        """What is still owed to the CPO (above 0) or by it (below 0) once the session is over; 0 before."""
        if self.value_paise is None or self.paid_paise is None:
            return 0
        return self.value_paise - self.paid_paise + self.refunded_paise - self.carried_paise


class UBCCarry(models.Model):
    """An earlier order's unpaid balance, asked for as a fee of a later one."""

    earlier = models.ForeignKey(UBCOrder, models.PROTECT, related_name="carried_into", null=True, blank=True)
    charged_in = models.ForeignKey(UBCOrder, models.PROTECT, related_name="carries")
    named_order_id = models.CharField(max_length=120, blank=True, help_text=_("As the fee's own text names it."))
    amount_paise = models.BigIntegerField()
    description = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "UBC carry-forward"
        verbose_name_plural = "UBC carry-forwards"
        constraints = [
            models.UniqueConstraint("charged_in", "named_order_id", "amount_paise", name="one_carry_per_fee"),
        ]

    def __str__(self) -> str:
        return f"{self.named_order_id or '?'} → {self.charged_in_id}: {self.amount_paise}"


class UBCMessage(models.Model):
    """A signed message, word for word: the inbox that never takes one twice, and the evidence for a dispute."""

    class Direction(models.TextChoices):
        IN = "in", _("Received")
        OUT = "out", _("Sent")

    network = models.ForeignKey(UBCNetwork, models.CASCADE, related_name="messages")
    direction = models.CharField(max_length=3, choices=Direction)
    subscriber_id = models.CharField(max_length=120)
    action = models.CharField(max_length=24)
    transaction_id = models.CharField(max_length=64)
    message_id = models.CharField(max_length=64)
    digest = models.CharField(max_length=128)
    raw = models.BinaryField()
    authorization = models.TextField()
    at = models.DateTimeField(help_text=_("The sender's clock."))
    received_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)
    result = models.CharField(max_length=40, blank=True, help_text=_("Empty: done. Else why it changed nothing."))

    class Meta:
        verbose_name = "UBC message"
        constraints = [
            models.UniqueConstraint(
                "network", "direction", "subscriber_id", "action", "message_id", "digest", name="no_ubc_message_twice"
            )
        ]
        indexes = [
            models.Index(fields=["network", "transaction_id"], name="ubc_messages_of_an_order"),
            models.Index(fields=["received_at"], condition=Q(applied_at=None, direction="in"), name="ubc_inbox"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.message_id}"


class UBCRefusal(models.Model):
    """How often a day we turned a message away, and why."""

    network = models.ForeignKey(UBCNetwork, models.CASCADE, related_name="refusals")
    code = models.CharField(max_length=40)
    day = models.DateField()
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    last_detail = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = "UBC refusal"
        constraints = [models.UniqueConstraint("network", "code", "day", name="one_ubc_refusal_row_a_day")]

    def __str__(self) -> str:
        return f"{self.code}: {self.count}"
