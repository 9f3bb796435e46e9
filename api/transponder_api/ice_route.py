"""`/ice-servers`: the STUN and TURN servers, for pages that make the peer connection themselves, as with the WebSDK."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from transponder_api.ice_servers import Grant

router = APIRouter(tags=["ice"])


class RtcIceServer(BaseModel):
    """RTCIceServer of the WebRTC API."""

    urls: list[str] = Field(examples=[["turn:turn.example.com:3478?transport=udp"]])
    username: str | None = Field(None, examples=["1789000000:transponder"])
    credential: str | None = None


class RtcConfiguration(BaseModel):
    """What RTCPeerConnection is to be made with."""

    iceServers: list[RtcIceServer]


@router.get("/ice-servers", operation_id="iceServers", response_model_exclude_none=True)
async def ice_servers(request: Request, response: Response) -> RtcConfiguration:
    """STUN and TURN servers with credentials that are good now; an empty list where none are needed."""
    response.headers["Cache-Control"] = "no-store"
    return RtcConfiguration(iceServers=[_shown(grant) for grant in request.app.state.ice_servers.grants()])


def _shown(grant: Grant) -> RtcIceServer:
    credential = grant.credential.get_secret_value() if grant.credential else None
    return RtcIceServer(urls=list(grant.urls), username=grant.username, credential=credential)
