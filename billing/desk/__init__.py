"""What finance sees first and does most: figures of the home page, and what settles an exception."""
