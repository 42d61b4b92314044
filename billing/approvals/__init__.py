"""Four eyes: one person asks with a reason, another decides, and only then something happens."""
