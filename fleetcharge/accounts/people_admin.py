"""People on the owners' desk: who is a member with which role, and who has been invited."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm

from fleetcharge.accounts import invitations, throttling
from fleetcharge.accounts.admin import OWNERS, TenantAdmin, TenantScope, actor_of
from fleetcharge.accounts.models import Invitation, Membership, User
from fleetcharge.accounts.sign_in import too_many


class MembershipInline(TenantScope, TabularInline):  # type: ignore[misc]
    model = Membership
    view_roles = OWNERS
    fields = ["organisation", "role"]
    extra = 0

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def get_readonly_fields(self, request: Any, obj: Any = None) -> list[str]:
        return [] if request.user.is_superuser else ["organisation"]


class UserAddForm(AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("email", "full_name")


@admin.register(User)
class UserAdmin(TenantAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    """Owners see their people and manage the accounts their invitations made; nobody else's, and no address."""

    organisation_path = "memberships__organisation"
    view_roles = OWNERS
    form = UserChangeForm
    add_form = UserAddForm
    change_password_form = AdminPasswordChangeForm
    inlines = [MembershipInline]
    ordering = ["email"]
    list_display = ["email", "full_name", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "full_name"]
    readonly_fields = ["last_login", "date_joined"]
    filter_horizontal = []
    fieldsets = [
        (None, {"fields": ["email", "full_name", "password", "language"]}),
        (gettext_lazy("Access"), {"fields": ["is_active", "is_staff", "last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"fields": ["email", "full_name", "usable_password", "password1", "password2"]})]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> list[str]:
        """An address decides who somebody is, and "it exists already" would tell who is known here."""
        return self.readonly_fields if request.user.is_superuser else [*self.readonly_fields, "email"]

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        """Owners invite instead."""
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        if not allowed or obj is None or request.user.is_superuser:
            return allowed
        return obj == request.user or invitations.may_manage(obj, request.organisation)

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    """Roles are changed and taken away here; given by invitation, because nobody is made a member unasked."""

    view_roles = OWNERS
    list_display = ["user", "organisation", "role", "created_at"]
    list_filter = ["role"]
    list_select_related = ["user", "organisation"]
    search_fields = ["user__email", "user__full_name"]
    readonly_fields = ["created_at"]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> list[str]:
        return self.readonly_fields if request.user.is_superuser else [*self.readonly_fields, "user", "organisation"]

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        invitations.let_to_the_desk(obj.user, obj.role)


class InvitationForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Invitation
        fields = ["organisation", "email", "role"]

    def validate_constraints(self) -> None:
        """Inviting again is allowed: it renews the first invitation."""


@admin.register(Invitation)
class InvitationAdmin(TenantAdmin):
    """Offers of membership; deleting one makes its link worthless."""

    view_roles = OWNERS
    form = InvitationForm
    fields = ["organisation", "email", "role"]
    list_display = ["email", "role", "invited_by", "created_at", "expires_at", "accepted_at"]
    list_filter = ["role", ("accepted_at", admin.EmptyFieldListFilter)]
    list_select_related = ["invited_by"]
    search_fields = ["email"]
    readonly_fields: list[str] = []

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        """An owner's desk is no tool to find out who is known here."""
        fleet = getattr(request, "organisation", None)
        if request.method == "POST" and fleet and (seconds := throttling.may_invite(fleet.pk)):
            return too_many(request, seconds)
        return super().add_view(request, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        made = invitations.invite(
            organisation=obj.organisation, email=obj.email, role=obj.role, actor=actor_of(request), now=timezone.now()
        )
        obj.__dict__.update(made.__dict__)
        if settings.EMAIL_HOST:
            messages.success(request, _("The invitation is on its way to %(email)s.") % {"email": obj.email})
        else:
            text = _("Send this link to %(email)s; it is good for a week: %(link)s")
            messages.warning(request, text % {"email": obj.email, "link": invitations.link_of(made)})
