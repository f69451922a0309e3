"""Text of the page."""

import html

from errors import printable


def escape(text: str) -> str:
    """Text as it is shown in HTML, whatever letters names of files hold."""
    return html.escape(printable(text))
