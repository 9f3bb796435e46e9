"""Bits of headers, as the video standards read them. Pure."""


class InvalidSyntax(ValueError):
    """A header that does not follow its standard."""


class Bits:
    """Most significant bit first; all reads raise InvalidSyntax at the end of the data."""

    __slots__ = ("_left", "_size", "_value")

    def __init__(self, data: bytes) -> None:
        """`data`: without what only protects it in a stream of bytes."""
        self._value = int.from_bytes(data, "big")
        self._left = self._size = 8 * len(data)

    @property
    def position(self) -> int:
        """Bits read so far."""
        return self._size - self._left

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise InvalidSyntax("the header is too short")
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return bool(self.read(1))

    def unsigned(self) -> int:
        """ue(v) (H.264, 9.1), uvlc() of AV1."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 31:
                raise InvalidSyntax("an Exp-Golomb code is too long")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """se(v) (H.264, 9.1.1)."""
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def rbsp(nal: bytes, header: int = 1) -> Bits:
    """What follows the `header` bytes of a NAL unit, without emulation prevention (H.264, 7.4.1; H.265, 7.4.2)."""
    return Bits(nal[header:].replace(b"\0\0\3", b"\0\0"))
