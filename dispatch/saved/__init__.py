"""Views that a person keeps: a table's filter and order, or a part of the map, under a name of their own."""
