"""UBC on the desk: how we take part, what is sold and ordered, what was said, and what was turned away."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from fleetcharge.accounts.admin import ReadOnlyAdmin, ReasonForm, TenantAdmin, actor_of, ask, back_to
from fleetcharge.accounts.services import audit
from stations.cpo.base import CPOError
from stations.cpo.ubc import flow, signing
from stations.cpo.ubc.models import UBCCarry, UBCItem, UBCMessage, UBCNetwork, UBCOrder, UBCRefusal
from stations.cpo.ubc.words import our_address


class WordsForm(forms.Form):
    kind = ""
    comments = forms.CharField(
        label=_("What the seller is to read"), max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


class RatingForm(WordsForm):
    kind = "rate"
    stars = forms.TypedChoiceField(label=_("Stars"), coerce=int, choices=[(n, "★" * n) for n in range(5, 0, -1)])


class ComplaintForm(WordsForm):
    kind = "complain"
    is_closed = forms.BooleanField(label=_("It is settled: close the complaint"), required=False)


class OwnNetworks:
    """What is said at a shared network tells who went where: only for the operator of the house."""

    organisation_path = "network__source__organisation"

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.all()  # type: ignore[attr-defined]
        return rows if request.user.is_superuser else rows.filter(**{self.organisation_path: request.organisation})


@admin.register(UBCNetwork)
class UBCNetworkAdmin(OwnNetworks, TenantAdmin):
    """Saved without a signing key it gets one; its public half goes into the registry."""

    organisation_path = "source__organisation"
    list_display = ["source", "profile", "subscriber_id", "gateway_id"]
    list_select_related = ["source"]
    search_fields = ["subscriber_id", "source__name"]
    fields = [
        "source", "profile", "subscriber_id", "key_id", "public_key", "callback_address", "registry_url", "gateway_id",
        "gateway_url", "areas", "buyer", "settlement_account", "finder_fee_percent", "order_kwh",
    ]  # fmt: skip
    readonly_fields = ["public_key", "callback_address"]
    actions_detail = ["new_key"]

    @admin.display(description=_("Our public key, for the registry"))
    def public_key(self, network: UBCNetwork) -> str:
        return signing.public_of(network.signing_key) if network.signing_key else "–"

    @admin.display(description=_("Where callbacks come to"))
    def callback_address(self, network: UBCNetwork) -> str:
        return our_address(network) if network.source_id else "–"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not obj.signing_key:
            obj.signing_key = signing.new_key_pair()[0]
        super().save_model(request, obj, form, change)

    @action(description=_("New signing key"), url_path="new-key")  # type: ignore[untyped-decorator]
    def new_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """From now on we sign with a new key: register it first under the key id that stands here."""
        network: UBCNetwork | None = self.get_object(request, object_id)
        if network is None or not self.has_change_permission(request, network):
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("A new signing key for %(name)s; the old one is used no more") % {"name": network}
            return ask(request, self, title=title, form=form, submit=gettext("Make a key"))
        network.signing_key, public = signing.new_key_pair()
        network.save(update_fields=["signing_key_encrypted"])
        audit(action="new_key", target=network, actor=request.user, reason=form.cleaned_data["reason"])  # type: ignore[arg-type]
        messages.warning(request, gettext("Register this public key now: %(key)s") % {"key": public})
        return back_to(self, object_id)


@admin.register(UBCItem)
class UBCItemAdmin(OwnNetworks, ReadOnlyAdmin):
    list_display = ["item_id", "provider_name", "bpp_id", "connector", "can_reserve", "seen_at"]
    list_select_related = ["connector"]
    search_fields = ["item_id", "provider_name", "bpp_id", "qr"]


@admin.register(UBCOrder)
class UBCOrderAdmin(OwnNetworks, ReadOnlyAdmin):
    list_display = [
        "created_at",
        "order_id",
        "provider_id",
        "state",
        "quoted_paise",
        "value_paise",
        "balance_paise",
        "error",
    ]
    list_filter = ["state"]
    search_fields = ["order_id", "transaction_id", "reservation_key", "item_id"]
    readonly_fields = ["balance_paise"]
    actions_detail = ["rate", "complain"]

    @admin.display(description=_("Balance, paise"))
    def balance_paise(self, order: UBCOrder) -> int:
        return order.balance_paise

    @action(description=_("Rate"), url_path="rate")  # type: ignore[untyped-decorator]
    def rate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One to five stars for the seller, with a word that it will read."""

        def send(order: UBCOrder, said: dict[str, Any]) -> None:
            flow.rate(order.pk, stars=said["stars"], comments=said["comments"])

        return self._say(request, object_id, RatingForm, gettext("Rate %(order)s"), send)

    @action(description=_("Complain"), url_path="complain")  # type: ignore[untyped-decorator]
    def complain(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the seller's support, or tell it that the matter is settled; who helps comes back with its answer."""

        def send(order: UBCOrder, said: dict[str, Any]) -> None:
            flow.ask_for_support(order.pk, comments=said["comments"], is_closed=said["is_closed"])

        return self._say(request, object_id, ComplaintForm, gettext("Complain about %(order)s"), send)

    def _say(
        self, request: HttpRequest, object_id: str, form_class: type[WordsForm], title: str,
        send: Callable[[UBCOrder, dict[str, Any]], None],
    ) -> HttpResponse:  # fmt: skip
        order: UBCOrder | None = self.get_object(request, object_id)
        if order is None or not self.has_view_permission(request, order):
            return back_to(self)
        form = form_class(request.POST or None)
        if not form.is_valid():
            return ask(request, self, title=title % {"order": order}, form=form, submit=gettext("Send"))
        try:
            send(order, form.cleaned_data)
        except CPOError as error:
            messages.error(request, str(error))
        else:
            audit(
                action=f"ubc.{form.kind}", target=order, actor=actor_of(request), reason=form.cleaned_data["comments"]
            )
            messages.success(request, gettext("Sent. What the seller answers stands here when it comes."))
        return back_to(self, object_id)


@admin.register(UBCCarry)
class UBCCarryAdmin(OwnNetworks, ReadOnlyAdmin):
    organisation_path = "charged_in__network__source__organisation"
    list_display = ["created_at", "named_order_id", "earlier", "charged_in", "amount_paise"]
    list_select_related = ["earlier", "charged_in"]
    search_fields = ["named_order_id"]


@admin.register(UBCMessage)
class UBCMessageAdmin(OwnNetworks, ReadOnlyAdmin):
    """The evidence: the very bytes, and the signature over them."""

    list_display = ["received_at", "direction", "action", "subscriber_id", "transaction_id", "result"]
    list_filter = ["direction", "action", "result"]
    search_fields = ["transaction_id", "message_id"]
    exclude = ["raw"]
    readonly_fields = ["body"]

    @admin.display(description=_("Body"))
    def body(self, message: UBCMessage) -> str:
        return bytes(message.raw).decode(errors="replace")


@admin.register(UBCRefusal)
class UBCRefusalAdmin(OwnNetworks, ReadOnlyAdmin):
    list_display = ["day", "network", "code", "count", "last_at", "last_detail"]
    list_filter = ["code"]
    list_select_related = ["network"]
    search_fields = ["code"]
