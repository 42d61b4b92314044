"""How far, how long. One engine is chosen here; a road engine joins by being first and falling back to crow."""

from dispatch.engines.base import RoutingEngine
from dispatch.engines.crow import CrowEngine

_engine: RoutingEngine = CrowEngine()


def current() -> RoutingEngine:
    """The engine of this process."""
    return _engine
