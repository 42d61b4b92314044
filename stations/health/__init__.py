"""How well chargers work, from what they did: a score with its reasons, and tickets for those that need somebody."""
