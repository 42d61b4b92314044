"""India's mandated trackers over TCP: packets (pure) and the server that takes them."""
