"""Log lines without the addresses that let somebody in."""

import logging
import re

SECRET_PATHS = re.compile(r"(/(?:go|eta|invitations|tv)/)(?!at/|worker\.js)[^/\s?\"'<>]+")
"""A driver's page, an arrival, an invitation, a screen: whoever has the address is in. `/go/at/` is a plug's code."""


class DiscreetFormatter(logging.Formatter):
    """As its parent; of a page that is opened by its address, only which kind it was."""

    def format(self, record: logging.LogRecord) -> str:
        return SECRET_PATHS.sub(r"\1***", super().format(record))
