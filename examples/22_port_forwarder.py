"""A port forwarder: every connection gets one of its own to the target.

Run:     python3 examples/22_port_forwarder.py 8001 localhost 8000
         curl http://localhost:8001/                       with a web server on 8000
Expect:  what the server on port 8000 answers
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import handler
from circuits_net import Close, Connect, HalfClose, TCPClient, TCPServer, Write


class Forwarder(TCPServer):

    def ready(self, server, bind):
        print("forwarding %s:%d" % bind, flush=True)

    def connect(self, sock, host, port):
        link = links[sock] = Link(channel="link-%d" % id(sock), half_open=True)
        link.peer = sock
        link.register(self).fire(Connect(*target))

    def read(self, sock, data):
        links[sock].fire(Write(data))

    def ended(self, sock):
        links[sock].fire(HalfClose())

    def disconnect(self, sock):
        links.pop(sock).unregister()


class Link(TCPClient):

    def read(self, data):
        self.fire(Write(self.peer, data), "server")

    @handler("ended", "unreachable", "disconnected")
    def _on_end(self, *args):
        self.fire(Close(self.peer), "server")


if __name__ == "__main__":
    links = {}                      # sock of a client -> the Link to the target
    target = sys.argv[2], int(sys.argv[3])
    Forwarder(("127.0.0.1", int(sys.argv[1])), half_open=True).run()
