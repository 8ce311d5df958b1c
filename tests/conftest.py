"""For all tests: pytest-salt-factories listens on loopback only (its default is every interface)."""

import logging

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    log_server = session.config.pluginmanager.get_plugin("saltfactories-log-server")
    log_server.log_host = "127.0.0.1"


@pytest.fixture(scope="session")
def event_listener():
    from saltfactories.plugins.event_listener import EventListener

    listener = EventListener()
    listener.host = "127.0.0.1"
    listener.address = f"tcp://{listener.host}:{listener.port}"
    with listener:
        yield listener


def pytest_unconfigure():
    # At exit Salt flushes log records that it has kept for handlers, into streams that pytest has
    # closed by then; without this, each of them prints a traceback below the summary.
    logging.raiseExceptions = False
