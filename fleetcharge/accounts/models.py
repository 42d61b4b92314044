"""Who may do what: organisations (the tenants), people, their roles, keys for machines, and the audit trail."""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.lib import crypto


class Organisation(models.Model):
    """A fleet company; every private row belongs to exactly one."""

    class DispatchMode(models.TextChoices):
        PROPOSE = "propose", _("Propose, a dispatcher accepts")
        AUTOMATIC = "automatic", _("Reserve at once")

    name = models.CharField(max_length=120)
    slug = models.SlugField(unique=True)
    gstin = models.CharField(max_length=15, blank=True)
    currency = models.CharField(max_length=3, default="INR")
    time_zone = models.CharField(max_length=40, default="Asia/Kolkata")
    dispatch_mode = models.CharField(max_length=12, choices=DispatchMode, default=DispatchMode.PROPOSE)
    soc_low_percent = models.PositiveSmallIntegerField(default=20)
    soc_clear_percent = models.PositiveSmallIntegerField(default=25)
    reserve_soc_percent = models.PositiveSmallIntegerField(default=5)
    target_soc_percent = models.PositiveSmallIntegerField(default=80)
    cost_per_minute_paise = models.PositiveIntegerField(default=400)
    shows_status = models.BooleanField(
        default=False, db_default=False, help_text=_("Everybody may see how its public chargers do, at /status/.")
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(soc_low_percent__lt=models.F("soc_clear_percent")), name="low_soc_is_below_clear_soc"
            ),
            models.CheckConstraint(condition=Q(soc_clear_percent__lte=100), name="clear_soc_is_a_percentage"),
        ]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person; signs in with an e-mail address."""

    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    language = models.CharField(max_length=5, default="en")
    date_joined = models.DateTimeField(default=timezone.now)
    created_for = models.ForeignKey(
        Organisation, models.SET_NULL, null=True, blank=True, editable=False, related_name="+",
        help_text=_("Whose invitation made this account; only that organisation may manage it."),
    )  # fmt: skip

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="one_user_per_email")]

    def __str__(self) -> str:
        return self.full_name or self.email

    @property
    def initials(self) -> str:
        words = (self.full_name or self.email).split()
        return "".join(word[0] for word in words[:2]).upper()


class Membership(models.Model):
    """What a person may do for one organisation."""

    class Role(models.TextChoices):
        OWNER = "owner", _("Owner")
        DISPATCHER = "dispatcher", _("Dispatcher")
        FINANCE = "finance", _("Finance")
        INTEGRATOR = "integrator", _("Integrator")
        DRIVER = "driver", _("Driver")

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint("user", "organisation", name="one_role_per_organisation")]

    def __str__(self) -> str:
        return f"{self.user} ({self.get_role_display()}, {self.organisation})"


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self, now: datetime | None = None) -> Self:
        """Neither accepted nor expired."""
        return self.filter(accepted_at=None, expires_at__gt=now or timezone.now())


class Invitation(models.Model):
    """A place in a fleet, offered to an address; only whoever accepts it becomes a member."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=12, choices=Membership.Role)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"), "organisation", condition=Q(accepted_at=None), name="one_open_invitation_per_address"
            )
        ]

    def __str__(self) -> str:
        return f"{self.email} ({self.get_role_display()})"


class Scope(models.TextChoices):
    """What an API key, or a role, may do."""

    STATIONS_READ = "stations:read", _("Read stations, status, tariffs")
    STATIONS_WRITE = "stations:write", _("Change own stations")
    VEHICLES_READ = "vehicles:read", _("Read vehicles and positions")
    VEHICLES_WRITE = "vehicles:write", _("Change vehicles, drivers, shifts")
    TELEMETRY_WRITE = "telemetry:write", _("Send positions and state of charge")
    DISPATCH_READ = "dispatch:read", _("Read plans, alerts, reservations")
    DISPATCH_WRITE = "dispatch:write", _("Accept plans, reserve, command chargers")
    BILLING_READ = "billing:read", _("Read sessions, wallet, ledger")
    BILLING_WRITE = "billing:write", _("Decide exceptions, top up")
    WEBHOOKS_READ = "webhooks:read", _("Read webhooks and their deliveries")
    WEBHOOKS_WRITE = "webhooks:write", _("Change webhooks, replay, rotate secrets")


_READ = [Scope.STATIONS_READ, Scope.VEHICLES_READ, Scope.DISPATCH_READ]
ROLE_SCOPES: dict[str, list[str]] = {
    Membership.Role.OWNER: list(Scope.values),
    Membership.Role.DISPATCHER: [
        *_READ, Scope.BILLING_READ, Scope.VEHICLES_WRITE, Scope.DISPATCH_WRITE, Scope.STATIONS_WRITE,
    ],
    Membership.Role.FINANCE: [*_READ, Scope.BILLING_READ, Scope.BILLING_WRITE],
    Membership.Role.INTEGRATOR: [
        *_READ, Scope.TELEMETRY_WRITE, Scope.VEHICLES_WRITE, Scope.BILLING_READ, Scope.WEBHOOKS_READ,
        Scope.WEBHOOKS_WRITE,
    ],
    Membership.Role.DRIVER: [Scope.STATIONS_READ],
}  # fmt: skip


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def live(self, now: datetime | None = None) -> Self:
        """Keys that are neither revoked nor expired."""
        now = now or timezone.now()
        return self.filter(revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))


class APIKey(models.Model):
    """A machine's key. Shown once; we keep a keyed hash (HMAC-SHA-256), found by its first characters."""

    PURPOSE = "api-key"
    PREFIX_LENGTH = 11

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12, unique=True)
    key_hash = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=30, choices=Scope))
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = APIKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def matches(self, secret: str) -> bool:
        return crypto.matches(secret, self.key_hash, purpose=self.PURPOSE)


class IdempotentWrite(models.Model):
    """The answer to a write with an Idempotency-Key, for a day (accounts/idempotency.py)."""

    digest = models.CharField(max_length=64, unique=True)  # of who asked, and their key
    fingerprint = models.CharField(max_length=64)  # of what was asked
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    body_encrypted = models.TextField()  # it may hold a secret that is shown only once
    created_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.status} at {self.created_at}"


class AuditEntry(models.Model):
    """Who did what to what, when and why. Only ever added (a trigger refuses change)."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True)
    actor = models.ForeignKey(User, models.SET_NULL, null=True, blank=True)
    actor_label = models.CharField(max_length=120)
    action = models.CharField(max_length=60)
    target_type = models.CharField(max_length=60)
    target_id = models.CharField(max_length=60)
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    reason = models.TextField(blank=True)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["organisation", "-at"], name="audit_of_an_organisation"),
            models.Index(fields=["target_type", "target_id", "-at"], name="audit_of_a_row"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.action} {self.target_type} {self.target_id}"
