"""Which codecs go together: no transcoding, else the widest sound, else the least CPU."""

import pytest

from trunkline.errors import TranscodingForbidden
from trunkline.media.types import Codec
from trunkline.sdp.codecs import CodecPolicy, CodecTerms, offer_codecs
from trunkline.sdp.pairing import rank

OPUS, PCMU, PCMA = Codec(111, "opus", 48_000, 2), Codec(0, "PCMU", 8_000), Codec(8, "PCMA", 8_000)
G722, G729, EVENTS = Codec(9, "G722", 8_000), Codec(18, "G729", 8_000), Codec(101, "telephone-event", 8_000)
ALL = ("opus", "PCMU", "PCMA", "G729")


@pytest.mark.parametrize(
    ("partners", "order"),
    [
        # Shared codecs first, in the other leg's order.
        ((PCMA, PCMU), ("PCMA", "PCMU", "G729", "opus")),
        ((G729, OPUS), ("G729", "opus", "PCMU", "PCMA")),
        # Nothing shared: wide sound beside wide sound, at the price of Opus; else what costs least.
        ((G722,), ("opus", "PCMU", "PCMA", "G729")),
        ((Codec(3, "GSM", 8_000),), ("PCMU", "PCMA", "opus", "G729")),
        # A telephone-event is nobody's codec, and no partner at all changes nothing.
        ((EVENTS,), ALL),
        ((), ALL),
    ],
)
def test_orders_codecs_by_what_the_other_leg_speaks(partners: tuple[Codec, ...], order: tuple[str, ...]) -> None:
    policy = CodecPolicy(ALL).towards(partners)
    assert sorted(policy.audio) == sorted(order)
    assert policy.audio[:2] == order[:2] if G722 not in partners else policy.audio[0] == order[0]


def test_equal_pairings_keep_the_order_of_the_settings() -> None:
    assert CodecPolicy(("PCMA", "PCMU")).towards((G729,)).audio == ("PCMA", "PCMU")
    assert CodecPolicy(("PCMU", "PCMA")).towards((G729,)).audio == ("PCMU", "PCMA")


def test_a_law_beside_a_law_is_cheaper_than_anything_else_but_the_same() -> None:
    assert rank(PCMA, (PCMA,)) < rank(PCMA, (PCMU,)) < rank(PCMA, (OPUS,)) < rank(PCMA, (G729,))
    assert rank(OPUS, (G722, PCMU)) == rank(OPUS, (G722,)) < rank(OPUS, (PCMU,))


def test_forbidden_transcoding_leaves_what_both_legs_speak() -> None:
    policy = CodecPolicy(ALL, may_transcode=False)
    assert policy.towards((PCMA, OPUS)).audio == ("PCMA", "opus")
    assert [codec.name for codec in offer_codecs(policy.towards((PCMA, EVENTS)))] == ["PCMA", "telephone-event"]
    assert policy.towards(()).audio == ALL, "nobody has said yet what the other leg speaks"
    with pytest.raises(TranscodingForbidden):
        policy.towards((G722,))


def test_terms_of_a_trunk_replace_the_codecs_and_only_ever_forbid() -> None:
    policy = CodecPolicy(ALL)
    assert policy.under(CodecTerms()) == policy
    assert policy.under(CodecTerms(("G729",), may_transcode=False)) == CodecPolicy(("G729",), may_transcode=False)
    assert not CodecPolicy(ALL, may_transcode=False).under(CodecTerms(may_transcode=True)).may_transcode
    with pytest.raises(ValueError, match="no such codec: G728"):
        CodecTerms(("PCMU", "G728"))


def test_a_codec_in_use_stays_first_in_a_new_offer() -> None:
    beside = CodecPolicy(ALL).towards((PCMU, PCMA))
    assert beside.staying_with(PCMA).audio[:2] == ("PCMA", "PCMU")
    assert beside.staying_with(G722).audio == beside.audio
