from __future__ import annotations

import pytest
from benches.peers.bencode import Value, decode, encode
from hypothesis import given
from hypothesis import strategies as st

VALUES: st.SearchStrategy[Value] = st.recursive(
    st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner),
    max_leaves=10,
)


def test_writes_the_keys_in_order_and_the_length_of_strings_in_bytes() -> None:
    request: dict[str, Value] = {"sdp": "ü", "command": "offer", "flags": ["a", 7]}
    assert encode(request) == b"d7:command5:offer5:flagsl1:ai7ee3:sdp2:\xc3\xbce"


def test_reads_an_answer_of_rtpengine() -> None:
    assert decode(b"d6:result4:ponge") == {"result": "pong"}


@given(VALUES)
def test_reads_what_it_writes(value: Value) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize("data", [b"", b"5:abc", b"i7", b"l1:a", b"d1:ae", b"1:ab", b"x"])
def test_refuses_what_is_not_one_whole_value(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode(data)
