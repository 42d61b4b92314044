"""The servers run with the same flags everywhere: `make run`, the README and the operations page use one launcher."""

import re
import shlex
from pathlib import Path

import pytest

from fleetcharge import serve
from fleetcharge.embedded.run import Address, process_specs

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "docs/operations.md"]
LAUNCH = re.compile(r"python -m fleetcharge\.serve ((?:realtime|web)[^`#\n]*)")


def launched(words: list[str], env: dict[str, str] | None = None) -> list[str]:
    return serve.command(serve.arguments(words), env or {})


def flags(command: list[str]) -> list[str]:
    """Without what may differ from place to place: where, and how many."""
    text = " ".join(command)
    return re.sub(r" --(?:host|port|workers) \S+", "", text).split()


@pytest.mark.parametrize("server", ["realtime", "web"])
def test_make_run_and_the_documents_start_the_same_command(server: str, tmp_path: Path) -> None:
    specs = {spec.name: spec for spec in process_specs(Address("127.0.0.1", 8000, 8001), tmp_path, {})}
    argv = list(specs[server].argv)
    assert argv[1:3] == ["-m", "fleetcharge.serve"]
    running = flags(launched(argv[3:]))
    for document in DOCUMENTS:
        lines = [line for line in LAUNCH.findall(document.read_text()) if line.startswith(server)]
        assert lines, f"{document.name} does not say how to start {server}"
        for line in lines:
            assert flags(launched(shlex.split(line))) == running


def test_no_document_starts_a_server_past_the_launcher() -> None:
    past = re.compile(r"(?:uvicorn|granian|daphne)\b[^\n|]*fleetcharge\.[aw]sgi")
    assert [
        page.name for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if past.search(page.read_text())
    ] == []


@pytest.mark.parametrize("env", [{}, {"FLEETCHARGE_ASGI_SERVER": "daphne"}], ids=["uvicorn", "daphne"])
def test_addresses_with_credentials_reach_no_access_log(env: dict[str, str]) -> None:
    command = launched(["realtime"], env)
    assert "--no-access-log" in command or command[command.index("--access-log") + 1] == "/dev/null"
    assert "--access-log" not in launched(["web"])  # granian writes one only when asked


def test_sockets_are_pinged_as_the_setting_says() -> None:
    command = launched(["realtime"], {"FLEETCHARGE_OCPP_PING_SECONDS": "7"})
    assert command[command.index("--ws-ping-interval") + 1] == command[command.index("--ws-ping-timeout") + 1] == "7"
