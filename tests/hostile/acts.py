"""A script that does what its one argument says: so test_hostile.py shows what the bench notices."""

import sys


def main() -> None:
    eval(sys.argv[1])
