"""Calls: `usage` is what both directions share, `uac` and `uas` how each begins, `endings` what outlives them."""

from trunkline.sip.invite.uac import OutboundInvite
from trunkline.sip.invite.uas import InboundInvite
from trunkline.sip.invite.usage import InviteUsage

__all__ = ["InboundInvite", "InviteUsage", "OutboundInvite"]
