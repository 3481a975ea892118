"""Imported before all other modules in the process that others are forked from: they collect no imported module."""

import os

from tests.frozen import hold, release

hold()
os.register_at_fork(after_in_child=release)
