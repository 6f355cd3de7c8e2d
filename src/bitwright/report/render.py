"""`render`: a report as one HTML file that asks for nothing: styles, scripts, numbers and pictures are in it.

Names come from artifacts, folders and audits, and anyone may have chosen them. They are escaped twice over: jinja2 escapes
text and attributes, numbers for the charts are JSON without a `<`, and the page's own policy runs no script but the two whose
digests it lists.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from bitwright.report.charts import charts_of, layer_rows
from bitwright.report.record import Report

NONE, MINUS = "\u2013", "\u2212"  # a dash and a minus sign, as they are typeset
SCRIPTS = ("vendor/plot.min.js", "page/report.js")


def render(report: Report) -> str:
    """The whole page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # of the extra `report`

    environment = Environment(
        loader=PackageLoader("bitwright.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    scripts = [_resource(name) for name in SCRIPTS]
    return environment.get_template("report.html").render(
        r=report,
        layers=layer_rows(report),
        data=plain_json(charts_of(report)),
        style=_resource("page/report.css"),
        scripts=scripts,
        policy=policy(scripts),
    )


def policy(scripts: list[str]) -> str:
    """The Content-Security-Policy that lets these scripts run, and nothing be loaded."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    others = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {others}"


def plain_json(data: Any) -> str:
    """JSON that can stand in a script element: no `<`, so that nothing in it ends the element."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _resource(name: str) -> str:
    return files("bitwright.report").joinpath(name).read_text("utf-8")


def _number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return NONE
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", MINUS)  # 0.0: there is no minus nought


def _signed(value: float, digits: int = 2) -> str:
    return ("+" if round(value, digits) > 0 else "") + _number(value, digits)


def _chance(value: float | None) -> str:
    """A p value, to two digits."""
    return NONE if value is None else f"{value:.2g}".replace("-", MINUS)


def _bytes(value: int | None) -> str:
    """1.23 MB, of a million bytes each."""
    if value is None:
        return NONE
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 999.5 * size else f"{value / size:,.0f} {unit}"
    return f"{value} bytes"


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested tables as pairs of dotted names and values."""
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flat(item, f"{name}.{key}" if name else str(key))]
    return [(name, value if isinstance(value, str) else json.dumps(value))]


FILTERS: dict[str, Callable[..., Any]] = {
    "number": _number,
    "signed": _signed,
    "chance": _chance,
    "bytes": _bytes,
    "flat": _flat,
}
