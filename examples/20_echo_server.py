"""An echo server: the shortest server there is.

Run:     python3 examples/20_echo_server.py [PORT]         default 8000
         nc localhost 8000                                 in another terminal
Expect:  each line comes back
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits_net import TCPServer


class Echo(TCPServer):

    def ready(self, server, bind):
        print("listening on %s:%d" % bind, flush=True)

    def read(self, sock, data):
        return data                 # what a read handler returns is written back


if __name__ == "__main__":
    Echo(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000)).run()
