"""Clean rows become sites with connectors, once, however often the file is loaded."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from stations import services
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.imports.cleaning import CleanRow, Rejected, clean
from stations.imports.readers import RawRow
from stations.models import Source


@dataclass
class Report:
    """What became of every row; `lines` has one entry per row that was corrected or refused."""

    rows: int = 0
    stations: int = 0
    written: int = 0
    connectors: int = 0
    rejected: int = 0
    corrected: int = 0
    lines: list[dict[str, object]] = field(default_factory=list)


def clean_rows(rows: Iterable[RawRow], report: Report, *, trust_position: bool = False) -> Iterator[CleanRow]:
    for row in rows:
        report.rows += 1
        try:
            cleaned = clean(row, trust_position=trust_position)
        except Rejected as refused:
            report.rejected += 1
            report.lines.append({"line": row.line, "what": "rejected", "code": refused.code, "why": str(refused)})
            continue
        if cleaned.corrections:
            report.corrected += 1
            why = "; ".join(cleaned.corrections)
            report.lines.append({"line": row.line, "what": "corrected", "code": "corrected", "why": why})
        yield cleaned


def load(
    *, source: Source, rows: Iterable[CleanRow], at: datetime, report: Report, progress: Callable[[int, int], None]
) -> None:
    """Write sites (rows with one external id belong together). Repeating it changes nothing."""
    sites: dict[str, list[CleanRow]] = defaultdict(list)
    for row in rows:
        sites[row.external_id].append(row)
    for number, (external_id, parts) in enumerate(sites.items(), start=1):
        _load_tariffs(source, parts, at)
        _, is_written = services.upsert_location(source=source, doc=document(external_id, parts), at=at)
        report.stations += 1
        report.written += is_written
        report.connectors += sum(part.quantity for part in parts)
        progress(number, len(sites))


def document(external_id: str, parts: list[CleanRow]) -> LocationDoc:
    """One site; each connector is its own EVSE, since such files do not know which ones share a cabinet."""
    first = parts[0]
    evses = [
        EvseDoc(uid=f"{index}.{unit}", connectors=(_connector(part),))
        for index, part in enumerate(parts, start=1)
        for unit in range(1, part.quantity + 1)
    ]
    return LocationDoc(
        external_key=external_id, name=first.name, latitude=first.latitude, longitude=first.longitude,
        evses=tuple(evses), address=first.address, city=first.city, state=first.state, postal_code=first.postal_code,
    )  # fmt: skip


def _connector(part: CleanRow) -> ConnectorDoc:
    is_ac = part.plug.startswith(("type2", "bharat_ac", "is1293"))
    price = part.price_paise_per_kwh
    return ConnectorDoc(
        external_id="1", plug=part.plug, raw_plug=part.raw_plug, max_power_w=part.max_power_w,
        format="SOCKET" if part.plug in {"type2_socket", "is1293_15a", "is1293_5a"} else "CABLE",
        power_type=("AC_3_PHASE" if part.max_power_w > 7_400 else "AC_1_PHASE") if is_ac else "DC",
        tariff_ids=(_tariff_id(price),) if price else (),
    )  # fmt: skip


def _load_tariffs(source: Source, parts: list[CleanRow], at: datetime) -> None:
    for price in {part.price_paise_per_kwh for part in parts if part.price_paise_per_kwh}:
        component = {"type": "ENERGY", "price": f"{price / 100:.2f}", "step_size": 1}
        services.cache_tariff(
            source=source, external_id=_tariff_id(price), elements=[{"price_components": [component]}], currency="INR",
            at=at, name=f"₹{price / 100:.2f} per kWh, as imported",
        )  # fmt: skip


def _tariff_id(price_paise: int | None) -> str:
    return f"import-{price_paise}"
