"""The push: makes the online store equal to the newest rows in the warehouse, also after crashes."""

from feature_sync.push.context import PushContext
from feature_sync.push.pruning import prune, unreferenced_views
from feature_sync.push.pusher import Pusher
from feature_sync.push.report import Progress, Pushed, PushKeywords, PushOptions, PushReport

__all__ = [
    "Progress",
    "PushContext",
    "PushKeywords",
    "PushOptions",
    "PushReport",
    "Pushed",
    "Pusher",
    "prune",
    "unreferenced_views",
]
