"""The live map as it was: where the vehicles were and what the plugs said, for some hours at once. Reads only."""
