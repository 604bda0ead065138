"""A WebSocket server that echoes, and a client that talks to it.

Run:     python3 examples/web_socket.py
Expect:  I said: Hello    The server says: HELLO    It is over: 1000
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits.net.sockets import Close
from circuits.net.sockets import Write
from circuits.web import Server
from circuits.web.websockets import WebSocketClient
from circuits.web.websockets import WebSocketsDispatcher


class Echo(Component):

    channel = "wsserver"

    def read(self, sock, text):
        return text.upper()             # or fire Write(sock, ...), at any time


class Talk(Component):

    channel = "ws"

    def connected(self, host, port):
        print("I said: Hello")
        self.fire(Write("Hello"))

    def read(self, text):
        print("The server says:", text)
        self.fire(Close())

    def disconnected(self, event):
        print("It is over:", event.code)
        raise SystemExit


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0))
    client = WebSocketClient("ws://127.0.0.1:%d/echo" % server.port)
    (server + WebSocketsDispatcher("/echo") + Echo() + client + Talk()).run()
