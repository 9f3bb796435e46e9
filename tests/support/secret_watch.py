"""Keys that a test uses, made so that any trace of them is found."""

import secrets


class SecretWatch:
    def __init__(self) -> None:
        self.keys: list[str] = []

    def key(self, kind: str = "key") -> str:
        """A new key, easy to find: `kind` and 24 random characters."""
        self.keys.append(f"{kind}-{secrets.token_hex(12)}")
        return self.keys[-1]

    def found_in(self, text: str) -> list[str]:
        """Keys that show in a text, be it only their random part."""
        return [key for key in self.keys if key.rpartition("-")[2] in text]
