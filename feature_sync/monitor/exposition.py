"""Writes samples as text that OpenMetrics and Prometheus's older format both read: every metric is a gauge.

By hand: importing prometheus-client takes 40 ms, more than 1% of a short push. Its parsers read the text in tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from feature_sync.monitor.metrics import METRICS, Sample

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def exposition(samples: Iterable[Sample], *, project: str) -> str:
    """Write samples, those of one metric together, in the order of `METRICS`.

    A counter would be spelled differently in the two formats. What one command did is a gauge anyway.

    Args:
        samples: The samples; each has the labels of its metric, and a finite value.
        project: The key prefix of the project, which labels every sample.
    """
    lines = defaultdict[str, list[str]](list)
    for name, labels, value in samples:
        named = {"project": project, **{label: labels[label] for label in METRICS[name].labels}}
        text = ",".join(f'{label}="{each.translate(_ESCAPES)}"' for label, each in named.items())
        lines[name].append(f"{name}{{{text}}} {value!r}")
    page = []
    for metric in METRICS.values():
        if metric.name in lines:
            unit = [f"# UNIT {metric.name} {metric.unit}"] if metric.unit else []
            page += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} gauge", *unit, *lines[metric.name]]
    return "\n".join([*page, "# EOF", ""])
