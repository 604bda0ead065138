"""A tree inside an asyncio program: its server asks our components.

Run:     python3 examples/15_inside_asyncio.py [PORT]      default 8000
         echo world | nc -N localhost 8000                 in another terminal
Expect:  the other terminal shows: Hello world!
"""
import asyncio
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event


class Greet(Event):
    """Asks for a greeting."""


class Ready(Event):
    """It listens."""


class Greeter(Component):

    async def greet(self, name):
        await asyncio.sleep(0)      # any awaitable of asyncio may stand here
        return "Hello %s!\n" % name


async def main(port):
    app = Greeter()
    async def answer(reader, writer):
        name = (await reader.readline()).decode().strip()
        value = await app.fire_async(Greet(name))
        writer.write(value.value.encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    app.fire(Ready(app, server.sockets[0].getsockname()))
    async with server:
        await app.serve()


if __name__ == "__main__":
    try:
        asyncio.run(main(int((sys.argv[1:] or [8000])[0])))
    except KeyboardInterrupt:
        pass
