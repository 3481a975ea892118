"""Generates the phantom: python -m data_setup.phantom OUT --people 100 --slices 8 --seed 0"""

import sys

from data_setup.phantom.generate import main

if __name__ == "__main__":
    sys.exit(main())
