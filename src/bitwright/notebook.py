"""What a notebook shows of a record: a small table. Names in it may come from anyone, and are text, never markup."""

from collections.abc import Iterable
from html import escape


def html_table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """The HTML of a title and of pairs of names and values; a value that is None is left out."""
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in rows
        if value is not None
    )
    return f"<table><caption><b>{escape(title)}</b></caption><tbody>{cells}</tbody></table>"
