"""The cast of the demo: who signs in with what, and what each of them sees."""

import json
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from django.db import transaction

from fleetcharge.accounts.models import Membership, Organisation, User
from fleetcharge.demo.manifest import USERS_FILE_NAME, write_private

NAMMA, DECCAN = "namma-logistics", "deccan-cabs"
ORGANISATIONS = {
    NAMMA: ("Namma Logistics", Organisation.DispatchMode.PROPOSE),
    DECCAN: ("Deccan Cabs", Organisation.DispatchMode.PROPOSE),
}
WORDS = (
    "amber", "banyan", "cotton", "delta", "ember", "falcon", "ginger", "harbour",
    "indigo", "jasmine", "kettle", "lagoon", "mango", "nectar", "orchid", "pepper",
    "quartz", "river", "saffron", "tamarind", "umber", "violet", "willow", "zephyr",
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    email: str
    full_name: str
    organisation: str
    role: str
    is_staff: bool
    what: str
    is_superuser: bool = False


PEOPLE = (
    Person("dispatcher@namma.example", "Asha Rao", NAMMA, "dispatcher", False, "live map: accept or dismiss re-routes"),
    Person("finance@namma.example", "Meera Iyer", NAMMA, "finance", True, "admin: sessions, ledger, exceptions"),
    Person("owner@namma.example", "Vikram Gowda", NAMMA, "owner", True, "everything of Namma Logistics"),
    Person("integrator@namma.example", "Tom Varghese", NAMMA, "integrator", False, "API and telemetry"),
    Person("stranger@deccan.example", "Farah Khan", DECCAN, "dispatcher", False, "another company: sees none of it"),
    Person(
        "operator@fleetcharge.example", "Nisha Menon", NAMMA, "owner", True,
        "the house: networks, webhook feeds, UBC, duplicates", is_superuser=True,
    ),
    Person(
        "controller@fleetcharge.example", "Arjun Nair", NAMMA, "owner", True,
        "the house's second pair of eyes: approves what the operator asks for", is_superuser=True,
    ),
)  # fmt: skip


def seed_people(var: Path) -> list[dict[str, str]]:
    """Create who is missing; passwords are drawn once and kept in `var`, readable by its owner only."""
    path = var / USERS_FILE_NAME
    known = _known_passwords(path)
    users = {user.email: user for user in User.objects.filter(email__in=[person.email for person in PEOPLE])}
    entries = []
    for person in PEOPLE:
        password = known.get(person.email) or _new_password()
        if person.email not in users or person.email not in known:
            _write(person, users.get(person.email), password)
        entries.append({"email": person.email, "password": password, "role": person.role, "what": person.what})
    if known.keys() != {person.email for person in PEOPLE} or not path.exists():
        write_private(path, entries)
    return entries


@transaction.atomic
def _write(person: Person, user: User | None, password: str) -> None:
    user = user or User(email=person.email)
    user.full_name, user.is_staff, user.is_active = person.full_name, person.is_staff, True
    organisation = Organisation.objects.get(slug=person.organisation)
    user.created_for, user.is_superuser = organisation, person.is_superuser
    user.set_password(password)
    user.save()
    Membership.objects.update_or_create(user=user, organisation=organisation, defaults={"role": person.role})


def _known_passwords(path: Path) -> dict[str, str]:
    try:
        return {entry["email"]: entry["password"] for entry in json.loads(path.read_text())}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _new_password() -> str:
    """Easy to type, hard to guess: 24 x 24 x 24 x 9000 possibilities behind a throttled login."""
    rng = SystemRandom()
    return "-".join([*(rng.choice(WORDS) for _ in range(3)), str(rng.randint(1000, 9999))])
