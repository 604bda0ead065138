"""A public method of a component handles the events of its name.

"started" is fired when the system runs.  "hello" is an event of our own: the
class is called Hello, its handlers hello.

Run:     python3 examples/03_hello.py
Expect:  Hello World!
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event


class Hello(Event):
    """Somebody should say hello."""


class App(Component):

    def started(self, component):
        self.fire(Hello())
        raise SystemExit(0)     # what was fired before is still delivered

    def hello(self):
        print("Hello World!")


if __name__ == "__main__":
    App().run()
