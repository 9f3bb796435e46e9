"""The bearer token that callers must have (RFC 6750)."""

import hmac
from collections.abc import Callable

from pydantic import SecretStr

from transponder_api.secret_file import SecretFile
from transponder_api.settings import ApiSettings


class Token:
    def __init__(self, current: Callable[[], SecretStr]) -> None:
        self._current = current

    def equals(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._current().get_secret_value().encode())

    def is_in(self, authorization: str) -> bool:
        """Whether that header's value brings it."""
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and self.equals(given.strip().encode("latin-1"))


def token_of(settings: ApiSettings) -> Token | None:
    """None: whoever reaches the server may call."""
    if settings.token_file is not None:
        return Token(SecretFile(settings.token_file).current)
    token = settings.token
    return None if token is None else Token(lambda: token)
