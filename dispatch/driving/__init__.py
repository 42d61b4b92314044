"""The driver's page: what to do next, by a signed link without a login."""
