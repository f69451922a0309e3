"""The report of a run, or a comparison of several: one self-contained HTML file.

make_report(["checkpoints"], "checkpoints/report.html")
"""

from monitoring.report.overview import make_report

__all__ = ["make_report"]
