"""Who sees and changes which rows of the registry."""

from typing import Any

from django.db.models import Q, QuerySet

from fleetcharge.accounts.models import Membership

Role = Membership.Role
EVERYBODY = frozenset({Role.OWNER, Role.FINANCE, Role.DISPATCHER, Role.INTEGRATOR})
KEEPERS = frozenset({Role.OWNER, Role.DISPATCHER})


class RegistryScope:
    """Public rows are for everybody to see; only one's own may be changed."""

    organisation_path = "organisation"

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.all()  # type: ignore[attr-defined]
        if request.user.is_superuser:
            return rows
        if request.organisation is None:
            return rows.none()
        path = self.organisation_path
        return rows.filter(Q(**{f"{path}__isnull": True}) | Q(**{path: request.organisation}))

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        """Only the operator of the house makes something public; everybody else's rows are their fleet's own."""
        if self.organisation_path == "organisation" and not request.user.is_superuser:
            obj.organisation = request.organisation
        super().save_model(request, obj, form, change)  # type: ignore[misc]

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_own(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False  # sites and chargers carry history; they are switched off or removed by their source

    def _is_own(self, request: Any, obj: Any) -> bool:
        if obj is None or request.user.is_superuser:
            return True
        owner = obj
        for name in self.organisation_path.split("__"):
            owner = getattr(owner, name)
        return owner is not None and owner == request.organisation
