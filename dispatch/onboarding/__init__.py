"""The way of an empty fleet in four steps: vehicles, trackers, networks, wallet."""
