"""SRTP by pylibsrtp. The only module that touches names of it which it does not document (test_contract.py)."""

from collections.abc import Callable
from typing import Any

import pylibsrtp
from pylibsrtp._binding import ffi, lib  # type: ignore[import-not-found]

Transform = Callable[[bytes], bytes]
"""A packet encrypted or decrypted. Raises pylibsrtp.Error; ValueError for one that is too long."""


def unprotect_of(session: Any) -> Transform:
    """`session.unprotect`, but without what it makes anew for each packet: a third less time."""
    context, plain, view, length = session._srtp[0], session._cdata, session._buffer, ffi.new("int *")
    unprotect, limit, valid = lib.srtp_unprotect, len(session._cdata), lib.srtp_err_status_ok

    def transform(data: bytes, _session: Any = session) -> bytes:  # its end would free the context
        size = length[0] = len(data)
        if size > limit:
            raise ValueError("the packet is too long")
        view[0:size] = data
        status = unprotect(context, plain, length)
        if status != valid:
            raise pylibsrtp.Error(f"libsrtp status {status}")
        packet: bytes = view[0 : length[0]]
        return packet

    return transform
