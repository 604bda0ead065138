"""Handlers that wait: async def beside plain ones, several at once, a limit.

Run:     python3 examples/14_async.py
Expect:  The robin sings.
         The wren sings.
         The owl is asleep.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event
from circuits import TimeoutError
from circuits import gather
from circuits import sleep


class Sing(Event):
    """Asks a bird for its song."""


class Birds(Component):

    async def sing(self, name):
        await sleep({"robin": 0.02, "wren": 0.01, "owl": 3600}[name])
        return "The %s sings." % name

    async def started(self, component):
        songs = await gather(self.call(Sing("robin")), self.call(Sing("wren")))
        for value in songs:
            print(value.value)
        try:
            await self.call(Sing("owl"), timeout=0.05)
        except TimeoutError:
            print("The owl is asleep.")
        self.stop()


if __name__ == "__main__":
    Birds().run()
