"""Monitoring of a run: logged metrics, progress, health checks, the report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "health": ["Doctor"],
        "log": ["RunLog", "read_metrics"],
        "options": ["HealthOptions", "HealthThresholds", "LoggingOptions"],
        "progress": ["ProgressLine"],
        "verdicts": ["Verdict"],
    },
)
