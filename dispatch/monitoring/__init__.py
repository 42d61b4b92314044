"""How the networks and chargers do on which a fleet depends, and what is to be done about them."""
