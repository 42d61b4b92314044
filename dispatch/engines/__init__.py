"""How far, how long: by roads where a road engine is set up, else by the crow."""

from dispatch.engines.base import RoutingEngine
from dispatch.engines.chain import Asked
from dispatch.engines.crow import ASSUMED, CrowEngine, Law
from dispatch.engines.fitted import roads


def current(law: Law = ASSUMED) -> RoutingEngine:
    """The engines for one plan: its questions share one time limit, and `name` says behind them who answered.

    `law` is for the crow: how this fleet gets about at this hour (speeds/learning.py), or what is assumed.
    """
    return Asked(roads(), CrowEngine(law))
