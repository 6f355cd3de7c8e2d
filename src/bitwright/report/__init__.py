"""The report: everything that was measured of a model, on one page that needs nothing else. `docs/report.md` shows one."""

from bitwright.report.record import Report
from bitwright.report.render import render

__all__ = ["Report", "render"]
