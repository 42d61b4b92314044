"""Street tiles of our own: cut from an OpenStreetMap extract, kept as one PMTiles archive, served by us."""
