"""Translations without the gettext programs: `python locale/catalogues.py` compiles every .po here to .mo.

`sentences()` finds what the pages and the scripts say, so that a test can ask whether everything is translated.
"""

import ast
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PYTHON = [
    "dispatch/texts.py",
    "dispatch/pages.py",
    "dispatch/wording.py",
    "dispatch/tables/forms.py",
    "dispatch/tables/kinds.py",
    "dispatch/saved/models.py",
    "dispatch/saved/views.py",
    "dispatch/tables/bulk.py",
    "dispatch/tables/deeds.py",
    "dispatch/tables/files.py",
    "dispatch/tables/views.py",
    "dispatch/wall/views.py",
    *(f"dispatch/reports/{name}.py" for name in ("forms", "views")),
    *(f"dispatch/onboarding/{name}.py" for name in ("file", "views")),
    "dispatch/monitoring/views.py",
    *(f"dispatch/policies/{name}.py" for name in ("forms", "views")),
    "dispatch/templatetags/report.py",
    *(f"fleetcharge/accounts/{name}.py" for name in ("privacy", "settings_page")),
    "dispatch/offers.py",
    "dispatch/connecting/texts.py",
    "dispatch/connecting/views.py",
    "dispatch/geofences/texts.py",
    "dispatch/geofences/views.py",
    "dispatch/models.py",
    "dispatch/driving/models.py",
    "dispatch/driving/texts.py",
    "dispatch/depot/conflicts.py",
    "dispatch/depot/views.py",
    "dispatch/policies/words.py",
    *(f"stations/models/{path.name}" for path in sorted((ROOT / "stations/models").glob("*.py"))),
    "billing/models/sessions.py",
    "billing/services/afterwards.py",
    "vehicles/trackers.py",
    "billing/models/payments.py",
    "billing/models/mandates.py",
    "billing/invoicing/models/documents.py",
    "billing/approvals/models.py",
    "billing/approvals/spend_limits.py",
    "billing/limits/models.py",
    "billing/notices/contents.py",
    "billing/dashboard.py",
    "billing/wallet_opening.py",
    "billing/reconciliation/page.py",
    "billing/payments/mending.py",
    "billing/payments/strangers.py",
    *(f"billing/admin/{name}.py" for name in ("exceptions", "ledger", "operators", "verdicts", "wallets")),
    *(f"billing/limits/{name}.py" for name in ("admin", "forms")),
    *(f"billing/desk/{path.name}" for path in sorted((ROOT / "billing/desk").glob("*.py"))),
    *(f"billing/approvals/{path.name}" for path in sorted((ROOT / "billing/approvals").glob("*.py"))),
    *(f"billing/pages/{path.name}" for path in sorted((ROOT / "billing/pages").glob("*.py"))),
    "ocpp_bridge/deeds.py",
    "ocpp_bridge/offers.py",
    "ocpp_bridge/pages.py",
    "ocpp_bridge/views.py",
]
FINANCE_HOME = ROOT / "templates/admin/index.html"
CALLS = {"_", "gettext", "gettext_lazy"}


def sentences() -> set[str]:
    """Every msgid of our templates (of the admin's only finance's home) and of the Python files whose words reach a
    page."""
    found = {text for name in PYTHON for text in _python_sentences(ROOT / name)}
    for path in (ROOT / "templates").rglob("*.html"):
        if not {"admin", "unfold"} & set(path.parts) or path == FINANCE_HOME:
            found |= set(_template_sentences(path))
    return found


def _python_sentences(path: Path) -> Iterator[str]:
    """What people read on our pages; help texts are for the admin's forms."""
    tree = ast.parse(path.read_text())
    helps = {id(part) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "help_text"
             for part in ast.walk(node)}  # fmt: skip
    for node in ast.walk(tree):
        if id(node) not in helps and isinstance(node, ast.Call) and getattr(node.func, "id", "") in CALLS and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def _template_sentences(path: Path) -> Iterator[str]:
    text = path.read_text()
    for double, single in re.findall(r"""{%\s*translate\s+(?:"([^"]*)"|'([^']*)')""", text):
        yield double or single
    for body in re.findall(r"{%\s*blocktranslate[^%]*%}(.*?){%\s*endblocktranslate\s*%}", text, re.DOTALL):
        yield from (_as_msgid(part) for part in re.split(r"{%\s*plural\s*%}", body))


def _as_msgid(body: str) -> str:
    """As Django looks a block up: `%` doubled, `{{ name }}` as `%(name)s`."""
    return re.sub(r"{{\s*(\w+)\s*}}", r"%(\1)s", body.replace("%", "%%"))


def read_po(path: Path) -> dict[str, list[str]]:
    """msgid -> its translations (one, or one per plural form); plural entries are keyed `singular\\0plural`."""
    entries: dict[str, list[str]] = {}
    for block in re.split(r"\n\s*\n", path.read_text()):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if match := re.match(r'(msgid|msgid_plural|msgstr|msgstr\[\d\])\s+(".*")$', line):
                name = match[1]
                fields[name] = ast.literal_eval(match[2])
            elif line.startswith('"') and name:
                fields[name] += ast.literal_eval(line)
        if "msgid" in fields:
            key = "\0".join(filter(None, [fields["msgid"], fields.get("msgid_plural", "")]))
            entries[key] = [value for field, value in fields.items() if field.startswith("msgstr")]
    return entries


def mo_bytes(entries: dict[str, list[str]]) -> bytes:
    """The GNU .mo format: magic, counts, two tables of (length, offset), then the strings, sorted by msgid."""
    pairs = sorted((key.encode(), "\0".join(values).encode()) for key, values in entries.items() if all(values))
    count, header = len(pairs), 28
    offset = header + count * 16
    tables: list[bytes] = []
    data = b""
    for column in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[column]), offset + len(data)))
            data += pair[column] + b"\0"
    return struct.pack("<7I", 0x950412DE, 0, count, header, header + count * 8, 0, 0) + b"".join(tables) + data


def main() -> None:
    for path in sorted(HERE.glob("*/LC_MESSAGES/*.po")):
        path.with_suffix(".mo").write_bytes(mo_bytes(read_po(path)))
        sys.stdout.write(f"{path.relative_to(ROOT)}: {len(read_po(path))} sentences\n")


if __name__ == "__main__":
    main()
