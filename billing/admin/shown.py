"""How finance reads money, energy, prices and evidence; shared by the pages of its desk."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from billing import evidence
from billing.models import ReconciliationVerdict
from billing.reconciliation import files
from fleetcharge.accounts.models import User
from fleetcharge.lib.money import format_inr

VERDICT_COLOURS = {
    "verified": "success",
    "inconclusive": "info",
    "review": "warning",
    "blocked": "danger",
    "invalid": "danger",
}


def money(paise: int | None) -> str:
    return "—" if paise is None else format_inr(paise)


def kwh(energy_wh: int) -> str:
    return f"{energy_wh / 1000:.2f}"


class Label(tuple[str, Any]):
    """Colour and words of a state, as the theme's lists want them; on the page of one row it is the words."""

    __slots__ = ()

    def __new__(cls, colour: str, words: Any) -> "Label":
        return super().__new__(cls, (colour, words))

    def __str__(self) -> str:
        return str(self[1])


class TotalsMixin:
    """Totals over the filtered set, above the list (one aggregate query)."""

    list_before_template = "admin/billing/totals.html"

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        raise NotImplementedError

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        context = getattr(response, "context_data", None)
        if context and "cl" in context:
            context["totals"] = self.totals(context["cl"].queryset.order_by())
        return response


def user_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 (the admin admits nobody else)
    return request.user


def explained_in_rows(lines: list[dict[str, Any]]) -> SafeString:
    return render_to_string("admin/billing/explanation.html", {"lines": evidence.explanation_rows(lines)})


def findings_shown(verdict: ReconciliationVerdict, *, has_track: bool = True) -> SafeString:
    _, foreign = files.neighbours(verdict)
    told = [files.without(finding, foreign) for finding in verdict.findings]
    view = evidence.findings_view(told, verdict.evidence if has_track else {})
    return render_to_string("admin/billing/findings.html", {**view, "has_track": has_track})
