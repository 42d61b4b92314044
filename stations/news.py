"""What networks pushed, told to everybody else while the network has its answer already."""

from fleetcharge.lib.announcing import Announcer

announcer = Announcer("pushed-news")
