"""Letters to a fleet's owners and finance: what happened to their money, once to each of them."""
