"""
What pip calls to build the package: setuptools, without what an earlier build has left in ``build``. That
would be installed again, and Salt would load modules that are no longer there.
"""

import shutil

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403


def build_wheel(*arguments, **options):
    """Build the wheel, in a tree that has none of an earlier one before and after."""
    shutil.rmtree("build", ignore_errors=True)
    try:
        return build_meta.build_wheel(*arguments, **options)
    finally:
        shutil.rmtree("build", ignore_errors=True)
