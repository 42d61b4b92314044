"""Rules of dispatch as versions, tried on vehicles drawn at random, and what came of every plan."""
