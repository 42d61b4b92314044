"""Networks on the desk: how they do, connecting and leaving them, their parties and our commands to them."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminTextInputWidget

from fleetcharge.accounts.admin import ReadOnlyAdmin, ReasonForm, TenantAdmin, ask, back_to
from fleetcharge.accounts.services import audit
from stations import services, tasks
from stations.admin import polls
from stations.admin.scope import EVERYBODY, RegistryScope
from stations.belief import freshness_of_network, freshness_of_networks
from stations.cpo import registry
from stations.cpo.base import Capability
from stations.cpo.ocpi import registration
from stations.models import (
    CPOCommand,
    NetworkAccess,
    Party,
    Source,
)


class ConnectForm(ReasonForm):
    """What the CPO gave us out of band. Left empty, the token we hold is used."""

    token = forms.CharField(
        label=_("Token of the CPO"), max_length=64, required=False, widget=UnfoldAdminTextInputWidget
    )

    def __init__(self, *args: Any, is_registered: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if is_registered:
            self.fields["token"].help_text = _("Connected already: leave it empty to exchange new tokens.")


class AccessInline(TabularInline):
    model = NetworkAccess
    extra = 0

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


class NetworkList(ChangeList):
    """Every network of a page with the freshness of its plugs, asked once for all."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        counts = freshness_of_networks([source.pk for source in self.result_list], timezone.now())
        for source in self.result_list:
            source.plug_counts = counts[source.pk]


