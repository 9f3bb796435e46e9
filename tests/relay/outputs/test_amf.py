import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_relay.outputs import amf

leaves = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=12,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(st.lists(values.filter(lambda v: depth(v) <= amf.MAX_DEPTH), max_size=4))
def test_what_is_written_can_be_read(written: list[amf.Value]) -> None:
    assert amf.decode(amf.encode(*written)) == written


@given(st.binary(max_size=200))
def test_any_bytes_give_values_or_the_documented_error(data: bytes) -> None:
    with contextlib.suppress(amf.AmfError):
        amf.decode(data)


@given(st.lists(values, min_size=1, max_size=3), st.data())
def test_a_cut_off_value_is_an_error(written: list[amf.Value], data: st.DataObject) -> None:
    whole = amf.encode(*written)
    last = len(amf.encode(written[-1]))
    cut = whole[: len(whole) - data.draw(st.integers(1, last - 1))] if last > 1 else whole[:-1] + b"\x02"
    with pytest.raises(amf.AmfError):
        amf.decode(cut)


def test_bytes_of_a_command() -> None:
    # the releaseStream of the RTMP specification's neighbours, as FMLE sends it
    expected = bytes.fromhex("02000d72656c6561736553747265616d 004000000000000000 05 02 0003 6b6579")
    assert amf.encode("releaseStream", 2, None, "key") == expected
    assert amf.encode({"a": True}) == bytes.fromhex("03 0001 61 0101 000009")
    assert amf.encode(amf.EcmaArray(a=1)) == bytes.fromhex("08 00000001 0001 61 003ff0000000000000 000009")


def test_other_types_of_the_specification() -> None:
    assert amf.decode(bytes.fromhex("06")) == [None]
    assert amf.decode(bytes.fromhex("0b 408f400000000000 0000")) == [1000.0]
    assert amf.decode(bytes.fromhex("0c 00000001 78")) == ["x"]
    assert amf.decode(amf.encode("y" * 70_000)) == ["y" * 70_000]


@pytest.mark.parametrize(
    "hostile",
    [
        bytes.fromhex("03000161") * 5000,
        bytes.fromhex("0a00000001") * 5000,
        bytes.fromhex("0affffffff05"),
        bytes.fromhex("0cffffffff61"),
        bytes.fromhex("070001"),
        bytes.fromhex("11"),
    ],
)
def test_bounds(hostile: bytes) -> None:
    with pytest.raises(amf.AmfError):
        amf.decode(hostile)


def test_names_of_properties_are_bounded() -> None:
    with pytest.raises(amf.AmfError):
        amf.encode({"n" * 70_000: 1})
