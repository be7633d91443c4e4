"""Typed header values and URIs: text to value and back.

One module a subject; this one only lists what they offer.   RFC 3261 sections 19.1, 20, 25.
"""

from trunkline._media import (
    MAX_CSEQ,
    HeaderList,
    is_token,
    parse_number,
    parse_parameters,
    parse_uri,
    split_outside,
    unquote,
)
from trunkline.sip.headers.address import NameAddr, Via
from trunkline.sip.headers.fields import AuthValue, CSeq, Reason
from trunkline.sip.headers.referral import (
    SIPFRAG,
    EventPackage,
    ReferTo,
    Replaces,
    SubscriptionState,
    read_sipfrag,
)
from trunkline.sip.headers.session import RAck, SessionExpires
from trunkline.sip.headers.text import (
    Parameters,
    check_field,
    plain_text,
    quote,
    render_parameters,
)
from trunkline.sip.headers.uri import OpaqueUri, SipUri, Uri, render_host

__all__ = [
    "MAX_CSEQ",
    "SIPFRAG",
    "AuthValue",
    "CSeq",
    "EventPackage",
    "HeaderList",
    "NameAddr",
    "OpaqueUri",
    "Parameters",
    "RAck",
    "Reason",
    "ReferTo",
    "Replaces",
    "SessionExpires",
    "SipUri",
    "SubscriptionState",
    "Uri",
    "Via",
    "check_field",
    "is_token",
    "parse_number",
    "parse_parameters",
    "parse_uri",
    "plain_text",
    "quote",
    "read_sipfrag",
    "render_host",
    "render_parameters",
    "split_outside",
    "unquote",
]
