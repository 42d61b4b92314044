"""Health and tickets on the desk: which units fail and why, what is being done."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from fleetcharge.accounts.admin import ReadOnlyAdmin, actor_of, ask, back_to
from fleetcharge.accounts.models import User
from stations.admin.scope import EVERYBODY, KEEPERS, RegistryScope
from stations.health import tickets
from stations.health.models import Cause, EvseHealth, MaintenanceTicket


def in_words(penalties: list[dict[str, Any]]) -> str:
    """`Starts fail −60 (0.86), Falls silent −5 (1.2)`."""
    lines = ((str(Cause(one["cause"]).label), one["points"], one["figure"]) for one in penalties)
    return format_html_join(", ", "{} −{} ({})", lines) or "–"


class FailingFilter(admin.SimpleListFilter):
    title = _("fails although it says it is free")
    parameter_name = "failing"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", gettext("Yes"))]

    def queryset(self, request: Any, queryset: QuerySet[EvseHealth]) -> QuerySet[EvseHealth]:
        failing = EvseHealth.objects.failing_but_available()
        return queryset.filter(pk__in=failing.values("pk")) if self.value() == "1" else queryset


@admin.register(EvseHealth)
class EvseHealthAdmin(RegistryScope, ReadOnlyAdmin):
    """The worst first."""

    organisation_path = "evse__location__organisation"
    view_roles = EVERYBODY
    list_display = ["evse", "site", "score", "p_unusable", "is_failing", "why", "judged_at"]
    list_filter = [FailingFilter, "is_failing"]
    list_select_related = ["evse__location__source"]
    search_fields = ["evse__public_id", "evse__location__name"]
    ordering = ["score", "pk"]
    fields = ["evse", "site", "score", "p_unusable", "is_failing", "why", "days", "features", "judged_at"]
    readonly_fields = fields

    def get_fields(self, request: Any, obj: Any = None) -> list[Any]:
        """How often others charge at a unit is for nobody but its owner."""
        charger = obj.evse.charger if obj else None
        is_own = request.user.is_superuser or (charger and charger.organisation == request.organisation)
        return self.fields if is_own else [name for name in self.fields if name != "features"]

    @admin.display(description=_("Site"), ordering="evse__location__name")
    def site(self, health: EvseHealth) -> str:
        return str(health.evse.location)

    @admin.display(description=_("Why"))
    def why(self, health: EvseHealth) -> str:
        return in_words(health.penalties)

    @admin.display(description=_("Last days"))
    def days(self, health: EvseHealth) -> str:
        rows = health.evse.health_days.order_by("-on")[:14]
        return format_html_join("", "{}: {}<br>", ((row.on, row.score) for row in rows)) or "–"


class TicketForm(forms.Form):
    """A step of a ticket, as one says it."""

    state = forms.ChoiceField(label=_("State"), widget=UnfoldAdminSelectWidget)
    assignee = forms.ModelChoiceField(
        User.objects.none(), label=_("Assignee"), required=False, widget=UnfoldAdminSelectWidget
    )
    note = forms.CharField(
        label=_("Note"), required=False, max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )

    def __init__(self, ticket: MaintenanceTicket, *args: Any, **more: Any) -> None:
        more["initial"] = {"state": ticket.state, "assignee": ticket.assignee_id}
        super().__init__(*args, **more)
        choices = [choice for choice in MaintenanceTicket.State.choices if choice[0] != "healed"]
        self.fields["state"].choices = choices  # type: ignore[attr-defined]
        members = User.objects.filter(memberships__organisation=ticket.organisation_id).distinct()
        self.fields["assignee"].queryset = members  # type: ignore[attr-defined]


@admin.register(MaintenanceTicket)
class MaintenanceTicketAdmin(ReadOnlyAdmin):
    """Opened by rule, worked on by people; every step leaves an audit entry."""

    view_roles = EVERYBODY
    list_display = ["charger", "cause", "state", "score", "assignee", "slot_starts_at", "opened_at", "closed_at"]
    list_filter = ["state", "cause"]
    list_select_related = ["charger", "assignee"]
    search_fields = ["charger__ocpp_identity"]
    ordering = ["-opened_at"]
    fields = [
        "charger", "cause", "state", "score", "why", "assignee", "slot_starts_at", "slot_ends_at", "slot_busy_share",
        "opened_at", "closed_at", "closed_by", "close_reason", "written",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["work_on"]

    @admin.display(description=_("Opened by"))
    def why(self, ticket: MaintenanceTicket) -> str:
        return in_words([ticket.evidence]) if ticket.evidence else "–"

    @admin.display(description=_("Notes"))
    def written(self, ticket: MaintenanceTicket) -> str:
        notes = ticket.notes.select_related("author")
        lines = ((timezone.localtime(one.at).strftime("%d %b %H:%M"), one.author or "–", one.text) for one in notes)
        return format_html_join("", "{} · {}: {}<br>", lines) or "–"

    def has_work_on_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._has_role(request, KEEPERS)

    @action(description=_("Work on it"), url_path="work-on", permissions=["work_on"])
    def work_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        ticket = self.get_object(request, object_id)
        if ticket is None or not self.has_work_on_permission(request):
            return back_to(self)
        form = TicketForm(ticket, request.POST or None)
        if form.is_valid():
            self._change(request, ticket, form.cleaned_data)
            return back_to(self, object_id)
        return ask(request, self, title=str(ticket), form=form, submit=gettext("Save"))

    def _change(self, request: HttpRequest, ticket: MaintenanceTicket, asked: dict[str, Any]) -> None:
        fields = {name: asked[name] for name in ("state", "assignee") if asked[name] != getattr(ticket, name)}
        try:
            tickets.change_ticket(
                ticket_id=ticket.pk, actor=actor_of(request), note=asked["note"], now=timezone.now(), **fields
            )
        except tickets.TicketRefused as error:
            messages.error(request, error.messages[0])
        else:
            messages.success(request, gettext("Saved."))
