"""What one worker of `make test` takes at a time: a file, unless several need the same expensive set-up."""

import re

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

RUNNING_SYSTEM = re.compile(r"tests/flows/ocpp/(?!test_survives_kill)")  # which kills one of its own
KIND_OF_NETWORK = re.compile(r"tests/contract/adapters/.*\[([^\]]+)\]$")


def unit_of(nodeid: str) -> str:
    """Tests of one unit run one after the other in one process, which sets up once what they share."""
    if RUNNING_SYSTEM.match(nodeid):
        return "tests/flows/ocpp"
    if found := KIND_OF_NETWORK.match(nodeid):
        return f"tests/contract/adapters[{found[1]}]"
    return nodeid.split("::", 1)[0]


class UnitScheduling(LoadFileScheduling):  # type: ignore[misc]
    """As `--dist loadfile`, with units instead of files."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
