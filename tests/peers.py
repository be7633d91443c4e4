"""What a test needs and a machine may lack: real peers, network namespaces."""

from __future__ import annotations

import os

import pytest


def require(is_there: object, what_is_missing: str) -> None:
    """Skip the test unless the peer is there; where CI is set, fail: CI has every peer.

    what_is_missing: says how to get it.
    """
    if is_there:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI runs every test: {what_is_missing}", pytrace=False)
    pytest.skip(what_is_missing)
