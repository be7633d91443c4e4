"""Trunkline: a WebRTC <-> SIP gateway and media relay."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("trunkline")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
