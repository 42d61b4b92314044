"""How far, how long: by roads where a road engine is set up, else by the crow."""

from dispatch.engines.base import RoutingEngine
from dispatch.engines.chain import Asked
from dispatch.engines.crow import CrowEngine
from dispatch.engines.fitted import roads


def current() -> RoutingEngine:
    """The engines for one plan: its questions share one time limit, and `name` says behind them who answered."""
    return Asked(roads(), CrowEngine())
