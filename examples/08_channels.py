"""A component listens and fires on its channel; "*" is everybody.

Each bird starts itself off: what it fires stays on its own channel, so each
sings once.

Run:     python3 examples/08_channels.py
Expect:  The Robin sings on robin. / The Wren sings on wren.    then ^C
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event


class Sing(Event):
    """Whoever is on this channel sing."""


class Bird(Component):

    def started(self, component):
        self.fire(Sing())

    def sing(self):
        print("The %s sings on %s." % (self.name, self.channel))


class Robin(Bird):
    channel = "robin"


class Wren(Bird):
    channel = "wren"


if __name__ == "__main__":
    (Component() + Robin() + Wren()).run()
