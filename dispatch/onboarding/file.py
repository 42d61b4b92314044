"""A CSV of vehicles: each line read on its own, so that every wrong one is named at once; all are taken or none."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from vehicles import services
from vehicles.models import Vehicle, VehicleModel

COLUMNS = ("registration", "model", "cost_centre", "depot_name")
NEEDED = COLUMNS[:2]
LONGEST = {"registration": 16, "model": 160, "cost_centre": 40, "depot_name": 120}
MOST_LINES, MOST_BYTES = 5_000, 1_000_000


class UnreadableFile(Exception):
    """Nothing can be made of the file as a whole."""


@dataclass(frozen=True)
class Line:
    number: int
    values: dict[str, str]

    @property
    def plate(self) -> str:
        return plate_of(self.values["registration"])


@dataclass(frozen=True)
class Problem:
    """`number` as an editor counts lines."""

    number: int
    text: str


@dataclass(frozen=True)
class Outcome:
    """`ignored`: columns of the file that mean nothing here."""

    added: int
    known: int
    problems: list[Problem]
    ignored: list[str]


def plate_of(text: str) -> str:
    return "".join(text.split()).upper()


def sample() -> str:
    """A file that can be uploaded as it is."""
    models = [str(model) for model in VehicleModel.objects.order_by("pk")[:2]] or ["Tata Ace EV"]
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(COLUMNS)
    for number, model in enumerate(models, start=1):
        table.writerow([f"KA 01 AB {number:04}", model, "Bengaluru", "Peenya"])
    return out.getvalue()


def read(content: bytes) -> tuple[list[Line], list[str]]:
    """The lines and what columns nobody asked for; raises UnreadableFile."""
    if len(content) > MOST_BYTES:
        raise UnreadableFile(_("The file is larger than 1 MB."))
    try:
        text = content.decode("utf-8-sig").replace("\0", "")
    except UnicodeDecodeError as error:
        raise UnreadableFile(_("The file is not UTF-8; save it as “CSV UTF-8”.")) from error
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), restkey="")
    try:
        reader.fieldnames = [name.strip().lower().replace(" ", "_") for name in reader.fieldnames or ()]
        _check_columns(reader.fieldnames)
        return list(_lines(reader)), [name for name in reader.fieldnames if name and name not in COLUMNS]
    except csv.Error as error:
        raise UnreadableFile(_("Line %(number)s cannot be read.") % {"number": reader.line_num}) from error


def _check_columns(names: list[str]) -> None:
    if missing := [name for name in NEEDED if name not in names]:
        told = {"columns": ", ".join(missing)}
        raise UnreadableFile(_("The first line must name the columns; missing: %(columns)s.") % told)


def _lines(reader: "csv.DictReader[str]") -> Iterator[Line]:
    count = 0
    for raw in reader:
        values = {name: str(raw.get(name) or "").strip() for name in COLUMNS}
        if any(values.values()):
            count += 1
            yield Line(reader.line_num, values)
        if count > MOST_LINES:
            raise UnreadableFile(_("At most 5,000 vehicles in one file."))


@transaction.atomic
def take(*, organisation: Organisation, content: bytes, actor: User | None, actor_label: str) -> Outcome:
    """Vehicles that the fleet has already, by their plate, stay as they are: the same file twice changes nothing."""
    lines, ignored = read(content)
    models = {str(model).casefold(): model for model in VehicleModel.objects.all()}
    problems = [problem for line in lines if (problem := _problem(line, models))] + _repeats(lines)
    if problems:
        return Outcome(0, 0, sorted(problems, key=lambda problem: problem.number), ignored)
    known = {plate_of(plate) for plate in _plates(organisation)}
    fresh = [line for line in lines if line.plate not in known]
    for line in fresh:
        _add(organisation, line, models)
    if fresh:
        audit(
            action="vehicles.import", target=organisation, organisation=organisation, actor=actor,
            actor_label=actor_label, after={"added": len(fresh)},
        )  # fmt: skip
    return Outcome(len(fresh), len(lines) - len(fresh), [], ignored)


def _plates(organisation: Organisation) -> list[str]:
    return list(Vehicle.objects.for_organisation(organisation).values_list("registration", flat=True))


def _problem(line: Line, models: dict[str, VehicleModel]) -> Problem | None:
    if not line.plate:
        return Problem(line.number, _("The registration is missing."))
    if too_long := [name for name, most in LONGEST.items() if len(line.values[name]) > most]:
        return Problem(line.number, _("Too long: %(columns)s.") % {"columns": ", ".join(too_long)})
    if line.values["model"].casefold() not in models:
        return Problem(line.number, _("No such model: “%(model)s”.") % {"model": line.values["model"][:60]})
    return None


def _repeats(lines: list[Line]) -> list[Problem]:
    first: dict[str, int] = {}
    return [
        Problem(line.number, _("Line %(number)s has this registration already.") % {"number": before})
        for line in lines
        if line.plate and (before := first.setdefault(line.plate, line.number)) != line.number
    ]


def _add(organisation: Organisation, line: Line, models: dict[str, VehicleModel]) -> None:
    model = models[line.values["model"].casefold()]
    told = {name: line.values[name] for name in ("registration", "cost_centre", "depot_name")}
    services.save(row=Vehicle(organisation=organisation, model=model, **told))
