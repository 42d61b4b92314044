"""A process with sockets may have as many as the system allows it."""

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BEGINS_WITH_FEW = """
import resource
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
import fleetcharge.asgi
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_the_realtime_process_opens_as_many_sockets_as_it_may() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGINS_WITH_FEW], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout.split()[-1]) == resource.getrlimit(resource.RLIMIT_NOFILE)[1] != 256
