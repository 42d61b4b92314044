"""Bills of networks: read by a mapping of columns, compared with records and meters, differences asked."""
