"""Labs for the end-to-end tests: one a module, taken down whatever happens; a fresh agent for each test."""

import itertools
import os
import signal

import pytest

import lab as labs

numbers = itertools.count(1)


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests need root, for network namespaces and BPF", returncode=2)
    for binary in (labs.SLUICE, labs.SLUICED, labs.DECAP, labs.PASS_PROGRAM):
        if not binary.exists():
            pytest.exit(f"{binary} is missing: build first (scripts/test.sh does), or set SLUICE_BUILD", returncode=2)

    # A `timeout` around the tests, or a closed terminal: end like Ctrl-C, so that the labs are taken down.
    def interrupted(number, frame):
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)


@pytest.fixture(scope="module")
def new_lab():
    """Makes labs, which live as long as the module's tests."""
    names = []

    def make(**options):
        names.append(f"e{os.getpid()}x{next(numbers)}")
        return labs.Lab(names[-1], **options)

    yield make
    for name in names:
        labs.run(labs.SCRIPT, "down", name, limit=90)


@pytest.fixture(scope="module")
def module_lab(new_lab):
    """The usual lab. A module that needs another one overrides this."""
    return new_lab()


@pytest.fixture
def lab(module_lab, request):
    """The module's lab with a fresh agent without services."""
    module_lab.fresh_agent()
    failures = request.session.testsfailed
    yield module_lab
    if request.session.testsfailed > failures and module_lab.log.exists():
        print(f"--- sluiced.log\n{module_lab.log.read_text()[-4000:]}")
