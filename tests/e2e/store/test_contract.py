"""The rules of every store, on a real API server."""

import pytest
from support.store_contract import CollectionContract, StoreContract, WatchContract

pytestmark = pytest.mark.cluster


class TestStore(StoreContract):
    pass


@pytest.mark.timeout(90)
class TestCollection(CollectionContract):
    """The garbage collector hears of new kinds every 30 s."""


class TestWatch(WatchContract):
    pass
