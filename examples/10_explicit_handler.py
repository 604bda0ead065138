"""A BaseComponent handles only what is marked with @handler.

The mark can name another channel; "*" hears everything that is fired.

Run:     python3 examples/10_explicit_handler.py
Expect:  The system runs.    then ^C
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits.core.components import BaseComponent
from circuits.core.handlers import handler


class Watcher(BaseComponent):

    channel = "watcher"

    @handler("started", channel="*")
    def _on_started(self, component):
        print("The system runs.")


if __name__ == "__main__":
    Watcher().run()
