"""An echo server that speaks TLS.

Run:     openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
         python3 examples/23_tls_echo.py cert.pem key.pem [PORT]      default 8443
         openssl s_client -quiet -CAfile cert.pem -connect localhost:8443
Expect:  each line comes back; the server prints who came, and by which TLS
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits_net import TCPServer


class Echo(TCPServer):

    def ready(self, server, bind):
        print("listening on %s:%d" % bind, flush=True)

    def connect(self, sock, host, port):
        print("%s came by %s" % (host, sock.version()), flush=True)

    def socket_error(self, sock, error):
        print("a handshake failed: %s" % error, flush=True)

    def read(self, sock, data):
        return data


if __name__ == "__main__":
    cert, key = sys.argv[1:3]
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 8443
    Echo(("127.0.0.1", port), secure=True, certfile=cert, keyfile=key).run()
