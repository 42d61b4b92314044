"""After a server that ran in a thread of this process: its connections, without which the database can be dropped."""

import gc

import psycopg

from fleetcharge.lib.threads import DatabaseThreads


def close_leftovers() -> None:
    """The threads' own connections, and those of loops that are gone."""
    gc.unfreeze()  # what was there before the first test is not to be seen otherwise
    for thing in gc.get_objects():
        kind = type(thing)  # isinstance would ask a weak proxy for what may be gone
        if issubclass(kind, DatabaseThreads):
            thing.close()
        elif issubclass(kind, psycopg.AsyncConnection):
            thing.pgconn.finish()
    gc.collect()
    gc.freeze()
