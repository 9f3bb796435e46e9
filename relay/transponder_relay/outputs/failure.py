"""Why a destination is not live."""

from transponder_crd.control import OutputReason


class Failure(Exception):
    """One attempt, or one connection, has ended. The message is a sentence for people and holds no secret."""

    def __init__(self, reason: OutputReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
