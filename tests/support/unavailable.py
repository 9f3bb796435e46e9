"""What a machine cannot have is told as the reason of a skip."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cluster.folders import Unavailable


@contextmanager
def skipped_without() -> Iterator[None]:
    """Around what needs a part of a cluster."""
    try:
        yield
    except Unavailable as error:
        pytest.skip(str(error))
