"""A daemon: leaves the terminal, writes a pid file, reloads at SIGHUP, stops at SIGTERM.

Shows: Startup with its verbs, the Environment it lives in, and its log.

Run:    python3 examples/35_daemon.py /tmp/clock init
        python3 examples/35_daemon.py /tmp/clock start
        tail -f /tmp/clock/log/clock.log
        python3 examples/35_daemon.py /tmp/clock rehash
        python3 examples/35_daemon.py /tmp/clock stop
Expect: "tick" in the log each second; "settings loaded" after rehash; no pid
        file in /tmp/clock/log after stop.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event
from circuits import Timer
from circuits import handler
from circuits_io import Log, Startup


class Tick(Event):
    """A second is over."""


class Clock(Component):

    @handler("daemonized", channel="daemon")
    def _on_daemonized(self, component):
        Timer(1, Tick(), "clock", persist=True).register(self)

    @handler("tick", channel="clock")
    def _on_tick(self):
        self.fire(Log("info", "tick"))

    @handler("ready", channel="env")
    def _on_ready(self, environment):
        self.fire(Log("info", "settings loaded"))


if __name__ == "__main__":
    (Startup(sys.argv[1], None, sys.argv[2]) + Clock()).run()
