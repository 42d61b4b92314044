"""What can be done with many rows of a table at once. Each row for itself: one that is over stops no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from dispatch import services
from dispatch.models import Alert, Reservation
from fleetcharge.accounts.models import Organisation
from fleetcharge.accounts.tenancy import Author

MOST_ROWS = 200
SNOOZES = {"snooze": timedelta(minutes=15), "snooze-hour": timedelta(hours=1)}
Do = Callable[[int, Author, datetime], bool]


@dataclass(frozen=True)
class Deed:
    """One button. `sure`: what a second one says, where nothing brings back what the first would do."""

    name: str
    label: Promise
    do: Do
    sure: Promise | str = ""


def _snooze(name: str) -> Do:
    def do(pk: int, author: Author, now: datetime) -> bool:
        return services.snooze_alert(alert_id=pk, until=now + SNOOZES[name], **author)

    return do


def _close(pk: int, author: Author, now: datetime) -> bool:
    return services.close_alert(alert_id=pk, reason="dealt with", now=now, **author)


def _cancel(pk: int, author: Author, now: datetime) -> bool:
    try:
        return services.cancel_reservation(number=pk, reason="cancelled by the dispatcher", now=now, **author)
    except services.DecisionRefused:
        return False  # its plan has been decided otherwise meanwhile


DEEDS: dict[str, tuple[type[Any], Sequence[Deed]]] = {
    "alert-list": (Alert, (
        Deed("snooze", _("Snooze 15 minutes"), _snooze("snooze")),
        Deed("snooze-hour", _("Snooze 1 hour"), _snooze("snooze-hour")),
        Deed("close", _("Close"), _close, sure=_("Yes, close the chosen alerts")),
    )),
    "reservation-list": (Reservation, (
        Deed("cancel", _("Cancel"), _cancel, sure=_("Yes, give the chosen places up")),
    )),
}  # fmt: skip


def deeds_of(table_name: str) -> Sequence[Deed]:
    return DEEDS[table_name][1] if table_name in DEEDS else ()


def do(
    table_name: str, deed: Deed, chosen: Sequence[str], organisation: Organisation, author: Author
) -> tuple[int, int]:
    """(done, over already) of the rows of this fleet among the chosen."""
    ids = [int(text) for text in chosen[:MOST_ROWS] if text.isdecimal() and len(text) < 19]
    rows = DEEDS[table_name][0].objects.for_organisation(organisation).filter(pk__in=ids).order_by("pk")
    now = timezone.now()
    done = [deed.do(pk, author, now) for pk in rows.values_list("pk", flat=True)]
    return sum(done), len(done) - sum(done)


def told(done: int, over: int) -> str:
    words = gettext("%(done)s done.") % {"done": done}
    return f"{words} {gettext('%(over)s were over already.') % {'over': over}}" if over else words
