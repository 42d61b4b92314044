"""What sources say of connectors, what outranks it, and the status we show."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish, publish_together
from fleetcharge.lib.rows import update_each
from stations import flapping
from stations.belief import freshness_at
from stations.deciding import decide_again, hear
from stations.events import ConnectorStatusChanged, LocationChanged
from stations.models import EVSE, Charger, Connector, ExternalRef, Location, Source, StatusChange
from stations.ordering import believed
from stations.registry_models import StatusClaim
from stations.services.shared import unit_now
from stations.status import LIVE, NONE, RECENT, STALE

FRESHEST = (NONE, STALE, RECENT, LIVE)
MOST_LOOKS = 5  # at where a key leads: it may change each time that we wait for a lock
MAX_PLUGS = 64  # of one charger, before we stop believing in those it names
NOBODYS_PLUG = 32_767  # the EVSE that stands for all the others
DECIDED = (
    "status", "status_reason", "status_since", "status_at", "heard_at", "raw_status", "reported_status", "error_code",
    "error_info", "has_session", "is_delivering", "is_held", "is_switched_off", "swings", "swung_at", "is_flapping",
)  # fmt: skip


class TooManyPlugs(Exception):
    """A charger names one more plug than any charger has; nothing was written."""


@dataclass(frozen=True)
class StatusReport:
    """One status as an OCPP charger reported it. `connector_id` 0 speaks for the whole station (OCPP 1.6).

    `evse_number` None: OCPP 1.6, where connectors count over the station. `status` is a Connector.Status value.
    """

    charger_id: int
    evse_number: int | None
    connector_id: int
    raw_status: str
    status: str
    at: datetime
    received_at: datetime
    error_code: str = ""
    error_info: str = ""


def nobodys_plug(charger: Charger) -> Connector:
    """The one row that stands for every plug of this charger beyond MAX_PLUGS, out of everybody's sight.

    What is drawn is a fact whatever a station calls the place it was drawn at.
    """
    evse, _ = EVSE.objects.get_or_create(
        charger=charger,
        evse_number=NOBODYS_PLUG,
        defaults={"location_id": charger.location_id, "is_removed": True},
    )
    tariff_id = evse.location.tariff_id
    connector, _ = Connector.objects.get_or_create(evse=evse, connector_id=1, defaults={"tariff_id": tariff_id})
    return connector


def _report(connector: Connector, report: StatusReport) -> bool:
    if not hear(connector, report):
        connector.save(update_fields=["heard_at"])
        return False
    show(connector, connector.status_at or report.at)
    return True


@transaction.atomic
def calm_connectors(*, now: datetime) -> int:
    """Plugs that stopped blinking are shown as they are again; returns how many."""
    calm = list(locked(is_flapping=True, swung_at__lte=now - flapping.CALM_AFTER))
    for connector in calm:
        connector.is_flapping = False
        show(connector, now)
    return len(calm)


def show(connector: Connector, at: datetime) -> None:
    """Decide the shown status again, keep the row, and tell everybody when it changed."""
    if change := decided(connector, at):
        change.save()
        publish(fact_of(change))
    connector.save(update_fields=DECIDED)


def fact_of(change: StatusChange, *, old: str = "") -> ConnectorStatusChanged:
    """What everybody is told of a change that is kept; `old` when it sums up several."""
    connector = change.connector
    return ConnectorStatusChanged(
        connector.pk, connector.evse.location_id, old or change.old, change.new, change.reason, change.at, change.pk
    )


def decided(connector: Connector, at: datetime) -> StatusChange | None:
    """Decide the shown status of a locked row, nothing saved yet; the change when there is one."""
    made = decide_again(connector, connector.evse.charger, at)
    if made is None:
        return None
    return StatusChange(
        connector=connector, old=made.old, new=made.new, raw_status=made.raw_status, reason=made.reason, at=made.at
    )


def locked(**where: object) -> Iterable[Connector]:
    rows = Connector.objects.select_for_update(of=("self",), no_key=True).select_related("evse__charger")
    return rows.order_by("pk").filter(**where)


@transaction.atomic
def report_from_source(
    *, evse_id: int, raw_status: str, status: str, at: datetime, received_at: datetime, source_id: int | None = None
) -> bool:
    """What a CPO says of one EVSE (primary key), for all its connectors; False for old news or a deleted one.

    `source_id`: who says so; of an EVSE that several sources speak of, the best word is shown. Of one that was merged,
    even while we waited for it, it is a word about the one that is shown for it now.
    """
    report = StatusReport(0, None, 1, raw_status, status, at, received_at)
    for _ in range(MOST_LOOKS):
        connectors = list(locked_with_site(evse_id=evse_id))
        evse = EVSE.objects.select_related("charger", "location").filter(pk=evse_id).first()  # as it is behind the lock
        if evse is None:
            return False
        source_id = source_id or evse.location.source_id
        now_id = unit_now(evse_id) if evse.location.merged_into_id else evse_id
        if now_id == evse_id:
            for connector in connectors:
                connector.evse = evse
            return take_word(connectors, source_id, report)
        evse_id = now_id
    raise OperationalError("This EVSE is merged faster than it can be locked.")


def take_word(connectors: list[Connector], source_id: int | None, report: StatusReport) -> bool:
    """The same onto the locked plugs of one EVSE."""
    if connectors and connectors[0].evse.is_shared:
        return _report_one_of_many(connectors, source_id, report)
    applied = [_report(connector, report) for connector in connectors]
    if is_news := any(applied):
        show_removed(connectors[0].evse, is_removed=report.raw_status == "REMOVED", at=report.received_at)
    return is_news


def locked_with_site(**where: object) -> Iterable[Connector]:
    rows = Connector.objects.select_for_update(of=("self",), no_key=True)
    rows = rows.select_related("evse__charger", "evse__location")
    return rows.order_by("pk").filter(**where)


def _report_one_of_many(connectors: list[Connector], source_id: int | None, report: StatusReport) -> bool:
    """Keeps the word beside those of the other sources and shows the best; False when it was old news."""
    evse = connectors[0].evse
    source_id = source_id or evse.location.source_id
    at = believed(report.at, report.received_at)
    held = StatusClaim.objects.filter(evse=evse, source_id=source_id).first()
    if held and at < held.status_at:
        StatusClaim.objects.filter(pk=held.pk).update(heard_at=max(held.heard_at, report.received_at))
        return False
    StatusClaim.objects.update_or_create(evse=evse, source_id=source_id, defaults={
        "raw_status": report.raw_status, "status": report.status, "status_at": at, "heard_at": report.received_at,
    })  # fmt: skip
    show_best_word(connectors, report.received_at)
    return True


def show_best_word(connectors: list[Connector], now: datetime) -> None:
    """The same of one EVSE."""
    show_best_words([connectors], now)


def show_best_words(units: Iterable[list[Connector]], now: datetime) -> None:
    """Of the words of several sources: the freshest kind first, then the most trusted source, then the newest.

    `units`: the locked plugs of one EVSE each. As many statements for a hundred units as for one.
    """
    by_evse = {rows[0].evse_id: rows for rows in units if rows and rows[0].evse.charger_id is None}  # ours say it alone
    best = _best_words([rows[0].evse for rows in by_evse.values()], now)
    news = [word for word in best if not word.is_shown]
    evses = StatusClaim.objects.filter(evse_id__in=[word.evse_id for word in news])
    if news:
        evses.update(is_shown=Q(pk__in=[word.pk for word in news]))
    rows, changes = [], []
    for word in best:
        report = StatusReport(0, None, 1, word.raw_status, word.status, word.status_at, word.heard_at)
        for connector in by_evse[word.evse_id]:
            if not word.is_shown:  # another clock from now on, and as old as this word is
                connector.status_at = connector.heard_at = None
            if hear(connector, report) and (change := decided(connector, connector.status_at or report.at)):
                changes.append(change)
            rows.append(connector)
    update_each(rows, DECIDED)
    for change in StatusChange.objects.bulk_create(changes):
        publish(fact_of(change))
    for word in best:
        show_removed(by_evse[word.evse_id][0].evse, is_removed=word.raw_status == "REMOVED", at=now)


def _best_words(evses: Sequence[EVSE], now: datetime) -> list[StatusClaim]:
    """One of each EVSE that anybody speaks of; one query."""
    owner = {evse.pk: evse.location.source_id for evse in evses}
    words: dict[int, list[StatusClaim]] = defaultdict(list)
    for word in StatusClaim.objects.filter(evse_id__in=owner).select_related("source"):
        words[word.evse_id].append(word)
    return [max(said, key=lambda word: _weight(word, owner[word.evse_id], now)) for said in words.values()]


def _weight(word: StatusClaim, owner_id: int, now: datetime) -> tuple[int, int, bool, datetime]:
    fresh = freshness_at(
        word.heard_at, is_online=None, last_push_at=word.source.last_push_at, now=now,
        is_failing=word.source.state == Source.State.FAILING,
    )  # fmt: skip
    is_word = word.status != Connector.Status.UNKNOWN
    return (FRESHEST.index(fresh) if is_word else -1), word.source.trust, word.source_id == owner_id, word.status_at


def revive(location: Location) -> None:
    """Its network speaks of a site that had vanished from its lists: it is there again."""
    vanished = Location.objects.filter(pk=location.pk, is_removed=True, removed_because=Location.Removal.VANISHED)
    if vanished.update(is_removed=False, removed_because="", updated_at=timezone.now()):
        refs = ExternalRef.objects.filter(kind=ExternalRef.Kind.LOCATION, object_id=location.pk)
        refs.filter(source=location.source_id).update(missed_syncs=0)
        publish(LocationChanged(location.pk))


def show_removed(evse: EVSE, *, is_removed: bool, at: datetime) -> None:
    """The source took an EVSE down (OCPI REMOVED), or put it up again; the row stays either way.

    Of a site that had vanished from the lists, a word of life puts the site up again too.
    """
    if not is_removed and evse.location.is_removed:
        revive(evse.location)
    if evse.is_removed != is_removed:
        EVSE.objects.filter(pk=evse.pk).update(is_removed=is_removed)
        Location.objects.filter(pk=evse.location_id).update(updated_at=at)
        publish(LocationChanged(evse.location_id))


@again_after_deadlock
@transaction.atomic
def report_evse_status(
    *, source_id: int, external_key: str, raw_status: str, status: str, at: datetime, received_at: datetime
) -> bool:
    """A CPO's push for one EVSE by the CPO's own key. Raises EVSE.DoesNotExist when we do not know it."""
    return report_from_source(
        evse_id=_locked_behind(source_id, external_key),
        raw_status=raw_status,
        status=status,
        at=at,
        received_at=received_at,
        source_id=source_id,
    )


def _locked_behind(source_id: int, external_key: str) -> int:
    """The EVSE (primary key) that the key leads to while we hold its plugs; until then it may be merged."""
    refs = ExternalRef.objects.filter(
        source_id=source_id, kind=ExternalRef.Kind.EVSE, external_key__lower=external_key.lower()
    )
    before = None
    for _ in range(MOST_LOOKS):
        evse_id = refs.values_list("object_id", flat=True).first()
        if evse_id is None:
            raise EVSE.DoesNotExist(external_key)
        if evse_id == before:
            return evse_id
        before = evse_id
        list(locked_with_site(evse_id=evse_id))
    raise OperationalError("This EVSE is merged faster than it can be locked.")


@transaction.atomic
def set_session(*, connector_id: int, has_session: bool, is_delivering: bool, at: datetime) -> None:
    """A charging session began, changed its flow, or ended at this connector (primary key)."""
    for connector in locked(pk=connector_id):
        connector.has_session, connector.is_delivering = has_session, is_delivering
        show(connector, at)


def set_hold(*, connector_id: int, is_held: bool, at: datetime) -> None:
    """A reservation of ours came into force or ended at this connector (primary key)."""
    set_holds(holds={connector_id: is_held}, at=at)


@transaction.atomic
def set_holds(*, holds: Mapping[int, bool], at: datetime) -> None:
    """The same of many connectors; as many statements as for one."""
    rows = list(locked(pk__in=list(holds)))
    for row in rows:
        row.is_held = holds[row.pk]
    changes = [change for row in rows if (change := decided(row, at)) is not None]
    update_each(rows, DECIDED)
    publish_together(fact_of(change) for change in StatusChange.objects.bulk_create(changes))


@transaction.atomic
def switch_connector(*, connector_id: int, is_switched_off: bool, at: datetime) -> None:
    """An operator takes a connector out of service, or puts it back."""
    for connector in locked(pk=connector_id):
        connector.is_switched_off = is_switched_off
        show(connector, at)
