"""Data Docs: Great Expectations' own pages of suites and of what they found, made to stand without a network."""

import re
from pathlib import Path
from typing import Any

_SITE = "site"
# Its pages load styles and scripts from other hosts; ours ask nobody for anything.
_FROM_OUTSIDE = re.compile(
    r"<(script)[^>]*\bsrc=[\"']https?://[^>]*>\s*</\1>|<link[^>]*\bhref=[\"']https?://[^>]*>|<img[^>]*\bsrc=[\"']https?://[^>]*>",
    re.IGNORECASE,
)


def add_site(context: Any, folder: Path) -> None:
    """Let a context write its Data Docs into a folder."""
    context.add_data_docs_site(
        _SITE,
        {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
        },
    )


def build(context: Any, folder: Path) -> None:
    """Build the pages of all suites and results of a context, and cut out what they would fetch."""
    context.build_data_docs(site_names=[_SITE])
    for page in folder.rglob("*.html"):
        page.write_text(_FROM_OUTSIDE.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")
