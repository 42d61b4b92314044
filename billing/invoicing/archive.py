"""Every file of a closed month below one folder; the documents' by as many processes as there are cores."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from billing.invoicing import files
from billing.invoicing.exports.documents import documents_of
from billing.invoicing.models import AccountingMonth, TaxDocument
from fleetcharge.lib.processes import run_together

CHUNK = 25
FEW = 2 * CHUNK
"""Not worth the second that a process takes to begin."""
Part = tuple[int, str, Sequence[int], Path]
RELATED = ("supplier", "original", "month", "e_invoice", "advance")


def write(month: AccountingMonth, folder: Path, *, processes: int | None = None) -> int:
    """Exports, and each document's PDF and annexures under our GSTIN; returns how many files.

    A file that is there already is written again, with the same bytes.
    """
    folder = folder / f"{month.starts_on:%Y-%m}"
    ids = list(documents_of(month).values_list("pk", flat=True))
    parts: list[Part] = [(month.pk, name, (), folder) for name in files.of_month(month)]  # the longest first
    parts += [(month.pk, "", ids[first : first + CHUNK], folder) for first in range(0, len(ids), CHUNK)]
    wanted = processes or os.cpu_count() or 1
    if wanted == 1 or len(ids) <= FEW:
        return sum(write_part(*part) for part in parts)
    written: list[int] = run_together(f"{__name__}:{write_part.__name__}", parts, processes=wanted)
    return sum(written)


def write_part(month_id: int, export: str, ids: Sequence[int], folder: Path) -> int:
    """An export of the month, or the files of some documents."""
    if not export:
        return write_documents(ids, folder)
    month = AccountingMonth.objects.get(pk=month_id)
    return _save(folder, files.of_month(month)[export]())


def write_documents(ids: Sequence[int], folder: Path) -> int:
    """Of these documents, in this process."""
    rows = TaxDocument.objects.filter(pk__in=ids).select_related(*RELATED).order_by("pk")
    return sum(_save(folder / row.supplier.gstin, file) for row in rows for file in _files_of(row))


def _files_of(row: TaxDocument) -> Iterable[files.File]:
    forms = ("pdf", "csv", "xlsx") if row.annexure_rows else ("pdf",)
    return (files.OF_A_DOCUMENT[form](row) for form in forms)


def _save(folder: Path, file: files.File) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / file.name).open("wb") as out:
        out.writelines(file.pieces)
    return 1
