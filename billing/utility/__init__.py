"""What electricity costs at a depot: bills and meters of the utility, and who of the fleet used it."""
