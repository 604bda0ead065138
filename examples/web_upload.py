"""An upload of any size, with its progress shown in the page.

Run:     python3 examples/web_upload.py [PORT]             default 8000
         then open http://127.0.0.1:8000/, or: curl -T FILE http://127.0.0.1:8000/upload
Expect:  a bar that fills; then the size and the SHA-256 of the file.  The file
         is taken piece by piece, so that the server stays small.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import hashlib

from circuits.web import Controller
from circuits.web import Server
from circuits.web import expose

PAGE = """<!DOCTYPE html><title>Upload</title>
<input type="file" id="file"> <progress id="bar" value="0" max="1"></progress>
<pre id="answer"></pre>
<script>
file.onchange = () => {
  const request = new XMLHttpRequest();
  request.upload.onprogress = e => bar.value = e.loaded / e.total;
  request.onload = () => answer.textContent = request.responseText;
  request.open("PUT", "/upload");
  request.send(file.files[0]);
};
</script>"""


class Root(Controller):

    def index(self):
        return PAGE

    @expose(stream=True, methods=("PUT", "POST"))
    async def upload(self, *path):
        digest = hashlib.sha256()
        async for piece in self.request.body:
            digest.update(piece)
        return "%d bytes, SHA-256 %s\n" % (self.request.body.size, digest.hexdigest())


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port), max_body=10 * 1024 ** 3) + Root()).run()
