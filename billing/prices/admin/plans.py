"""Plans and their versions; the operator alone makes them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import kwh, money, user_of
from billing.desk.words import told
from billing.invoicing.admin.registrations import OurOwnEditable
from billing.prices.admin.forms import PAISE_PER_RUPEE, WH_PER_KWH, VersionForm
from billing.prices.admin.rates import Operators
from billing.prices.models import Plan, PlanVersion
from billing.prices.services import plans, rates
from fleetcharge.accounts.admin import ask, back_to


@admin.register(Plan)
class PlanAdmin(Operators, OurOwnEditable):
    list_display = ["name", "slug", "description", "is_open"]
    search_fields = ["name", "slug"]
    actions_detail = ["publish"]

    @action(description=gettext_lazy("Publish a version"), url_path="publish", permissions=["operate"])
    def publish(self, request: HttpRequest, object_id: str) -> HttpResponse:
        plan = self.get_object(request, object_id)
        if plan is None:
            return back_to(self)
        form = VersionForm(request.POST or None)
        if form.is_valid():
            told = form.cleaned_data
            version = plans.publish(
                plan_id=plan.pk, fee_paise=int(told["fee"] * PAISE_PER_RUPEE),
                included_wh=int(told["included_kwh"] * WH_PER_KWH), pool=told["pool"],
                discount_percent=told["discount_percent"], elements=told["elements"], actor=user_of(request),
            )  # fmt: skip
            messages.success(request, _("%(version)s is there; subscriptions keep theirs.") % {"version": version})
            return back_to(self, plan.pk)
        return ask(request, self, title=_("A version of %(name)s") % {"name": plan}, form=form, submit=_("Publish"))


@admin.register(PlanVersion)
class PlanVersionAdmin(OurOwnEditable):
    list_display = ["__str__", "fee", "included", "pool", "discount", "created_at"]
    list_filter = ["plan"]
    list_select_related = ["plan"]
    fields = ["plan", "number", "fee", "included", "pool", "discount", "prices", "conditions", "currency", "created_at"]
    readonly_fields = fields

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("plan")

    @display(description=gettext_lazy("Fee"), ordering="fee_paise")
    def fee(self, row: PlanVersion) -> str:
        return money(row.fee_paise)

    @display(description=gettext_lazy("Discount"), ordering="discount_percent")
    def discount(self, row: PlanVersion) -> str:
        return f"{row.discount_percent.normalize():f} %"

    @display(description=gettext_lazy("Prices"))
    def prices(self, row: PlanVersion) -> str:
        return rates.in_words(row.elements)

    @display(description=gettext_lazy("Terms"))
    def conditions(self, row: PlanVersion) -> Any:
        return told(row.terms)

    @display(description=gettext_lazy("Included kWh"), ordering="included_wh")
    def included(self, row: PlanVersion) -> str:
        return kwh(row.included_wh)
