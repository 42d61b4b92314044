"""The admin as every organisation's own desk: what one sees and may do comes from the role; superusers see all."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import get_fields_from_path
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from fleetcharge.accounts.models import APIKey, AuditEntry, Membership, Organisation, User
from fleetcharge.accounts.services import audit, create_api_key, revoke_api_key

Role = Membership.Role
DESK = frozenset({Role.OWNER, Role.FINANCE})
OWNERS = frozenset({Role.OWNER})


class TenantRelatedFilter(admin.RelatedFieldListFilter):
    """Offers the rows that the person may see in their own list; Django's own offers those of every tenant."""

    def field_choices(self, field: Any, request: Any, model_admin: Any) -> list[tuple[Any, Any]]:
        rows = visible_rows(model_admin.admin_site, field.remote_field.model, request)
        return [(row.pk, str(row)) for row in rows]


def may_repeat(model: type[Model], path: str) -> bool:
    """Does the way to the organisation lead to many rows? Only then is DISTINCT worth its sort."""
    if path == "pk":
        return False
    return any(field.one_to_many or field.many_to_many for field in get_fields_from_path(model, path))


def visible_rows(site: Any, model: type[Model], request: Any) -> QuerySet[Any]:
    """What the person sees of a model: what its own admin lists, nothing of a model without one."""
    if request.user.is_superuser:
        return model._default_manager.all()
    if not site.is_registered(model):
        return model._default_manager.none()
    rows: QuerySet[Any] = site.get_model_admin(model).get_queryset(request)
    return rows


class TenantScope:
    """For admins and inlines: rows of one organisation, permissions by role."""

    organisation_path = "organisation"
    view_roles: frozenset[str] = DESK
    change_roles: frozenset[str] = OWNERS
    model: type[Model]

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        if request.user.is_superuser:
            return rows
        if request.organisation is None:
            return rows.none()
        rows = rows.filter(**{self.organisation_path: request.organisation.pk})
        return rows.distinct() if may_repeat(self.model, self.organisation_path) else rows

    def has_module_permission(self, request: Any) -> bool:
        return self._has_role(request, self.view_roles)

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, self.view_roles)

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, self.change_roles)

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, self.change_roles)

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, self.change_roles)

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: Any, **kwargs: Any) -> Any:
        """Choices stay within the organisation too: its own rows, else what one sees in their list."""
        if not request.user.is_superuser and "queryset" not in kwargs:
            related: Any = db_field.remote_field.model
            if any(field.name == "organisation" for field in related._meta.fields):
                kwargs["queryset"] = related._default_manager.filter(organisation=request.organisation)
            else:
                kwargs["queryset"] = visible_rows(self.admin_site, related, request)  # type: ignore[attr-defined]
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def _has_role(self, request: Any, roles: frozenset[str]) -> bool:
        user = request.user
        return bool(user.is_active and user.is_staff and (user.is_superuser or request.role in roles))


class TenantAdmin(TenantScope, ModelAdmin):
    """A tenant's editable rows; every change leaves an audit entry."""

    show_full_result_count = False
    list_per_page = 50

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [self._scoped(entry) for entry in super().get_list_filter(request)]

    def _scoped(self, entry: Any) -> Any:
        is_relation = isinstance(entry, str) and get_fields_from_path(self.model, entry)[-1].is_relation
        return (entry, TenantRelatedFilter) if is_relation else entry

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = {name: str(form.initial.get(name)) for name in form.changed_data} if change else {}
        super().save_model(request, obj, form, change)
        after = {name: str(form.cleaned_data.get(name)) for name in form.changed_data if "password" not in name}
        audit(
            action="change" if change else "add", target=obj, actor=actor_of(request), before=before, after=after,
            organisation=obj if isinstance(obj, Organisation) else getattr(request, "organisation", None),
        )  # fmt: skip

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit(action="delete", target=obj, actor=actor_of(request), before={"row": str(obj)})
        super().delete_model(request, obj)


class ReadOnlyAdmin(TenantAdmin):
    """Rows that are looked at: services write them, nobody edits or deletes them by hand."""

    change_roles: frozenset[str] = frozenset()

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


class ReasonForm(forms.Form):
    """Every decision about money or access says why."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=500, strip=True, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


def ask(
    request: HttpRequest,
    model_admin: Any,
    *,
    title: str,
    form: forms.Form,
    submit: str,
    rows: Any = (),
    hidden: Any = (),
) -> HttpResponse:
    """A page that shows what is about to happen and asks; `hidden` repeats a list action's selection."""
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.model._meta,
        "title": title,
        "form": form,
        "submit": submit,
        "rows": rows,
        "hidden": hidden,
    }
    return TemplateResponse(request, "admin/decide.html", context)


def back_to(model_admin: Any, object_id: Any = None) -> HttpResponse:
    """The row's page, or the list."""
    name = f"{model_admin.model._meta.app_label}_{model_admin.model._meta.model_name}"
    address = (
        reverse(f"admin:{name}_changelist") if object_id is None else reverse(f"admin:{name}_change", args=[object_id])
    )
    return HttpResponseRedirect(address)


def actor_of(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


@admin.register(Organisation)
class OrganisationAdmin(TenantAdmin):
    organisation_path = "pk"
    list_display = ["name", "gstin", "dispatch_mode", "soc_low_percent", "target_soc_percent", "time_zone"]
    search_fields = ["name", "slug", "gstin"]
    readonly_fields = ["created_at"]

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(APIKey)
class APIKeyAdmin(TenantAdmin):
    """Keys of machines. The secret is shown once, right after it was made."""

    view_roles = OWNERS
    list_display = [
        "name",
        "prefix",
        "organisation",
        "scopes",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    ]
    list_select_related = ["organisation"]
    search_fields = ["name", "prefix"]
    fields = ["organisation", "name", "scopes", "expires_at"]
    actions_detail = ["revoke"]

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "scopes":
            choices = db_field.base_field.choices
            return forms.MultipleChoiceField(choices=choices, widget=forms.CheckboxSelectMultiple)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, self.change_roles)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        key, secret = create_api_key(
            organisation=obj.organisation,
            name=obj.name,
            scopes=form.cleaned_data["scopes"],
            created_by=actor_of(request),
            expires_at=obj.expires_at,
        )
        obj.__dict__.update(key.__dict__)
        audit(action="add", target=key, actor=actor_of(request), after={"name": key.name, "scopes": key.scopes})
        messages.warning(request, _("Copy this key now, it is never shown again: %(secret)s") % {"secret": secret})

    @action(description=gettext_lazy("Revoke"), url_path="revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self.get_object(request, object_id)
        if key is None or key.revoked_at is not None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            revoke_api_key(key=key, actor=actor_of(request), reason=form.cleaned_data["reason"])
            messages.success(request, _("%(name)s is revoked.") % {"name": key.name})
            return back_to(self)
        return ask(request, self, title=_("Revoke %(name)s") % {"name": key.name}, form=form, submit=_("Revoke"))


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor_label", "action", "target_type", "target_id", "reason", "organisation"]
    list_filter = ["action", "target_type"]
    list_select_related = ["organisation"]
    search_fields = ["actor_label", "target_id", "reason"]
    date_hierarchy = "at"
    ordering = ["-at"]


from fleetcharge.accounts import people_admin  # noqa: E402, F401 (registered with the rest)
