"""An error does not end the system; the Debugger shows it, and every event.

Run:     python3 examples/09_debugger.py
Expect:  on stderr a line per event, and after "sing" an ERROR block that
         names the handler and the line; then ^C, which shows as well
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Debugger
from circuits import Event


class Sing(Event):
    """Somebody sing."""


class Wren(Component):

    def started(self, component):
        self.fire(Sing())

    def sing(self):
        print("The %s sings." % nmae)       # a slip


if __name__ == "__main__":
    (Wren() + Debugger()).run()
