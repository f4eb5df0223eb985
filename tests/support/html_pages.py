"""A page as tests read it."""

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """What a page holds: elements with attributes, cells of its tables by row, and the text of its scripts."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.rows, self.scripts, self._inside = [], [], [], None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        self._inside = tag if tag in {"script", "td", "th"} else self._inside
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        if tag == self._inside:
            self._inside = None

    def handle_data(self, text):
        if self._inside == "script":
            self.scripts[-1] += text
        elif self._inside:
            self.rows[-1][-1] += text

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def charts(self):
        return json.loads(self.scripts[0])
