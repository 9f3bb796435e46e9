"""What is behind each of the ports for clients."""

import ssl

from fastapi import FastAPI

from transponder_api.doors import PUBLIC, WS, WSS, Listeners
from transponder_api.server import Door
from transponder_api.websdk.app import UVICORN_OPTIONS


def public_doors(api: FastAPI, websdk: FastAPI, listeners: Listeners, tls: ssl.SSLContext | None) -> list[Door]:
    """REST and all that is beside it, and the WebSDK, each at its ports."""
    return [
        Door(websdk, listener, tls if port.tls else None, UVICORN_OPTIONS)
        if port in (WS, WSS)
        else Door(api, listener, tls if port.tls else None)
        for port, listener in listeners.items()
        if port in PUBLIC
    ]
