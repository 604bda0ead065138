"""A component of your own is a class.  It does not do anything yet.

Run:     python3 examples/02_component.py
Expect:  nothing; ^C ends it.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component


class Lamp(Component):
    """A lamp that nobody has wired up."""


if __name__ == "__main__":
    Lamp().run()
