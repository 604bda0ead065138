"""A complex component registers others with itself; graph() shows the tree.

Run:     python3 examples/05_complex.py
Expect:  the tree of Clock, Hand and Bell, a line each, then ^C
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits.tools import graph


class Clock(Component):

    def init(self):
        self.hand = Hand().register(self)
        self.bell = Bell().register(self)

    def started(self, component):
        print(graph(self.root))


class Hand(Component):
    """Goes round."""


class Bell(Component):
    """Rings."""


if __name__ == "__main__":
    Clock().run()
