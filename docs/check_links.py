"""Check the built site: every link inside it leads somewhere, no API page is empty.

python docs/check_links.py docs/_build/html
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.n_descriptions = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[name] for name in ("id", "name") if attrs.get(name)}
        link = attrs.get("href") if tag in ("a", "link") else attrs.get("src")
        if link:
            self.links.append(link)
        self.n_descriptions += tag == "dd"


def problems(root):
    # What is in _static belongs to the theme.
    found = (path for path in root.rglob("*.html") if "_static" not in path.parts)
    pages = {path.resolve(): Page(path) for path in found}
    for path, page in pages.items():
        name = path.relative_to(root.resolve())
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            if not target.exists():
                yield f"{name}: {link} leads nowhere"
            elif parts.fragment and target in pages:
                anchors = pages[target].anchors
                if parts.fragment != "top" and unquote(parts.fragment) not in anchors:
                    yield f"{name}: {link} has no such anchor"
        if "generated" in name.parts and name.parts[0] == "api" and not page.n_descriptions:
            yield f"{name}: an empty API page"


def main():
    root = Path(sys.argv[1])
    found = sorted(set(problems(root)))
    n_pages = len(list(root.rglob("*.html")))
    print("\n".join([*found, f"{n_pages} pages, {len(found)} problems"]))
    return bool(found or not n_pages)


if __name__ == "__main__":
    sys.exit(main())
