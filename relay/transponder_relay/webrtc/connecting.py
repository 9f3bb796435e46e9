"""From an answered offer to DTLS, or to the reason why not."""

import asyncio
import logging

from transponder_relay.webrtc.sdp import OfferedTransport
from transponder_relay.webrtc.transport import DtlsError, MediaTransport

logger = logging.getLogger(__name__)

ICE_TIMEOUT = "Failed by ICE timeout"
DTLS_ERROR = "Failed by DTLS error"
ICE_KEEP_ALIVE = "Failed by ICE keep alive"
STOPPED_BY_USER = "Stopped by user"
"""WCS `info` strings: pages compare against them."""


async def connect(transport: MediaTransport, offered: OfferedTransport, timeout: float) -> str | None:
    """Connect within `timeout` seconds; None, or a WCS `info` string that says why it failed."""
    try:
        async with asyncio.timeout(timeout):
            await transport.connect(offered)
    except TimeoutError:
        return DTLS_ERROR if transport.nominated else ICE_TIMEOUT
    except (DtlsError, ConnectionError):
        return DTLS_ERROR
    except Exception:
        logger.exception("connecting a peer failed")
        return DTLS_ERROR
    return None
