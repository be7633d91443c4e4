"""Session descriptions: text, value, and the rules of offer and answer. No I/O, no clock, no randomness.

parser.parse -> model.SessionDescription -> str()
offer_answer: the SIP side, plain RTP        webrtc: the browser side        codecs: payload tables
"""

from trunkline.sdp.codecs import CodecPolicy
from trunkline.sdp.model import SessionDescription, SessionIdentity
from trunkline.sdp.offer_answer import Negotiated
from trunkline.sdp.parser import parse

__all__ = ["CodecPolicy", "Negotiated", "SessionDescription", "SessionIdentity", "parse"]
