"""The push: makes the online store equal to the newest rows in the warehouse, whatever happens."""

from feature_sync.push.pruning import left_behind, prune
from feature_sync.push.pusher import Pusher
from feature_sync.push.report import Progress, Pushed, PushKeywords, PushOptions, PushReport
from feature_sync.push.view_push import PushContext

__all__ = [
    "Progress",
    "PushContext",
    "PushKeywords",
    "PushOptions",
    "PushReport",
    "Pushed",
    "Pusher",
    "left_behind",
    "prune",
]
