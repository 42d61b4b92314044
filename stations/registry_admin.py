"""The registry's evidence on the desk: who says what and why it is shown, sites that may be one, networks' honesty."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.admin import ReadOnlyAdmin
from fleetcharge.accounts.services import audit
from stations import tasks
from stations.models import EVSE, Connector, Location
from stations.registry_models import Duplicate, StatusClaim, StatusProof
from stations.services import claims, duplicates


def claims_table(kind: str, row: Any) -> str:
    """Field, value, whose, why, and what the others say; a sentence where only one source speaks."""
    verdicts = claims.verdicts_of(kind, row.pk) if row.pk else {}
    if not verdicts:
        return str(_("Only %(source)s speaks of it.") % {"source": _source_of(row)})
    lines = format_html_join(
        "", "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (field, v.value, v.source, v.why, "; ".join(f"{source}: {value}" for source, value in v.others) or "–")
            for field, v in verdicts.items()
        ),
    )  # fmt: skip
    return _table((_("Field"), _("Shown"), _("Said by"), _("Why"), _("Others say")), lines)


def status_table(evse: EVSE) -> str:
    """The word of every source about one unit, the shown one marked."""
    words = StatusClaim.objects.filter(evse=evse).select_related("source").order_by("-is_shown", "-heard_at")
    lines = format_html_join(
        "", "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (w.source, w.raw_status or w.status, timezone.localtime(w.heard_at).strftime("%d %b %H:%M:%S"),
             _("shown") if w.is_shown else "")
            for w in words
        ),
    )  # fmt: skip
    return _table((_("Source"), _("Status"), _("Heard at"), ""), lines) if lines else "–"


def _table(heads: tuple[Any, ...], lines: SafeString) -> SafeString:
    return format_html(
        "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>",
        format_html_join("", "<th>{}</th>", ((head,) for head in heads)), lines,
    )  # fmt: skip


def _source_of(row: Location | Connector) -> Any:
    return row.source if isinstance(row, Location) else row.evse.location.source


class OfTheHouse:
    """Pairs of public sites and proofs of shared networks are the business of the operator of the house."""

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.all()  # type: ignore[attr-defined]
        return rows if request.user.is_superuser else rows.none()


@admin.register(Duplicate)
class DuplicateAdmin(OfTheHouse, ReadOnlyAdmin):
    """The review queue: what is shown is a pair, what is asked is whether it is one site."""

    list_display = ["score", "kept_site", "other_site", "metres", "against", "state", "decided_by", "decided_at"]
    list_filter = ["state"]
    list_select_related = ["kept__source", "other__source", "decided_by"]
    search_fields = ["kept__name", "other__name", "kept__public_id", "other__public_id"]
    actions = ["merge", "keep_apart", "look_again"]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    @admin.display(description=_("Kept site"), ordering="kept__name")
    def kept_site(self, pair: Duplicate) -> str:
        return _link(pair.kept)

    @admin.display(description=_("Other site"), ordering="other__name")
    def other_site(self, pair: Duplicate) -> str:
        return _link(pair.other)

    @admin.display(description=_("Metres apart"))
    def metres(self, pair: Duplicate) -> Any:
        return pair.why.get("factors", {}).get("metres")

    @admin.display(description=_("Against it"))
    def against(self, pair: Duplicate) -> str:
        return str(pair.why.get("against") or "–")

    @admin.action(description=_("They are one site: merge"))
    def merge(self, request: Any, queryset: QuerySet[Duplicate]) -> None:
        self._decide(request, queryset, "merge_sites", duplicates.merge)

    @admin.action(description=_("They are two sites (takes a merge back)"))
    def keep_apart(self, request: Any, queryset: QuerySet[Duplicate]) -> None:
        self._decide(request, queryset, "keep_sites_apart", duplicates.keep_apart)

    @admin.action(description=_("Look for duplicates now"))
    def look_again(self, request: Any, queryset: QuerySet[Duplicate]) -> None:
        tasks.find_duplicates.delay()
        messages.info(request, _("Every public site is being looked at."))

    def _decide(self, request: Any, queryset: QuerySet[Duplicate], name: str, step: Callable[..., bool]) -> None:
        """`get_queryset` shows pairs to the operator of the house alone, so nobody else decides."""
        done = 0
        for pair in queryset:
            try:
                if step(duplicate_id=pair.pk, actor=request.user, at=timezone.now()):
                    audit(action=name, target=pair, actor=request.user)
                    done += 1
            except duplicates.NotMergeable as error:
                messages.error(request, f"{pair}: {error}")
        messages.success(request, _("%d decided.") % done)


def _link(site: Location) -> str:
    url = reverse("admin:stations_location_change", args=[site.pk])
    return format_html('<a href="{}">{}</a> ({})', url, site.name, site.source)


@admin.register(StatusProof)
class StatusProofAdmin(OfTheHouse, ReadOnlyAdmin):
    """Every time a plug that was shown as free was asked for, and what came of it."""

    list_display = ["at", "source", "connector", "was_true", "why", "key"]
    list_filter = ["was_true", "source"]
    list_select_related = ["source", "connector"]
    search_fields = ["key", "connector__public_id"]
    ordering = ["-at"]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)
