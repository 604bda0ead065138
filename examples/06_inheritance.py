"""Handlers are inherited: both birds are Birds, so both sing.

Run:     python3 examples/06_inheritance.py
Expect:  The Robin sings. / The Wren sings.    then ^C
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event


class Sing(Event):
    """Everybody sing."""


class Bird(Component):

    def sing(self):
        print("The %s sings." % self.name)


class Robin(Bird):
    """A bird."""


class Wren(Bird):
    """Another."""


class Wood(Component):

    def init(self):
        Robin().register(self)
        Wren().register(self)

    def started(self, component):
        self.fire(Sing())


if __name__ == "__main__":
    Wood().run()
