"""Java's properties format, as `java.util.Properties` documents it."""

from contextlib import nullcontext, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_local.properties import BadProperties, Property, decode, parse


def values(text: str) -> dict[str, str]:
    return {key: entry.value for key, entry in parse(text).entries.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", {"a": "b"}),
        ("a: b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("ws.port            =8080", {"ws.port": "8080"}),
        ("  \t\fa = b ", {"a": "b "}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("=b", {"": "b"}),
        ("a==b", {"a": "=b"}),
        ("a = = b", {"a": "= b"}),
        ("a=b\r\nc=d\re=f\n", {"a": "b", "c": "d", "e": "f"}),
        ("a=1\na=2", {"a": "2"}),
        ("# a=b\n ! c=d\n\n \t\n", {}),
        ("fruits  apple, \\\n        pear, \\\r\n\tplum", {"fruits": "apple, pear, plum"}),
        ("a=b\\\n#c=d", {"a": "b#c=d"}),
        ("# comment \\\na=b", {"a": "b"}),
        ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
        ("a=b\\", {"a": "b"}),
        ("a=b\\\n", {"a": "b"}),
        ("a\\ b\\:c\\=d=e", {"a b:c=d": "e"}),
        (r"a=\t\n\r\f\\\q\z", {"a": "\t\n\r\f\\qz"}),
        (r"a=\u00e4\u20AC\ud83d\ude00", {"a": "ä€😀"}),
        ("url=rtmp://h:1935/app/?user=u&pass=p#x!", {"url": "rtmp://h:1935/app/?user=u&pass=p#x!"}),
        ("a=b\x0bc\u2028d", {"a": "b\x0bc\u2028d"}),
    ],
)
def test_format(text: str, expected: dict[str, str]) -> None:
    assert values(text) == expected


def test_lines_are_counted_as_an_editor_does() -> None:
    found = parse("# one\r\na=b\\\r\n  c\r\n\r\nd=e")
    assert found.entries == {"a": Property(2, "a", "bc"), "d": Property(5, "d", "e")}


@pytest.mark.parametrize("text", [r"a=\u12", r"a=\uzzzz", r"\u=a", "a=\\u12\\\n34"])
def test_a_malformed_escape_names_its_line(text: str) -> None:
    if text.endswith("34"):
        assert values(text) == {"a": "\u1234"}, "lines are joined first"
        return
    with pytest.raises(BadProperties) as caught:
        parse(f"\n{text}")
    assert (caught.value.line, str(caught.value)) == (2, r"\u must be followed by four hexadecimal digits")


def test_what_is_commented_out() -> None:
    text = "#a=b\n# c = d\n!e:f\n##g =h\n# words without a sign\n# see http://x\ni=j\n# i=k\n#=l\n#"
    assert parse(text).commented_out == {"a", "c", "e", "g", "i"}


def test_encodings() -> None:
    assert decode("a=ä€".encode()) == decode("a=ä€".encode("utf-8-sig")) == "a=ä€"
    assert decode("a=ä".encode("latin-1")) == "a=ä"


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    """All that can be wrong with a file is an escape."""
    text = decode(data)
    with nullcontext() if "\\u" not in text else suppress(BadProperties):
        assert all(1 <= entry.line <= len(text) + 1 for entry in parse(text).entries.values())


def stored(text: str, *, key: bool) -> str:
    """As `java.util.Properties.store` writes it."""
    written = []
    for index, unit in enumerate(text):
        if unit in "\t\n\r\f":
            written.append("\\" + {"\t": "t", "\n": "n", "\r": "r", "\f": "f"}[unit])
        elif unit in "=:#!\\" or (unit == " " and (key or index == 0)):
            written.append("\\" + unit)
        elif 0x20 <= ord(unit) <= 0x7E:
            written.append(unit)
        else:
            data = unit.encode("utf-16-be", "surrogatepass")
            written += [f"\\u{data[i : i + 2].hex().upper()}" for i in range(0, len(data), 2)]
    return "".join(written)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.dictionaries(TEXT, TEXT, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["=", ":", " = ", "\t:\f"]),
)
def test_what_java_stores_is_read_back(properties: dict[str, str], end: str, separator: str) -> None:
    lines = [stored(key, key=True) + separator + stored(value, key=False) for key, value in properties.items()]
    assert values(end.join(["#comment", *lines, ""])) == properties


@given(TEXT, st.data())
def test_a_value_may_go_on_over_lines(value: str, data: st.DataObject) -> None:
    """Cut between any two characters that are no part of one escape, the indent not counting."""
    parts = [stored(part, key=True) for part in value]
    cuts = data.draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)))
    text = "".join(("\\\n \t" if cut else "") + part for part, cut in zip(parts, cuts, strict=True))
    assert values("key=" + text) == {"key": value}
