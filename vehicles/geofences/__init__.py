"""Areas that a fleet has drawn, and which vehicle came into one or left it when."""
