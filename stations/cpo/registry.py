"""Which adapter serves which kind of source. Higher apps register theirs in AppConfig.ready()."""

from typing import cast

from stations.cpo.base import (
    BooksSlots,
    Capability,
    CPOAdapter,
    CPOError,
    LimitsSessions,
    StartsSessions,
    StopsSessions,
    TakesPreferences,
    UnlocksPlugs,
)
from stations.models import EVSE, Source

_adapters: dict[str, CPOAdapter] = {}


def register(adapter: CPOAdapter) -> None:
    _adapters[adapter.kind] = adapter


def register_builtin() -> None:
    """The adapters that live in this app."""
    from stations.cpo.ocpi.adapter import OCPIAdapter
    from stations.cpo.ubc.adapter import UBCAdapter
    from stations.cpo.webhooks.adapter import FeedAdapter

    register(UBCAdapter())
    for kind in (Source.Kind.WEBHOOK, Source.Kind.REST_POLL):
        register(FeedAdapter(kind.value))
    for kind in (Source.Kind.OCPI, Source.Kind.OCPI_211, Source.Kind.OCPI_221, Source.Kind.OCPI_230):
        register(OCPIAdapter(kind.value))


def adapter_for(source: Source) -> CPOAdapter:
    """The adapter of a source; CPOError when nothing speaks its kind."""
    try:
        return _adapters[source.kind]
    except KeyError:
        raise CPOError("no_adapter", f"Nothing here speaks {source.get_kind_display()}.") from None


def can(source: Source, capability: Capability) -> bool:
    adapter = _adapters.get(source.kind)
    return adapter is not None and capability in adapter.capabilities


def stopper_for(source: Source) -> StopsSessions | None:
    """Who can end a session at this source; None when nobody can."""
    return cast(StopsSessions, adapter_for(source)) if can(source, Capability.START_STOP) else None


def starter_for(source: Source) -> StartsSessions | None:
    """Who can begin a session at this source; None when nobody can."""
    return cast(StartsSessions, adapter_for(source)) if can(source, Capability.START_STOP) else None


def booker_for(source: Source) -> BooksSlots | None:
    """Who books time slots at this source; None when it takes none."""
    if not can(source, Capability.BOOK):
        return None
    booker = cast(BooksSlots, adapter_for(source))
    return booker if booker.can_book(source) else None


def unlocker_for(evse: EVSE) -> UnlocksPlugs | None:
    """Who can free a cable at this unit; None when nobody can."""
    source = evse.location.source
    unlocker = cast(UnlocksPlugs, adapter_for(source)) if can(source, Capability.UNLOCK) else None
    return unlocker if unlocker is not None and unlocker.can_unlock(evse) else None


def limiter_for(evse: EVSE, source: Source | None = None) -> LimitsSessions | None:
    """Who can limit what a session at this unit draws; None when nobody can. `source`: who told us of the session."""
    source = source or evse.location.source
    limiter = cast(LimitsSessions, adapter_for(source)) if can(source, Capability.LIMIT) else None
    return limiter if limiter is not None and limiter.can_limit(evse, source) else None


def preferences_for(evse: EVSE, source: Source | None = None) -> TakesPreferences | None:
    """Who heeds what is wanted of a session at this unit; None when nobody does. `source`: who told us of it."""
    source = source or evse.location.source
    taker = cast(TakesPreferences, adapter_for(source)) if can(source, Capability.PREFER) else None
    return taker if taker is not None and taker.can_prefer(evse, source) else None
