"""Green Button (ESPI, NAESB REQ.21): a utility's readings and bills as an Atom feed, read and written."""
