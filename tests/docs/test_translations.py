"""Every sentence of our pages has its Hindi, and the compiled catalogue is what the .po says."""

import importlib.util
import re
from pathlib import Path
from typing import Any

LOCALE = Path(__file__).resolve().parents[2] / "locale"
HINDI = LOCALE / "hi" / "LC_MESSAGES" / "django.po"


def catalogues() -> Any:
    spec = importlib.util.spec_from_file_location("catalogues", LOCALE / "catalogues.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_sentence_is_translated() -> None:
    known = {part for key in catalogues().read_po(HINDI) for part in key.split("\0")}
    assert sorted(catalogues().sentences() - known) == []


def test_the_compiled_file_is_current() -> None:
    tool = catalogues()
    assert HINDI.with_suffix(".mo").read_bytes() == tool.mo_bytes(tool.read_po(HINDI)), "run locale/catalogues.py"


def test_translations_keep_every_name_to_fill_in() -> None:
    names = re.compile(r"%\(\w+\)s|\{\w+\}")
    broken = [
        key
        for key, texts in catalogues().read_po(HINDI).items()
        if key and any(set(names.findall(text)) != set(names.findall(key)) for text in texts)
    ]
    assert broken == []
