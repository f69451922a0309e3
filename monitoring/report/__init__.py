"""The report of a run, or of several laid over each other: one HTML file that fetches nothing.

make_report(["checkpoints"], "checkpoints/report.html")
"""

from monitoring.report.overview import make_report

__all__ = ["make_report"]
