"""Typed identifiers. Nothing here generates or stores one."""

from typing import NewType

CallId = NewType("CallId", str)
"""One B2BUA session; chosen by the client that starts the call, else by us. Never a SIP Call-ID (`sip_call_id`)."""

LegId = NewType("LegId", str)
"""One side of a call."""

SessionId = NewType("SessionId", str)
"""One browser connection (WebSocket), alive across calls."""

EndpointId = NewType("EndpointId", int)
"""One endpoint of the media plane: 64-bit, chosen by `media.engine`, never reused within a process."""

RequestId = NewType("RequestId", int)
"""Ties a media command to its answer."""

MediaCallId = NewType("MediaCallId", int)
"""The media plane's name of a call: decides the worker, so that both endpoints of a call share one."""
