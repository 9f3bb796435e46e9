"""Secrets in files that are exchanged while the program runs, as those of a mounted Kubernetes Secret are."""

import logging
import os
from pathlib import Path

from pydantic import SecretStr

log = logging.getLogger(__name__)


class SecretFile:
    """The text of a file without the white space around it."""

    def __init__(self, path: Path) -> None:
        """Reads it. Raises ValueError with the rule that it breaks."""
        self._path = path
        try:
            self._version = self._look()
            self._value = self._read()
        except OSError as error:
            raise ValueError(f"must be a file that can be read, and {path} is not: {error.strerror}") from None

    def current(self) -> SecretStr:
        """Read anew when the file was exchanged; one that is no good then changes nothing."""
        try:
            version = self._look()
            if version != self._version:
                self._version = version
                self._value = self._read()
                log.info("%s was read anew", self._path)
        except (OSError, ValueError) as error:
            log.debug("%s: what was in it before stays: %s", self._path, type(error).__name__)
        return self._value

    def _look(self) -> tuple[int, int, int]:
        status = os.stat(self._path)
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> SecretStr:
        try:
            text = self._path.read_text("utf-8").strip()
        except UnicodeDecodeError:
            raise ValueError(f"must be a file of UTF-8 text, and {self._path} is not") from None
        if not text or not text.isprintable():
            raise ValueError(f"must be a file of one line, and {self._path} is not")
        return SecretStr(text)
