"""Components are put together with +; each handles the same event.

Run:     python3 examples/04_two_components.py
Expect:  Tick says Tick! / Tock says Tock!    then ^C
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component


class Tick(Component):

    def started(self, component):
        print("Tick says Tick!")


class Tock(Component):

    def started(self, component):
        print("Tock says Tock!")


if __name__ == "__main__":
    (Tick() + Tock()).run()
