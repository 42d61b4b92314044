"""Benchmarks of regulators, tariffs made by them, and tariffs of our own chargers that are above them."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import FinanceAdmin, Label, user_of
from billing.gst.numbering import day_in_india
from billing.invoicing.admin.registrations import OurOwnEditable
from billing.prices.admin.forms import GuidelineForm
from billing.prices.admin.rates import Operators
from billing.prices.models import CeilingCheck, PriceBenchmark
from billing.prices.services import guidelines, rates
from billing.prices.services.guidelines import Benchmarks, MissingBenchmark
from fleetcharge.accounts.admin import ask, back_to
from stations.models import Connector, Source

COLOURS = {"within": "success", "above": "danger", "unknown": "info"}
WORDS = {
    "within": gettext_lazy("Within"), "above": gettext_lazy("Above the ceiling"), "unknown": gettext_lazy("Not known"),
}  # fmt: skip


@admin.register(PriceBenchmark)
class PriceBenchmarkAdmin(Operators, OurOwnEditable):
    list_display = ["name", "state", "value", "valid_from", "valid_to", "source"]
    list_filter = ["name"]
    search_fields = ["state", "source"]
    actions_list = ["make_tariff"]

    @action(description=gettext_lazy("Make a tariff by the guideline"), url_path="tariff", permissions=["operate"])
    def make_tariff(self, request: HttpRequest) -> HttpResponse:
        form = GuidelineForm(request.POST or None)
        if form.is_valid():
            told, now = form.cleaned_data, timezone.now()
            try:
                tariff = guidelines.make_tariff(
                    source_id=told["source"].pk, external_id=told["external_id"], name=told["name"],
                    state=told["state"], service_solar=told["service_solar"], service_other=told["service_other"],
                    at=now, on=day_in_india(now), actor=user_of(request), reason=told["reason"],
                )  # fmt: skip
                messages.success(request, _("%(tariff)s is there; give it to sites and plugs.") % {"tariff": tariff})
                return back_to(self)
            except (ValueError, MissingBenchmark) as error:
                form.add_error(None, str(error))
        return ask(request, self, title=_("A tariff by the guideline"), form=form, submit=_("Make it"))


@admin.register(CeilingCheck)
class CeilingCheckAdmin(FinanceAdmin):
    """Current tariffs of our own chargers; the benchmarks are read once for a page."""

    organisation_path = "source__organisation"
    list_display = ["name", "version", "source", "judged", "where", "valid_from"]
    list_select_related = ["source"]
    search_fields = ["name", "external_id", "source__name"]
    fields = ["name", "version", "source", "judged", "where", "prices", "valid_from"]
    readonly_fields = ["judged", "where", "prices"]

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).filter(source__kind=Source.Kind.OWN_OCPP, valid_to=None)
        judged: QuerySet[Any] = rows.annotate(
            states=ArrayAgg("connectors__evse__location__state", distinct=True, default=[]),
            powers=ArrayAgg("connectors__power_type", distinct=True, default=[]),
        )
        return judged

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        _judge(changelist.result_list)
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        _judge([row] if row is not None else [])
        return row

    @display(description=gettext_lazy("Ceiling"), label=COLOURS)
    def judged(self, row: Any) -> Any:
        verdict = row.judgement.verdict
        return Label(verdict, WORDS[verdict])

    @display(description=gettext_lazy("Prices"))
    def prices(self, row: Any) -> str:
        return rates.in_words(row.elements) if row.elements else "—"

    @display(description=gettext_lazy("Where"))
    def where(self, row: Any) -> Any:
        found = row.judgement
        lines = ((each.start, each.end, each.price.normalize(), each.ceiling.normalize()) for each in found.excesses)
        return format_html_join(" · ", "{}–{}: ₹{} &gt; ₹{}", lines) or found.why or "—"


def _judge(rows: Iterable[Any]) -> None:
    benchmarks = Benchmarks(day_in_india(timezone.now()))
    for row in rows:
        row.judgement = guidelines.judge(row, places=_places(row), benchmarks=benchmarks)


def _places(row: Any) -> list[tuple[str, bool]]:
    powers = [power for power in row.powers if power]
    return [(state or "", power == Connector.PowerType.DC) for state in row.states for power in powers]
