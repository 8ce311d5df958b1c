"""The execution module in Salt's loader, as the functional tests have it."""

from tests.functional.conftest import config, load, xend

__all__ = ["config", "load", "xend"]
