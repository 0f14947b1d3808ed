"""Workbooks as Excel writes them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, time
from pathlib import Path


def write_workbook(
    path: Path, sheets: Mapping[str, Sequence[Sequence[object]]], *, merged: Sequence[str] = (), hidden: str = ""
) -> str:
    """A workbook as Excel lays it out, with inline strings; dates are days since 1899-12-30 in a date format.

    Args:
        path: Of the file.
        sheets: The rows of each, by its name.
        merged: Ranges of cells that are one in every sheet, as ``A2:A5``.
        hidden: The name of a sheet that is not shown.
    """
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kinds = "http://schemas.openxmlformats.org/package/2006"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        parts = "".join(
            f'<Override PartName="/xl/worksheets/sheet{i}.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{kinds}/content-types"><Default Extension="rels" ContentType='
            '"application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
            'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType='
            f'"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>{parts}</Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{kinds}/relationships"><Relationship Id="r" Type="{rel}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        named = "".join(
            f'<sheet name="{name}" sheetId="{i}" {"state=" + chr(34) + "hidden" + chr(34) if name == hidden else ""} '
            f'r:id="r{i}"/>'
            for i, name in enumerate(sheets, 1)
        )
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{rel}"><sheets>{named}</sheets></workbook>'
        )
        links = "".join(
            f'<Relationship Id="r{i}" Type="{rel}/worksheet" Target="worksheets/sheet{i}.xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        styles = f'<Relationship Id="s" Type="{rel}/styles" Target="styles.xml"/>'
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{kinds}/relationships">{links}{styles}</Relationships>',
        )
        archive.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{main}"><cellXfs count="3"><xf/><xf numFmtId="14"/><xf numFmtId="21"/></cellXfs>'
            "</styleSheet>",
        )
        for i, rows in enumerate(sheets.values(), 1):
            body = "".join(
                f'<row r="{at}">'
                + "".join(_cell(f"{chr(ord('A') + place)}{at}", value) for place, value in enumerate(row))
                + "</row>"
                for at, row in enumerate(rows, 1)
            )
            cells = "".join(f'<mergeCell ref="{one}"/>' for one in merged)
            archive.writestr(
                f"xl/worksheets/sheet{i}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData><mergeCells>{cells}</mergeCells></worksheet>',
            )
    return str(path)


def _cell(place: str, value: object) -> str:
    match value:
        case None:
            return f'<c r="{place}"/>'
        case time():
            return f'<c r="{place}" s="2"><v>{(value.hour * 3600 + value.minute * 60 + value.second) / 86400}</v></c>'
        case date():
            return f'<c r="{place}" s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
        case str() if value.startswith("#"):
            return f'<c r="{place}" t="e"><v>{value}</v></c>'
        case str():
            return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
        case _:
            return f'<c r="{place}"><v>{value}</v></c>'
