"""Lists of millions of rows that stay quick: bounded counts, keyset paging, filters and searches by index, streams."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy

from billing.desk.words import named
from billing.invoicing.exports.tables import csv_of
from billing.pages.wording import LEDGER

PIECE = 64 * 1024
MOST_COUNTED, MONTHS_OFFERED = 10_000, 24
INDIA = ZoneInfo("Asia/Kolkata")


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than MOST_COUNTED: what lies behind is reached by its key, not by its place."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_COUNTED].count())

    @property
    def is_bounded(self) -> bool:
        return self.count >= MOST_COUNTED


class BigTable:
    """For admins of append-only tables, newest first: after the counted pages a link goes on below the last key."""

    paginator = BoundedPaginator
    show_full_result_count = False
    sortable_by: Iterable[str] = ()
    list_after_template = "admin/billing/older.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        context = getattr(response, "context_data", None)
        if context and "cl" in context and context["cl"].paginator.is_bounded:
            changelist = context["cl"]
            last = changelist.queryset.order_by("-pk").values_list("pk", flat=True)[MOST_COUNTED - 1 : MOST_COUNTED]
            context["older"] = [changelist.get_query_string({"id__lt": pk}, ["p"]) for pk in last]
            context["counted"] = MOST_COUNTED
        return response


def kinds_in_use(table: str) -> list[str]:
    """The values of an indexed `kind`, one index probe each however many rows there are."""
    query = f"""
        WITH RECURSIVE seen AS (
            (SELECT kind FROM {table} ORDER BY kind LIMIT 1)
            UNION ALL SELECT (SELECT t.kind FROM {table} t WHERE t.kind > seen.kind ORDER BY t.kind LIMIT 1)
            FROM seen WHERE seen.kind IS NOT NULL
        ) SELECT kind FROM seen WHERE kind IS NOT NULL"""  # noqa: S608 (the name of our own table)
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [kind for (kind,) in cursor.fetchall()]


class KindFilter(admin.SimpleListFilter):
    """What kinds of transfers there are, without reading them all."""

    title = gettext_lazy("kind")
    parameter_name = "kind__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, named(LEDGER, kind)) for kind in kinds_in_use(model_admin.model._meta.db_table)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class MonthFilter(admin.SimpleListFilter):
    """Months of India's calendar, the newest first; asks the database nothing."""

    title = gettext_lazy("month")
    parameter_name = "month"
    field = "occurred_at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        today = timezone.now().astimezone(INDIA)
        months = [divmod(today.year * 12 + today.month - 1 - back, 12) for back in range(MONTHS_OFFERED)]
        return [(f"{y}-{m + 1:02d}", f"{datetime(y, m + 1, 1):%B %Y}") for y, m in months]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        year, _, month = (self.value() or "").partition("-")
        if not (year.isdecimal() and month.isdecimal() and 1 <= int(month) <= 12 and 2000 <= int(year) <= 2200):
            return queryset
        begin = datetime(int(year), int(month), 1, tzinfo=INDIA)
        end = datetime(int(year) + int(month) // 12, int(month) % 12 + 1, 1, tzinfo=INDIA)
        return queryset.filter(**{f"{self.field}__gte": begin, f"{self.field}__lt": end})


def stream(name: str, rows: Iterable[tuple[Any, ...]]) -> StreamingHttpResponse:
    """A CSV that is written while it is read; `rows` should come from `.iterator()`."""
    answer = StreamingHttpResponse(_pieces(csv_of(rows)), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Lines together, so that each is not sent by itself."""
    waiting, length = [], 0
    for line in lines:
        waiting.append(line)
        length += len(line)
        if length >= PIECE:
            yield "".join(waiting).encode()
            waiting, length = [], 0
    yield "".join(waiting).encode()
