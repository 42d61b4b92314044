"""The docs are true: links lead somewhere, every event and every setting is described, the README stays short."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([\w/.-]+/[\w.-]+\.(?:py|js|html|css|md|toml|txt))`")
APPS = ("stations", "vehicles", "billing", "dispatch", "ocpp_bridge")


@pytest.mark.parametrize("document", PAGES, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_link_and_file_name_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    missing = [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    missing += [name for name in CODE.findall(text) if not name.startswith("var/") and not (ROOT / name).exists()]
    assert missing == []


def test_every_event_is_described() -> None:
    described = (ROOT / "docs/events.md").read_text()
    names = [
        name
        for app in APPS
        for name, value in inspect.getmembers(importlib.import_module(f"{app}.events"), inspect.isclass)
        if value.__module__ == f"{app}.events"
    ]
    assert [name for name in names if f"`{name}`" not in described] == []


def test_every_setting_is_in_the_operations_page() -> None:
    described = (ROOT / "docs/operations.md").read_text()
    sources = [ROOT / "fleetcharge/settings.py", *(ROOT / "fleetcharge/embedded").glob("*.py")]
    names = {
        name
        for path in sources
        for name in re.findall(r"\"((?:FLEETCHARGE_[A-Z_]+|DATABASE_URL|REDIS_URL))\"", path.read_text())
    }
    assert sorted(name for name in names if f"`{name}`" not in described) == []


def test_the_readme_fits_on_one_and_a_half_pages() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_no_page_names_a_machine() -> None:
    assert [str(page) for page in PAGES if re.search(r"/(?:root|home|work)/", page.read_text())] == []
