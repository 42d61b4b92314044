"""Heavy work on all cores: a function of ours over parts of a list, in fresh processes with Django set up."""

import importlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def run_together(function: str, parts: Sequence[tuple[Any, ...]], *, processes: int) -> list[Any]:
    """`package.module:name` called with each of `parts`; the results in their order. Raises what one of them raised.

    Fresh processes, not forks: a copied database connection would be used by two. Named, not passed: a function of an
    app cannot even be imported before Django is set up. Call it outside any transaction: nobody sees what is not
    committed.
    """
    from django.db import connections

    database = str(connections["default"].settings_dict["NAME"])
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=fresh, initializer=_begin, initargs=(database,)) as pool:
        return list(pool.map(_call, [function] * len(parts), parts))


def _begin(database: str) -> None:
    """A worker reads the settings itself; under tests the database has another name than they say."""
    import django
    from django.db import connections

    django.setup()
    connections["default"].settings_dict["NAME"] = database


def _call(function: str, arguments: tuple[Any, ...]) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)
