#!/usr/bin/env python
"""Django's command line; engines that are not set by URL are found running, or started for as long as needed."""

import os
import sys

from fleetcharge.embedded import VARIABLES, provide_engines
from fleetcharge.embedded.errors import EngineError

# These read code and templates only; the image of a server is built where there is no database.
WITHOUT_ENGINES = {"collectstatic", "compilemessages", "help", "makemessages", "version"}
NOWHERE = {"DATABASE_URL": "postgresql://127.0.0.1:1/not-started", "REDIS_URL": "redis://127.0.0.1:1/0"}


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
    command = sys.argv[1].lstrip("-") if len(sys.argv) > 1 else "help"
    if command in WITHOUT_ENGINES:
        for variable in VARIABLES.values():
            os.environ.setdefault(variable, NOWHERE[variable])
    else:
        if not os.environ.get("DATABASE_URL"):  # settings see only the URL that is put there next
            os.environ.setdefault("FLEETCHARGE_DEMO", "1")
        try:
            provide_engines()
        except EngineError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
