"""Which adapter serves which kind of source. Higher apps register theirs in AppConfig.ready()."""

from stations.cpo.base import Capability, CPOAdapter, CPOError
from stations.models import Source

_adapters: dict[str, CPOAdapter] = {}


def register(adapter: CPOAdapter) -> None:
    _adapters[adapter.kind] = adapter


def register_builtin() -> None:
    """The adapters that live in this app."""
    from stations.cpo.ocpi.adapter import OCPIAdapter

    register(OCPIAdapter())


def adapter_for(source: Source) -> CPOAdapter:
    """The adapter of a source; CPOError when nothing speaks its kind."""
    try:
        return _adapters[source.kind]
    except KeyError:
        raise CPOError("no_adapter", f"Nothing here speaks {source.get_kind_display()}.") from None


def can(source: Source, capability: Capability) -> bool:
    adapter = _adapters.get(source.kind)
    return adapter is not None and capability in adapter.capabilities
