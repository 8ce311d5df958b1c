"""Lets the unit tests import the pure modules of ``_utils`` by name, as Salt's loader does not."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "_utils"))
