"""Which road engines this process has, by the settings: the map of this machine, servers with an address."""

import functools
import logging
import os
from pathlib import Path

from django.conf import settings

from dispatch.engines import pointer
from dispatch.engines.chain import Guarded
from dispatch.engines.osrm import OsrmEngine
from dispatch.engines.valhalla import ValhallaEngine

logger = logging.getLogger(__name__)

MISSING = "The road engine is not installed: `make roads`, or pip install -r requirements-roads.txt"
"""Where there is no wheel of it (requirements-roads.txt says), a routing server does as much."""


def roads() -> list[Guarded]:
    """Those that are set up, in the order of FLEETCHARGE_ROAD_ENGINES. A map that was loaded just now is one."""
    return [road for name in settings.ROAD_ENGINES if (road := _fitted(name)) is not None]


def _fitted(name: str) -> Guarded | None:
    if name == "cch":
        return _with_map(settings.ROADS_DIR)
    if name == "valhalla":
        return _valhalla(settings.VALHALLA_URL) if settings.VALHALLA_URL else None
    return _osrm(settings.OSRM_URL) if settings.OSRM_URL else None


def _with_map(folder: Path) -> Guarded | None:
    name = pointer.in_use(folder)
    return _cch(folder / name) if name else None


@functools.lru_cache(maxsize=1)
def _cch(place: Path) -> Guarded | None:
    """Loaded once for each map. None, and a line in the log, when it cannot be used."""
    try:
        from dispatch.engines import cch, maps, osm
    except ImportError:
        logger.warning("%s; until then plans do without the map in %s", MISSING, place)
        return None
    try:
        return Guarded(cch.CchEngine(maps.load(place)))
    except osm.NoRoads as error:
        logger.warning("%s", error)
        return None


@functools.lru_cache(maxsize=1)
def _valhalla(url: str) -> Guarded:
    return Guarded(ValhallaEngine(url))


@functools.lru_cache(maxsize=1)
def _osrm(url: str) -> Guarded:
    return Guarded(OsrmEngine(url))


def _forget_servers() -> None:
    """The threads that ask them stay behind in the process that forks."""
    _valhalla.cache_clear()
    _osrm.cache_clear()


os.register_at_fork(after_in_child=_forget_servers)
