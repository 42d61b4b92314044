"""Finance's desk: sessions with their verdict, the ledger as it is, wallets, and the queue of decisions."""

from billing.admin import authorisation, exceptions, ledger, sessions, wallets

__all__ = ["authorisation", "exceptions", "ledger", "sessions", "wallets"]
