"""The expense ledger: what charging cost each vehicle, driver, site and cost centre, and per km."""
