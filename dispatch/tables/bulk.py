"""What can be done with many rows of a table at once. Each row for itself: one that refuses stops no other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext

from fleetcharge.accounts.models import Membership, Organisation, Scope
from fleetcharge.accounts.tenancy import Author, FleetRequest

MOST_ROWS = 200
UNDO_FOR = timedelta(minutes=2)
Choice = tuple[str, str]


class Refused(Exception):
    """Not this row; the text says why, in the reader's language."""


@dataclass(frozen=True)
class Ask:
    """What a deed must be told for all rows: one of `choices`, or a text of `longest` letters."""

    label: Promise
    choices: Callable[[Organisation], list[Choice]] | None = None
    longest: int = 40

    def is_answered(self, organisation: Organisation, value: str) -> bool:
        if self.choices is None:
            return 0 < len(value) <= self.longest
        return value in [key for key, _label in self.choices(organisation)]


@dataclass(frozen=True)
class Wish:
    """Who wants it for which fleet, when, and what was answered where the deed asks."""

    organisation: Organisation
    author: Author
    now: datetime
    value: str = ""


Do = Callable[[int, Wish], Any]
"""Does it to one row, or raises Refused; what it returns (JSON) tells `undo` how the row was before."""
Undo = Callable[[int, Any, Wish], None]


@dataclass(frozen=True)
class Deed:
    """One button. `sure`: what a second one says, where nothing brings back what the first would do."""

    name: str
    label: Promise
    do: Do
    sure: Promise | str = ""
    ask: Ask | None = None
    undo: Undo | None = None
    scope: Scope = Scope.DISPATCH_WRITE
    is_for_owners: bool = False

    def is_offered_to(self, request: FleetRequest) -> bool:
        is_owner = request.role == Membership.Role.OWNER
        return self.scope in request.scopes and (is_owner or not self.is_for_owners)


@dataclass(frozen=True)
class Kind:
    """The rows of one table, as its deeds find and name them."""

    rows: Callable[[Organisation], Any]
    name_of: Callable[[Any], str]
    deeds: Sequence[Deed]


@dataclass
class Outcome:
    """`done`: each row with what it was before; `refused`: its name and why."""

    done: list[tuple[int, Any]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def told(self) -> str:
        words = gettext("%(done)s done.") % {"done": len(self.done)}
        if not self.refused:
            return words
        return f"{words} {gettext('%(refused)s not, see below.') % {'refused': len(self.refused)}}"


def do(kind: Kind, deed: Deed, chosen: Sequence[str], wish: Wish) -> Outcome:
    """The deed for the rows of this fleet among the chosen."""
    outcome = Outcome()
    for pk, name in _named(kind, chosen, wish.organisation):
        try:
            outcome.done.append((pk, deed.do(pk, wish)))
        except Refused as refusal:
            outcome.refused.append((name, str(refusal)))
    return outcome


def undo(kind: Kind, deed: Deed, done: Sequence[tuple[int, Any]], wish: Wish) -> Outcome:
    """Each row as it was before, unless somebody else has changed it since."""
    outcome, before = Outcome(), dict(done)
    for pk, name in _named(kind, [str(pk) for pk in before], wish.organisation):
        try:
            if deed.undo:
                deed.undo(pk, before[pk], wish)
            outcome.done.append((pk, None))
        except Refused as refusal:
            outcome.refused.append((name, str(refusal)))
    return outcome


def _named(kind: Kind, chosen: Sequence[str], organisation: Organisation) -> Iterator[tuple[int, str]]:
    ids = [int(text) for text in chosen[:MOST_ROWS] if text.isdecimal() and len(text) < 19]
    for row in list(kind.rows(organisation).filter(pk__in=ids).order_by("pk")):
        yield row.pk, kind.name_of(row)
