"""The versions of OCPI we speak, the newest first."""

from stations.cpo.ocpi.dialects.base import Dialect, Owner
from stations.cpo.ocpi.dialects.v211 import V211
from stations.cpo.ocpi.dialects.v221 import V221
from stations.cpo.ocpi.dialects.v230 import V230

DIALECTS: dict[str, Dialect] = {dialect.version: dialect for dialect in (V230, V221, V211)}

__all__ = ["DIALECTS", "Dialect", "Owner", "dialect_of"]


def dialect_of(version: str) -> Dialect:
    """2.2.1 for a peer that has not told its version yet."""
    return DIALECTS.get(version, V221)
