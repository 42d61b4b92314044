"""The docs are true: links lead somewhere, every event and every setting is described, the README stays short."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from django.conf import global_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([\w/.-]+/[\w.-]+\.(?:py|js|html|css|md|toml|txt))`")
APPS = ("fleetcharge.webhooks", "stations", "vehicles", "billing", "dispatch", "ocpp_bridge")


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


SETTING = re.compile(r"FLEETCHARGE_[A-Z][A-Z_]*[A-Z]|(?<![A-Z_])(?:DATABASE_URL|REDIS_URL)")
ROW = re.compile(r"^\| `((?:FLEETCHARGE_|DATABASE_URL|REDIS_URL)[A-Z_]*)` \|", re.MULTILINE)
CODE_PATHS = ["manage.py", "fleetcharge", *APPS[1:]]


def product_code() -> dict[Path, str]:
    """Source by path, without tests and migrations."""
    files = [
        path for name in CODE_PATHS for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py"))
    ]
    return {path: path.read_text() for path in files if not {"tests", "migrations"} & set(path.parts)}


def test_the_settings_of_the_code_and_of_the_operations_page_are_the_same() -> None:
    read = {
        name
        for text in product_code().values()
        for name in re.findall(r"\"([A-Z_]+)\"", text)
        if SETTING.fullmatch(name)
    }
    documented = ROW.findall((ROOT / "docs/operations.md").read_text())
    assert sorted(documented) == sorted(read)  # sorted lists: a name that stands there twice fails too


def test_no_page_names_a_setting_that_is_not_there() -> None:
    known = set(ROW.findall((ROOT / "docs/operations.md").read_text()))
    pages = [page for page in [*PAGES, ROOT / "Makefile"] if page.name != "CHANGELOG.md"]
    assert [
        (page.name, name) for page in pages for name in SETTING.findall(page.read_text()) if name not in known
    ] == []


def unused_settings(text: str, others: str) -> list[str]:
    """Names that settings.py takes from the environment and nobody uses, there or elsewhere."""
    lines = text.splitlines()
    own = [
        (number, match[1])
        for number, line in enumerate(lines)
        if (match := re.match(r"([A-Z][A-Z_]+) = .*\"FLEETCHARGE_", line))
    ]
    unused = []
    for number, name in own:
        elsewhere = "\n".join([*lines[:number], *lines[number + 1 :]])
        is_django = name in dir(global_settings)
        if not (is_django or re.search(rf"\bsettings\.{name}\b", others) or re.search(rf"\b{name}\b", elsewhere)):
            unused.append(name)
    return unused


def test_every_setting_does_something() -> None:
    code = product_code()
    settings_file = ROOT / "fleetcharge/settings.py"
    assert unused_settings(code.pop(settings_file), "\n".join(code.values())) == []


def test_a_setting_that_does_nothing_is_found() -> None:
    text = 'A_B = os.environ.get("FLEETCHARGE_A_B", "")\nDEBUG = _flag("FLEETCHARGE_DEBUG", False)\n'
    assert unused_settings(text, "settings.A_BC") == ["A_B"]
    assert unused_settings(text, "x = settings.A_B") == []


def test_the_readme_fits_on_one_and_a_half_pages() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_no_page_names_a_machine() -> None:
    assert [str(page) for page in PAGES if re.search(r"/(?:root|home|work)/", page.read_text())] == []
