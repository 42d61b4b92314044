"""How fast a fleet gets about, hour by hour, learned from its own trips."""
