"""Crawls a site with a few requests at a time; prints status and title of each page.

Run:     python3 examples/web_crawler.py [URL]             default http://127.0.0.1:8000/
         for something to crawl, in another terminal: python3 examples/web_site.py
Expect:  a line for each page that the first one leads to, 100 at most.
"""
import os
import re
import sys
from html import unescape
from urllib.parse import urldefrag, urljoin

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, group
from circuits_web import Client, ClientError

LINK = re.compile(r"""<a\s[^>]*?href=["']?([^"'\s>]+)""", re.I)
TITLE = re.compile(r"<title>\s*(.*?)\s*</title>", re.I | re.S)


class Crawler(Component):
    def init(self, start):
        self.start_at = start
        self.seen = {start}
        self.client = Client(max_per_host=4).register(self)

    async def started(self, component):
        async with group(self) as self.tasks:
            self.tasks.start(self.visit(self.start_at))
        print(len(self.seen), "pages")
        self.stop()

    async def visit(self, url):
        try:
            page = await self.client.get(url, timeout=30)
        except ClientError as error:
            return print("---", error)
        text = page.text if "html" in page.headers.get("Content-Type", "") else ""
        print(page.status, url, *map(unescape, TITLE.findall(text)[:1]), flush=True)
        for link in LINK.findall(text):
            link = urldefrag(urljoin(page.url, unescape(link))).url
            inside = link.startswith(urljoin(self.start_at, "/"))
            if inside and link not in self.seen and len(self.seen) < 100:
                self.seen.add(link)
                self.tasks.start(self.visit(link))


if __name__ == "__main__":
    Crawler(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/").run()
