"""Transactions: `tables` are the rules, `machines` runs them, `layer` matches messages. RFC 3261 section 17."""

from trunkline.sip.transaction.layer import BRANCH_COOKIE, ServerKey, TransactionLayer, server_key
from trunkline.sip.transaction.machines import (
    CancelUser,
    ClientTransaction,
    ClientUser,
    Failure,
    ServerTransaction,
    ServerUser,
    failure_ack,
)
from trunkline.sip.transaction.tables import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Action,
    Input,
    Machine,
    State,
    Timing,
)

__all__ = [
    "BRANCH_COOKIE",
    "INVITE_CLIENT",
    "INVITE_SERVER",
    "NON_INVITE_CLIENT",
    "NON_INVITE_SERVER",
    "Action",
    "CancelUser",
    "ClientTransaction",
    "ClientUser",
    "Failure",
    "Input",
    "Machine",
    "ServerKey",
    "ServerTransaction",
    "ServerUser",
    "State",
    "Timing",
    "TransactionLayer",
    "failure_ack",
    "server_key",
]
