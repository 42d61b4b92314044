"""One file per kind of sender that comes by HTTP; each decodes, asks intake, and answers as that sender expects."""
