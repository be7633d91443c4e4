"""Browsers that speak by our own WebSocket, as the Web SDK does: one connection each, and all of them together."""

from trunkline.calls.sessions.session import BelievedDomains, CallOrder, SessionRequest, WebSession
from trunkline.calls.sessions.sessions import Sessions

__all__ = ["BelievedDomains", "CallOrder", "SessionRequest", "Sessions", "WebSession"]
