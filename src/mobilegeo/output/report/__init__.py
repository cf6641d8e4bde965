"""The HTML report: one self-contained page that shows where the photos were taken and why."""

from __future__ import annotations

from mobilegeo.output.report.page import write_report
from mobilegeo.output.report.parts import MapImage, PhotoPanel

__all__ = ["MapImage", "PhotoPanel", "write_report"]
