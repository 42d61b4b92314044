"""Smart charging: who may draw how much at a site, said to the chargers as profiles, and checked."""
