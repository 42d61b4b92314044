"""Links for screens on the wall: the live page to look at, for whoever has the address, without a sign-in."""
