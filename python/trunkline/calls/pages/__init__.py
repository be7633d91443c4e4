"""Pages that speak SIP over WebSocket themselves, as JsSIP and SIP.js do: their registrations and their calls.

RFC 7118, RFC 5626.
"""

from trunkline.calls.pages.gate import PageGate
from trunkline.calls.pages.registrations import PageRegistrations, PageSettings, PageUser
from trunkline.calls.pages.switch import PageSwitch

__all__ = ["PageGate", "PageRegistrations", "PageSettings", "PageSwitch", "PageUser"]
