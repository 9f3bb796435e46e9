"""Settings of whatever program reconciles."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, SecretStr, ValidationInfo, field_validator

from transponder_crd.destination import Destination, InvalidRtmpUrl


def _or_none(value: object) -> object:
    return None if value == "" else value


class AutoStartSettings(BaseModel):
    """Send every published stream on (`rtmp_push_auto_start` of Flashphoner WCS)."""

    auto_start: bool = False
    """Make a transponder for every stream that is published; it goes with the stream."""
    auto_start_url: Annotated[SecretStr | None, BeforeValidator(_or_none)] = None
    """Where to; a URL without a path means the app `live`."""

    @field_validator("auto_start_url")
    @classmethod
    def _destination(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is None:
            if info.data.get("auto_start"):
                raise ValueError("is required for automatic starts")
            return None
        try:
            Destination.parse(url.get_secret_value())
        except InvalidRtmpUrl as error:
            raise ValueError(error.rule) from None
        return url

    def auto_start_destination(self) -> Destination | None:
        """None: nothing is started automatically."""
        url = self.auto_start_url
        return Destination.parse(url.get_secret_value()) if self.auto_start and url else None
