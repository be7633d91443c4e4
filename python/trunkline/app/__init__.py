"""The composition root: builds one node from its settings, starts it, and stops it in order."""

from trunkline.app.app import App
from trunkline.app.media_plane import MediaPlane
from trunkline.app.process import calm_collector

__all__ = ["App", "MediaPlane", "calm_collector"]
