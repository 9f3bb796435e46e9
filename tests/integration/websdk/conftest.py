"""The vendor's package and a browser for its pages."""

from collections.abc import AsyncIterator

import pytest
from support.vendor_site import VendorSite, vendor_site


@pytest.fixture
async def site() -> AsyncIterator[VendorSite]:
    async with vendor_site() as started:
        yield started
