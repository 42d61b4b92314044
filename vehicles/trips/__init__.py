"""Trips, halts and charges of a vehicle-day, made again from its stored pings whenever one of them was new."""
