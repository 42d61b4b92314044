"""Reports of a fleet between two days: what was charged and what it emitted, and how its own chargers were used."""