@admin.register(Source)
class SourceAdmin(RegistryScope, TenantAdmin):
    """Networks and how they are doing."""

    view_roles = EVERYBODY
    list_display = [
        "name", "kind", "state", "plugs", "trust", "truth", "polling", "last_polled_at", "last_push_at", "trouble",
    ]  # fmt: skip
    list_select_related = ["poll_run"]
    list_filter = ["kind", "state"]
    search_fields = ["name", "slug"]
    fields = [
        "name", "slug", "kind", "organisation", "base_url", "poll_interval_seconds", "full_sync_seconds", "trust",
        "licence", "attribution", "help_phone", "app_url", "state", "freshness", "truth", "polling", "last_poll",
        "last_polled_at", "full_synced_at", "next_poll_at", "last_push_at", "usual_pause", "failures",
        "last_error_code", "last_error", "refused_at", "refused_objects", "refused",
    ]  # fmt: skip
    readonly_fields = [
        "state", "freshness", "truth", "polling", "last_poll", "last_polled_at", "full_synced_at", "next_poll_at",
        "last_push_at", "usual_pause", "failures", "last_error_code", "last_error", "refused_at", "refused_objects",
        "refused",
    ]  # fmt: skip
    inlines = [AccessInline]
    actions = ["try_connection", "poll_now", "switch_off", "switch_on"]
    actions_detail = ["connect", "invite", "disconnect"]

    @admin.display(description=_("Truthfulness"), ordering="truth_percent")
    def truth(self, source: Source) -> str:
        """Of plugs shown as free, how many were."""
        return "–" if source.truth_percent is None else f"{source.truth_percent} %"

    @admin.display(description=_("Being polled"))
    def polling(self, source: Source) -> str:
        """Which page of how many, what came so far, since when."""
        return polls.going_on(source, timezone.now())

    @admin.display(description=_("Last poll"))
    def last_poll(self, source: Source) -> str:
        """How long it took, and what it brought."""
        return polls.last_run(source)

    @admin.display(description=_("What it could not use, and why"))
    def refused(self, source: Source) -> str:
        """The first of them by the network's names."""
        return "\n".join(f"{each['id']}: {each['why']}" for each in source.refusals) or "–"

    @admin.display(description=_("Failures in a row"))
    def failures(self, source: Source) -> int:
        return source.failures_in_row

    @admin.display(description=_("Usual pause between pushes"))
    def usual_pause(self, source: Source) -> str:
        """Three of them without a word, and it is asked."""
        return f"{source.usual_push_seconds:.0f} s" if source.usual_push_seconds else "–"

    @admin.display(description=_("Trouble"), ordering="failures_in_row")
    def trouble(self, source: Source) -> str:
        """How often in a row it failed, and how it did last; the whole story is on its page."""
        if not source.failures_in_row:
            return "–"
        return f"{source.failures_in_row} × {Truncator(source.last_error).chars(200)}"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NetworkList

    @admin.display(description=_("Plugs"))
    def plugs(self, source: Any) -> str:
        return _plug_counts(source.plug_counts)

    @admin.display(description=_("Freshness of its plugs"))
    def freshness(self, source: Source) -> str:
        return _plug_counts(freshness_of_network(source.pk, timezone.now()) if source.pk else {})

    @admin.action(description=_("Test the connection"), permissions=["change"])
    def try_connection(self, request: Any, queryset: QuerySet[Source]) -> None:
        for source in self._own(request, queryset.filter(kind__startswith="ocpi"), "test"):
            tasks.check_source.delay(source.pk)
        messages.info(request, _("Being tested; what goes wrong stands under last error."))

    @admin.action(description=_("Poll now"), permissions=["change"])
    def poll_now(self, request: Any, queryset: QuerySet[Source]) -> None:
        askable = [kind for kind in Source.Kind if registry.can(Source(kind=kind), Capability.PULL)]
        chosen = queryset.filter(kind__in=askable).exclude(state=Source.State.DISABLED)
        for source in self._own(request, chosen, "poll"):
            tasks.poll_source.delay(source.pk)
        messages.success(request, _("The poll has started; the state changes here when it is done."))

    @admin.action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: Any, queryset: QuerySet[Source]) -> None:
        for source in self._own(request, queryset, "switch_off"):
            services.switch_source(source_id=source.pk, is_on=False, at=timezone.now())

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: Any, queryset: QuerySet[Source]) -> None:
        for source in self._own(request, queryset, "switch_on"):
            services.switch_source(source_id=source.pk, is_on=True, at=timezone.now())

    def _own(self, request: Any, queryset: QuerySet[Source], done: str) -> list[Source]:
        """Those of the selection that one may change, each with its audit entry."""
        own = [source for source in queryset if self.has_change_permission(request, source)]
        for source in own:
            audit(action=done, target=source, actor=request.user, organisation=request.organisation)
        return own

    @action(description=_("Connect"), url_path="connect")
    def connect(self, request: Any, object_id: str) -> HttpResponse:
        """The handshake with the TOKEN_A that the CPO gave us; a network that is connected gets new tokens."""
        source = self._one(request, object_id)
        if source is None:
            return back_to(self)
        form = ConnectForm(request.POST or None, is_registered=bool(source.endpoints))
        if not form.is_valid():
            title = _("Connect to %(name)s") % {"name": source}
            return ask(request, self, title=title, form=form, submit=gettext("Connect"))
        if token := form.cleaned_data["token"]:
            source.peer_token = token
            source.save(update_fields=["peer_token_encrypted"])
        services.switch_source(source_id=source.pk, is_on=True, at=timezone.now())
        audit(action="register", target=source, actor=request.user, reason=form.cleaned_data["reason"])
        tasks.register_source.delay(source.pk)
        messages.success(request, _("The handshake has started; the state changes here when it is done."))
        return back_to(self, object_id)

    @action(description=_("Invite"), url_path="invite")
    def invite(self, request: Any, object_id: str) -> HttpResponse:
        """A TOKEN_A of ours for a CPO that starts the handshake itself; shown once."""
        source = self._one(request, object_id)
        if source is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("A token with which %(name)s registers at ours") % {"name": source}
            return ask(request, self, title=title, form=form, submit=gettext("Make a token"))
        token = registration.new_token_for(source)
        audit(action="invite", target=source, actor=request.user, reason=form.cleaned_data["reason"])
        text = _("Token for {}: {} - give it to the CPO with our address {}; it is never shown again.")
        versions = f"{settings.PUBLIC_BASE_URL}/ocpi/versions"
        messages.warning(request, format_html(str(text), source.name, token, versions))
        return back_to(self, object_id)

    @action(description=_("Disconnect"), url_path="disconnect")
    def disconnect(self, request: Any, object_id: str) -> HttpResponse:
        source = self._one(request, object_id)
        if source is None or not source.endpoints:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("Leave %(name)s; its tokens die, its stations stay and fade") % {"name": source}
            return ask(request, self, title=title, form=form, submit=gettext("Disconnect"))
        audit(action="unregister", target=source, actor=request.user, reason=form.cleaned_data["reason"])
        tasks.unregister_source.delay(source.pk)
        return back_to(self, object_id)

    def _one(self, request: HttpRequest, object_id: str) -> Source | None:
        """An OCPI network that one may change, else None."""
        source: Source | None = self.get_object(request, object_id)
        may = source is not None and self.has_change_permission(request, source)
        return source if source and may and source.is_ocpi else None


def _plug_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "–"


@admin.register(CPOCommand)
class CPOCommandAdmin(RegistryScope, ReadOnlyAdmin):
    organisation_path = "source__organisation"
    list_display = ["created_at", "source", "kind", "reservation_key", "state", "answered_at"]
    list_filter = ["state", "kind"]
    list_select_related = ["source"]
    search_fields = ["reservation_key"]
    exclude = ["response_token_hash"]

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        """What was asked of a shared network says who was going where: only for the operator of the house."""
        rows = CPOCommand.objects.all()
        return rows if request.user.is_superuser else rows.filter(source__organisation=request.organisation)


@admin.register(Party)
class PartyAdmin(RegistryScope, ReadOnlyAdmin):
    organisation_path = "source__organisation"
    view_roles = EVERYBODY
    list_display = ["name", "country_code", "party_id", "source", "role", "hub_status", "hub_status_at"]
    list_select_related = ["source"]
    search_fields = ["name", "party_id"]
