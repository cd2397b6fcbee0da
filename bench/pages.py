"""The page of a report: tables and pictures, written beside the JSON file."""

from __future__ import annotations

import sys
from pathlib import Path

from bench import pictures, tables
from bench.report import Report


def write_pages(path: Path) -> list[Path]:
    """Write the tables and pictures made from a report's JSON beside it; return their paths."""
    report = Report.read(path)
    drawn = pictures.draw(report, path.parent, path.stem)
    page = path.with_suffix(".md")
    page.write_text(tables.page(report, [each.name for each in drawn]), encoding="utf-8")
    return [page, *drawn]


if __name__ == "__main__":
    for each in write_pages(Path(sys.argv[1])):
        print(each)
