"""The other side of each kind of network, for tests, demonstrations and whoever connects one."""
