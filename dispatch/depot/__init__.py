"""The night of a depot: who charges when and where, under the limit of its site, ready by departure."""
