"""How finance reads money, energy, prices, codes and evidence; shared by the pages of its desk."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import JSONField, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import lazy
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from billing import evidence
from billing.desk.words import BY_UNIT, Words, kwh, money, named, told
from billing.models import ReconciliationVerdict
from billing.reconciliation import files
from fleetcharge.accounts.admin import ReadOnlyAdmin
from fleetcharge.accounts.models import User
from fleetcharge.lib.ids import short
from fleetcharge.lib.money import group_indian

__all__ = [
    "VERDICT_COLOURS", "FinanceAdmin", "Label", "TotalsMixin", "choices_filter", "code_column", "code_filter",
    "explained_in_rows", "findings_shown", "group_indian", "kwh", "money", "plain_column", "reference_column",
    "unit_column", "user_of", "yes_no_filter",
]  # fmt: skip
VERDICT_COLOURS = {
    "verified": "success",
    "inconclusive": "info",
    "review": "warning",
    "blocked": "danger",
    "invalid": "danger",
}


class Label(tuple[str, Any]):
    """Colour and words of a state, as the theme's lists want them; on the page of one row it is the words."""

    __slots__ = ()

    def __new__(cls, colour: str, words: Any) -> "Label":
        return super().__new__(cls, (colour, words))

    def __str__(self) -> str:
        return str(self[1])


# --- columns ------------------------------------------------------------------------------------------------------
Column = Callable[[Any], Any]


def _column(name: str, label: Any, shown: Any, *, is_sortable: bool = True) -> Column:
    """For lists as for the page of one row: named, and ordered, as its field is."""
    shown.__name__ = name
    made: Column = display(description=label, ordering=name if is_sortable else None)(shown)
    return made


def code_column(name: str, label: Any, words: Words) -> Column:
    return _column(name, label, lambda row: named(words, getattr(row, name)))


def plain_column(name: str, label: Any) -> Column:
    return _column(name, label, lambda row: getattr(row, name) or "—")


def reference_column(name: str, label: Any) -> Column:
    """Long ids by their first signs; the page of the row has all of them."""
    return _column(name, label, lambda row: short(str(getattr(row, name) or "")) or "—")


LABELS = {
    "cgst": "CGST", "sgst": "SGST", "igst": "IGST", "soc": gettext_lazy("State of charge"),
    "soc start": gettext_lazy("State of charge at the start"),
}  # fmt: skip


def _say(field: Any, unit: str) -> str:
    name = str(field.verbose_name).removesuffix(f" {unit}")
    return str(capfirst(str(LABELS.get(name) or _(name))))


_label_of: Any = lazy(_say, str)


@cache
def unit_column(model: Any, name: str) -> Column | None:
    """A field whose name ends in its unit (amount_paise, energy_wh, …), or that is kept as JSON; None for any other."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    stem, _underscore, unit = name.rpartition("_")
    in_words = told if isinstance(field, JSONField) else BY_UNIT.get(unit) if stem else None
    if in_words is None:
        return None
    label, is_json = _label_of(field, unit), in_words is told
    shown_as = f"{name}_told" if is_json else name  # what JSON is made of is no help for who reads its lines
    return _column(shown_as, label, lambda row: in_words(getattr(row, name)), is_sortable=not is_json)


class FinanceAdmin(ReadOnlyAdmin):
    """Rows that are looked at: on the page of one, the unit in a field's name decides how its value is shown."""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (title, {**options, "fields": [self._in_its_unit(name) for name in options["fields"]]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def _in_its_unit(self, name: Any) -> Any:
        return (unit_column(self.model, name) if isinstance(name, str) else None) or name


# --- filters ------------------------------------------------------------------------------------------------------
def code_filter(field: str, label: Any, words: Words) -> type[admin.SimpleListFilter]:
    """By a code, in words; asks the database nothing."""

    class CodeFilter(admin.SimpleListFilter):
        title, parameter_name = label, field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
            return [(code, named(words, code)) for code in words]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() else queryset

    return CodeFilter


def yes_no_filter(field: str, label: Any, *, yes: Any, no: Any) -> type[admin.SimpleListFilter]:
    """By whether something has happened (a moment that is set), in words."""

    class YesNoFilter(admin.SimpleListFilter):
        title, parameter_name = label, f"{field}__isempty"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
            return [("0", yes), ("1", no)]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            is_empty = {"0": False, "1": True}.get(self.value() or "")
            return queryset if is_empty is None else queryset.filter(**{f"{field}__isnull": is_empty})

    return YesNoFilter


def choices_filter(label: Any) -> type[admin.ChoicesFieldListFilter]:
    """Under a name of its own, where a field's own name says too little."""

    class NamedFilter(admin.ChoicesFieldListFilter):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.title = label

    return NamedFilter


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
    _own, foreign = files.neighbours(verdict)
    seen = [files.without(finding, foreign) for finding in verdict.findings]
    view = evidence.findings_view(seen, verdict.evidence if has_track else {})
    return render_to_string("admin/billing/findings.html", {**view, "has_track": has_track})
