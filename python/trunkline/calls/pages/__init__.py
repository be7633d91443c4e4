"""Pages that speak SIP over WebSocket themselves, as JsSIP and SIP.js do: registrations, calls and texts.

RFC 7118, RFC 5626.
"""

from trunkline.calls.pages.gate import PageGate
from trunkline.calls.pages.parties import Parties
from trunkline.calls.pages.registrations import PageRegistrations, PageSettings, PageUser
from trunkline.calls.pages.switch import PageSwitch
from trunkline.calls.pages.texts import PageTexts

__all__ = ["PageGate", "PageRegistrations", "PageSettings", "PageSwitch", "PageTexts", "PageUser", "Parties"]
