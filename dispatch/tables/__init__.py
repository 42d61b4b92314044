"""The tables of the dashboard: filter, sort, page and export, all of it in the address, none of it in a script."""
