"""What handlers return is collected, and announced if the event asks for it.

Run:     python3 examples/11_results.py
Expect:  Here are: Robin, Wren    and, asked again by name: Robin, Wren
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event


class RollCall(Event):
    """Say who you are."""

    success = True


class Bird(Component):

    def roll_call(self):
        return self.name


class Robin(Bird):
    """A bird."""


class Wren(Bird):
    """Another."""


class Wood(Component):

    def started(self, component):
        self.fire(RollCall())

    def roll_call_success(self, event_done, names):
        print("Here are:", ", ".join(names))
        value = yield self.call(Event.create("RollCall"))     # or wait for the answer
        print("and, asked again by name:", ", ".join(value))
        raise SystemExit(0)


if __name__ == "__main__":
    (Wood() + Robin() + Wren()).run()
