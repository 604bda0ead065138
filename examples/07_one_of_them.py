"""An event can be fired at one component: a component is a channel, too.

Run:     python3 examples/07_one_of_them.py
Expect:  The Wren sings.    then ^C
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event


class Sing(Event):
    """Somebody sing."""


class Bird(Component):

    def sing(self):
        print("The %s sings." % self.name)


class Robin(Bird):
    channel = "robin"


class Wren(Bird):
    channel = "wren"


class Wood(Component):

    def init(self):
        self.robin = Robin().register(self)
        self.wren = Wren().register(self)

    def started(self, component):
        self.fire(Sing(), self.wren)


if __name__ == "__main__":
    Wood().run()
