"""Finance's desk: sessions with their verdict, the ledger, wallets, money with networks, the queue of decisions."""

from billing.admin import authorisation, exceptions, ledger, networks, sessions, wallets

__all__ = ["authorisation", "exceptions", "ledger", "networks", "sessions", "wallets"]
