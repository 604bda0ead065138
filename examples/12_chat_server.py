"""A chat server: what one client sends, all the others get.

Run:     python3 examples/12_chat_server.py [PORT]         default 8000
         nc localhost 8000                                 in two other terminals
Expect:  each line typed in one terminal shows in the other
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits.net.sockets import TCPServer
from circuits.net.sockets import Write


class Chat(Component):

    channel = "server"

    def init(self, port):
        self.guests = {}
        TCPServer(("127.0.0.1", port)).register(self)

    def connect(self, sock, host, port):
        self.guests[sock] = "%s:%s" % (host, port)
        self.tell(sock, "came")

    def disconnect(self, sock):
        self.tell(sock, "went")
        del self.guests[sock]

    def read(self, sock, data):
        for line in data.decode("utf-8", "replace").splitlines():
            self.tell(sock, line)

    def tell(self, sender, text):
        for guest in self.guests:
            if guest is not sender:
                self.fire(Write(guest, "%s: %s\n" % (self.guests[sender], text)))


if __name__ == "__main__":
    Chat(int(sys.argv[1]) if len(sys.argv) > 1 else 8000).run()
