"""Every operation of the OpenAPI file against a live server: no server error, no answer that the file leaves out.

`make fuzz` tries longer; FUZZ_EXAMPLES and FUZZ_SEED choose how long, and what.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Organisation, Scope
from stations.stream import routes
from stations.tests.serving import serve
from tests.belongings import belongings_of
from tests.contract.fuzz import fuzz
from tests.contract.leftovers import close_leftovers

OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


@pytest.mark.django_db(transaction=True)
def test_every_answer_is_described_and_none_is_a_server_error(
    organisation: Organisation, settings: Any, monkeypatch: pytest.MonkeyPatch, nothing_stays_open: None
) -> None:
    from fleetcharge.asgi import application

    settings.API_RATE = ""
    monkeypatch.setattr(routes.Stream, "_next", _nothing_more)
    fleet = belongings_of(organisation)
    _, secret = accounts.create_api_key(organisation=organisation, name="fuzz", scopes=list(Scope.values))
    document = yaml.safe_load(OPENAPI.read_text())

    def known(path: str) -> dict[str, Any]:
        """Ids of rows that this fleet has."""
        parts = re.findall(r"{(\w+)}", path)
        filled = fleet.fill(re.sub(r"{(\w+)}", r"<\1>", path))
        values = re.fullmatch(re.sub(r"{\w+}", "([^/]+)", path), filled)
        return dict(zip(parts, values.groups() if values else (), strict=True))

    with serve(application) as base:
        report = fuzz(
            document=document, base_url=base, headers={"Authorization": f"Bearer {secret}"}, known=known,
            examples=EXAMPLES, seeded=SEED,
        )  # fmt: skip
    if where := os.environ.get("FUZZ_REPORT"):
        Path(where).write_text("\n\n".join([f"{report.calls} calls", str(report.statuses), *report.findings]))
    written = {f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each}
    assert set(report.statuses) == written
    assert "\n\n".join(report.findings) == ""
    lonely = [name for name, statuses in report.statuses.items() if not any(code < 500 for code in statuses)]
    assert lonely == []
    succeeded = [name for name, statuses in report.statuses.items() if any(code < 300 for code in statuses)]
    assert len(succeeded) > report.operations / 2, f"too few of the calls reached a row: {sorted(succeeded)}"


@pytest.fixture
def nothing_stays_open() -> Iterator[None]:
    yield
    close_leftovers()


async def _nothing_more(*_: Any) -> None:
    """A stream that ends after its first message."""
