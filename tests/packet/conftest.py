"""Drivers for the packet tests. A test gets processes of its own, so nothing is left over from another."""

import pytest
from packet_driver import BINARY, Driver


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: build the target packet-driver, or set SLUICE_BUILD", returncode=2)


@pytest.fixture
def new_driver():
    """Makes drivers, which live as long as the test."""
    made = []

    def make(namespace=None):
        made.append(Driver(namespace))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


@pytest.fixture
def driver(new_driver):
    return new_driver()
